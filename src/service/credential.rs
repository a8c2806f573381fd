//! A private key and its certificate chain as two PEM files: `NAME.key.pem`, the owner's alone, and `NAME.crt.pem`.
//!
//! The CA's own, the listeners' and the package signer's lie on disk in this one form; the CA's keys can be encrypted. Who
//! signs the certificate, and what is in it, is decided elsewhere.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use pem::Pem;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::files::{self, FileError};
use super::private_key::{self, NoKey, Passphrase};
use crate::kill_point;
use crate::locales::Text;
use crate::protocol::request::{UnknownWord, by_word};

/// What keys the service makes for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// ECDSA on NIST P-256 with SHA-256.
    #[default]
    EcdsaP256,
    /// RSA with a modulus of 3072 bits, PKCS #1 v1.5 with SHA-256.
    Rsa3072,
}

impl Algorithm {
    /// Both algorithms.
    pub const ALL: [Self; 2] = [Self::EcdsaP256, Self::Rsa3072];

    /// The word used in files and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::Rsa3072 => "rsa-3072",
        }
    }

    /// A fresh key.
    pub(crate) fn generate(self) -> Result<Zeroizing<KeyPair>, rcgen::Error> {
        match self {
            Self::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::Rsa3072 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
        }
        .map(Zeroizing::new)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        by_word(text, &Self::ALL, Self::as_str)
    }
}

/// Why a key and its certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum CredentialError {
    /// A file cannot be read or made.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file does not hold what it must.
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The certificate is for another key.
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The key is encrypted, and there is no passphrase.
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The key is encrypted under another passphrase.
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// A key cannot be made.
    Generation {
        /// What the cryptographic library said.
        cause: rcgen::Error,
    },
    /// Key and certificates cannot be put into one file.
    Pkcs12 {
        /// What the library said.
        cause: p12_keystore::error::Error,
    },
    /// The system has no random numbers.
    Random,
}

impl CredentialError {
    /// The error with its fix, for a person.
    pub fn text(&self) -> Text {
        match self {
            Self::File(error) => error.text(),
            Self::Malformed { path } => Text::new("credential-malformed").with("path", path.display()),
            Self::Mismatch { key, certificate } => {
                Text::new("credential-mismatch").with("key", key.display()).with("certificate", certificate.display())
            }
            Self::Locked { path } => Text::new("credential-locked").with("path", path.display()),
            Self::WrongPassphrase { path } => Text::new("credential-wrong-passphrase").with("path", path.display()),
            Self::Generation { cause } => Text::new("credential-generation").with("cause", cause),
            Self::Pkcs12 { cause } => Text::new("credential-pkcs12").with("cause", cause),
            Self::Random => Text::new("ca-random"),
        }
    }
}

/// A private key with its certificate and those above it, nearest first. `Debug` hides the key.
pub struct Credential {
    chain: Vec<CertificateDer<'static>>,
    key: Zeroizing<KeyPair>,
}

impl Credential {
    /// The public key (DER SubjectPublicKeyInfo) of `NAME.key.pem`, which is made where it is missing.
    ///
    /// The key comes to lie on disk before anybody certifies it, so that no certificate is without its key.
    pub fn prepare(folder: &Path, name: &str, algorithm: Algorithm) -> Result<Vec<u8>, CredentialError> {
        let path = key_path(folder, name);
        let key = match read_key(&path, None) {
            Err(CredentialError::File(FileError::Missing { .. })) => {
                files::ensure_folder(folder)?;
                let key = algorithm.generate().map_err(|cause| CredentialError::Generation { cause })?;
                write_key(folder, name, &key, None)?;
                key
            }
            other => other?,
        };
        Ok(key.subject_public_key_info())
    }

    /// Writes the certificate chain (DER, nearest first) for the key that lies there, in place of an older one.
    pub fn install(folder: &Path, name: &str, chain: &[&[u8]]) -> Result<Self, CredentialError> {
        let key = load_key(folder, name)?;
        let certificates = chain.iter().map(|der| der.to_vec().into()).collect();
        let credential = Self::new(&key_path(folder, name), &certificate_path(folder, name), certificates, key)?;
        write_chain(folder, name, chain)?;
        Ok(credential)
    }

    /// Reads both files.
    pub fn load(folder: &Path, name: &str) -> Result<Self, CredentialError> {
        Self::unlock(folder, name, None)
    }

    /// Reads both files, where the key may be encrypted.
    pub fn unlock(folder: &Path, name: &str, passphrase: Option<&Passphrase>) -> Result<Self, CredentialError> {
        Self::unlock_with(folder, name, &key_path(folder, name), passphrase)
    }

