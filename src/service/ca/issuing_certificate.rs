//! The certificate of what signs, read once: everything that is signed or checked needs something of it. The issuing CA's, or
//! the root's for its list.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::Validity;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::AlgorithmIdentifier;
use yasna::DERWriter;
use yasna::models::ObjectIdentifier;

use super::{CaError, lint};
use crate::protocol::der;

/// A CA's certificate and what it says.
#[derive(Debug)]
pub(super) struct IssuingCertificate {
    /// The certificate, DER.
    pub(super) der: CertificateDer<'static>,
    /// The subject, DER.
    pub(super) subject: Vec<u8>,
    /// The SubjectPublicKeyInfo, DER.
    pub(super) public_key: Vec<u8>,
    /// The content of its BIT STRING.
    pub(super) subject_public_key: Vec<u8>,
    /// Whether that is an RSA key.
    pub(super) is_rsa: bool,
    /// The subject key identifier; empty where there is none.
    pub(super) key_identifier: Vec<u8>,
    /// From when until when.
    pub(super) validity: Validity,
    key: ParsedPublicKey,
}

impl IssuingCertificate {
    /// Reads a certificate; none where its key is of no kind that this CA signs with.
    pub(super) fn read(der: CertificateDer<'static>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let public_key = certificate.public_key();
        let is_rsa = lint::is_rsa(public_key.raw);
        let algorithm: &'static dyn VerificationAlgorithm =
            if is_rsa { &RSA_PKCS1_2048_8192_SHA256 } else { &ECDSA_P256_SHA256_ASN1 };
        let key_identifier = lint::find(certificate.extensions(), |parsed| match parsed {
            ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
            _ => None,
        });
        let subject_public_key = public_key.subject_public_key.data.to_vec();
        Some(Self {
            subject: certificate.subject().as_raw().to_vec(),
            public_key: public_key.raw.to_vec(),
            is_rsa,
            key_identifier: key_identifier.unwrap_or_default().to_vec(),
            validity: certificate.validity().clone(),
            key: ParsedPublicKey::new(algorithm, &subject_public_key).ok()?,
            subject_public_key,
            der,
        })
    }

    /// `SEQUENCE { to-be-signed, signatureAlgorithm, signature }` (RFC 5280 §4.1.1 and §5.1.1), checked once more. What signs
    /// has this certificate's key.
    pub(super) fn signed(
        &self,
        to_be_signed: &[u8],
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, CaError>,
    ) -> Result<Vec<u8>, CaError> {
        let signature = sign(to_be_signed)?;
        let signed = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_der(to_be_signed);
                self.write_algorithm(writer.next());
                writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
            });
        });
        if self.has_signed(&signed, to_be_signed) { Ok(signed) } else { Err(CaError::Signature) }
    }

    /// The AlgorithmIdentifier of this key's signatures.
    pub(super) fn write_algorithm(&self, writer: DERWriter<'_>) {
        writer.write_sequence(|writer| {
            if self.is_rsa {
                // sha256WithRSAEncryption, with NULL (RFC 4055 §5).
                writer.next().write_oid(&ObjectIdentifier::from_slice(&[1, 2, 840, 113_549, 1, 1, 11]));
                writer.next().write_null();
            } else {
                // ecdsa-with-SHA256, without parameters (RFC 5758 §3.2).
                writer.next().write_oid(&ObjectIdentifier::from_slice(&[1, 2, 840, 10_045, 4, 3, 2]));
            }
        });
    }

    /// Whether a certificate or list is `SEQUENCE { to-be-signed, signatureAlgorithm, signature }` (RFC 5280 §4.1.1 and
    /// §5.1.1) of exactly these bytes, with this key's algorithm and a signature of it.
    pub(super) fn has_signed(&self, signed: &[u8], to_be_signed: &[u8]) -> bool {
        let Ok((signed, [])) = der::split(signed) else { return false };
        let Some(rest) = signed.content.strip_prefix(to_be_signed) else { return false };
        let Ok((rest, algorithm)) = AlgorithmIdentifier::from_der(rest) else { return false };
        let Ok((signature, [])) = der::split(rest) else { return false };
        // A BIT STRING without unused bits.
        let Some(signature) = signature.content.strip_prefix(&[0]).filter(|_| signature.tag == 0x03) else {
            return false;
        };
        lint::is_algorithm_of(&algorithm, self) && self.verifies(to_be_signed, signature)
    }

    /// Whether a signature of a message is by this certificate's key.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}
