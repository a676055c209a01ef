//! The directives: from nginx's words to the configuration model, and errors with file and line.

use crate::conf::{LocationConf, MainConf, Place, UpstreamConf, main_of};
use crate::guard::{self, Failed};
use crate::{credentials, log, method, model, peers, recorder, servers, status};
use ngx::ffi::{
    NGX_CONF_ANY, NGX_CONF_NOARGS, NGX_CONF_TAKE1, NGX_HTTP_LOC_CONF, NGX_HTTP_LOC_CONF_OFFSET,
    NGX_HTTP_SRV_CONF_OFFSET, NGX_HTTP_UPS_CONF, ngx_command_t, ngx_conf_t, ngx_http_conf_ctx_t,
    ngx_http_core_loc_conf_t, ngx_http_core_module, ngx_http_upstream_module, ngx_http_upstream_srv_conf_t,
    ngx_str_t, ngx_uint_t,
};
use std::ffi::{CStr, c_char, c_void};
use std::fmt::Display;
use std::ptr;
use tblb_core::status::Format;

type Handler = unsafe extern "C" fn(*mut ngx_conf_t, *mut ngx_command_t, *mut c_void) -> *mut c_char;

/// nginx writes into commands never, but takes them by a pointer that is not const.
struct Commands([ngx_command_t; 11]);
// SAFETY: the commands are never written to.
unsafe impl Sync for Commands {}

static COMMANDS: Commands = Commands([
    in_upstream(c"tblb"),
    in_upstream(c"tblb_metrics"),
    in_upstream(c"tblb_metrics_signal"),
    in_upstream(c"tblb_metrics_auth"),
    in_upstream(c"tblb_server"),
    in_upstream(c"tblb_limit"),
    in_upstream(c"tblb_model"),
    in_upstream(c"tblb_bypass"),
    in_upstream(c"tblb_record"),
    command(
        c"tblb_status",
        NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS | NGX_CONF_TAKE1,
        NGX_HTTP_LOC_CONF_OFFSET,
        tblb_status,
    ),
    NO_COMMAND,
]);

const NO_COMMAND: ngx_command_t = ngx_command_t {
    name: ngx_str_t { len: 0, data: ptr::null_mut() },
    type_: 0,
    set: None,
    conf: 0,
    offset: 0,
    post: ptr::null_mut(),
};

const fn command(name: &'static CStr, context: u32, conf: usize, set: Handler) -> ngx_command_t {
    ngx_command_t {
        name: ngx_str_t { len: name.count_bytes(), data: name.as_ptr().cast_mut().cast() },
        type_: context as ngx_uint_t,
        set: Some(set),
        conf: conf as ngx_uint_t,
        ..NO_COMMAND
    }
}

/// A directive of an upstream block, of which the configuration model knows what it takes.
const fn in_upstream(name: &'static CStr) -> ngx_command_t {
    command(name, NGX_HTTP_UPS_CONF | NGX_CONF_ANY, NGX_HTTP_SRV_CONF_OFFSET, upstream_directive)
}

/// The table of directives, as nginx takes it.
pub const fn commands() -> *mut ngx_command_t {
    (&raw const COMMANDS.0).cast_mut().cast()
}

/// nginx's way to say that a directive is wrong where it has been logged what is.
const ERROR: *mut c_char = ptr::without_provenance_mut(usize::MAX);

/// Parses one directive: `parse` gets its name and the words after it, and gives what is wrong, if anything.
///
/// # Safety
/// `cf` is the configuration that nginx parses.
unsafe fn directive(
    cf: *mut ngx_conf_t,
    parse: impl FnOnce(&str, &[&str]) -> Result<(), Box<dyn Display>>,
) -> *mut c_char {
    let outcome = guard::or(Err(Failed), || {
        // SAFETY: as the caller says.
        let parsed = unsafe { words(cf) }.and_then(|words| {
            let (name, words) = words.split_first().ok_or_else(|| wrong("no directive"))?;
            parse(name, words).map_err(|error| wrong(format!("{error} in \"{name}\" directive")))
        });
        parsed.map_err(|error| {
            // SAFETY: as the caller says.
            unsafe { log::conf_error(cf, &error) };
            Failed
        })
    });
    if outcome.is_ok() { ptr::null_mut() } else { ERROR }
}

