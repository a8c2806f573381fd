//! The key of a CSR, and the signature that proves possession of its other half.

use std::fmt;

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use num_bigint::BigUint;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::der_parser::asn1_rs::{Oid, Tag};
use x509_parser::der_parser::oid;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{Finding, Possession, Rule};
use crate::protocol::csr_form::rsa_public_key;
use crate::protocol::weak_key::weakness;

/// The keys that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with a modulus of so many bits: 2048, 3072 or 4096.
    Rsa(u16),
    /// ECDSA on NIST P-256.
    P256,
    /// ECDSA on NIST P-384.
    P384,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(formatter, "RSA {bits}"),
            Self::P256 => formatter.write_str("EC P-256"),
            Self::P384 => formatter.write_str("EC P-384"),
        }
    }
}

/// What [`KeyKind`]s are accepted, in words.
const KEYS: &str = "RSA 2048, 3072, 4096; EC P-256, P-384";

pub(super) const RSA_ENCRYPTION: Oid<'static> = oid!(1.2.840.113549.1.1.1);
const EC_PUBLIC_KEY: Oid<'static> = oid!(1.2.840.10045.2.1);
const SECP256R1: Oid<'static> = oid!(1.2.840.10045.3.1.7);
const SECP384R1: Oid<'static> = oid!(1.3.132.0.34);

/// The kind of a key, if it is one that is accepted.
#[cfg(feature = "service")]
pub(crate) fn key_kind(info: &SubjectPublicKeyInfo<'_>) -> Option<KeyKind> {
    check_key(info, &mut Vec::new())
}

/// The key's kind, if it is one that is accepted.
pub(super) fn check_key(info: &SubjectPublicKeyInfo<'_>, findings: &mut Vec<Finding>) -> Option<KeyKind> {
    let mut refuse = |rule, found: &str, expected: &str| {
        findings.push(Finding::new(rule, "key", found, expected));
        None
    };
    let algorithm = &info.algorithm.algorithm;
    let parameters = info.algorithm.parameters.as_ref();
    let public_key = info.subject_public_key.data.as_ref();
    if *algorithm == EC_PUBLIC_KEY {
        // Of another type, the same octets would pass for a curve; the certificate will carry them as they are.
        let named = parameters.filter(|parameters| parameters.tag() == Tag::Oid);
        let curve = named.and_then(|parameters| parameters.as_oid().ok());
        // Uncompressed points are those that every reader knows (RFC 5480 §2.2).
        let uncompressed = |bytes: usize| public_key.first() == Some(&0x04) && public_key.len() == 1 + 2 * bytes;
        return match curve {
            Some(curve) if curve == SECP256R1 && uncompressed(32) => Some(KeyKind::P256),
            Some(curve) if curve == SECP384R1 && uncompressed(48) => Some(KeyKind::P384),
            Some(curve) if curve == SECP256R1 || curve == SECP384R1 => {
                refuse(Rule::KeyType, "EC, 02/03 ‖ X", "04 ‖ X ‖ Y (SEC 1 §2.3.3)")
            }
            Some(curve) => refuse(Rule::KeyType, &format!("EC {}", curve.to_id_string()), KEYS),
            None => refuse(Rule::KeyType, "EC, ≠ namedCurve", KEYS),
        };
    }
    if *algorithm != RSA_ENCRYPTION {
        return refuse(Rule::KeyType, &algorithm.to_id_string(), KEYS);
    }
    // RFC 3279 §2.3.1: the parameters are NULL. The certificate will carry these bytes as they are.
    if parameters.is_none_or(|parameters| parameters.tag() != Tag::Null) {
        return refuse(Rule::KeyType, "RSA, parameters ≠ NULL", "NULL");
    }
    let Some((modulus, exponent)) = rsa_public_key(public_key) else {
        return refuse(Rule::KeyType, "RSA", KEYS);
    };
    let modulus = BigUint::from_bytes_be(modulus);
    let bits = match modulus.bits() {
        bits @ (2048 | 3072 | 4096) => bits as u16,
        bits => return refuse(Rule::KeyType, &format!("RSA {bits}"), KEYS),
    };
    // FIPS 186-5 §5.1 (a): odd, above 2^16; 2^32 and more is nobody's habit and slow to verify.
    match BigUint::from_bytes_be(exponent) {
        exponent if exponent.bits() > 32 => {
            return refuse(Rule::WeakKey, &format!("e > 2^{}", exponent.bits() - 1), "e = 65537");
        }
        exponent if exponent < BigUint::from(65_537_u32) || !exponent.bit(0) => {
            return refuse(Rule::WeakKey, &format!("e = {exponent}"), "e = 65537");
        }
        _ => {}
    }
    match weakness(&modulus) {
        Some(weakness) => refuse(Rule::WeakKey, weakness, "n = p · q"),
        None => Some(KeyKind::Rsa(bits)),
    }
}

