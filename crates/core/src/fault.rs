//! The ways in which a poll can fail.

use std::fmt;

macro_rules! faults {
    ($($fault:ident $name:literal $text:literal,)*) => {
        /// What kept a poll from giving a reading. Metrics are not health: a fault makes a peer's numbers old, it
        /// never takes the peer out of service.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Fault {
            $(#[doc = $text] $fault,)*
        }

        impl Fault {
            /// All of them, in the order of [`Fault::index`].
            pub const ALL: &'static [Fault] = &[$(Fault::$fault,)*];

            /// The word for it in the status.
            pub fn name(self) -> &'static str {
                match self {
                    $(Fault::$fault => $name,)*
                }
            }
        }

        impl fmt::Display for Fault {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Fault::$fault => $text,)*
                })
            }
        }
    };
}

// The board keeps a count under each index, and a reload carries it over: new kinds go to the end.
faults! {
    Refused "refused" "the connection was refused",
    Unreachable "unreachable" "there is no way to the address",
    ConnectTimeout "connect_timeout" "no connection before the deadline",
    Timeout "timeout" "no whole answer before the deadline",
    Closed "closed" "the connection was closed before the answer",
    TlsExpired "tls_expired" "the certificate is not valid at this time",
    TlsName "tls_name" "the certificate is for another name",
    TlsAuthority "tls_authority" "the certificate is of no authority that is trusted here",
    TlsHandshake "tls_handshake" "the TLS handshake failed",
    TlsSetup "tls_setup" "the certificates to trust could not be read",
    Protocol "protocol" "the answer is not HTTP",
    Status "status" "the status is not 200",
    Redirect "redirect" "the answer is a redirect, which is not followed",
    Encoded "encoded" "the body is encoded, which was not asked for",
    HeaderTooLarge "header_too_large" "the header of the answer is too large",
    Empty "empty" "the body is empty",
    Binary "binary" "the body is not text",
    Malformed "malformed" "a line that matters cannot be read",
    NotANumber "not_a_number" "a value is not a finite number of 0 or more",
    TooLarge "too_large" "the body is too large",
    LineTooLong "line_too_long" "a line is too long",
    Cut "cut" "the body ended early",
    NoSeries "no_series" "no series of the engine is in the body",
    Local "local" "no socket, memory or thread is left here",
    Panic "panic" "the poll panicked",
    Frozen "frozen" "the numbers stand still while requests come and go",
}

impl std::error::Error for Fault {}

impl Fault {
    /// Its number in [`Fault::ALL`], which stays the same from release to release.
    pub fn index(self) -> u8 {
        self as u8
    }

    /// The fault of that number, None if there is none.
    pub fn from_index(index: u8) -> Option<Fault> {
        Fault::ALL.get(usize::from(index)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_and_names_tell_faults_apart() {
        let names: HashSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
        for (index, &fault) in Fault::ALL.iter().enumerate() {
            assert_eq!(usize::from(fault.index()), index);
            assert_eq!(Fault::from_index(fault.index()), Some(fault));
            let name = fault.name();
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert!(!fault.to_string().is_empty());
        }
        assert_eq!(Fault::from_index(Fault::ALL.len() as u8), None);
    }

    #[test]
    fn the_board_has_room_for_all() {
        assert!(Fault::ALL.len() <= crate::board::FAULTS);
    }
}
