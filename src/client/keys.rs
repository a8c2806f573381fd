//! Private keys: made here, given to the store, cleared from memory.

use std::fmt;
use std::str::FromStr;
use std::sync::mpsc;
use std::thread;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize};
use zeroize::Zeroizing;

use crate::background;
use crate::locales::Text;
use crate::protocol::request::{UnknownWord, by_word};

/// The keys that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyAlgorithm {
    /// RSA, 2048 bits.
    #[default]
    Rsa2048,
    /// RSA, 3072 bits.
    Rsa3072,
    /// RSA, 4096 bits.
    Rsa4096,
    /// ECDSA on NIST P-256.
    EcP256,
    /// ECDSA on NIST P-384.
    EcP384,
}

impl KeyAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 5] = [Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::EcP256, Self::EcP384];

    /// The word used on command lines and in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
            Self::EcP256 => "ec-p256",
            Self::EcP384 => "ec-p384",
        }
    }

    /// Starts to look for a new key, so that other work goes on meanwhile.
    ///
    /// RSA takes a while, and how long is chance: two prime numbers have to be found. Two searches run side by side where
    /// there are two processors, and the first to end counts; the other one ends unheard. A key on a curve takes no time
    /// worth a thread, and is made when it is asked for.
    pub fn start_search(self) -> KeySearch {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        if self.is_elliptic() || processors < 2 {
            return KeySearch { algorithm: self, found: None };
        }
        let (sender, found) = mpsc::channel();
        for _ in 0..2 {
            let sender = sender.clone();
            thread::spawn(move || {
                // The search that loses must not slow down what comes next.
                background::step_back();
                // The receiver is gone when the second key comes, which is then cleared where it is.
                sender.send(self.search())
            });
        }
        KeySearch { algorithm: self, found: Some(found) }
    }

    fn search(self) -> Result<PrivateKey, KeyError> {
        let pair = match self {
            Self::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            Self::Rsa3072 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
            Self::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
            Self::EcP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::EcP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        };
        Ok(PrivateKey { pair: pair.map_err(KeyError::Generation)? })
    }

    /// Whether the key is on an elliptic curve.
    pub const fn is_elliptic(self) -> bool {
        matches!(self, Self::EcP256 | Self::EcP384)
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for KeyAlgorithm {
    type Err = UnknownWord;

    /// Reads the word; the bare length of an RSA key, as other enrollment programs take it, is understood too.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bits = Self::ALL.into_iter().find(|algorithm| algorithm.as_str().strip_prefix("rsa-") == Some(text));
        bits.map_or_else(|| by_word(&text.to_ascii_lowercase(), &Self::ALL, Self::as_str), Ok)
    }
}

/// A search for a key that is under way. Dropped, it comes to nothing.
#[derive(Debug)]
pub struct KeySearch {
    algorithm: KeyAlgorithm,
    /// Where the searches in the background answer; absent where nothing runs there.
    found: Option<mpsc::Receiver<Result<PrivateKey, KeyError>>>,
}

impl KeySearch {
    /// Waits for the key.
    pub fn finish(self) -> Result<PrivateKey, KeyError> {
        // A search that ended without an answer panicked; whatever it was, it would be met again here.
        self.found.and_then(|found| found.recv().ok()).unwrap_or_else(|| self.algorithm.search())
    }
}

/// A private key on its way into the store. `Debug` hides it; it is zeroed when dropped.
pub struct PrivateKey {
    pair: KeyPair,
}

impl PrivateKey {
    /// The key as rcgen signs with it.
    pub fn pair(&self) -> &KeyPair {
        &self.pair
    }

    /// PKCS #8 DER, for the store alone.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.pair.serialize_der())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKey(…)")
    }
}

/// Why there is no key or CSR.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum KeyError {
    /// The cryptographic library could not make a key.
    Generation(#[source] rcgen::Error),
    /// The CSR could not be encoded or signed.
    Request(#[source] rcgen::Error),
    /// The system has no random numbers.
    Random,
}

impl KeyError {
    /// What happened and why.
    pub fn text(&self) -> Text {
        match self {
            Self::Generation(reason) => Text::new("error-key-generation").with("reason", reason),
            Self::Request(reason) => Text::new("error-key-request").with("reason", reason),
            Self::Random => Text::new("error-key-random"),
        }
    }
}
