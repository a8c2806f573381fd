//! What signs for the CA: a key in memory, or one in a token. Nothing else knows which.

use std::fmt;
use std::path::Path;

use rcgen::{KeyPair, PublicKeyData, SigningKey};
use tokio::runtime::{Handle, RuntimeFlavor};
use zeroize::Zeroizing;

use super::{Algorithm, Ca, CaError, ISSUING, IssuingCertificate, ROOT};
use crate::service::credential::key_path;
use crate::service::files::{self, FileError};
use crate::service::private_key::{Passphrase, is_encrypted};
use crate::service::token::{KeyFacts, Token, TokenSettings};

/// What a key signs to show that it is that of the certificate, or that it signs at all. No certificate or list starts like this.
const PROBE: &[u8] = b"PTC enrollment: is this the key of the issuing certificate?";

/// What opens the CA's keys: the passphrase of those that are encrypted files, and the token with the issuing key, where it
/// is in one.
#[derive(Debug, Default)]
pub struct KeyAccess {
    /// The passphrase.
    pub passphrase: Option<Passphrase>,
    /// The token, and its PIN.
    pub token: Option<(TokenSettings, Passphrase)>,
}

impl KeyAccess {
    /// The token, with the user logged in.
    pub(super) fn open_token(&self) -> Result<Option<Token>, CaError> {
        let opened = self.token.as_ref().map(|(settings, pin)| Token::open(settings, pin));
        Ok(opened.transpose()?)
    }
}

/// The issuing key.
pub(super) enum IssuingKey {
    /// Read from a file.
    Memory(Zeroizing<KeyPair>),
    /// In a token.
    Token(Token),
}

impl IssuingKey {
    /// A fresh key with its SubjectPublicKeyInfo (DER), in the token where there is one.
    pub(super) fn make(algorithm: Algorithm, access: &KeyAccess) -> Result<(Self, Vec<u8>), CaError> {
        if let Some(token) = access.open_token()? {
            let public_key = token.generate(algorithm)?;
            return Ok((Self::Token(token), public_key));
        }
        let key = algorithm.generate().map_err(CaError::Encoding)?;
        let public_key = key.subject_public_key_info();
        Ok((Self::Memory(key), public_key))
    }

    /// Takes back a key that was just made in a token. What remains is named to the next who wants to make it.
    pub(super) fn discard(&self) {
        if let Self::Token(token) = self
            && let Err(error) = token.destroy()
        {
            log::error!(cause:% = error; "the key that was just made is left in the token");
        }
    }

    /// Signs with SHA-256, as X.509 writes it.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CaError> {
        match self {
            Self::Memory(key) => key.sign(message).map_err(CaError::Encoding),
            Self::Token(token) => Ok(token.sign(message)?),
        }
    }

    /// Sees to it that a key in a token is that of the certificate, by a signature: tokens need not tell public keys.
    pub(super) fn check_fits(&self, certificate: &IssuingCertificate) -> Result<(), CaError> {
        match self {
            // Whoever read it has compared the public keys.
            Self::Memory(_) => Ok(()),
            Self::Token(token) if certificate.verifies(PROBE, &token.sign(PROBE)?) => Ok(()),
            Self::Token(token) => Err(token.wrong_key().into()),
        }
    }
}

/// How a key lies in the CA's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFile {
    /// Not at all.
    Absent,
    /// For everybody who can read the file.
    Plain,
    /// Under a passphrase.
    Encrypted,
}

impl KeyFile {
    /// The word used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Plain => "plain",
            Self::Encrypted => "encrypted",
        }
    }

    fn of(path: &Path) -> Result<Self, FileError> {
        match files::read_secret(path) {
            Err(FileError::Missing { .. }) => Ok(Self::Absent),
            Err(error) => Err(error),
            Ok(text) if std::str::from_utf8(&text).is_ok_and(is_encrypted) => Ok(Self::Encrypted),
            Ok(_) => Ok(Self::Plain),
        }
    }
}

/// Where the issuing key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a file, and in this process's memory.
    File,
    /// In a token.
    Token(TokenSettings),
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => formatter.write_str("issuing.key.pem"),
            Self::Token(settings) => write!(formatter, "PKCS #11: {settings}"),
        }
    }
}

impl Ca {
    /// How the root's and the issuing key lie in the CA's folder.
    pub fn key_files(folder: &Path) -> Result<[KeyFile; 2], FileError> {
        Ok([KeyFile::of(&key_path(folder, ROOT))?, KeyFile::of(&key_path(folder, ISSUING))?])
    }

    /// Where the issuing key is.
    pub fn key_place(&self) -> KeyPlace {
        match &self.key {
            IssuingKey::Memory(_) => KeyPlace::File,
            IssuingKey::Token(token) => KeyPlace::Token(token.settings().clone()),
        }
    }

    /// What the token says of the issuing key, where it is in one.
    pub fn key_facts(&self) -> Result<Option<KeyFacts>, CaError> {
        match &self.key {
            IssuingKey::Memory(_) => Ok(None),
            IssuingKey::Token(token) => Ok(Some(token.facts()?)),
        }
    }

    /// Whether the issuing key can be reached. A token that was lost is connected again. Waits for the token.
    pub fn check_key(&self) -> Result<(), CaError> {
        match &self.key {
            IssuingKey::Memory(_) => Ok(()),
            IssuingKey::Token(token) => Ok(self.waiting(|| token.check(PROBE))?),
        }
    }

    /// Runs what signs, and thereby may wait for a token, without holding up the tasks around.
    pub(in crate::service) fn waiting<R>(&self, work: impl FnOnce() -> R) -> R {
        let among_others =
            || Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
        match &self.key {
            IssuingKey::Token(_) if among_others() => tokio::task::block_in_place(work),
            _ => work(),
        }
    }

    /// Takes back the key that [`Ca::create`] has made in a token, where nothing came of the CA.
    pub(in crate::service) fn discard_key(&self) {
        self.key.discard();
    }
}
