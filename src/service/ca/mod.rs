//! The certification authority: a root, an issuing CA below it, and what the issuing CA signs.
//!
//! Signing takes a [`Prepared`], which only checking can make: [`Ca::prepare`] builds the to-be-signed bytes and lints
//! them, the caller records them, [`Ca::sign`] signs exactly these bytes. Who may have a certificate, and where
//! serial numbers and certificates are recorded, is decided elsewhere; this module knows no HTTP and no SQL.

mod crl;
mod issuer;
mod issuing_certificate;
mod lint;
pub mod ocsp;
mod profile;
mod serial;
mod times;

use std::fmt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

pub use self::crl::Revoked;
pub use self::issuer::Prepared;
use self::issuer::StandIn;
use self::issuing_certificate::IssuingCertificate;
pub use self::profile::{Lifetime, Places, Profile, Template};
pub use self::serial::{MalformedSerial, Serial};
pub(in crate::service) use self::times::middle;
pub use super::credential::Algorithm;
use super::credential::{self, Credential, CredentialError};
use super::files::{self, FileError};
use super::private_key::Passphrase;
use crate::locales::Text;

const ROOT: &str = "root";
const ROOT_YEARS: i32 = 20;
const ISSUING: &str = "issuing";
const ISSUING_YEARS: i32 = 10;

/// Why the CA cannot be made or loaded, or does not sign.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum CaError {
    /// A key or certificate file cannot be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The issuing certificate was not issued by the root certificate beside it.
    Chain {
        /// The CA's folder.
        folder: PathBuf,
    },
    /// A certificate or CRL cannot be encoded.
    Encoding(rcgen::Error),
    /// What is about to be signed breaks rules.
    Lint {
        /// What the rules say, with their clauses.
        broken: Vec<String>,
    },
    /// What was signed is not what was checked, or the signature does not fit.
    Signature,
    /// The system has no random numbers.
    Random,
}

impl CaError {
    /// The error with its fix, for a person.
    pub fn text(&self) -> Text {
        match self {
            Self::Credential(error) => error.text(),
            Self::Chain { folder } => Text::new("ca-chain").with("folder", folder.display()),
            Self::Encoding(cause) => Text::new("ca-encoding").with("cause", cause),
            Self::Lint { broken } => Text::new("ca-lint").with("rules", broken.join("; ")),
            Self::Signature => Text::new("ca-signature"),
            Self::Random => Text::new("ca-random"),
        }
    }
}

impl From<FileError> for CaError {
    fn from(error: FileError) -> Self {
        Self::Credential(error.into())
    }
}

/// The root and issuing certificates with the issuing key, in memory. `Debug` hides the key.
pub struct Ca {
    root: CertificateDer<'static>,
    issuing: IssuingCertificate,
    /// What rcgen writes into certificates of their issuer.
    issuer: Issuer<'static, StandIn>,
    key: Zeroizing<KeyPair>,
}

impl Ca {
    /// Makes a root (20 years) and an issuing CA (10 years), and writes both to a new folder: `root.crt.pem`,
    /// `root.key.pem`, `issuing.crt.pem`, `issuing.key.pem`, the keys encrypted where there is a passphrase. The folder
    /// appears whole or not at all.
    ///
    /// # Errors
    /// [`FileError::Exists`] where the folder holds anything already.
    pub fn create(
        folder: &Path,
        algorithm: Algorithm,
        environment: &str,
        passphrase: Option<&Passphrase>,
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        let generate = || algorithm.generate().map_err(CaError::Encoding);
        let (root_key, key) = (generate()?, generate()?);
        let root = authority(&format!("PTC {environment} Root CA"), BasicConstraints::Unconstrained, ROOT_YEARS, now)?;
        let root_certificate = root.self_signed(&*root_key).map_err(CaError::Encoding)?;
        let mut issuing =
            authority(&format!("PTC {environment} Issuing CA"), BasicConstraints::Constrained(0), ISSUING_YEARS, now)?;
        issuing.use_authority_key_identifier_extension = true;
        let issuing = issuing.signed_by(&*key, &Issuer::from_params(&root, &*root_key)).map_err(CaError::Encoding)?;
        files::create_folder(folder, |folder| {
            credential::write(folder, ROOT, &root_key, &[root_certificate.der()], passphrase)?;
            credential::write(folder, ISSUING, &key, &[issuing.der()], passphrase)
        })?;
        log::info!(folder:% = folder.display(), algorithm:% = algorithm; "CA created");
        Self::new(root_certificate.into(), issuing.into(), key)
            .ok_or_else(|| CaError::Chain { folder: folder.to_owned() })
    }

