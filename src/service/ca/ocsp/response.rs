//! What is answered (RFC 6960 §4.2), and who signs it.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SigningKey};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, Tag};
use zeroize::Zeroizing;

use super::request::{CertId, NONCE};
use crate::protocol::messages::RevocationCode;
use crate::service::ca::crl::reason;
use crate::service::ca::times::push_generalized_time;
use crate::service::ca::{CaError, Profile, Serial, middle};

/// id-pkix-ocsp-basic.
const BASIC: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 1];
/// ecdsa-with-SHA256 (RFC 5758 §3.2).
const ECDSA_WITH_SHA256: &[u64] = &[1, 2, 840, 10_045, 4, 3, 2];

/// Why there is no state in a response (RFC 6960 §4.2.1). Such a response is not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsuccessful {
    /// The request cannot be read.
    MalformedRequest = 1,
    /// The responder failed.
    InternalError = 2,
    /// Ask again later.
    TryLater = 3,
    /// The responder does not answer for this issuer (RFC 5019 §2.2.3).
    Unauthorized = 6,
}

impl Unsuccessful {
    /// The OCSPResponse, DER.
    pub const fn der(self) -> &'static [u8] {
        match self {
            Self::MalformedRequest => &[0x30, 3, 0x0a, 1, 1],
            Self::InternalError => &[0x30, 3, 0x0a, 1, 2],
            Self::TryLater => &[0x30, 3, 0x0a, 1, 3],
            Self::Unauthorized => &[0x30, 3, 0x0a, 1, 6],
        }
    }
}

/// The state of a certificate (CertStatus).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Issued and not revoked.
    Good,
    /// Revoked, when and why.
    Revoked(OffsetDateTime, RevocationCode),
    /// Not issued by this CA, as far as is known.
    Unknown,
}

/// What is said of one certificate (SingleResponse).
#[derive(Debug)]
pub struct Single<'a> {
    /// As it was asked for.
    pub certificate: &'a CertId,
    /// Its state.
    pub standing: Standing,
    /// Since when this is known.
    pub this_update: OffsetDateTime,
    /// When more will be known.
    pub next_update: OffsetDateTime,
}

/// A key that signs responses, with the certificate by which the CA delegated that to it (RFC 6960 §4.2.2.2). `Debug`
/// hides the key.
pub struct Responder {
    key: Zeroizing<KeyPair>,
    certificate: Vec<u8>,
    serial: Serial,
    key_hash: Vec<u8>,
    validity: [OffsetDateTime; 2],
}

