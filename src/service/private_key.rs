//! A private key as PEM: PKCS #8 (RFC 5958), plain or encrypted under a [`Passphrase`].
//!
//! Encrypted as RFC 8018 §6.2 says (PBES2), with a key derived by PBKDF2 with HMAC-SHA-256 and with AES-256 in CBC mode:
//! what OpenSSL, Windows and Java read. Where the file lies is decided elsewhere.

use std::fmt;
use std::path::Path;

use aws_lc_rs::rand;
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};
use rcgen::KeyPair;
use rustls::pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use super::files::{self, FileError};

const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
/// As many as OWASP's Password Storage Cheat Sheet asks for (2023).
const ITERATIONS: u32 = 600_000;

/// What encrypts private keys, or opens the token that holds one. `Debug` hides it; the memory is zeroed.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// The one line of a file that nobody but its owner can read.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        Self::new(path, files::read_secret_text(path)?)
    }

    /// The one line of a credential that systemd has put there for this service (systemd.exec(5), `LoadCredential=`).
    pub(super) fn from_systemd(path: &Path) -> Result<Self, FileError> {
        Self::new(path, files::read_credential_text(path)?)
    }

    /// The only way to the characters, for the token that needs them.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    fn new(path: &Path, text: Zeroizing<String>) -> Result<Self, FileError> {
        if text.is_empty() { Err(FileError::NotText { path: path.to_owned() }) } else { Ok(Self(text)) }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Passphrase")
    }
}

/// Why a text gives no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// It holds none.
    Malformed,
    /// It holds an encrypted one, and there is no passphrase.
    Locked,
    /// The passphrase is for another one.
    WrongPassphrase,
}

/// Whether the key in a PEM text is encrypted.
pub(super) fn is_encrypted(pem: &str) -> bool {
    pem.contains(&format!("-----BEGIN {ENCRYPTED}-----"))
}

/// The key in a PEM text; a plain one needs no passphrase.
pub(super) fn decode(pem: &str, passphrase: Option<&Passphrase>) -> Result<Zeroizing<KeyPair>, NoKey> {
    if !is_encrypted(pem) {
        return KeyPair::from_pem(pem).map(Zeroizing::new).map_err(|_| NoKey::Malformed);
    }
    let (label, document) = SecretDocument::from_pem(pem).map_err(|_| NoKey::Malformed)?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .ok()
        .filter(|_| label == ENCRYPTED)
        .ok_or(NoKey::Malformed)?;
    let passphrase = passphrase.ok_or(NoKey::Locked)?;
    let key = encrypted.decrypt(passphrase.0.as_bytes()).map_err(|_| NoKey::WrongPassphrase)?;
    KeyPair::try_from(&PrivatePkcs8KeyDer::from(key.as_bytes())).map(Zeroizing::new).map_err(|_| NoKey::WrongPassphrase)
}

/// The key as PEM, encrypted where there is a passphrase. None where the system has no random numbers.
pub(super) fn encode(key: &KeyPair, passphrase: Option<&Passphrase>) -> Option<Zeroizing<String>> {
    let Some(passphrase) = passphrase else { return Some(Zeroizing::new(key.serialize_pem())) };
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    rand::fill(&mut salt).and_then(|()| rand::fill(&mut iv)).ok()?;
    let scheme = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, &salt, iv).ok()?;
    let plain = Zeroizing::new(key.serialize_der());
    let key = PrivateKeyInfoRef::try_from(plain.as_slice()).ok()?;
    key.encrypt_with_params(scheme, passphrase.0.as_bytes()).ok()?.to_pem(ENCRYPTED, LineEnding::LF).ok()
}
