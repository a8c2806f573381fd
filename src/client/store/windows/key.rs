//! A key on its way into a container of CryptoAPI.

use std::io;

use schannel::RawPointer;
use schannel::crypt_prov::CryptProv;
use windows_sys::Win32::Security::Cryptography::{
    AT_KEYEXCHANGE, CALG_RSA_KEYX, CUR_BLOB_VERSION, CryptDestroyKey, CryptGetUserKey, CryptImportKey, PRIVATEKEYBLOB,
};
use zeroize::Zeroizing;

use crate::client::keys::PrivateKey;
use crate::client::windows::checked;
use crate::protocol::der;

/// Puts an RSA key into a container, for signing and key exchange, never to be exported again.
pub(super) fn import(provider: &CryptProv, key: &PrivateKey) -> io::Result<()> {
    let blob = private_key_blob(&key.to_pkcs8()).ok_or(io::ErrorKind::InvalidData)?;
    let mut handle = 0;
    // SAFETY: the blob is as long as announced; the handle is closed below and nowhere else.
    unsafe {
        checked(CryptImportKey(provider.as_ptr() as usize, blob.as_ptr(), blob.len() as u32, 0, 0, &mut handle))?;
        CryptDestroyKey(handle);
    }
    Ok(())
}

/// Whether a container holds the key for key exchange, which is the one that we put there.
pub(super) fn holds_exchange_key(provider: &CryptProv) -> bool {
    let mut handle = 0;
    // SAFETY: the provider is open; the handle is closed at once where there is one.
    unsafe {
        let found = CryptGetUserKey(provider.as_ptr() as usize, AT_KEYEXCHANGE, &mut handle) != 0;
        if found {
            CryptDestroyKey(handle);
        }
        found
    }
}

/// A PKCS #8 RSA key (RFC 5208, RFC 8017 §A.1.2) as the PRIVATEKEYBLOB of wincrypt.h: a header, then the numbers,
/// little-endian, each as long as its place.
fn private_key_blob(pkcs8: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let outer = der::values(pkcs8).next()?;
    let inner = der::values(outer.content).nth(2)?;
    let sequence = der::values(inner.content).next()?;
    let numbers: Vec<&[u8]> = der::values(sequence.content)
        .map(|number| &number.content[number.content.iter().take_while(|&&byte| byte == 0).count()..])
        .collect();
    let [_version, modulus, public, private, prime1, prime2, exponent1, exponent2, coefficient] = numbers[..] else {
        return None;
    };
    let length = modulus.len();
    let half = length.div_ceil(2);
    let exponent = public.iter().try_fold(0_u32, |value, &byte| value.checked_mul(256)?.checked_add(byte.into()))?;
    // Reserved at once, so that no grown-out-of copy stays behind.
    let mut blob = Zeroizing::new(Vec::with_capacity(20 + 2 * length + 5 * half));
    blob.extend([PRIVATEKEYBLOB as u8, CUR_BLOB_VERSION as u8, 0, 0]);
    blob.extend(CALG_RSA_KEYX.to_le_bytes());
    blob.extend(*b"RSA2");
    blob.extend((8 * length as u32).to_le_bytes());
    blob.extend(exponent.to_le_bytes());
    let places = [
        (modulus, length),
        (prime1, half),
        (prime2, half),
        (exponent1, half),
        (exponent2, half),
        (coefficient, half),
        (private, length),
    ];
    for (number, place) in places {
        let padding = place.checked_sub(number.len())?;
        blob.extend(number.iter().rev());
        blob.extend(std::iter::repeat_n(0, padding));
    }
    Some(blob)
}
