//! The credentials of polls, read from a file when nginx reads its configuration.

use crate::directives::wrong;
use crate::{log, peers};
use ngx::ffi::{NGX_OK, ngx_conf_full_name, ngx_conf_t, ngx_int_t, ngx_str_t};
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tblb_core::config::{Auth, Exposure, SECRET_LIMIT};
use tblb_poller::Credentials;

/// Reads the credentials that a directive names. What it says of a file that is wrong has nothing of its content.
///
/// # Safety
/// `cf` is the configuration that nginx parses.
pub unsafe fn read(cf: *mut ngx_conf_t, auth: &Auth) -> Result<Credentials, Box<dyn Display>> {
    // SAFETY: as the caller says.
    let path = unsafe { full_name(cf, &auth.file) }.ok_or_else(|| wrong("no memory"))?;
    let (content, exposure) = content(&path, auth)?;
    if exposure == Exposure::Group {
        let text = format!("\"{}\" is open to its group, and is used all the same", path.display());
        // SAFETY: as the caller says.
        unsafe { log::conf_warning(cf, &text) };
    }
    let secret = auth.secret(&content).map_err(wrong)?;
    Credentials::new(&auth.scheme, &secret).ok_or_else(|| {
        wrong(format!("\"{}\" holds what no request can carry, expected a secret", path.display()))
    })
}

/// The name of a file, relative to the directory of the configuration as nginx has it for certificates.
///
/// # Safety
/// `cf` is the configuration that nginx parses.
unsafe fn full_name(cf: *mut ngx_conf_t, name: &str) -> Option<PathBuf> {
    let mut name = ngx_str_t { len: name.len(), data: name.as_ptr().cast_mut() };
    // SAFETY: as the caller says; nginx writes to the name's struct only, and takes what it needs from its pool.
    unsafe {
        let rc = ngx_conf_full_name((*cf).cycle, &mut name, 1);
        (rc == NGX_OK as ngx_int_t).then(|| Path::new(OsStr::from_bytes(peers::bytes(&name))).to_owned())
    }
}

/// The content of a secret's file, and who has access to the file.
fn content(path: &Path, auth: &Auth) -> Result<(Vec<u8>, Exposure), Box<dyn Display>> {
    let name = path.display();
    let failed = |error: io::Error| wrong(format!("cannot read \"{name}\": {error}"));
    // Links are followed: Kubernetes mounts a Secret as links, and changes it by another link. A pipe without a writer must
    // not keep nginx waiting.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    // Of the file that is open: the name may be given to another one meanwhile.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(wrong(format!("\"{name}\" is not a file, expected a regular file")));
    }
    let exposure = auth.exposure(metadata.permissions().mode() & 0o777).map_err(wrong)?;
    let mut content = Vec::new();
    file.take(SECRET_LIMIT as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    Ok((content, exposure))
}
