//! What a poll shows to be let in.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tblb_core::config::{AuthScheme, Secret};
use ureq::http::HeaderValue;

/// The credentials of a request. They go to the engine that is polled and nowhere else, and are not shown where they
/// are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials(HeaderValue);

impl Credentials {
    /// Credentials of this scheme; None if a request cannot carry them.
    pub fn new(scheme: &AuthScheme, secret: &Secret) -> Option<Credentials> {
        let text = match scheme {
            AuthScheme::Bearer => format!("Bearer {}", secret.reveal()),
            AuthScheme::Basic { user } => {
                format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{}", secret.reveal())))
            }
        };
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(Credentials(value))
    }

    /// The value of the header.
    pub(crate) fn header(&self) -> &HeaderValue {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tblb_core::config::Auth;

    fn credentials(words: &[&str], content: &str) -> Credentials {
        let auth = Auth::parse(words).unwrap();
        Credentials::new(&auth.scheme, &auth.secret(content.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn both_schemes() {
        assert_eq!(credentials(&["bearer", "f"], "abc\n").header(), "Bearer abc");
        // The example of RFC 7617.
        let basic = credentials(&["basic", "Aladdin", "f"], "open sesame\n");
        assert_eq!(basic.header(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[test]
    fn they_are_not_shown() {
        for words in [&["bearer", "f"][..], &["basic", "u", "f"]] {
            let shown = format!("{:?}", credentials(words, "s3cret"));
            assert!(!shown.contains("s3cret") && !shown.contains("czNjcmV0"), "{shown}");
        }
    }
}
