//! Which key in which token, as it stands in `enrollment.toml`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::locales::Text;
use crate::service::config::SettingsError;

/// CK_TOKEN_INFO has room for so many octets of a label.
const TOKEN_LABEL_LIMIT: usize = 32;

/// Where the CA's issuing key is, if it is in a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// The library that leads to the token, with its whole path.
    pub module: PathBuf,
    /// The token's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The token's serial number, where labels do not tell tokens apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_serial: Option<String>,
    /// The key's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key's identifier, hexadecimal, where labels do not tell keys apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The file with the user's PIN, relative to the home. What systemd gives as the credential `ca-pin` goes before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_file: Option<PathBuf>,
}

impl TokenSettings {
    /// Checks what the types do not.
    pub fn check(&self) -> Result<(), SettingsError> {
        let wrong = |setting, found: String, expected| {
            Err(SettingsError::Value { setting, found, expected: Text::new(expected) })
        };
        if !self.module.is_absolute() {
            return wrong("pkcs11.module", self.module.display().to_string(), "expected-absolute-path");
        }
        let label = self.token.as_deref().unwrap_or_default();
        if label.is_empty() && self.token_serial.is_none() || label.len() > TOKEN_LABEL_LIMIT {
            return wrong("pkcs11.token", label.to_owned(), "expected-token");
        }
        if self.key.as_deref().unwrap_or_default().is_empty() && self.key_id.is_none() {
            return wrong("pkcs11.key", String::new(), "expected-token-key");
        }
        if let Some(text) = self.key_id.as_ref().filter(|text| from_hexadecimal(text).is_none()) {
            return wrong("pkcs11.key_id", text.clone(), "expected-hexadecimal");
        }
        Ok(())
    }

    /// The key's identifier, where it is told.
    pub(super) fn key_id(&self) -> Option<Vec<u8>> {
        self.key_id.as_deref().and_then(from_hexadecimal)
    }

    /// The token, for a person.
    pub(super) fn token_name(&self) -> String {
        name(self.token.as_deref(), self.token_serial.as_deref())
    }

    /// The key, for a person.
    pub(super) fn key_name(&self) -> String {
        name(self.key.as_deref(), self.key_id.as_deref())
    }
}

impl fmt::Display for TokenSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} in {}", self.key_name(), self.token_name())
    }
}

fn name(label: Option<&str>, number: Option<&str>) -> String {
    match (label, number) {
        (Some(label), None) => label.to_owned(),
        (Some(label), Some(number)) => format!("{label} ({number})"),
        (None, number) => number.unwrap_or_default().to_owned(),
    }
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|start| u8::from_str_radix(&text[start..start + 2], 16).ok()).collect()
}
