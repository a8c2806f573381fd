//! The certificate store of this machine or of this account: one small trait, each kind of store one file.
//!
//! A key is put into the store before the network is touched, under the id of its record in the journal, and never
//! leaves it. Every operation may be repeated after a crash.

pub mod file;
pub mod memory;

use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::home::Home;
use crate::locales::Text;
use crate::protocol::request::StoreScope;

/// A certificate on its way into the store, checked by [`super::installation`].
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The certificate, DER.
    pub certificate: &'a [u8],
    /// The issuers above it, DER, nearest first, the root last.
    pub chain: &'a [Vec<u8>],
}

/// What proves who we are in a TLS handshake.
#[derive(Debug)]
pub enum Identity {
    /// Key and certificates are at hand.
    InMemory {
        /// The certificate, DER, then those above it.
        chain: Vec<Vec<u8>>,
        /// The private key, PKCS #8 PEM.
        key: Zeroizing<String>,
    },
}

/// Where keys and certificates lie.
pub trait Store {
    /// Whether keys can be put here, found out before one is made.
    fn check_access(&self) -> Result<(), StoreError>;

    /// Puts a new key (PKCS #8 DER) into the store under an id, durably.
    fn hold_key(&self, id: &str, key: &[u8]) -> Result<(), StoreError>;

    /// Whether the key of an id is there.
    fn holds_key(&self, id: &str) -> Result<bool, StoreError>;

    /// Puts the certificate beside its key and makes it the one that programs find; says where.
    fn install(&self, id: &str, delivery: &Delivery<'_>) -> Result<PathBuf, StoreError>;

    /// Removes the key of a request that came to nothing.
    fn discard(&self, id: &str) -> Result<(), StoreError>;

    /// The certificate of an id, DER, if one is installed.
    fn certificate(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The key and certificates of an id, to authenticate with.
    fn identity(&self, id: &str) -> Result<Identity, StoreError>;
}

/// The store of this system for a scope and an environment.
pub fn open(home: &Home, scope: StoreScope, environment: &str) -> Box<dyn Store> {
    Box::new(file::FileStore::new(home.store(scope).join(environment), scope))
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
}

impl StoreError {
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
        }
    }
}
