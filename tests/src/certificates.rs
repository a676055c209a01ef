//! Certificates, and engines that have them.

use crate::engines::{self, Engine, Options, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

/// An authority: its key, and its own certificate.
pub type Authority = CertifiedIssuer<'static, KeyPair>;

/// An authority that signs certificates.
pub fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// An engine with a certificate for a name, valid up to that year.
pub fn engine(authority: &Authority, name: &str, until: i32) -> Engine {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(until, 1, 1));
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let tls = Tls { certificates: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() };
    engines::start(&Options { tls: Some(tls), ..engines::options() })
}
