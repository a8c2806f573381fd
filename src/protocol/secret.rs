//! Enrollment secrets and request tokens: 256 random bits that prove who asks, and cannot be printed by accident.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// 256 random bits, written as 43 base64url characters (RFC 4648 §5). `Debug` hides them; they are zeroed when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

/// A text that is not a secret of this form.
#[derive(Debug, thiserror::Error)]
#[error("not 43 base64url characters")]
pub struct MalformedSecret;

impl Secret {
    /// A fresh secret from the system's random numbers; fails only where the system has none.
    pub fn random() -> Result<Self, Unspecified> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        aws_lc_rs::rand::fill(bytes.as_mut())?;
        Ok(Self(BASE64_URL_SAFE_NO_PAD.encode(bytes.as_ref())))
    }

    /// Reads a secret as it stands in a file or a header; white space around it is ignored.
    pub fn parse(text: &str) -> Result<Self, MalformedSecret> {
        let text = text.trim();
        let bytes = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| MalformedSecret)?);
        if bytes.len() == 32 { Ok(Self(text.to_owned())) } else { Err(MalformedSecret) }
    }

    /// The only way to the characters, for the header and the file that need them.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What may be stored and sent in its place.
    pub fn fingerprint(&self) -> SecretHash {
        SecretHash(sha256_hex(self.0.as_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// SHA-256 of a secret's characters, 64 lower-case hexadecimal digits. 256 random bits need no salt and no slow hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(try_from = "String", into = "String")]
pub struct SecretHash(String);

impl SecretHash {
    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares in constant time.
    pub fn matches(&self, secret: &Secret) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), secret.fingerprint().0.as_bytes()).is_ok()
    }
}

impl TryFrom<String> for SecretHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if is_sha256_hex(&text) { Ok(Self(text)) } else { Err("expected 64 lower-case hexadecimal digits") }
    }
}

impl From<SecretHash> for String {
    fn from(hash: SecretHash) -> Self {
        hash.0
    }
}

/// Whether a text is one of those of [`sha256_hex`].
pub fn is_sha256_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// SHA-256 as 64 lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(
        bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|half| char::from_digit(half.into(), 16)),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_and_hash_matches() {
        let secret = Secret::random().unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(secret.expose().len(), 43);
        assert!(secret.fingerprint().matches(&Secret::parse(&format!(" {}\n", secret.expose())).unwrap()));
        assert!(!secret.fingerprint().matches(&Secret::random().unwrap()));
    }

    #[test]
    fn only_the_exact_form_is_read() {
        for text in ["", "abc", &"A".repeat(44), &"+".repeat(43), &"A".repeat(42)] {
            assert!(Secret::parse(text).is_err(), "{text:?}");
        }
    }
}
