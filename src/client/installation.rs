//! Whether a certificate from the service is the one that was asked for, before it goes into a store or a file.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::store::Delivery;
use crate::locales::Text;
use crate::protocol::messages::Issued;
use crate::protocol::request::Kind;
use crate::protocol::subject::identity;

/// Why a certificate is not installed.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum InstallationError {
    /// It cannot be read.
    Unreadable,
    /// It holds another key than the CSR.
    Key,
    /// It carries another name than the one asked for.
    Name {
        /// The name it carries.
        found: String,
        /// The name asked for.
        expected: String,
    },
    /// It does not chain up to the trust anchor, is not valid now, or is for another purpose.
    Chain {
        /// Why.
        #[source]
        source: webpki::Error,
    },
    /// The file for a downloaded certificate cannot be written.
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl InstallationError {
    /// What happened and why.
    pub fn text(&self) -> Text {
        match self {
            Self::Unreadable => Text::new("error-certificate-unreadable"),
            Self::Key => Text::new("error-certificate-key"),
            Self::Name { found, expected } => {
                Text::new("error-certificate-name").with("found", found).with("expected", expected)
            }
            Self::Chain { source } => Text::new("error-certificate-chain").with("reason", source),
            Self::File { path, source } => {
                Text::new("error-certificate-file").with("path", path.display()).with("reason", source)
            }
        }
    }
}

/// Checks an issued certificate against the CSR and the name of its request, and its chain up to the trust anchor;
/// the issuers sent along are only used as far as they lead there.
pub fn check<'a>(
    issued: &'a Issued,
    chain: &'a [Vec<u8>],
    csr: &[u8],
    kind: Kind,
    common_name: &str,
    trust_anchor: &[u8],
    now: OffsetDateTime,
) -> Result<Delivery<'a>, InstallationError> {
    let der = issued.certificate.0.as_slice();
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| InstallationError::Unreadable)?;
    let (_, request) = X509CertificationRequest::from_der(csr).map_err(|_| InstallationError::Unreadable)?;
    if certificate.public_key().raw != request.certification_request_info.subject_pki.raw {
        return Err(InstallationError::Key);
    }
    let found = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    if identity(found) != identity(common_name) {
        return Err(InstallationError::Name { found: found.to_owned(), expected: common_name.to_owned() });
    }
    verify_chain(der, chain, kind, trust_anchor, now).map_err(|source| InstallationError::Chain { source })?;
    Ok(Delivery { certificate: der, chain })
}

fn verify_chain(
    der: &[u8],
    chain: &[Vec<u8>],
    kind: Kind,
    trust_anchor: &[u8],
    now: OffsetDateTime,
) -> Result<(), webpki::Error> {
    let anchor = CertificateDer::from(trust_anchor);
    let anchors = [anchor_from_trusted_cert(&anchor)?];
    let intermediates: Vec<CertificateDer<'_>> =
        chain.iter().map(|issuer| CertificateDer::from(issuer.as_slice())).collect();
    let usage = if kind == Kind::ExternalServer { KeyUsage::server_auth() } else { KeyUsage::client_auth() };
    // A clock that is a little behind must not throw away a certificate that starts a minute ago.
    let tolerant = now.unix_timestamp().saturating_add(300).max(0).unsigned_abs();
    let moment = UnixTime::since_unix_epoch(Duration::from_secs(tolerant));
    EndEntityCert::try_from(&CertificateDer::from(der))?
        .verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &intermediates, moment, usage, None, None)
        .map(|_| ())
}
