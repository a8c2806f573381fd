//! The root's list (RFC 5280 §5): whether the issuing CA is revoked. Whoever checks every certificate of a chain wants it.
//!
//! The root's key makes it with the CA, and anew where somebody brings that key: it is kept elsewhere.

use std::path::Path;

use rcgen::SigningKey;
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::crl::{Revoked, list};
use super::{Ca, CaError, ISSUING, IssuingCertificate, ROOT, Serial, times};
use crate::protocol::messages::RevocationCode;
use crate::service::credential::{self, Credential, CredentialError, key_path};
use crate::service::files::{self, FileError};
use crate::service::private_key::Passphrase;

/// DER, in the CA's folder.
const FILE: &str = "root.crl";

/// The root's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootCrl {
    /// The list.
    pub der: Vec<u8>,
    /// Its number.
    pub number: u64,
    /// Since when it is good.
    pub this_update: OffsetDateTime,
    /// Until when.
    pub next_update: OffsetDateTime,
    /// When the issuing CA was revoked, if it was.
    pub issuing_revoked_at: Option<OffsetDateTime>,
}

/// What is to be made of the root's list.
#[derive(Debug, Default)]
pub struct RootCrlPlan<'a> {
    /// The root's key, where it is not in the CA's folder.
    pub key: Option<&'a Path>,
    /// What opens it.
    pub passphrase: Option<&'a Passphrase>,
    /// For how many days the list is good; else as long as the issuing certificate.
    pub days: Option<u32>,
    /// Whether the issuing CA is revoked by it. Lists that follow it say so, too.
    pub revoke_issuing: bool,
}

impl RootCrl {
    /// The list in the CA's folder; none where it was made before there were any.
    pub fn find(folder: &Path) -> Result<Option<Self>, CredentialError> {
        let path = folder.join(FILE);
        match files::read_public(&path) {
            Err(FileError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
            Ok(der) => Self::read(der).map(Some).ok_or(CredentialError::Malformed { path }),
        }
    }

    fn read(der: Vec<u8>) -> Option<Self> {
        let (_, list) = CertificateRevocationList::from_der(&der).ok()?;
        let number = list.crl_number()?.try_into().ok()?;
        let this_update = list.last_update().to_datetime();
        let next_update = list.next_update()?.to_datetime();
        let issuing_revoked_at =
            list.iter_revoked_certificates().next().map(|entry| entry.revocation_date.to_datetime());
        Some(Self { number, this_update, next_update, issuing_revoked_at, der })
    }

    /// Signs a list that follows the one before.
    pub(super) fn sign(
        root: &IssuingCertificate,
        key: &dyn SigningKey,
        issuing: &IssuingCertificate,
        last: Option<&Self>,
        plan: &RootCrlPlan<'_>,
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        let [root_end, issuing_end] = [root, issuing].map(|certificate| certificate.validity.not_after.to_datetime());
        let this_update = times::list_start(now, last.map(|last| last.this_update));
        let next_update = plan.days.map_or(issuing_end, |days| this_update + Duration::days(days.into())).min(root_end);
        let revoked_at = last.and_then(|last| last.issuing_revoked_at).or(plan.revoke_issuing.then_some(now));
        // Nothing is revoked after the list is made: the clock may have been ahead.
        let revoked_at = revoked_at.map(|revoked_at| revoked_at.min(now));
        let (_, certificate) = X509Certificate::from_der(&issuing.der).map_err(|_| CaError::Signature)?;
        let serial = Serial::try_from(certificate.raw_serial()).map_err(|_| CaError::Signature)?;
        let revoked = revoked_at.map(|revoked_at| Revoked { serial, revoked_at, code: RevocationCode::Unspecified });
        let number = now.unix_timestamp().unsigned_abs().max(last.map_or(0, |last| last.number + 1));
        let sign = |message: &[u8]| key.sign(message).map_err(CaError::Encoding);
        let der = list(root, sign, number, [this_update, next_update], revoked.as_slice())?;
        Self::read(der).ok_or(CaError::Signature)
    }

    /// Puts it into the CA's folder.
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        files::write_public(&folder.join(FILE), &self.der)
    }
}

impl Ca {
    /// Signs the root's list anew, to be written. The issuing key is not needed.
    ///
    /// # Errors
    /// [`CaError::Credential`] where the root's key is not there, cannot be opened, or is another one's.
    pub fn next_root_crl(folder: &Path, plan: &RootCrlPlan<'_>, now: OffsetDateTime) -> Result<RootCrl, CaError> {
        let inside = key_path(folder, ROOT);
        let root = Credential::unlock_with(folder, ROOT, plan.key.unwrap_or(&inside), plan.passphrase)?;
        let issuing = credential::read_chain(folder, ISSUING)?;
        let read = |chain: &[CertificateDer<'static>]| chain.first().cloned().and_then(IssuingCertificate::read);
        let (Some(certificate), Some(issuing)) = (read(root.chain()), read(&issuing)) else {
            return Err(CaError::Chain { folder: folder.to_owned() });
        };
        let last = RootCrl::find(folder)?;
        RootCrl::sign(&certificate, root.key(), &issuing, last.as_ref(), plan, now)
    }
}
