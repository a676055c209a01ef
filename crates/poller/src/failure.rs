//! What an error of a library means as a fault, and what is known of a poll that failed.

use crate::head::Head;
use rustix::io::Errno;
use rustls::CertificateError;
use std::error::Error;
use std::io;
use tblb_core::fault::Fault;

/// Why a poll gave no reading, with what helps to find the cause. Nothing of it is secret: it may be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub fault: Fault,
    /// What was asked, without a query.
    pub url: String,
    /// The status of the answer, None if there was no answer.
    pub status: Option<u16>,
    /// Where a redirect leads, without a query; None for any other answer.
    pub location: Option<String>,
}

impl Failure {
    /// The same of an answer with this header.
    pub(crate) fn with(self, head: &Head) -> Failure {
        Failure { status: head.status, location: head.location.clone(), ..self }
    }
}

/// The fault that an I/O error is, ours or one that a library wrapped.
pub(crate) fn of_io(error: &io::Error) -> Fault {
    if let Some(fault) = error.get_ref().and_then(of_inner) {
        return fault;
    }
    if let Some(
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT,
    ) = Errno::from_io_error(error)
    {
        return Fault::Local;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Fault::Refused,
        io::ErrorKind::TimedOut => Fault::Timeout,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => Fault::Closed,
        // What is left to connect(2): no route, a firewall here that forbids it, …
        _ if error.raw_os_error().is_some() => Fault::Unreachable,
        _ => Fault::Protocol,
    }
}

/// The fault that an error within an error is, if it is one that says something.
fn of_inner(error: &(dyn Error + Send + Sync + 'static)) -> Option<Fault> {
    let tls = || error.downcast_ref::<rustls::Error>().map(of_tls);
    error.downcast_ref::<Fault>().copied().or_else(tls)
}

fn of_tls(error: &rustls::Error) -> Fault {
    let rustls::Error::InvalidCertificate(reason) = error else { return Fault::TlsHandshake };
    match reason {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Fault::TlsExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Fault::TlsName,
        // A signature is bad, too, if an authority that is trusted has the name of the right one, but another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Fault::TlsAuthority,
        _ => Fault::TlsHandshake,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system() {
        let fault = |errno: Errno| of_io(&errno.into());
        assert_eq!(fault(Errno::CONNREFUSED), Fault::Refused);
        assert_eq!(fault(Errno::HOSTUNREACH), Fault::Unreachable);
        assert_eq!(fault(Errno::NETUNREACH), Fault::Unreachable);
        assert_eq!(fault(Errno::ACCESS), Fault::Unreachable);
        assert_eq!(fault(Errno::TIMEDOUT), Fault::Timeout);
        assert_eq!(fault(Errno::CONNRESET), Fault::Closed);
        assert_eq!(fault(Errno::PIPE), Fault::Closed);
        assert_eq!(fault(Errno::MFILE), Fault::Local);
    }

    #[test]
    fn wrapped_errors_keep_their_meaning() {
        assert_eq!(of_io(&io::Error::other(Fault::TlsSetup)), Fault::TlsSetup);
        let tls = rustls::Error::InvalidCertificate(CertificateError::Expired);
        assert_eq!(of_io(&io::Error::new(io::ErrorKind::InvalidData, tls)), Fault::TlsExpired);
    }
}
