//! Whom to trust, for engines that are reached by https. Nothing of this is touched for plain HTTP.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tblb_core::fault::Fault;

/// Which certificates are good.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Authorities {
    /// Those of the system's authorities.
    System,
    /// Those of the authorities in a PEM file.
    File(PathBuf),
    /// All.
    Any,
}

/// What was read of authorities, shared by all engines: the system's are some 140 certificates.
#[derive(Debug, Default)]
pub(crate) struct Configs(Mutex<HashMap<Authorities, Arc<ClientConfig>>>);

impl Configs {
    /// # Errors
    /// [`Fault::TlsSetup`]: there is no certificate to trust. It is tried again the next time.
    fn get(&self, authorities: &Authorities) -> Result<Arc<ClientConfig>, Fault> {
        let mut configs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = configs.get(authorities) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(config(authorities).ok_or(Fault::TlsSetup)?);
        configs.insert(authorities.clone(), Arc::clone(&config));
        Ok(config)
    }
}

/// How one engine proves who it is.
#[derive(Debug)]
pub(crate) struct Trust {
    pub authorities: Authorities,
    /// The name that its certificate is to have.
    pub name: ServerName<'static>,
    pub configs: Arc<Configs>,
}

impl Trust {
    /// The beginning of a connection.
    ///
    /// # Errors
    /// [`Fault::TlsSetup`].
    pub fn session(&self) -> Result<ClientConnection, Fault> {
        let config = self.configs.get(&self.authorities)?;
        ClientConnection::new(config, self.name.clone()).map_err(|_| Fault::TlsSetup)
    }
}

fn config(authorities: &Authorities) -> Option<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match authorities {
        Authorities::Any => Arc::new(Unverified(Arc::clone(&provider))),
        Authorities::System => verifier(rustls_native_certs::load_native_certs().certs, &provider)?,
        Authorities::File(path) => verifier(certificates(path)?, &provider)?,
    };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    // Connections are kept, so there is little to resume; the tickets of many engines would only take memory.
    config.resumption = Resumption::disabled();
    Some(config)
}

/// rustls' own verifier; None without any certificate.
fn verifier(
    certificates: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Option<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build().ok()
}

/// The certificates in a PEM file; None if it cannot be read to its end.
fn certificates(path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path).ok()?.collect::<Result<_, _>>().ok()
}

/// Takes any certificate, if the engine has its key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
