//! A private key in a PKCS #11 token, which signs and never leaves it.
//!
//! What is lost (a device that was pulled out or restarted) is connected again with one login; a PIN that was refused is
//! never tried a second time. What is signed, and what the key's certificate is, is decided elsewhere.

mod connection;
mod encoding;
mod error;
mod settings;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use cryptoki::context::Pkcs11;
use cryptoki::types::AuthPin;

use self::connection::Connection;
pub use self::connection::KeyFacts;
pub use self::error::TokenError;
pub use self::settings::TokenSettings;
use super::credential::Algorithm;
use super::private_key::Passphrase;

/// How long after an attempt to connect there is no other one.
const PAUSE: Duration = Duration::from_secs(5);

/// A key in a token. `Debug` hides the PIN.
pub struct Token {
    settings: TokenSettings,
    pin: AuthPin,
    context: Pkcs11,
    link: RwLock<Link>,
    /// Whether the last signature failed.
    refuses: AtomicBool,
}

/// The connection, or why there is none, and since when.
struct Link {
    connection: Result<Connection, TokenError>,
    since: Instant,
}

impl Token {
    /// Loads the module and logs in. Whether there is such a key shows when it is used.
    pub fn open(settings: &TokenSettings, pin: &Passphrase) -> Result<Self, TokenError> {
        let pin = AuthPin::from(pin.expose());
        let context = connection::load(&settings.module)?;
        connection::start(&context, &settings.module)?;
        let connection = Connection::open(&context, settings, &pin)?;
        let link = Link { connection: Ok(connection), since: Instant::now() };
        let refuses = AtomicBool::new(false);
        Ok(Self { settings: settings.clone(), pin, context, link: RwLock::new(link), refuses })
    }

    /// Whether the token is there. Logs nobody in, and needs no PIN.
    pub fn look(settings: &TokenSettings) -> Result<(), TokenError> {
        let context = connection::load(&settings.module)?;
        connection::start(&context, &settings.module)?;
        connection::find(&context, settings).map(|_| ())
    }

    /// Makes the key. Returns its SubjectPublicKeyInfo (DER).
    ///
    /// # Errors
    /// [`TokenError::KeyExists`] where something in the token has its name.
    pub fn generate(&self, algorithm: Algorithm) -> Result<Vec<u8>, TokenError> {
        self.attempt(|connection| connection.generate(&self.settings, algorithm))
    }

    /// Destroys the key, which nobody else may have needed yet.
    pub fn destroy(&self) -> Result<(), TokenError> {
        self.attempt(|connection| connection.destroy(&self.settings))
    }

    /// Signs a message with SHA-256: ECDSA as DER, or RSA PKCS #1 v1.5. Waits for the token.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let signed = self.insist(|connection| connection.sign(&self.settings, message));
        self.refuses.store(signed.is_err(), Ordering::Relaxed);
        signed
    }

    /// Whether the key can be reached and, where the last signature failed, signs this message again. Waits for the token.
    pub fn check(&self, message: &[u8]) -> Result<(), TokenError> {
        self.insist(|connection| connection.check(&self.settings))?;
        if self.refuses.load(Ordering::Relaxed) { self.sign(message).map(|_| ()) } else { Ok(()) }
    }

    /// What the token says of the key.
    pub fn facts(&self) -> Result<KeyFacts, TokenError> {
        self.attempt(|connection| connection.facts(&self.settings))
    }

    /// Where the key is.
    pub const fn settings(&self) -> &TokenSettings {
        &self.settings
    }

    /// The fault of a key that signs, but not as its certificate says.
    pub fn wrong_key(&self) -> TokenError {
        TokenError::WrongKey { key: self.settings.key_name(), token: self.settings.token_name() }
    }

    fn attempt<R>(&self, work: impl FnOnce(&Connection) -> Result<R, TokenError>) -> Result<R, TokenError> {
        self.link().connection.as_ref().map_err(Clone::clone).and_then(work)
    }

    /// The same, and once more over a new connection where the old one fails.
    fn insist<R>(&self, work: impl Fn(&Connection) -> Result<R, TokenError>) -> Result<R, TokenError> {
        let link = self.link();
        let since = link.since;
        let done = link.connection.as_ref().map_err(Clone::clone).and_then(&work);
        drop(link);
        match done {
            Err(error) if !error.concerns_pin() => {
                self.reconnect(since, error)?;
                self.attempt(work)
            }
            done => done,
        }
    }

    /// Takes the place of a connection that failed, unless another thread has done so, or somebody tried a moment ago.
    fn reconnect(&self, since: Instant, cause: TokenError) -> Result<(), TokenError> {
        let mut link = self.link.write().unwrap_or_else(PoisonError::into_inner);
        if link.since != since {
            return Ok(());
        }
        if since.elapsed() < PAUSE {
            return Err(cause);
        }
        let token = self.settings.token_name();
        if link.connection.is_ok() {
            log::warn!(token:%, cause:% = cause; "token is lost, connecting again");
        }
        // A module that has lost its device often finds it again only after a new start. Nobody is within a call: they hold
        // the lock.
        let _ = self.context.clone().finalize();
        link.connection = connection::start(&self.context, &self.settings.module)
            .and_then(|()| Connection::open(&self.context, &self.settings, &self.pin));
        link.since = Instant::now();
        match &link.connection {
            Ok(_) => log::info!(token:%; "token is connected again"),
            Err(error) => log::error!(token:%, cause:% = error; "token is not connected"),
        }
        Ok(())
    }

    fn link(&self) -> RwLockReadGuard<'_, Link> {
        self.link.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Token").field("settings", &self.settings).finish_non_exhaustive()
    }
}