impl Responder {
    /// What the CA is to certify for a fresh key: the key is in memory only, and ends with the process.
    pub fn key() -> Result<Zeroizing<KeyPair>, CaError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Zeroizing::new).map_err(CaError::Encoding)
    }

    /// A responder of a key and its certificate (DER).
    ///
    /// # Errors
    /// [`CaError::Signature`] where the certificate is another key's, or not for this.
    pub fn new(key: Zeroizing<KeyPair>, certificate: Vec<u8>) -> Result<Self, CaError> {
        let (_, read) = X509Certificate::from_der(&certificate).map_err(|_| CaError::Signature)?;
        let usage = read.extended_key_usage().ok().flatten();
        if read.public_key().raw != key.subject_public_key_info()
            || !usage.is_some_and(|usage| usage.value.ocsp_signing)
        {
            return Err(CaError::Signature);
        }
        let serial = Serial::try_from(read.raw_serial()).map_err(|_| CaError::Signature)?;
        let validity = [read.validity().not_before, read.validity().not_after].map(|time| time.to_datetime());
        // ResponderID by key: the SHA-1 of the key's BIT STRING without its header (RFC 6960 §4.2.1).
        let key_hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &read.public_key().subject_public_key.data).as_ref().to_vec();
        Ok(Self { key, serial, key_hash, validity, certificate })
    }

    /// The serial number of its certificate.
    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// Whether the certificate is within its validity.
    pub fn is_good(&self, now: OffsetDateTime) -> bool {
        self.validity[0] <= now && now < self.validity[1]
    }

    /// Whether half of the certificate's time is over.
    pub fn is_ageing(&self, now: OffsetDateTime) -> bool {
        let [start, end] = self.validity;
        now >= middle(start, end)
    }

    /// When the certificate ends, and with it every response.
    pub fn ends(&self) -> OffsetDateTime {
        self.validity[1]
    }

    /// Signs an OCSPResponse and returns it in DER. With a nonce, it repeats it (RFC 9654).
    pub fn sign(&self, singles: &[Single<'_>], nonce: Option<&[u8]>, now: OffsetDateTime) -> Result<Vec<u8>, CaError> {
        let data = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_tagged(Tag::context(2), |writer| writer.write_bytes(&self.key_hash));
                write_time(writer.next(), now);
                writer.next().write_sequence(|writer| {
                    for single in singles {
                        write_single(writer.next(), single);
                    }
                });
                if let Some(nonce) = nonce {
                    writer.next().write_tagged(Tag::context(1), |writer| {
                        writer.write_sequence(|writer| {
                            writer.next().write_sequence(|writer| {
                                writer.next().write_der(&[&[0x06, NONCE.len() as u8], NONCE.as_slice()].concat());
                                let value = yasna::construct_der(|writer| writer.write_bytes(nonce));
                                writer.next().write_bytes(&value);
                            });
                        });
                    });
                }
            });
        });
        let signature = self.key.sign(&data).map_err(CaError::Encoding)?;
        let basic = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_der(&data);
                writer.next().write_sequence(|writer| {
                    writer.next().write_oid(&ObjectIdentifier::from_slice(ECDSA_WITH_SHA256));
                });
                writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
                writer.next().write_tagged(Tag::context(0), |writer| {
                    writer.write_sequence(|writer| writer.next().write_der(&self.certificate));
                });
            });
        });
        Ok(yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                // successful
                writer.next().write_enum(0);
                writer.next().write_tagged(Tag::context(0), |writer| {
                    writer.write_sequence(|writer| {
                        writer.next().write_oid(&ObjectIdentifier::from_slice(BASIC));
                        writer.next().write_bytes(&basic);
                    });
                });
            });
        }))
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Responder").field("profile", &Profile::OcspResponder).finish_non_exhaustive()
    }
}

fn write_single(writer: DERWriter<'_>, single: &Single<'_>) {
    writer.write_sequence(|writer| {
        let CertId { algorithm, name, key, serial } = single.certificate;
        writer.next().write_sequence(|writer| {
            writer.next().write_sequence(|writer| writer.next().write_der(algorithm));
            writer.next().write_bytes(name);
            writer.next().write_bytes(key);
            // As it came: DER already, and whatever its sign.
            let positive = serial.first().is_some_and(|first| *first < 0x80);
            writer.next().write_bigint_bytes(serial, positive);
        });
        match single.standing {
            Standing::Good => writer.next().write_tagged_implicit(Tag::context(0), |writer| writer.write_null()),
            Standing::Revoked(revoked_at, code) => writer.next().write_tagged_implicit(Tag::context(1), |writer| {
                writer.write_sequence(|writer| {
                    write_time(writer.next(), revoked_at);
                    if let Some(reason) = reason(code) {
                        writer.next().write_tagged(Tag::context(0), |writer| writer.write_enum(reason.into()));
                    }
                });
            }),
            Standing::Unknown => writer.next().write_tagged_implicit(Tag::context(2), |writer| writer.write_null()),
        }
        write_time(writer.next(), single.this_update);
        writer.next().write_tagged(Tag::context(0), |writer| write_time(writer, single.next_update));
    });
}

fn write_time(writer: DERWriter<'_>, time: OffsetDateTime) {
    let mut encoded = Vec::new();
    push_generalized_time(&mut encoded, time);
    writer.write_der(&encoded);
}
