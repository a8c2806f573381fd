//! The outer form of a CSR: the file it comes in, and the structure of RFC 2986 §4. What it asks for is judged in
//! [`super::rules`].

use std::borrow::Cow;

use super::der::{Value, values};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const ATTRIBUTES: u8 = 0xa0;

/// The characters of a file as UTF-8 without a byte order mark; other bytes stay as they are.
///
/// PowerShell 5.1 writes redirected output as UTF-16, so `openssl req … > server.csr` makes such a file.
pub(super) fn characters(bytes: &[u8]) -> Cow<'_, [u8]> {
    let decode = |units: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = units.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        Cow::Owned(String::from_utf16_lossy(&units).into_bytes())
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => decode(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => decode(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => Cow::Borrowed(rest),
        _ => Cow::Borrowed(bytes),
    }
}

/// Whether one of the PEM blocks is a private key of any kind: PKCS #8, PKCS #1, SEC 1, OpenSSH, encrypted or not.
pub(super) fn is_pem_private_key(text: &[u8]) -> bool {
    text.split(|byte| matches!(byte, b'\n' | b'\r')).any(|line| {
        let holds = |words: &[u8]| line.windows(words.len()).any(|window| window == words);
        holds(b"-----BEGIN ") && holds(b"PRIVATE KEY")
    })
}

/// Whether the bytes are, or begin like, a binary private key.
///
/// PrivateKeyInfo (RFC 5958 §2), RSAPrivateKey (RFC 8017 §A.1.2), ECPrivateKey (RFC 5915 §3) and PKCS #12 (RFC 7292
/// §4) start with a version where a CSR has a SEQUENCE; in EncryptedPrivateKeyInfo (RFC 5958 §3) that is an algorithm,
/// followed by the encrypted octets. Looked at byte by byte, because PKCS #12 comes in BER and a cut key is still one.
pub(super) fn is_binary_private_key(bytes: &[u8]) -> bool {
    let Some(body) = contents(bytes) else { return false };
    match body {
        [INTEGER, ..] => true,
        [SEQUENCE, ..] => {
            let mut members = values(body).map(|member| (member.tag, values(member.content).next()));
            let algorithm = members.next().and_then(|(_, first)| first).map(|first| first.tag);
            algorithm == Some(OBJECT_IDENTIFIER) && members.next().is_some_and(|(tag, _)| tag == OCTET_STRING)
        }
        _ => false,
    }
}

/// What follows the tag and length of a SEQUENCE, be it complete or not.
fn contents(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [SEQUENCE, 0x80, rest @ ..] => Some(rest),
        [SEQUENCE, length @ 0x81..=0x84, rest @ ..] => rest.get(usize::from(length & 0x7f)..),
        [SEQUENCE, 0x00..0x80, rest @ ..] => Some(rest),
        _ => None,
    }
}

/// Whether DER has exactly the structure of a CertificationRequest (RFC 2986 §4).
///
/// `x509-parser` passes over whatever follows the members it expects; here nothing follows them.
pub(super) fn is_pkcs10(der: &[u8]) -> bool {
    let structure = || {
        let [info, signature_algorithm, signature] = members(values(der).next()?, SEQUENCE)?;
        let [version, subject, key, attributes] = members(info, SEQUENCE)?;
        let [key_algorithm, public_key] = members(key, SEQUENCE)?;
        let good = (version.tag, version.content) == (INTEGER, &[0])
            && subject.tag == SEQUENCE
            && values(subject.content).all(is_relative_name)
            && attributes.tag == ATTRIBUTES
            && values(attributes.content).all(is_attribute)
            && [signature_algorithm, key_algorithm].into_iter().all(is_algorithm)
            && [signature, public_key].into_iter().all(is_octets);
        Some(good)
    };
    structure().unwrap_or(false)
}

/// RelativeDistinguishedName (RFC 5280 §4.1.2.4).
fn is_relative_name(set: Value<'_>) -> bool {
    let pair = |value| members(value, SEQUENCE).is_some_and(|[kind, _]| kind.tag == OBJECT_IDENTIFIER);
    set.tag == SET && !set.content.is_empty() && values(set.content).all(pair)
}

/// An attribute of one value: those that a CSR carries are SINGLE VALUE (RFC 2985 §5.4).
fn is_attribute(value: Value<'_>) -> bool {
    members(value, SEQUENCE)
        .is_some_and(|[kind, set]| kind.tag == OBJECT_IDENTIFIER && set.tag == SET && values(set.content).count() == 1)
}

/// A SEQUENCE with so many members.
fn members<const COUNT: usize>(value: Value<'_>, tag: u8) -> Option<[Value<'_>; COUNT]> {
    let members: Vec<_> = (value.tag == tag).then(|| values(value.content).collect())?;
    members.try_into().ok()
}

/// AlgorithmIdentifier (RFC 5280 §4.1.1.2).
fn is_algorithm(value: Value<'_>) -> bool {
    let members: Vec<_> = values(value.content).collect();
    value.tag == SEQUENCE && members.len() <= 2 && members.first().is_some_and(|kind| kind.tag == OBJECT_IDENTIFIER)
}

/// A BIT STRING of whole octets, as keys and signatures are.
fn is_octets(value: Value<'_>) -> bool {
    value.tag == BIT_STRING && value.content.first() == Some(&0)
}

/// Modulus and public exponent of an RSAPublicKey (RFC 8017 §A.1.1), which are positive.
pub(super) fn rsa_public_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    super::der::check(der).ok()?;
    let numbers: [Value<'_>; 2] = members(values(der).next()?, SEQUENCE)?;
    let [modulus, exponent] = numbers;
    let positive =
        |number: &Value<'_>| number.tag == INTEGER && number.content.first().is_some_and(|sign| *sign < 0x80);
    numbers.iter().all(positive).then_some((modulus.content, exponent.content))
}
