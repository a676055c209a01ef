//! What an error of a library means as a fault.

use rustix::io::Errno;
use rustls::CertificateError;
use std::error::Error;
use std::io;
use tblb_core::fault::Fault;

/// The fault that an error of ureq's is.
pub(crate) fn of_ureq(error: &ureq::Error) -> Fault {
    match error {
        ureq::Error::Io(error) => of_io(error),
        ureq::Error::Other(error) => of_inner(error.as_ref()).unwrap_or(Fault::Local),
        ureq::Error::Timeout(_) => Fault::Timeout,
        ureq::Error::LargeResponseHeader(..) => Fault::HeaderTooLarge,
        _ => Fault::Protocol,
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
    let ureq = || error.downcast_ref::<ureq::Error>().map(of_ureq);
    error.downcast_ref::<Fault>().copied().or_else(tls).or_else(ureq)
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
        let fault = |errno: Errno| of_ureq(&ureq::Error::Io(errno.into()));
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
        let late = io::Error::new(io::ErrorKind::TimedOut, Fault::ConnectTimeout);
        assert_eq!(of_ureq(&ureq::Error::Io(late)), Fault::ConnectTimeout);
        assert_eq!(of_ureq(&ureq::Error::Other(Box::new(Fault::TlsSetup))), Fault::TlsSetup);
        let tls = rustls::Error::InvalidCertificate(CertificateError::Expired);
        assert_eq!(of_io(&io::Error::new(io::ErrorKind::InvalidData, tls)), Fault::TlsExpired);
        let wrapped = ureq::Error::LargeResponseHeader(2, 1).into_io();
        assert_eq!(of_io(&wrapped), Fault::HeaderTooLarge);
    }
}
