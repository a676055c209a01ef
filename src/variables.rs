//! The variables: one value a try, separated as in `$upstream_addr`.

use crate::guard::{self, Failed};
use crate::request::{kept, states};
use crate::told::Said;
use ngx::ffi::{
    NGX_ERROR, NGX_HTTP_VAR_NOCACHEABLE, NGX_OK, ngx_conf_t, ngx_http_add_variable, ngx_http_request_t,
    ngx_http_upstream_state_t, ngx_http_variable_value_t, ngx_int_t, ngx_pnalloc, ngx_str_t, ngx_uint_t,
};
use std::fmt::Write;
use std::ptr;

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

/// Makes the variables known.
pub fn add(cf: *mut ngx_conf_t) -> Result<(), Failed> {
    for (index, (name, _)) in VARIABLES.iter().enumerate() {
        let mut name = ngx_str_t { len: name.len(), data: name.as_ptr().cast_mut() };
        // They change while the request is under way: what a header said is not what the log has to say.
        let flags = NGX_HTTP_VAR_NOCACHEABLE as ngx_uint_t;
        // SAFETY: nginx parses `cf`; it copies the name.
        let variable = unsafe { ngx_http_add_variable(cf, &mut name, flags).as_mut() }.ok_or(Failed)?;
        variable.get_handler = Some(get);
        variable.data = index;
    }
    Ok(())
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
        value.set_valid(1);
        value.set_no_cacheable(0);
        let Some(text) = of_all_tries(r, *write) else {
            value.set_not_found(1);
            return NGX_OK as ngx_int_t;
        };
        let data = ngx_pnalloc((*r).pool, text.len()).cast::<u8>();
        if data.is_null() {
            return NGX_ERROR as ngx_int_t;
        }
        ptr::copy_nonoverlapping(text.as_ptr(), data, text.len());
        value.set_len(text.len() as u32);
        value.set_not_found(0);
        value.data = data;
        NGX_OK as ngx_int_t
    })
}

/// The values of all tries: a comma between servers, a colon where an internal redirect led to another upstream,
/// as nginx puts them. None if no `tblb` upstream had the request.
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
    Some(out)
}
