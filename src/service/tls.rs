//! The TLS side of the two listeners, and the service's own certificate under `tls/`.
//!
//! The secure listener asks for a certificate of the issuing CA. Whether it is revoked, and what its holder may do, is
//! asked again on every request, elsewhere.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};

use super::credential::{Algorithm, Credential, CredentialError};
use crate::locales::Text;

/// The name of the files under `tls/`: `service.key.pem` and `service.crt.pem`.
const NAME: &str = "service";

/// Why a listener cannot speak TLS.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum TlsError {
    /// The certificate, the key or a version is not usable.
    Configuration(rustls::Error),
    /// The issuing certificate is not usable to verify clients.
    Verifier(VerifierBuilderError),
}

impl TlsError {
    /// The error with its fix, for a person.
    pub fn text(&self) -> Text {
        match self {
            Self::Configuration(cause) => Text::new("tls-configuration").with("cause", cause),
            Self::Verifier(cause) => Text::new("tls-configuration").with("cause", cause),
        }
    }
}

/// The public key (DER SubjectPublicKeyInfo) to be certified for the listeners; the key is made where it is missing.
pub fn prepare(folder: &Path) -> Result<Vec<u8>, CredentialError> {
    Credential::prepare(folder, NAME, Algorithm::EcdsaP256)
}

/// Writes the certificate for the prepared key, with the issuing certificate after it.
pub fn install(folder: &Path, chain: &[&[u8]]) -> Result<Credential, CredentialError> {
    Credential::install(folder, NAME, chain)
}

/// Reads the service's own key and certificate, which may also have been put there by an administrator.
pub fn load(folder: &Path) -> Result<Credential, CredentialError> {
    Credential::load(folder, NAME)
}

/// For the public listener: nobody is asked for a certificate.
pub fn public_config(service: &Credential) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = builder()?.with_no_client_auth();
    let mut config =
        builder.with_single_cert(service.chain().to_vec(), key(service)).map_err(TlsError::Configuration)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// For the secure listener: only clients with a certificate for clientAuth of one of these issuing CAs (DER).
///
/// The issuing certificates are the trust anchors, not the root: clients may send their certificate alone, and a
/// certificate of another CA below the same root is not one of ours.
pub fn secure_config(service: &Credential, issuing: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    let mut anchors = RootCertStore::empty();
    for certificate in issuing {
        anchors.add(CertificateDer::from(certificate.to_vec())).map_err(TlsError::Configuration)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), provider())
        .build()
        .map_err(TlsError::Verifier)?;
    let builder = builder()?.with_client_cert_verifier(verifier);
    let mut config =
        builder.with_single_cert(service.chain().to_vec(), key(service)).map_err(TlsError::Configuration)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session takes over what was verified when it began; here every connection verifies anew.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn builder() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, TlsError> {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Configuration)
}

fn key(service: &Credential) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(service.key().serialize_der().into())
}
