//! The certificate store of this machine or of this account: one small trait, each kind of store one file.
//!
//! A key is put into the store before the network is touched, under the id of its record in the journal, and never
//! leaves it. Every operation may be repeated after a crash.

pub mod file;
pub mod memory;
#[cfg(windows)]
pub mod windows;

use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::home::Home;
use super::keys::{KeyAlgorithm, PrivateKey};
use crate::locales::Text;
use crate::protocol::request::{RequestNumber, StoreScope, UnknownWord, by_word};
use crate::protocol::subject::Subject;

/// A certificate on its way into the store, checked by [`super::installation`].
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The certificate, DER.
    pub certificate: &'a [u8],
    /// The issuers above it, DER, nearest first, the root last.
    pub chain: &'a [Vec<u8>],
}

/// What proves who we are in a TLS handshake.
pub enum Identity {
    /// Key and certificates are at hand.
    InMemory {
        /// The certificate, DER, then those above it.
        chain: Vec<Vec<u8>>,
        /// The private key, PKCS #8 PEM.
        key: Zeroizing<String>,
    },
    /// The key stays in the system's store, which signs with it.
    #[cfg(windows)]
    InStore {
        /// The certificate, with the way to its key.
        credentials: schannel::schannel_cred::SchannelCred,
    },
}

/// What becomes of a certificate when a newer one for the same name took its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replaced {
    /// It stays as it is.
    Keep,
    /// It stays with its key, and programs that look for a certificate no longer see it.
    #[default]
    Archive,
    /// It goes, and its key with it.
    Remove,
}

impl Replaced {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Keep, Self::Archive, Self::Remove];

    /// The word used on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Archive => "archive",
            Self::Remove => "remove",
        }
    }
}

impl std::str::FromStr for Replaced {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        by_word(text, &Self::ALL, Self::as_str)
    }
}

/// Where keys and certificates lie.
pub trait Store {
    /// Whether a key of this kind can be put here and opened to these other accounts, found out before one is made.
    fn check_access(&self, key: KeyAlgorithm, readers: &[String]) -> Result<(), StoreError>;

    /// Whose keys these are, where each account has a store of its own behind the same records.
    fn account(&self) -> Option<String>;

    /// Puts a new key into the store under an id, durably; the name is for people who look into the store.
    fn hold_key(&self, id: &str, key: &PrivateKey, name: &Subject) -> Result<(), StoreError>;

    /// Whether the key of an id is there.
    fn holds_key(&self, id: &str) -> Result<bool, StoreError>;

    /// Shows people who look into the store which request a key belongs to.
    fn label(&self, id: &str, number: RequestNumber) -> Result<(), StoreError>;

    /// Puts the certificate beside its key, makes it the one that programs find, and opens the key to other accounts;
    /// says where it is.
    fn install(&self, id: &str, delivery: &Delivery<'_>, readers: &[String]) -> Result<PathBuf, StoreError>;

    /// Makes room for a newer certificate of the same name.
    fn retire(&self, id: &str, how: Replaced) -> Result<(), StoreError>;

    /// Removes the key of a request that came to nothing.
    fn discard(&self, id: &str) -> Result<(), StoreError>;

    /// The certificate of an id, DER, if one is installed.
    fn certificate(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The key and certificates of an id, to authenticate with.
    fn identity(&self, id: &str) -> Result<Identity, StoreError>;
}

/// The store of this system for a scope and an environment.
#[cfg(not(windows))]
pub fn open(home: &Home, scope: StoreScope, environment: &str) -> Box<dyn Store> {
    Box::new(file::FileStore::new(home.store(scope).join(environment), scope))
}

/// The store of this system for a scope and an environment.
#[cfg(windows)]
pub fn open(_home: &Home, scope: StoreScope, environment: &str) -> Box<dyn Store> {
    Box::new(windows::WindowsStore::new(scope, environment))
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum StoreError {
    /// The machine's store needs rights that this account does not have.
    NotElevated {
        /// Where the store is.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file of the store cannot be written or read.
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key of a request is not there (any more).
    NoKey {
        /// Where it should be.
        path: PathBuf,
    },
    /// Others can read a private key.
    Exposed {
        /// Which one.
        path: PathBuf,
    },
    /// A file of the store is not what it should be.
    Damaged {
        /// Which one.
        path: PathBuf,
    },
    /// The store has no place for keys of this kind.
    KeyKind {
        /// The kind.
        key: KeyAlgorithm,
    },
    /// No account of this name is known.
    UnknownAccount {
        /// The name.
        account: String,
    },
    /// Keys of this store are their owner's alone.
    NoReaders,
}

impl StoreError {
    /// Whether what was asked for is wrong, rather than the store.
    pub fn is_input(&self) -> bool {
        matches!(self, Self::KeyKind { .. } | Self::UnknownAccount { .. } | Self::NoReaders)
    }

    /// What happened and why.
    pub fn text(&self) -> Text {
        match self {
            Self::NotElevated { path, source } => {
                Text::new("error-not-elevated").with("path", path.display()).with("reason", source)
            }
            Self::File { path, source } => {
                Text::new("error-store-file").with("path", path.display()).with("reason", source)
            }
            Self::NoKey { path } => Text::new("error-store-no-key").with("path", path.display()),
            Self::Exposed { path } => Text::new("error-store-exposed").with("path", path.display()),
            Self::Damaged { path } => Text::new("error-store-damaged").with("path", path.display()),
            Self::KeyKind { key } => Text::new("error-store-key-kind").with("key", key),
            Self::UnknownAccount { account } => Text::new("error-unknown-account").with("account", account),
            Self::NoReaders => Text::new("error-no-readers"),
        }
    }
}