/// The words of the directive that is parsed.
///
/// # Safety
/// `cf` is the configuration that nginx parses, and outlives the words.
unsafe fn words<'a>(cf: *mut ngx_conf_t) -> Result<Vec<&'a str>, Box<dyn Display>> {
    // SAFETY: the arguments are an array of strings that live as long as the configuration.
    let words = unsafe {
        let arguments = &*(*cf).args;
        std::slice::from_raw_parts(arguments.elts.cast::<ngx_str_t>(), arguments.nelts)
    };
    let text = |word: &ngx_str_t| {
        // SAFETY: as above.
        std::str::from_utf8(unsafe { peers::bytes(word) })
            .map_err(|_| Box::new("invalid parameter, expected UTF-8 text") as Box<dyn Display>)
    };
    words.iter().map(text).collect()
}

pub fn wrong(error: impl Display + 'static) -> Box<dyn Display> {
    Box::new(error)
}

unsafe extern "C" fn upstream_directive(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx calls this within an upstream block, with the configuration that was made for it.
    unsafe {
        directive(cf, |name, words| {
            let conf = &mut *conf.cast::<UpstreamConf>();
            let main = main_of(cf).ok_or_else(|| wrong("no http block"))?;
            let was_ours = conf.block.is_ours();
            conf.block.set(name, words).map_err(wrong)?;
            if let (Some(auth), None) = (&conf.block.auth, &conf.credentials) {
                conf.credentials = Some(credentials::read(cf, auth)?);
            }
            if let Some(server) = conf.block.servers.get(conf.server_places.len()) {
                conf.server_addresses.push(servers::metrics_address(server).map_err(wrong)?);
                conf.server_places.push(place(cf));
            }
            if conf.block.recording.is_some() && conf.record.is_null() {
                conf.record = recorder::open(cf)?;
            }
            if let (Some(name), None) = (&conf.block.models.variable, conf.model_variable) {
                conf.model_variable = Some(model::variable(cf, name)?);
            }
            if main.blocks.last().is_none_or(|(last, _)| !ptr::eq(*last, conf)) {
                main.blocks.push((conf, place(cf)));
            }
            if conf.block.is_ours() && !was_ours { begin(cf, main, conf) } else { Ok(()) }
        })
    }
}

/// Takes the block into the list of those whose method is ours.
///
/// # Safety
/// `cf` is the configuration that nginx parses, in the upstream block of `conf`.
unsafe fn begin(
    cf: *mut ngx_conf_t,
    main: &mut MainConf,
    conf: &mut UpstreamConf,
) -> Result<(), Box<dyn Display>> {
    // SAFETY: as the caller says.
    unsafe {
        let upstream = &mut **upstream_block(cf);
        method::take_over(cf, upstream)?;
        conf.number = main.upstreams.len();
        conf.bytes = peers::bytes(&upstream.host).to_vec();
        conf.name = String::from_utf8_lossy(&conf.bytes).into_owned();
        conf.upstream = upstream;
    }
    main.upstreams.push(conf);
    Ok(())
}

/// The configuration of the upstream block that is parsed.
///
/// # Safety
/// `cf` is the configuration that nginx parses, in an upstream block.
unsafe fn upstream_block<'a>(cf: *mut ngx_conf_t) -> &'a mut *mut ngx_http_upstream_srv_conf_t {
    // SAFETY: as the caller says; the upstream module's entry is the block's configuration.
    unsafe {
        let context = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
        let entry = (*context).srv_conf.add(ngx_http_upstream_module.ctx_index);
        &mut *entry.cast::<*mut ngx_http_upstream_srv_conf_t>()
    }
}

/// Where nginx is reading now.
///
/// # Safety
/// `cf` is the configuration that nginx parses.
unsafe fn place(cf: *mut ngx_conf_t) -> Place {
    // SAFETY: as the caller says; the file is null only where nginx reads no file.
    unsafe {
        let (file, line) = match (*cf).conf_file.as_ref() {
            Some(file) => (String::from_utf8_lossy(peers::bytes(&file.file.name)).into_owned(), file.line),
            None => ("command line".into(), 0),
        };
        Place { file, line }
    }
}

unsafe extern "C" fn tblb_status(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx calls this within a location, with the configuration that was made for it.
    unsafe {
        directive(cf, |_, words| {
            let conf = &mut *conf.cast::<LocationConf>();
            if conf.status.is_some() {
                return Err(wrong("duplicate directive, expected one \"tblb_status\""));
            }
            conf.status = Some(match words.first() {
                None => None,
                Some(word) => Some(Format::by_name(word).ok_or_else(|| {
                    wrong(format!(
                        "unknown format \"{word}\", expected one of \"html\", \"json\", \"prometheus\""
                    ))
                })?),
            });
            let context = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
            let core = *(*context).loc_conf.add(ngx_http_core_module.ctx_index);
            (*core.cast::<ngx_http_core_loc_conf_t>()).handler = Some(status::handler);
            Ok(())
        })
    }
}
