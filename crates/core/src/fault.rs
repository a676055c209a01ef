//! The ways in which a poll can fail.

use std::fmt;

macro_rules! faults {
    ($($fault:ident $name:literal $text:literal, $cure:literal;)*) => {
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

            /// What an operator can do about the fault, in a few words.
            pub fn cure(self) -> &'static str {
                match self {
                    $(Fault::$fault => $cure,)*
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

// The board keeps a count under each index, and a reload carries it over: new kinds go to the end. The page
// docs/metrics-faults.md repeats the texts, and a test below compares them.
faults! {
    Refused "refused" "the connection was refused",
        "start the engine, or give the port of its metrics with port= or tblb_server";
    Unreachable "unreachable" "there is no way to the address",
        "check the address, routes and firewalls between this machine and the engine";
    ConnectTimeout "connect_timeout" "no connection before the deadline",
        "check that the engine accepts connections, and firewalls that drop them, or raise timeout=";
    Timeout "timeout" "no whole answer before the deadline",
        "raise timeout= where the engine is slow to answer, or restart an engine that hangs";
    Closed "closed" "the connection was closed before the answer",
        "check the engine's log, and scheme=https where the engine speaks TLS";
    TlsExpired "tls_expired" "the certificate is not valid at this time",
        "renew the engine's certificate, and check the clocks of both machines";
    TlsName "tls_name" "the certificate is for another name",
        "give the certificate's name with ssl_name=";
    TlsAuthority "tls_authority" "the certificate is of no authority that is trusted here",
        "give the authority's certificate with ssl_trusted_certificate=";
    TlsHandshake "tls_handshake" "the TLS handshake failed",
        "use scheme=http where the engine speaks no TLS, or enable TLS 1.2 or 1.3 at the engine";
    TlsSetup "tls_setup" "the certificates to trust could not be read",
        "check the file of ssl_trusted_certificate=, or install the system's certificates";
    Protocol "protocol" "the answer is not HTTP",
        "give the port where the engine serves HTTP with port= or tblb_server";
    Status "status" "the status is not 200",
        "give the place of the metrics with path= or port=, start the engine with its metrics enabled, or give credentials with tblb_metrics_auth";
    Redirect "redirect" "the answer is a redirect, which is not followed",
        "give the place that the redirect names with path=, scheme= or tblb_server";
    Encoded "encoded" "the body is encoded, which was not asked for",
        "switch off compression of the metrics at the engine or at the proxy before it";
    HeaderTooLarge "header_too_large" "the header of the answer is too large",
        "give the place of the metrics with path= or port=: no engine sends such a header";
    Empty "empty" "the body is empty",
        "start the engine with its metrics enabled, or give another path=";
    Binary "binary" "the body is not text",
        "give the place of the metrics with path= or port=";
    Malformed "malformed" "a line that matters cannot be read",
        "compare the page with the Prometheus text format, and update the engine or its exporter";
    NotANumber "not_a_number" "a value is not a finite number of 0 or more",
        "look at the signal's series in the page: the engine does not know the value";
    TooLarge "too_large" "the body is too large",
        "reduce the number of series at the engine, or give a smaller page with path=";
    LineTooLong "line_too_long" "a line is too long",
        "give the place of the metrics with path= or port=";
    Cut "cut" "the body ended early",
        "check the engine's log, and the limits of a proxy before the engine";
    NoSeries "no_series" "no series of the engine is in the body",
        "compare the page with engine=, start the engine with its metrics enabled, or name its series with tblb_metrics_signal";
    Local "local" "no socket, memory or thread is left here",
        "raise the limit of open files (worker_rlimit_nofile) or of processes on this machine";
    Panic "panic" "the poll panicked",
        "report the page of the engine as a bug of this module";
    Frozen "frozen" "the numbers stand still while requests come and go",
        "restart an engine that stopped counting, or switch off a cache before its metrics";
    Html "html" "the body is an HTML page",
        "give the place of the metrics with path= or port=: a page for people is there";
    Json "json" "the body is JSON of no engine that is known",
        "give the place of the metrics with path= or port=: a page of another API is there";
    NotARatio "not_a_ratio" "the use of the cache is neither a ratio nor in per cent",
        "name the cache's series and its unit with tblb_metrics_signal cache and scale=";
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
            assert!(!fault.to_string().is_empty() && !fault.cure().is_empty());
        }
        assert_eq!(Fault::from_index(Fault::ALL.len() as u8), None);
    }

    /// The row of a fault in its page.
    fn row(fault: Fault) -> String {
        format!("| `{}` | {} | {} |", fault.name(), fault, fault.cure())
    }

    #[test]
    fn the_page_of_the_faults_has_the_table() {
        let page = include_str!("../../../docs/metrics-faults.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = Fault::ALL.iter().map(|fault| row(*fault)).collect();
        assert_eq!(rows, expected, "the rows should be:\n{}", expected.join("\n"));
        for fault in Fault::ALL {
            assert!(page.contains(&format!("\n## {}\n", fault.name())), "no section on {}", fault.name());
        }
    }

    #[test]
    fn the_board_has_room_for_all() {
        assert!(Fault::ALL.len() <= crate::board::FAULTS);
    }
}
