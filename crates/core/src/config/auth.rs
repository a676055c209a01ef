//! What `tblb_metrics_auth` says: the credentials that polls carry, and the secret that its file holds.

use super::value::one_of;
use super::{Error, parameter};
use std::fmt;

/// Which credentials polls carry, and where the secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// How they are sent.
    pub scheme: AuthScheme,
    /// The file that holds the secret.
    pub file: String,
    /// Whether the file may be open to everybody.
    pub any_mode: bool,
}

/// What the mode of a secret's file allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Nobody but the owner has access.
    Owner,
    /// The group has access, too: Kubernetes gives the files of a Secret the mode 0440 where `fsGroup` is set.
    Group,
    /// Everybody has access, and `mode=any` says that this is meant: docker gives secrets the mode 0444.
    Anybody,
}

/// How credentials are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthScheme {
    /// As a bearer token (RFC 6750): the secret is the token.
    Bearer,
    /// As a user's password (RFC 7617): the secret is the password.
    Basic {
        /// The user.
        user: String,
    },
}

/// The longest secret in bytes: keys and tokens have some hundred, a signed token with many claims has a few thousand,
/// and the request has to fit into what is written at once.
pub const SECRET_LIMIT: usize = 4096;

impl Auth {
    /// Parses the words after `tblb_metrics_auth`.
    ///
    /// # Errors
    /// Names the word that is wrong and what would be right.
    pub fn parse(words: &[&str]) -> Result<Self, Error> {
        let (words, any_mode) = match words {
            [words @ .., last] if last.starts_with("mode=") => (words, mode_is_any(last)?),
            _ => (words, false),
        };
        let (scheme, file) = match words {
            ["bearer", file] => (AuthScheme::Bearer, file),
            ["basic", user, file] => (AuthScheme::Basic { user: user_of(user)? }, file),
            ["bearer" | "basic", ..] | [] => {
                return Err(Error::number_of_parameters(
                    "\"bearer\" and a file, or \"basic\", a user and a file, and \"mode=any\" if everybody may read the file",
                ));
            }
            [word, ..] => return Err(Error::unknown("scheme", word, ["bearer", "basic"].into_iter())),
        };
        if file.is_empty() {
            return Err(Error::invalid(file, "a file"));
        }
        Ok(Auth { scheme, file: (*file).to_owned(), any_mode })
    }

    /// Who has access to a file of this mode.
    ///
    /// # Errors
    /// Everybody has, and `mode=any` is not given.
    pub fn exposure(&self, mode: u32) -> Result<Exposure, Error> {
        match mode {
            _ if mode & 0o007 != 0 && !self.any_mode => Err(Error::file(
                &self.file,
                &format!("is open to everybody (mode {mode:04o})"),
                "mode 0600, 0400 or 0440, or the parameter \"mode=any\"",
            )),
            _ if mode & 0o007 != 0 => Ok(Exposure::Anybody),
            _ if mode & 0o070 != 0 => Ok(Exposure::Group),
            _ => Ok(Exposure::Owner),
        }
    }

    /// The secret that the content of the file is.
    ///
    /// # Errors
    /// What is wrong with it, without any of it.
    pub fn secret(&self, content: &[u8]) -> Result<Secret, Error> {
        let wrong = |what: &str, expected: &str| Error::file(&self.file, what, expected);
        if content.len() > SECRET_LIMIT {
            return Err(wrong("is too long", &format!("at most {SECRET_LIMIT} bytes")));
        }
        let text = std::str::from_utf8(content).map_err(|_| wrong("is not text", "UTF-8"))?;
        let line = text.strip_suffix('\n').unwrap_or(text);
        let secret = line.strip_suffix('\r').unwrap_or(line);
        if secret.is_empty() {
            return Err(wrong("is empty", "a secret"));
        }
        if secret.chars().any(char::is_control) {
            return Err(wrong("has control characters", "one line of text"));
        }
        let visible = secret.bytes().all(|byte| byte.is_ascii_graphic());
        if self.scheme == AuthScheme::Bearer && !visible {
            return Err(wrong("has blanks or letters beyond ASCII", "a token without"));
        }
        Ok(Secret(secret.into()))
    }
}

/// Whether a parameter `mode=` allows any mode.
fn mode_is_any(word: &str) -> Result<bool, Error> {
    let (_, value) = parameter(word, &["mode"])?;
    one_of(word, value, &[("any", true)])
}

