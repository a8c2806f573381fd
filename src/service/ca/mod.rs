//! The certification authority: a root, an issuing CA below it, and what the issuing CA signs.
//!
//! Signing takes a [`Prepared`], which only checking can make: [`Ca::prepare`] builds the to-be-signed bytes and lints
//! them, the caller records them, [`Ca::sign`] signs exactly these bytes. Who may have a certificate, and where
//! serial numbers and certificates are recorded, is decided elsewhere; this module knows no HTTP and no SQL.

mod crl;
mod issuer;
mod issuing_certificate;
mod key;
mod lint;
pub mod ocsp;
mod profile;
mod root_crl;
mod serial;
mod times;

use std::fmt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, DnType, IsCa, Issuer, KeyUsagePurpose, SerialNumber,
    SubjectPublicKeyInfo,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

pub use self::crl::Revoked;
pub use self::issuer::Prepared;
use self::issuer::StandIn;
use self::issuing_certificate::IssuingCertificate;
use self::key::IssuingKey;
pub use self::key::{KeyAccess, KeyFile, KeyPlace};
pub use self::profile::{Lifetime, Places, Profile, Template};
pub use self::root_crl::{RootCrl, RootCrlPlan};
pub use self::serial::{MalformedSerial, Serial};
pub(in crate::service) use self::times::{BACKDATED, list_start, middle};
pub use super::credential::Algorithm;
use super::credential::{self, Credential, CredentialError, Replacements};
use super::files::{self, FileError};
use super::private_key::Passphrase;
use super::token::TokenError;
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
    /// The token with the issuing key cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
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
            Self::Token(error) => error.text(),
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

/// The root and issuing certificates with the issuing key, in memory or in a token. `Debug` hides the key.
pub struct Ca {
    root: CertificateDer<'static>,
    issuing: IssuingCertificate,
    /// What rcgen writes into certificates of their issuer.
    issuer: Issuer<'static, StandIn>,
    key: IssuingKey,
}

/// A CA that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewCa<'a> {
    /// What signs.
    pub algorithm: Algorithm,
    /// The name of the environment.
    pub environment: &'a str,
    /// Where the root's list is published (RFC 5280 §4.2.1.13); none where nobody asks.
    pub root_crl: Option<&'a str>,
}

/// The root certificate of a CA, DER, without its keys.
pub fn root_certificate(folder: &Path) -> Result<Vec<u8>, CredentialError> {
    // There is at least one.
    Ok(credential::read_chain(folder, ROOT)?.swap_remove(0).to_vec())
}

impl Ca {
    /// Makes a root (20 years) and an issuing CA (10 years), and writes both to a new folder: `root.crt.pem`,
    /// `root.key.pem`, `root.crl`, `issuing.crt.pem`, `issuing.key.pem`, the keys encrypted where there is a passphrase. The
    /// folder appears whole or not at all.
    ///
    /// Where there is a token, the issuing key is made in it and is no file. The root's key is one all the same: it has to
    /// leave this machine, which a token does not let it.
    ///
    /// # Errors
    /// [`FileError::Exists`] where the folder holds anything already, [`TokenError::KeyExists`] where the token has such a
    /// key.
    pub fn create(folder: &Path, new: &NewCa<'_>, access: &KeyAccess, now: OffsetDateTime) -> Result<Self, CaError> {
        let (key, public_key) = IssuingKey::make(new.algorithm, access)?;
        let certified = certify(folder, new, access, now, &key, &public_key);
        let (root, issuing) = certified.inspect_err(|_| key.discard())?;
        log::info!(folder:% = folder.display(), algorithm:% = new.algorithm; "CA created");
        Self::new(root, issuing, key).ok_or_else(|| CaError::Chain { folder: folder.to_owned() })
    }

    /// Reads what [`Ca::create`] wrote, and logs into the token where there is one: its key must sign as the issuing
    /// certificate says. The root's key is not needed and may be kept elsewhere; where it is present, it
    /// must be as well kept as the issuing key, and fit unless it is encrypted: then it is left closed, and may be under
    /// a passphrase of its own.
    pub fn load(folder: &Path, access: &KeyAccess) -> Result<Self, CaError> {
        let root = match Credential::load(folder, ROOT) {
            Ok(root) => root.chain().first().cloned(),
            Err(CredentialError::File(FileError::Missing { .. }) | CredentialError::Locked { .. }) => {
                credential::read_chain(folder, ROOT)?.into_iter().next()
            }
            Err(error) => return Err(error.into()),
        };
        let (issuing, key) = match access.open_token()? {
            Some(token) => {
                let kept = credential::key_path(folder, ISSUING);
                if kept.exists() {
                    log::warn!(path:% = kept.display(); "the issuing key is in a token, and still in a file");
                }
                (credential::read_chain(folder, ISSUING)?, IssuingKey::Token(token))
            }
            None => {
                let issuing = Credential::unlock(folder, ISSUING, access.passphrase.as_ref())?;
                (issuing.chain().to_vec(), IssuingKey::Memory(issuing.into_key()))
            }
        };
        let issued = |root: &[u8], issuing: &[u8]| {
            let (_, root) = X509Certificate::from_der(root).ok()?;
            let (_, issuing) = X509Certificate::from_der(issuing).ok()?;
            issuing.verify_signature(Some(root.public_key())).ok()?;
            (root.is_ca() && issuing.is_ca()).then_some(())
        };
        let ca = match (root, issuing.into_iter().next()) {
            (Some(root), Some(issuing)) if issued(&root, &issuing).is_some() => Self::new(root, issuing, key),
            _ => None,
        }
        .ok_or_else(|| CaError::Chain { folder: folder.to_owned() })?;
        ca.key.check_fits(&ca.issuing)?;
        Ok(ca)
    }

