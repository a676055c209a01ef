//! The variables: one value a try, separated as in `$upstream_addr`; and the model, one value a request.

use crate::guard::{self, Failed};
use crate::peers;
use crate::request::{Kept, kept, states};
use crate::told::Said;
use ngx::ffi::{
    NGX_ERROR, NGX_HTTP_VAR_NOCACHEABLE, NGX_OK, ngx_conf_t, ngx_http_add_variable, ngx_http_conf_ctx_t,
    ngx_http_core_main_conf_t, ngx_http_core_module, ngx_http_request_t, ngx_http_upstream_state_t,
    ngx_http_variable_t, ngx_http_variable_value_t, ngx_int_t, ngx_pnalloc, ngx_str_t, ngx_uint_t,
};
use std::fmt::Write;
use std::ptr;
use tblb_core::model::shown;

type Value = fn(&Said, &mut String) -> std::fmt::Result;

/// Name and value of each variable.
const VARIABLES: [(&str, Value); 4] = [
    ("tblb_algorithm", |said, out| out.write_str(said.algorithm)),
    ("tblb_score", |said, out| match said.score {
        Some(score) => write!(out, "{score:.6}"),
        None => out.write_char('-'),
    }),
    ("tblb_reason", |said, out| out.write_str(said.reason.name())),
    ("tblb_ttft", |said, out| match said.ttft {
        Some(us) => write!(out, "{}.{:03}", us / 1_000_000, us / 1000 % 1000),
        None => out.write_char('-'),
    }),
];

/// The name of the variable of the model.
const MODEL: &str = "tblb_model";

/// Makes the variables known.
pub fn add(cf: *mut ngx_conf_t) -> Result<(), Failed> {
    for (index, (name, _)) in VARIABLES.iter().enumerate() {
        add_one(cf, name, get, index)?;
    }
    add_one(cf, MODEL, get_model, 0)
}

type Handler =
    unsafe extern "C" fn(*mut ngx_http_request_t, *mut ngx_http_variable_value_t, usize) -> ngx_int_t;

fn add_one(cf: *mut ngx_conf_t, name: &str, handler: Handler, data: usize) -> Result<(), Failed> {
    let mut name = ngx_str_t { len: name.len(), data: name.as_ptr().cast_mut() };
    // Values change while the request is under way: what a header said is not what the log has to say.
    let flags = NGX_HTTP_VAR_NOCACHEABLE as ngx_uint_t;
    // SAFETY: nginx parses `cf`; it copies the name.
    let variable = unsafe { ngx_http_add_variable(cf, &mut name, flags).as_mut() }.ok_or(Failed)?;
    variable.get_handler = Some(handler);
    variable.data = data;
    Ok(())
}

/// Whether the configuration names the variable of the model, so that bodies are read for its sake.
///
/// # Safety
/// `cf` is the configuration that nginx parses, whose http block has been read.
pub unsafe fn model_is_used(cf: *mut ngx_conf_t) -> bool {
    // SAFETY: as the caller says; the core module's configuration has an array of the variables that are used.
    let used = unsafe {
        let context = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
        let core = *(*context).main_conf.add(ngx_http_core_module.ctx_index);
        let variables = &(*core.cast::<ngx_http_core_main_conf_t>()).variables;
        match variables.nelts {
            0 => &[],
            used => std::slice::from_raw_parts(variables.elts.cast::<ngx_http_variable_t>(), used),
        }
    };
    // SAFETY: the names live as long as the configuration.
    used.iter().any(|variable| unsafe { peers::bytes(&variable.name) }.eq_ignore_ascii_case(MODEL.as_bytes()))
}

unsafe extern "C" fn get_model(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    // SAFETY: nginx calls this with a request that it handles and a value to fill.
    guard::or(NGX_ERROR as ngx_int_t, || unsafe {
        let text = kept(r).and_then(Kept::model).map(shown);
        value.as_mut().map_or(NGX_ERROR as ngx_int_t, |value| set(r, value, text))
    })
}

unsafe extern "C" fn get(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    index: usize,
) -> ngx_int_t {
    // SAFETY: nginx calls this with a request that it handles, a value to fill, and the number that `add` gave.
    guard::or(NGX_ERROR as ngx_int_t, || unsafe {
        let (Some(value), Some((_, write))) = (value.as_mut(), VARIABLES.get(index)) else {
            return NGX_ERROR as ngx_int_t;
        };
        set(r, value, of_all_tries(r, *write))
    })
}

/// Gives a variable its value, None for not found.
///
/// # Safety
/// `r` is a request that nginx is handling.
unsafe fn set(
    r: *mut ngx_http_request_t,
    value: &mut ngx_http_variable_value_t,
    text: Option<String>,
) -> ngx_int_t {
    value.set_valid(1);
    value.set_no_cacheable(0);
    value.set_not_found(u32::from(text.is_none()));
    let Some(text) = text else { return NGX_OK as ngx_int_t };
    // SAFETY: as the caller says; the copy is as long as the text.
    unsafe {
        let data = ngx_pnalloc((*r).pool, text.len()).cast::<u8>();
        if data.is_null() {
            return NGX_ERROR as ngx_int_t;
        }
        ptr::copy_nonoverlapping(text.as_ptr(), data, text.len());
        value.set_len(text.len() as u32);
        value.data = data;
    }
    NGX_OK as ngx_int_t
}

/// The values of all tries: a comma between servers, a colon where an internal redirect led to another upstream,
/// as nginx puts them. None if no `tblb` upstream sent the request to a server.
///
/// # Safety
/// `r` is a request that nginx is handling.
unsafe fn of_all_tries(r: *mut ngx_http_request_t, write: Value) -> Option<String> {
    // SAFETY: as the caller says; the states are an array of that length.
    let (kept, states) = unsafe {
        let kept = kept(r)?;
        let first = (*r).upstream_states.as_ref().map(|all| all.elts.cast::<ngx_http_upstream_state_t>());
        (kept, first.map_or(&[][..], |first| std::slice::from_raw_parts(first, states(r))))
    };
    let mut out = String::new();
    let mut index = 0;
    while let Some(state) = states.get(index) {
        if !state.peer.is_null() {
            match kept.said(index) {
                Some(said) => write(&said, &mut out).ok()?,
                None => out.push('-'),
            }
        }
        // An internal redirect leaves a state without a peer between the tries.
        let redirected = states.get(index + 1).map(|next| next.peer.is_null());
        match redirected {
            Some(true) => out.push_str(" : "),
            Some(false) => out.push_str(", "),
            None => {}
        }
        index += if redirected == Some(true) { 2 } else { 1 };
    }
    (!out.is_empty()).then_some(out)
}
