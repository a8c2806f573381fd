//! A manager's key and certificates in one PKCS #12 file (RFC 7292), as browsers and Windows import them.

use std::fmt;

use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey, PrivateKeyChain,
};
use rcgen::KeyPair;
use zeroize::Zeroizing;

use super::credential::CredentialError;
use crate::protocol::messages::Issued;

/// Letters and digits that nobody takes for another one.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// Letters and digits in a group.
const GROUP: usize = 5;
/// Letters and digits of a password: 123 bits.
const LENGTH: usize = 5 * GROUP;
/// The name of the key in the file; the certificates are named after their subjects.
const ALIAS: &str = "PTC Enroll";
/// What OpenSSL takes. More rounds protect passwords that can be guessed, which these cannot.
const ROUNDS: u32 = 2048;

/// A random password that a person can type: `k7fpm-2xw9d-…`. `Debug` hides it; it is zeroed when dropped.
pub struct Password(Zeroizing<String>);

impl Password {
    fn random() -> Result<Self, CredentialError> {
        // As long as it becomes, so that no part of it is left where a shorter one lay.
        let mut text = Zeroizing::new(String::with_capacity(LENGTH + LENGTH / GROUP));
        let mut count = 0;
        while count < LENGTH {
            let mut byte = Zeroizing::new([0_u8]);
            aws_lc_rs::rand::fill(byte.as_mut()).map_err(|_| CredentialError::Random)?;
            // A number beyond the alphabet is drawn again: all characters are equally likely.
            if let Some(character) = ALPHABET.get(usize::from(byte[0] % 32)) {
                if count > 0 && count % GROUP == 0 {
                    text.push('-');
                }
                text.push(char::from(*character));
                count += 1;
            }
        }
        Ok(Self(text))
    }

    /// The only way to the characters, for the file or the page that shows them.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

/// A PKCS #12 file with its password. `Debug` hides both.
pub struct Pkcs12 {
    /// The file.
    pub content: Zeroizing<Vec<u8>>,
    /// What opens it.
    pub password: Password,
}

impl Pkcs12 {
    /// Puts a key and what was issued for it into a file, up to the root, with a fresh password.
    ///
    /// Encrypted with triple DES and authenticated with HMAC-SHA-1, because that is what all import: AES-256 with
    /// SHA-256 is refused by Windows before Server 2019 and Windows 10, version 1709. What makes both weak, short
    /// passwords and collisions of SHA-1, does not matter for a password of 123 random bits and a MAC.
    pub fn seal(key: &KeyPair, issued: &Issued) -> Result<Self, CredentialError> {
        let password = Password::random()?;
        let content = write(key, issued, &password).map_err(|cause| CredentialError::Pkcs12 { cause })?;
        Ok(Self { content: Zeroizing::new(content), password })
    }
}

impl fmt::Debug for Pkcs12 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pkcs12").finish_non_exhaustive()
    }
}

fn write(key: &KeyPair, issued: &Issued, password: &Password) -> Result<Vec<u8>, p12_keystore::error::Error> {
    // The library keeps a copy of the key that it does not zero, for as long as this function runs.
    let key = PrivateKey::from_der(&Zeroizing::new(key.serialize_der()))?;
    let chain = [&issued.certificate].into_iter().chain(&issued.chain);
    let chain = chain.map(|der| Certificate::from_der(&der.0)).collect::<Result<Vec<_>, _>>()?;
    let mut store = KeyStore::new();
    store.add_entry(ALIAS, KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(issued.serial.as_str(), key, chain)));
    store
        .writer(password.expose())
        .encryption_algorithm(EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc)
        .encryption_iterations(ROUNDS)
        .mac_algorithm(MacAlgorithm::HmacSha1)
        .mac_iterations(ROUNDS)
        .write()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn passwords_are_typed_without_doubt_and_never_printed() {
        let passwords: Vec<Password> = (0..200).map(|_| Password::random().unwrap()).collect();
        for password in &passwords {
            let groups: Vec<&str> = password.expose().split('-').collect();
            assert_eq!(groups.len(), 5);
            assert!(groups.iter().all(|group| group.len() == GROUP), "{}", password.expose());
            assert_eq!(format!("{password:?}"), "Password(…)");
        }
        let used: BTreeSet<u8> = passwords.iter().flat_map(|password| password.expose().bytes()).collect();
        let expected: BTreeSet<u8> = ALPHABET.iter().copied().chain([b'-']).collect();
        assert_eq!(used, expected);
        let different: BTreeSet<&str> = passwords.iter().map(Password::expose).collect();
        assert_eq!(different.len(), passwords.len());
    }
}