    /// Reads what [`Ca::create`] wrote. The root's key is not needed and may be kept elsewhere; where it is present, it
    /// must be as well kept as the issuing key, and fit unless it is encrypted: then it is left closed, and may be under
    /// a passphrase of its own.
    pub fn load(folder: &Path, passphrase: Option<&Passphrase>) -> Result<Self, CaError> {
        let root = match Credential::load(folder, ROOT) {
            Ok(root) => root.chain().first().cloned(),
            Err(CredentialError::File(FileError::Missing { .. }) | CredentialError::Locked { .. }) => {
                credential::read_chain(folder, ROOT)?.into_iter().next()
            }
            Err(error) => return Err(error.into()),
        };
        let issuing = Credential::unlock(folder, ISSUING, passphrase)?;
        let issued = |root: &[u8], issuing: &[u8]| {
            let (_, root) = X509Certificate::from_der(root).ok()?;
            let (_, issuing) = X509Certificate::from_der(issuing).ok()?;
            issuing.verify_signature(Some(root.public_key())).ok()?;
            (root.is_ca() && issuing.is_ca()).then_some(())
        };
        match (root, issuing.chain().first().cloned()) {
            (Some(root), Some(certificate)) if issued(&root, &certificate).is_some() => {
                Self::new(root, certificate, issuing.into_key())
            }
            _ => None,
        }
        .ok_or_else(|| CaError::Chain { folder: folder.to_owned() })
    }

    /// The issuing certificate (DER) in a folder, if there is one.
    pub(super) fn read_issuing(folder: &Path) -> Option<Vec<u8>> {
        credential::read_chain(folder, ISSUING).ok()?.first().map(|certificate| certificate.to_vec())
    }

    /// Encrypts root and issuing key under the new passphrase, or takes the encryption off without one; the old one opens
    /// them. Returns the files that were replaced: none where it was done already. A service that runs goes on.
    ///
    /// Interrupted, it goes on with the same call; the issuing key is under the one passphrase or the other.
    pub fn protect_keys(
        folder: &Path,
        old: Option<&Passphrase>,
        new: Option<&Passphrase>,
    ) -> Result<Vec<PathBuf>, CredentialError> {
        credential::protect(folder, &[ROOT, ISSUING], old, new)
    }

    fn new(root: CertificateDer<'static>, issuing: CertificateDer<'static>, key: Zeroizing<KeyPair>) -> Option<Self> {
        let issuer = Issuer::from_ca_cert_der(&issuing, StandIn::of(&key)).ok()?;
        Some(Self { root, issuing: IssuingCertificate::read(issuing)?, issuer, key })
    }

    /// The root certificate, DER.
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// The issuing certificate, DER.
    pub fn issuing(&self) -> &[u8] {
        &self.issuing.der
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ca").finish_non_exhaustive()
    }
}

/// A CA certificate's content.
fn authority(
    common_name: &str,
    constraints: BasicConstraints,
    years: i32,
    now: OffsetDateTime,
) -> Result<CertificateParams, CaError> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::OrganizationName, "PTC");
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.serial_number = Some(SerialNumber::from_slice(Serial::random()?.as_ref()));
    parameters.not_before = profile::start(now);
    parameters.not_after = profile::years_after(parameters.not_before, years);
    parameters.is_ca = IsCa::Ca(constraints);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(parameters)
}