/// A user's name, which ends at the first colon when it is sent.
fn user_of(word: &str) -> Result<String, Error> {
    let right = !word.is_empty() && !word.contains(':') && !word.chars().any(char::is_control);
    right.then(|| word.to_owned()).ok_or_else(|| Error::invalid(word, "a user without a colon"))
}

/// A secret. It is not shown where it is printed by mistake.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// The secret itself, for the request that carries it and for nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(a secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(text: &str) -> Result<Auth, String> {
        Auth::parse(&text.split_whitespace().collect::<Vec<_>>()).map_err(|error| error.to_string())
    }

    fn secret(auth_text: &str, content: &[u8]) -> Result<String, String> {
        let secret = auth(auth_text).unwrap().secret(content);
        secret.map(|secret| secret.reveal().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn words() {
        let bearer = |any_mode| Ok(Auth { scheme: AuthScheme::Bearer, file: "key".into(), any_mode });
        assert_eq!([auth("bearer key"), auth("bearer key mode=any")], [bearer(false), bearer(true)]);
        let scheme = || AuthScheme::Basic { user: "ops".into() };
        let basic = |any_mode| Ok(Auth { scheme: scheme(), file: "/etc/key".into(), any_mode });
        assert_eq!(
            [auth("basic ops /etc/key"), auth("basic ops /etc/key mode=any")],
            [basic(false), basic(true)]
        );
        for (text, expected) in [
            ("", "invalid number of parameters, expected \"bearer\" and a file"),
            ("bearer", "invalid number of parameters"),
            ("bearer a b", "invalid number of parameters"),
            ("bearer mode=any", "invalid number of parameters"),
            ("basic a mode=any", "invalid number of parameters"),
            ("bearer a mode=0444", "invalid parameter \"mode=0444\", expected \"any\""),
            ("basic a", "invalid number of parameters"),
            ("digest a b", "unknown scheme \"digest\", expected one of \"bearer\", \"basic\""),
            ("basic a:b c", "invalid parameter \"a:b\", expected a user without a colon"),
        ] {
            let error = auth(text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn who_may_have_access_to_the_file() {
        let exposure =
            |words: &str, mode| auth(words).unwrap().exposure(mode).map_err(|error| error.to_string());
        for (mode, exposed) in [
            (0o600, Exposure::Owner),
            (0o400, Exposure::Owner),
            (0o440, Exposure::Group),
            (0o660, Exposure::Group),
        ] {
            assert_eq!(exposure("bearer f", mode), Ok(exposed), "{mode:o}");
            assert_eq!(exposure("bearer f mode=any", mode), Ok(exposed), "{mode:o}");
        }
        for mode in [0o444, 0o644, 0o604, 0o602, 0o401] {
            let error = exposure("bearer f", mode).unwrap_err();
            assert!(
                error.starts_with(&format!(
                    "\"f\" is open to everybody (mode {mode:04o}), expected mode 0600"
                )),
                "{error}"
            );
            assert!(error.contains("mode=any"), "{error}");
            assert_eq!(exposure("bearer f mode=any", mode), Ok(Exposure::Anybody), "{mode:o}");
        }
    }

    #[test]
    fn one_line_end_is_not_part_of_the_secret() {
        for content in ["abc", "abc\n", "abc\r\n"] {
            assert_eq!(secret("bearer f", content.as_bytes()), Ok("abc".into()));
        }
        assert_eq!(secret("basic u f", " pass wörd \n".as_bytes()), Ok(" pass wörd ".into()));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (content, expected) in [
            (&b""[..], "\"f\" is empty"),
            (b"\n", "\"f\" is empty"),
            (b"s3cret\n\n", "\"f\" has control characters, expected one line of text"),
            (b"s3cret\r\nX: y", "\"f\" has control characters"),
            (b"s3cret\0", "\"f\" has control characters"),
            (b"s3cret \xff", "\"f\" is not text, expected UTF-8"),
            (b"s3cret s3cret", "\"f\" has blanks"),
            ("s3cret-ö".as_bytes(), "\"f\" has blanks or letters beyond ASCII"),
            (&[b's'; SECRET_LIMIT + 1], "\"f\" is too long, expected at most 4096 bytes"),
        ] {
            let error = secret("bearer f", content).unwrap_err();
            assert!(error.starts_with(expected) && !error.contains("s3cret"), "{error}");
        }
        let shown = format!("{:?}", auth("bearer f").unwrap().secret(b"s3cret").unwrap());
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