/// SHA-256, SHA-384 and SHA-512 with RSA (RFC 4055 §5), and with ECDSA (RFC 5758 §3.2).
static RSA_SIGNATURES: [Oid<'static>; 3] =
    [oid!(1.2.840.113549.1.1.11), oid!(1.2.840.113549.1.1.12), oid!(1.2.840.113549.1.1.13)];
static ECDSA_SIGNATURES: [Oid<'static>; 3] =
    [oid!(1.2.840.10045.4.3.2), oid!(1.2.840.10045.4.3.3), oid!(1.2.840.10045.4.3.4)];

pub(super) fn check_signature(
    csr: &X509CertificationRequest<'_>,
    key: Option<KeyKind>,
    possession: Possession,
    findings: &mut Vec<Finding>,
) {
    let algorithm = &csr.signature_algorithm.algorithm;
    let parameters = csr.signature_algorithm.parameters.as_ref();
    let with_rsa = RSA_SIGNATURES.contains(algorithm);
    let known = with_rsa || ECDSA_SIGNATURES.contains(algorithm);
    // RFC 4055 §5: NULL, and absent is to be accepted too; RFC 5758 §3.2: absent.
    if !known || !parameters.is_none_or(|parameters| with_rsa && parameters.tag() == Tag::Null) {
        let expected = "SHA-256, SHA-384, SHA-512 (RSA, ECDSA)";
        findings.push(Finding::new(Rule::SignatureAlgorithm, "signature", algorithm.to_id_string(), expected));
        return;
    }
    let Some(key) = key else { return };
    let public_key = &csr.certification_request_info.subject_pki.subject_public_key.data;
    let verifies = verifier(algorithm, key).is_some_and(|verifier| {
        possession != Possession::ToProve
            || UnparsedPublicKey::new(verifier, public_key)
                .verify(csr.certification_request_info.raw, &csr.signature_value.data)
                .is_ok()
    });
    if !verifies {
        findings.push(Finding::new(Rule::Signature, "signature", "", ""));
    }
}

/// What verifies a signature of this algorithm by this key, if the two belong together. `x509-parser` has the same for
/// most, but none for ECDSA with SHA-512.
fn verifier(algorithm: &Oid<'_>, key: KeyKind) -> Option<&'static dyn VerificationAlgorithm> {
    let (algorithms, verifiers): (_, [&'static dyn VerificationAlgorithm; 3]) = match key {
        KeyKind::Rsa(_) => (
            &RSA_SIGNATURES,
            [
                &signature::RSA_PKCS1_2048_8192_SHA256,
                &signature::RSA_PKCS1_2048_8192_SHA384,
                &signature::RSA_PKCS1_2048_8192_SHA512,
            ],
        ),
        KeyKind::P256 => (
            &ECDSA_SIGNATURES,
            [
                &signature::ECDSA_P256_SHA256_ASN1,
                &signature::ECDSA_P256_SHA384_ASN1,
                &signature::ECDSA_P256_SHA512_ASN1,
            ],
        ),
        KeyKind::P384 => (
            &ECDSA_SIGNATURES,
            [
                &signature::ECDSA_P384_SHA256_ASN1,
                &signature::ECDSA_P384_SHA384_ASN1,
                &signature::ECDSA_P384_SHA512_ASN1,
            ],
        ),
    };
    algorithms.iter().zip(verifiers).find_map(|(known, verifier)| (known == algorithm).then_some(verifier))
}
