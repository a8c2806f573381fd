//! The list of revoked certificates (RFC 5280 §5).
//!
//! Written by hand, because a list may have 100,000 entries, each of the one form that is allowed here.

use time::OffsetDateTime;
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, Tag};

use super::serial::Serial;
use super::times::{push_time, whole_seconds};
use super::{Ca, CaError, IssuingCertificate, lint};
use crate::protocol::messages::RevocationCode;

/// The longest entry: serial number, GeneralizedTime and reason.
const ENTRY_LIMIT: usize = 2 + 18 + 17 + 14;

const AUTHORITY_KEY_IDENTIFIER: &[u64] = &[2, 5, 29, 35];
const CRL_NUMBER: &[u64] = &[2, 5, 29, 20];

/// A certificate that is no longer good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number.
    pub serial: Serial,
    /// When it was revoked.
    pub revoked_at: OffsetDateTime,
    /// Why.
    pub code: RevocationCode,
}

impl Ca {
    /// Signs a full CRL and returns it in DER. The number must be larger than that of every CRL before
    /// (RFC 5280 §5.2.3); who calls keeps count.
    pub fn crl(
        &self,
        number: u64,
        this_update: OffsetDateTime,
        next_update: OffsetDateTime,
        revoked: &[Revoked],
    ) -> Result<Vec<u8>, CaError> {
        list(&self.issuing, |message| self.key.sign(message), number, [this_update, next_update], revoked)
    }
}

/// Signs a full CRL of this issuer's, good from when until when.
pub(super) fn list(
    issuer: &IssuingCertificate,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, CaError>,
    number: u64,
    updates: [OffsetDateTime; 2],
    revoked: &[Revoked],
) -> Result<Vec<u8>, CaError> {
    let to_be_signed = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            // Version 2.
            writer.next().write_u8(1);
            issuer.write_algorithm(writer.next());
            writer.next().write_der(&issuer.subject);
            for time in updates {
                let mut encoded = Vec::new();
                push_time(&mut encoded, whole_seconds(time));
                writer.next().write_der(&encoded);
            }
            // Left out rather than empty (RFC 5280 §5.1.2.6).
            if !revoked.is_empty() {
                writer.next().write_sequence(|writer| writer.next().write_der(&entries(revoked)));
            }
            writer.next().write_tagged(Tag::context(0), |writer| {
                writer.write_sequence(|writer| {
                    write_extension(writer.next(), AUTHORITY_KEY_IDENTIFIER, |writer| {
                        writer.write_sequence(|writer| {
                            writer.next().write_tagged_implicit(Tag::context(0), |writer| {
                                writer.write_bytes(&issuer.key_identifier);
                            });
                        });
                    });
                    write_extension(writer.next(), CRL_NUMBER, |writer| writer.write_u64(number));
                });
            });
        });
    });
    lint::crl(&to_be_signed, issuer)?;
    issuer.signed(&to_be_signed, sign)
}

/// The entries, one after the other.
fn entries(revoked: &[Revoked]) -> Vec<u8> {
    let mut entries = Vec::with_capacity(revoked.len() * ENTRY_LIMIT);
    for one in revoked {
        let start = entries.len();
        // The length follows when it is known; it is below 128, so it takes one octet.
        entries.extend([0x30, 0]);
        let serial = one.serial.as_ref();
        entries.extend([0x02, serial.len() as u8]);
        entries.extend(serial);
        push_time(&mut entries, whole_seconds(one.revoked_at));
        if let Some(reason) = reason(one.code) {
            // SEQUENCE { SEQUENCE { id-ce-cRLReasons, OCTET STRING { ENUMERATED } } } (RFC 5280 §5.3.1).
            entries.extend([0x30, 12, 0x30, 10, 0x06, 3, 0x55, 0x1d, 0x15, 0x04, 3, 0x0a, 1, reason]);
        }
        entries[start + 1] = (entries.len() - start - 2) as u8;
    }
    entries
}

/// The CRLReason of a code (RFC 5280 §5.3.1); the unspecified one is left out rather than written.
pub(super) const fn reason(code: RevocationCode) -> Option<u8> {
    match code {
        RevocationCode::Unspecified => None,
        RevocationCode::KeyCompromise => Some(1),
        RevocationCode::AffiliationChanged => Some(3),
        RevocationCode::Superseded => Some(4),
        RevocationCode::CessationOfOperation => Some(5),
        RevocationCode::PrivilegeWithdrawn => Some(9),
    }
}

/// An extension that is not critical.
fn write_extension(writer: DERWriter<'_>, oid: &[u64], write: impl FnOnce(DERWriter<'_>)) {
    writer.write_sequence(|writer| {
        writer.next().write_oid(&ObjectIdentifier::from_slice(oid));
        writer.next().write_bytes(&yasna::construct_der(write));
    });
}
