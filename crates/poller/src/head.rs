//! What the header of an answer says.

use memchr::memmem;
use tblb_core::fault::Fault;
use ureq::http::{HeaderMap, StatusCode, header};

/// The longest part of a redirect's target that is kept to be logged.
const LOCATION_LIMIT: usize = 200;

/// What the header of an answer says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub status: Option<u16>,
    /// Where a redirect leads, fit to be logged.
    pub location: Option<String>,
}

/// Why there is no reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Miss {
    pub fault: Fault,
    /// The engine serves, but nothing that can be read is at this place.
    pub elsewhere: bool,
}

impl Miss {
    /// A body without a series, such as the JSON that trtllm-serve has at `/metrics`, says that metrics are elsewhere.
    pub fn of(fault: Fault) -> Miss {
        let elsewhere = matches!(
            fault,
            Fault::Empty | Fault::NoSeries | Fault::Cut | Fault::LineTooLong | Fault::Html | Fault::Json
        );
        Miss { fault, elsewhere }
    }
}

/// The length of an interim answer (100, 103, …) that these bytes begin with, if they hold one in full: the answer itself
/// follows. 101 would be an answer, to a question that is not asked.
pub(crate) fn interim(bytes: &[u8]) -> Option<usize> {
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'1', tens, ones, ..] = bytes else {
        return None;
    };
    if (*tens, *ones) == (b'0', b'1') {
        return None;
    }
    let crlf = memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4);
    crlf.into_iter().chain(memmem::find(bytes, b"\n\n").map(|at| at + 2)).min()
}

/// What a header says that has no reading to follow.
pub(crate) fn miss(status: StatusCode, headers: &HeaderMap) -> Option<Miss> {
    let miss = |fault| Some(Miss { fault, elsewhere: false });
    match status {
        StatusCode::OK if headers.get(header::CONTENT_ENCODING).is_some_and(|by| by != "identity") => {
            miss(Fault::Encoded)
        }
        StatusCode::OK => None,
        StatusCode::NOT_FOUND => Some(Miss { fault: Fault::Status, elsewhere: true }),
        status if status.is_redirection() => miss(Fault::Redirect),
        _ => miss(Fault::Status),
    }
}

/// Where a redirect leads, as far as a log may have it: without a query, which may hold secrets, and without what is no plain
/// text.
pub(crate) fn loggable(location: &[u8]) -> String {
    let text = location.iter().take_while(|byte| !matches!(byte, b'?' | b'#')).take(LOCATION_LIMIT);
    text.map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interim_answers_are_known_by_their_status() {
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        assert_eq!(interim(hints), Some(hints.len()));
        assert_eq!(interim(b"HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\r\n\r\n"), Some(23));
        for other in [
            &b"HTTP/1.1 200 OK\r\n\r\n"[..],
            b"HTTP/1.1 101 A\r\n\r\n",
            b"HTTP/1.1 103 Early\r\n",
            b"HTTP/1.1 1",
        ] {
            assert_eq!(interim(other), None);
        }
    }

    #[test]
    fn redirects_are_logged_without_secrets_and_control_characters() {
        assert_eq!(loggable(b"http://a/b/?token=c"), "http://a/b/");
        assert_eq!(loggable(b"/a\x1b[31m\xff b#c"), "/a.[31m..b");
        assert_eq!(loggable(&[b'x'; 999]).len(), LOCATION_LIMIT);
    }
}