    /// The issuing certificate (DER) in a folder, if there is one.
    pub(super) fn read_issuing(folder: &Path) -> Option<Vec<u8>> {
        credential::read_chain(folder, ISSUING).ok()?.first().map(|certificate| certificate.to_vec())
    }

    /// Root and issuing key encrypted under the new passphrase, or plain without one, to be written; the old one opens
    /// them. Nothing where they are so already. A service that runs goes on.
    ///
    /// Interrupted, it goes on with the same call; the issuing key is under the one passphrase or the other.
    pub fn protect_keys(
        folder: &Path,
        old: Option<&Passphrase>,
        new: Option<&Passphrase>,
    ) -> Result<Replacements, CredentialError> {
        credential::protect(folder, &[ROOT, ISSUING], old, new)
    }

    fn new(root: CertificateDer<'static>, issuing: CertificateDer<'static>, key: IssuingKey) -> Option<Self> {
        let issuing = IssuingCertificate::read(issuing)?;
        let issuer = Issuer::from_ca_cert_der(&issuing.der, StandIn::of(&issuing)).ok()?;
        Some(Self { root, issuing, issuer, key })
    }

    /// The root certificate, DER.
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// When the issuing certificate ends.
    pub fn issuing_ends(&self) -> OffsetDateTime {
        self.issuing.validity.not_after.to_datetime()
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

/// Certifies a root and, with its key, the issuing key, and writes what of both is a file, and the root's list.
fn certify(
    folder: &Path,
    new: &NewCa<'_>,
    access: &KeyAccess,
    now: OffsetDateTime,
    key: &IssuingKey,
    public_key: &[u8],
) -> Result<(CertificateDer<'static>, CertificateDer<'static>), CaError> {
    let NewCa { algorithm, environment, root_crl } = *new;
    let root_key = algorithm.generate().map_err(CaError::Encoding)?;
    let root = authority(&format!("PTC {environment} Root CA"), BasicConstraints::Unconstrained, ROOT_YEARS, now)?;
    let root_certificate = root.self_signed(&*root_key).map_err(CaError::Encoding)?;
    let mut issuing =
        authority(&format!("PTC {environment} Issuing CA"), BasicConstraints::Constrained(0), ISSUING_YEARS, now)?;
    issuing.use_authority_key_identifier_extension = true;
    let uris = root_crl.map(|url| vec![url.to_owned()]);
    issuing.crl_distribution_points = uris.map(|uris| CrlDistributionPoint { uris }).into_iter().collect();
    let issuing = SubjectPublicKeyInfo::from_der(public_key)
        .and_then(|public_key| issuing.signed_by(&public_key, &Issuer::from_params(&root, &*root_key)))
        .map_err(CaError::Encoding)?;
    let passphrase = access.passphrase.as_ref();
    let (root_certificate, issuing_certificate) =
        (CertificateDer::from(root_certificate), CertificateDer::from(issuing));
    let read = |der: &CertificateDer<'static>| IssuingCertificate::read(der.clone()).ok_or(CaError::Signature);
    let (root, issuing) = (read(&root_certificate)?, read(&issuing_certificate)?);
    key.check_fits(&issuing)?;
    let list = RootCrl::sign(&root, &*root_key, &issuing, None, &RootCrlPlan::default(), now)?;
    files::create_folder(folder, |folder| {
        credential::write(folder, ROOT, &root_key, &[&root_certificate], passphrase)?;
        list.write(folder)?;
        match key {
            IssuingKey::Memory(key) => credential::write(folder, ISSUING, key, &[&issuing_certificate], passphrase),
            IssuingKey::Token(_) => credential::write_chain(folder, ISSUING, &[&issuing_certificate]),
        }
    })?;
    Ok((root_certificate, issuing_certificate))
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
    parameters.serial_number = Some(SerialNumber::from_slice(Serial::fresh(now)?.as_ref()));
    parameters.not_before = times::start(now);
    parameters.not_after = profile::years_after(parameters.not_before, years);
    parameters.is_ca = IsCa::Ca(constraints);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(parameters)
}
