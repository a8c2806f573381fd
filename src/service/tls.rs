//! The TLS side of the two listeners, and the service's own certificate under `tls/`.
//!
//! The secure listener asks for a certificate of the issuing CA. Whether it is revoked, and what its holder may do, is
//! asked again on every request, elsewhere.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};

use time::{Duration, OffsetDateTime};
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

/// The certificate that the listeners present, with its key. Another one may take its place while they listen.
#[derive(Debug)]
pub struct Presented {
    /// The certificate and its end.
    now: RwLock<(Arc<CertifiedKey>, OffsetDateTime)>,
    /// When another one was last asked for.
    tried: Mutex<Option<OffsetDateTime>>,
}

impl Presented {
    /// The one of a credential.
    pub fn of(service: &Credential) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::Pkcs8(service.key().serialize_der().into());
        let certified = CertifiedKey::from_der(service.chain().to_vec(), key, &provider());
        let certified = certified.map_err(TlsError::Configuration)?;
        let read = |der: &CertificateDer<'_>| {
            X509Certificate::from_der(der).ok().map(|(_, read)| read.validity().not_after.to_datetime())
        };
        let ends = certified.cert.first().and_then(read);
        let ends = ends.ok_or(TlsError::Configuration(rustls::Error::NoCertificatesPresented))?;
        Ok(Self { now: RwLock::new((Arc::new(certified), ends)), tried: Mutex::default() })
    }

    fn now(&self) -> (Arc<CertifiedKey>, OffsetDateTime) {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The certificate, DER.
    pub fn certificate(&self) -> CertificateDer<'static> {
        // There is one, as it was read.
        self.now().0.cert.first().cloned().unwrap_or_else(|| Vec::new().into())
    }

    /// When it ends.
    pub fn ends(&self) -> OffsetDateTime {
        self.now().1
    }

    /// Presents another one, from the next connection on.
    pub fn replace_by(&self, other: Self) {
        let other = other.now.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = other;
    }

    /// Whether the last attempt to have another one is so long ago; if so, this is the next.
    pub fn may_be_renewed(&self, now: OffsetDateTime, pause: Duration) -> bool {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let may = tried.is_none_or(|tried| now - tried >= pause);
        if may {
            *tried = Some(now);
        }
        may
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now().0)
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
