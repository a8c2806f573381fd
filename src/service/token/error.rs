//! Why a token gives no signature.

use std::path::PathBuf;

use cryptoki::error::{Error, RvError};

use super::settings::TokenSettings;
use crate::locales::Text;

/// Why a token cannot be used. Says which setting leads to the fault.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.text())]
pub enum TokenError {
    /// The library cannot be loaded.
    Module {
        /// The library.
        module: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// The library does not start.
    NotStarted {
        /// The library.
        module: PathBuf,
        /// What it said.
        cause: String,
    },
    /// The token is not there.
    Absent {
        /// The token that was looked for.
        token: String,
        /// The library.
        module: PathBuf,
        /// The tokens that are there.
        others: Vec<String>,
    },
    /// Several tokens have this label.
    Ambiguous {
        /// The label.
        token: String,
    },
    /// The token does not take the PIN.
    WrongPin {
        /// The token.
        token: String,
    },
    /// The token takes no PIN any more.
    LockedPin {
        /// The token.
        token: String,
    },
    /// Another wrong PIN would lock the token, so none was tried.
    LastAttempt {
        /// The token.
        token: String,
    },
    /// There is no such private key.
    NoKey {
        /// The key.
        key: String,
        /// The token.
        token: String,
    },
    /// Several private keys are so called.
    ManyKeys {
        /// The key.
        key: String,
        /// The token.
        token: String,
    },
    /// A key that was to be made is there already.
    KeyExists {
        /// The key.
        key: String,
        /// The token.
        token: String,
    },
    /// The key is not that of the certificate.
    WrongKey {
        /// The key.
        key: String,
        /// The token.
        token: String,
    },
    /// The token would give the key away.
    Extractable {
        /// The key.
        key: String,
        /// The token.
        token: String,
    },
    /// The token does not do what was asked for.
    Call {
        /// The token.
        token: String,
        /// What it said.
        cause: String,
    },
}

impl TokenError {
    /// The error with its fix, for a person.
    pub fn text(&self) -> Text {
        let of_key = |id, key: &str, token: &str| Text::new(id).with("key", key).with("token", token);
        match self {
            Self::Module { module, cause } => {
                Text::new("token-module").with("module", module.display()).with("cause", cause)
            }
            Self::NotStarted { module, cause } => {
                Text::new("token-not-started").with("module", module.display()).with("cause", cause)
            }
            Self::Absent { token, module, others } => Text::new("token-absent")
                .with("token", token)
                .with("module", module.display())
                .with("others", if others.is_empty() { "–".to_owned() } else { others.join(", ") }),
            Self::Ambiguous { token } => Text::new("token-ambiguous").with("token", token),
            Self::WrongPin { token } => Text::new("token-wrong-pin").with("token", token),
            Self::LockedPin { token } => Text::new("token-locked-pin").with("token", token),
            Self::LastAttempt { token } => Text::new("token-last-attempt").with("token", token),
            Self::NoKey { key, token } => of_key("token-no-key", key, token),
            Self::ManyKeys { key, token } => of_key("token-many-keys", key, token),
            Self::KeyExists { key, token } => of_key("token-key-exists", key, token),
            Self::WrongKey { key, token } => of_key("token-wrong-key", key, token),
            Self::Extractable { key, token } => of_key("token-extractable", key, token),
            Self::Call { token, cause } => Text::new("token-call").with("token", token).with("cause", cause),
        }
    }

    /// Whether it may pass by itself, as when a device is away.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::NotStarted { .. } | Self::Absent { .. } | Self::Call { .. })
    }

    /// Whether another attempt could lock the token.
    pub(super) const fn concerns_pin(&self) -> bool {
        matches!(self, Self::WrongPin { .. } | Self::LockedPin { .. } | Self::LastAttempt { .. })
    }

    /// What the token said, as an error.
    pub(super) fn of_call(settings: &TokenSettings) -> impl Fn(Error) -> Self {
        let token = settings.token_name();
        move |error| {
            let token = token.clone();
            match error {
                Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _) => {
                    Self::WrongPin { token }
                }
                Error::Pkcs11(RvError::PinLocked, _) => Self::LockedPin { token },
                error => Self::Call { token, cause: said(&error) },
            }
        }
    }
}

/// What a module said, in the words of PKCS #11; the crate's own are whole paragraphs.
pub(super) fn said(error: &Error) -> String {
    match error {
        Error::Pkcs11(value, function) => format!("C_{function:?}: {value:?}"),
        error => error.to_string(),
    }
}