    /// The same with a key that may lie elsewhere.
    pub(crate) fn unlock_with(
        folder: &Path,
        name: &str,
        path: &Path,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, CredentialError> {
        let key = read_key(path, passphrase)?;
        Self::new(path, &certificate_path(folder, name), read_chain(folder, name)?, key)
    }

    fn new(
        path: &Path,
        certificate: &Path,
        chain: Vec<CertificateDer<'static>>,
        key: Zeroizing<KeyPair>,
    ) -> Result<Self, CredentialError> {
        let certified = chain
            .first()
            .and_then(|der| X509Certificate::from_der(der).ok())
            .ok_or_else(|| CredentialError::Malformed { path: certificate.to_owned() })?
            .1
            .public_key()
            .raw
            == key.subject_public_key_info();
        if certified {
            Ok(Self { chain, key })
        } else {
            Err(CredentialError::Mismatch { key: path.to_owned(), certificate: certificate.to_owned() })
        }
    }

    /// The certificates, nearest first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key.
    pub(crate) fn key(&self) -> &KeyPair {
        &self.key
    }

    /// The private key alone.
    pub(crate) fn into_key(self) -> Zeroizing<KeyPair> {
        self.key
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credential").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// The certificates of `NAME.crt.pem`, at least one.
pub(crate) fn read_chain(folder: &Path, name: &str) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let path = certificate_path(folder, name);
    let text = files::read_public(&path)?;
    match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(CredentialError::Malformed { path }),
    }
}

/// Writes a new `NAME.key.pem` and `NAME.crt.pem`.
pub(crate) fn write(
    folder: &Path,
    name: &str,
    key: &KeyPair,
    chain: &[&[u8]],
    passphrase: Option<&Passphrase>,
) -> Result<(), CredentialError> {
    write_key(folder, name, key, passphrase)?;
    write_chain(folder, name, chain)
}

/// Key files with what is to take their places.
#[must_use]
pub struct Replacements(Vec<(PathBuf, Zeroizing<String>)>);

impl Replacements {
    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces the files, each as a whole, and returns which they are.
    pub fn write(self) -> Result<Vec<PathBuf>, FileError> {
        for (path, text) in &self.0 {
            kill_point::pass("keys.before-replace");
            files::replace_secret(path, text.as_bytes())?;
        }
        Ok(self.0.into_iter().map(|(path, _)| path).collect())
    }
}

/// The keys of these names as they are to be written where they are not yet under the new passphrase, or plain without
/// one. The old one opens those that are encrypted; a key that is not there is kept elsewhere.
///
/// Every key is open before any is written, and whoever was interrupted goes on with the same call.
pub(crate) fn protect(
    folder: &Path,
    names: &[&str],
    old: Option<&Passphrase>,
    new: Option<&Passphrase>,
) -> Result<Replacements, CredentialError> {
    let mut replacements = Vec::new();
    for path in names.iter().map(|name| key_path(folder, name)) {
        let text = match files::read_secret(&path) {
            Err(FileError::Missing { .. }) => continue,
            text => text?,
        };
        let encrypted = std::str::from_utf8(&text).is_ok_and(private_key::is_encrypted);
        if encrypted == new.is_some() && decode(&path, &text, new).is_ok() {
            continue;
        }
        let key = decode(&path, &text, old)?;
        let text = private_key::encode(&key, new).ok_or(CredentialError::Random)?;
        // The only copy of the key is about to go: what takes its place must hold it.
        if decode(&path, text.as_bytes(), new)?.subject_public_key_info() != key.subject_public_key_info() {
            return Err(CredentialError::Malformed { path });
        }
        replacements.push((path, text));
    }
    Ok(Replacements(replacements))
}

fn write_key(folder: &Path, name: &str, key: &KeyPair, passphrase: Option<&Passphrase>) -> Result<(), CredentialError> {
    let text = private_key::encode(key, passphrase).ok_or(CredentialError::Random)?;
    Ok(files::write_secret(&key_path(folder, name), text.as_bytes())?)
}

/// Writes a new `NAME.crt.pem`, or in place of an older one.
pub(crate) fn write_chain(folder: &Path, name: &str, chain: &[&[u8]]) -> Result<(), CredentialError> {
    Ok(files::write_public(&certificate_path(folder, name), certificates_pem(chain).as_bytes())?)
}

/// Certificates (DER) as PEM (RFC 7468), with LF on every system.
pub(crate) fn certificates_pem(chain: &[&[u8]]) -> String {
    let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    chain.iter().map(|der| pem::encode_config(&Pem::new("CERTIFICATE", *der), lines)).collect()
}

/// The key of `NAME.key.pem`, which may not have a certificate yet.
pub(crate) fn load_key(folder: &Path, name: &str) -> Result<Zeroizing<KeyPair>, CredentialError> {
    read_key(&key_path(folder, name), None)
}

fn read_key(path: &Path, passphrase: Option<&Passphrase>) -> Result<Zeroizing<KeyPair>, CredentialError> {
    decode(path, &files::read_secret(path)?, passphrase)
}

fn decode(path: &Path, text: &[u8], passphrase: Option<&Passphrase>) -> Result<Zeroizing<KeyPair>, CredentialError> {
    let text = std::str::from_utf8(text).map_err(|_| NoKey::Malformed);
    text.and_then(|text| private_key::decode(text, passphrase)).map_err(|error| {
        let path = path.to_owned();
        match error {
            NoKey::Malformed => CredentialError::Malformed { path },
            NoKey::Locked => CredentialError::Locked { path },
            NoKey::WrongPassphrase => CredentialError::WrongPassphrase { path },
        }
    })
}

/// Where `NAME.key.pem` lies, if it does.
pub(crate) fn key_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.key.pem"))
}

/// Where `NAME.crt.pem` lies, if it does.
pub(crate) fn certificate_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.crt.pem"))
}
