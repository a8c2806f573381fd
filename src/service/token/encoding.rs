//! Between what tokens and what X.509 call a public key and a signature.

use aws_lc_rs::digest::{SHA256, digest};
use yasna::DERWriter;
use yasna::models::ObjectIdentifier;

/// The DER of the curve's OID, which is CKA_EC_PARAMS of a key on P-256 (RFC 5480 §2.1.1.1).
pub(super) const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 65,537, as CKA_PUBLIC_EXPONENT.
pub(super) const F4: [u8; 3] = [1, 0, 1];

/// `DigestInfo` of SHA-256 up to the digest (RFC 8017 §9.2, note 1).
const DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// The SubjectPublicKeyInfo of a key on P-256 (RFC 5480 §2). CKA_EC_POINT is an OCTET STRING with the point; older tokens
/// give the point alone.
pub(super) fn of_point(point: &[u8]) -> Vec<u8> {
    let point = point.strip_prefix(&[0x04, 0x41]).filter(|point| point.len() == 65).unwrap_or(point);
    public_key(&[1, 2, 840, 10_045, 2, 1], |writer| writer.write_der(&P256), point)
}

/// The SubjectPublicKeyInfo of an RSA key (RFC 3279 §2.3.1), of CKA_MODULUS and CKA_PUBLIC_EXPONENT.
pub(super) fn of_modulus(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_bigint_bytes(modulus, true);
            writer.next().write_bigint_bytes(exponent, true);
        });
    });
    public_key(&[1, 2, 840, 113_549, 1, 1, 1], |writer| writer.write_null(), &key)
}

fn public_key(algorithm: &[u64], parameters: impl FnOnce(DERWriter<'_>), key: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_sequence(|writer| {
                writer.next().write_oid(&ObjectIdentifier::from_slice(algorithm));
                parameters(writer.next());
            });
            writer.next().write_bitvec_bytes(key, key.len() * 8);
        });
    })
}

/// What CKM_ECDSA signs. A token that hashed by itself would have to be sent whole revocation lists.
pub(super) fn hashed(message: &[u8]) -> Vec<u8> {
    digest(&SHA256, message).as_ref().to_vec()
}

/// What CKM_RSA_PKCS signs, so that the result is sha256WithRSAEncryption.
pub(super) fn hashed_for_rsa(message: &[u8]) -> Vec<u8> {
    [DIGEST_INFO.as_slice(), digest(&SHA256, message).as_ref()].concat()
}

/// `Ecdsa-Sig-Value` (RFC 3279 §2.2.3) of r and s, which a token puts one after the other.
pub(super) fn of_pair(pair: &[u8]) -> Vec<u8> {
    let (r, s) = pair.split_at(pair.len() / 2);
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_bigint_bytes(r, true);
            writer.next().write_bigint_bytes(s, true);
        });
    })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    };
    use rcgen::{PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};
    use x509_parser::prelude::FromDer;
    use x509_parser::public_key::{PublicKey, RSAPublicKey};
    use x509_parser::x509::SubjectPublicKeyInfo;

    use super::*;

    #[test]
    fn a_pair_becomes_der_whatever_zeros_and_high_bits_it_starts_with() {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref());
        // One in 256 starts with an octet 0, every other one with a high bit.
        for number in 0..2_000_u32 {
            let message = number.to_be_bytes();
            let pair = key.sign(&random, &message).unwrap();
            assert!(public.verify(&message, &of_pair(pair.as_ref())).is_ok(), "{:?}", pair.as_ref());
        }
    }

    #[test]
    fn public_keys_are_as_rcgen_writes_them() {
        let key = rcgen::KeyPair::generate().unwrap();
        let point = key.der_bytes();
        for given in [point.to_vec(), [&[0x04, 0x41], point].concat()] {
            assert_eq!(of_point(&given), key.subject_public_key_info());
        }
        let key = rcgen::KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let info = key.subject_public_key_info();
        let (_, read) = SubjectPublicKeyInfo::from_der(&info).unwrap();
        let Ok(PublicKey::RSA(RSAPublicKey { modulus, exponent })) = read.parsed() else { panic!("no RSA key") };
        let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
        assert_eq!(of_modulus(modulus, exponent), info);
    }
}
