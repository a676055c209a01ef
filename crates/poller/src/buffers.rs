//! Memory that a thread keeps for all of its exchanges.

use std::io;

/// What the poller has at hand for all exchanges.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// What is read at once. A page of vLLM's with its header fits, so most polls take one read.
    pub input: Vec<u8>,
    /// What of a body is decoded at once.
    pub decoded: Vec<u8>,
}

impl Buffers {
    /// # Errors
    /// There is no memory for them: a worker whose memory is limited is not to end for it.
    pub fn new() -> io::Result<Buffers> {
        Ok(Buffers { input: zeroes(64 * 1024)?, decoded: zeroes(16 * 1024)? })
    }
}

fn zeroes(length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(io::Error::other)?;
    bytes.resize(length, 0);
    Ok(bytes)
}
