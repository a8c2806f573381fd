//! The list of revoked certificates (RFC 5280 §5).

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber};
use time::OffsetDateTime;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::serial::Serial;
use super::{Ca, CaError, lint, whole_seconds};
use crate::protocol::messages::RevocationCode;

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
        let issuing = self.issuing_certificate()?;
        let parameters = CertificateRevocationListParams {
            this_update: whole_seconds(this_update),
            next_update: whole_seconds(next_update),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::PreSpecified(lint::subject_key_identifier(&issuing).to_vec()),
        };
        let to_be_signed =
            self.to_be_signed(|issuer| parameters.signed_by(issuer).map(drop)).map_err(CaError::Encoding)?;
        lint::crl(&to_be_signed, &issuing)?;
        let der = self.signed(&to_be_signed)?;
        let (rest, crl) = CertificateRevocationList::from_der(&der).map_err(|_| CaError::Signature)?;
        let sound = rest.is_empty()
            && crl.tbs_cert_list.as_ref() == to_be_signed
            && crl.signature_algorithm == crl.tbs_cert_list.signature
            && crl.verify_signature(issuing.public_key()).is_ok();
        if sound { Ok(der) } else { Err(CaError::Signature) }
    }
}

fn entry(revoked: &Revoked) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: SerialNumber::from_slice(revoked.serial.as_ref()),
        revocation_time: whole_seconds(revoked.revoked_at),
        reason_code: match revoked.code {
            // RFC 5280 §5.3.1: left out rather than written.
            RevocationCode::Unspecified => None,
            RevocationCode::KeyCompromise => Some(RevocationReason::KeyCompromise),
            RevocationCode::AffiliationChanged => Some(RevocationReason::AffiliationChanged),
            RevocationCode::Superseded => Some(RevocationReason::Superseded),
            RevocationCode::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
            RevocationCode::PrivilegeWithdrawn => Some(RevocationReason::PrivilegeWithdrawn),
        },
        invalidity_date: None,
    }
}
