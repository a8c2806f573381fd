//! The TLS side of the two listeners, and the service's own certificate under `tls/`.
//!
//! The secure listener asks for a certificate of the issuing CA. Whether it is revoked, and what its holder may do, is
//! asked again on every request, elsewhere.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};

use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::ca::{Profile, Template};
use super::config::{Settings, host};
use super::credential::{self, Algorithm, Credential, CredentialError};
use crate::locales::Text;
use crate::protocol::subject::Subject;

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

/// Where the certificate lies.
pub fn certificate_path(folder: &Path) -> PathBuf {
    credential::certificate_path(folder, NAME)
}

/// The listeners' certificate: every host under which they are reached.
pub fn template(settings: &Settings, public_key: Vec<u8>) -> Template {
    let mut dns_names = Vec::new();
    let mut ip_addresses: Vec<IpAddr> = Vec::new();
    for host in [&settings.public_url, &settings.secure_url].into_iter().filter_map(|url| host(url)) {
        match host.parse() {
            Ok(address) if !ip_addresses.contains(&address) => ip_addresses.push(address),
            Ok(_) => {}
            Err(_) if dns_names.iter().any(|name| name == host) => {}
            Err(_) => dns_names.push(host.to_ascii_lowercase()),
        }
    }
    Template {
        profile: Profile::Service,
        subject: Subject::of_centre(format!("PTC {} Enrollment Service", settings.environment)),
        dns_names,
        ip_addresses,
        emails: Vec::new(),
        public_key,
        places: Some(settings.places()),
    }
}

/// A certificate with its key, ready to be presented.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, DER.
    pub certificate: CertificateDer<'static>,
    /// When it ends.
    pub ends: OffsetDateTime,
    key: Arc<CertifiedKey>,
}

impl Identity {
    /// That of a credential.
    pub fn of(service: &Credential) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::Pkcs8(service.key().serialize_der().into());
        let key = CertifiedKey::from_der(service.chain().to_vec(), key, &provider());
        let key = Arc::new(key.map_err(TlsError::Configuration)?);
        let certificate = key.end_entity_cert().map_err(TlsError::Configuration)?.clone().into_owned();
        let unread = |_| TlsError::Configuration(CertificateError::BadEncoding.into());
        let ends = X509Certificate::from_der(&certificate).map_err(unread)?.1.validity().not_after.to_datetime();
        Ok(Self { certificate, ends, key })
    }
}

/// What the listeners present. Another identity may take its place while they listen.
#[derive(Debug)]
pub struct Presented(RwLock<Arc<Identity>>);

impl Presented {
    /// Begins with an identity.
    pub fn new(identity: Identity) -> Self {
        Self(RwLock::new(Arc::new(identity)))
    }

    /// The one in use.
    pub fn identity(&self) -> Arc<Identity> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Presents another one, from the next connection on.
    pub fn replace(&self, identity: Identity) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.identity().key.clone())
    }
}

/// For the public listener: nobody is asked for a certificate.
pub fn public_config(presented: Arc<Presented>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = builder()?.with_no_client_auth().with_cert_resolver(presented);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// For the secure listener: only clients with a certificate for clientAuth of one of these issuing CAs (DER).
///
/// The issuing certificates are the trust anchors, not the root: clients may send their certificate alone, and a
/// certificate of another CA below the same root is not one of ours.
pub fn secure_config(presented: Arc<Presented>, issuing: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    let mut anchors = RootCertStore::empty();
    for certificate in issuing {
        anchors.add(CertificateDer::from(certificate.to_vec())).map_err(TlsError::Configuration)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), provider())
        .build()
        .map_err(TlsError::Verifier)?;
    let mut config = builder()?.with_client_cert_verifier(verifier).with_cert_resolver(presented);
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
