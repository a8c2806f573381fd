//! Whether a certificate from the service is the one that was asked for, before it goes into a store or a file.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, UnixTime,
};
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

/// Checks certificates, and verifies the signature of an issuer that stands above many of them once.
#[derive(Debug)]
pub struct Checker<'a> {
    trust_anchor: &'a [u8],
    issuers: Mutex<Vec<Verified>>,
}

/// A good signature, with all that its verification depends on.
#[derive(Debug, PartialEq, Eq)]
struct Verified {
    algorithms: [AlgorithmIdentifier; 2],
    public_key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

/// So many issuers are remembered: more than stand above the certificates of one service.
const ISSUERS: usize = 8;

impl<'a> Checker<'a> {
    /// Checks what has to chain up to this certificate (DER).
    pub fn new(trust_anchor: &'a [u8]) -> Self {
        Self { trust_anchor, issuers: Mutex::default() }
    }

    /// Checks an issued certificate against the CSR and the name of its request, and its chain up to the trust anchor;
    /// the issuers sent along are only used as far as they lead there.
    pub fn check<'b>(
        &self,
        issued: &'b Issued,
        chain: &'b [Vec<u8>],
        csr: &[u8],
        kind: Kind,
        common_name: &str,
        now: OffsetDateTime,
    ) -> Result<Delivery<'b>, InstallationError> {
        let der = issued.certificate.0.as_slice();
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| InstallationError::Unreadable)?;
        let (_, request) = X509CertificationRequest::from_der(csr).map_err(|_| InstallationError::Unreadable)?;
        if certificate.public_key().raw != request.certification_request_info.subject_pki.raw {
            return Err(InstallationError::Key);
        }
        let mut names = certificate.subject().iter_common_name();
        let found = names.next().and_then(|name| name.as_str().ok()).unwrap_or_default();
        if identity(found) != identity(common_name) {
            return Err(InstallationError::Name { found: found.to_owned(), expected: common_name.to_owned() });
        }
        self.verify_chain(der, certificate.tbs_certificate.as_ref(), chain, kind, now)
            .map_err(|source| InstallationError::Chain { source })?;
        Ok(Delivery { certificate: der, chain })
    }

    fn verify_chain(
        &self,
        der: &[u8],
        tbs: &[u8],
        chain: &[Vec<u8>],
        kind: Kind,
        now: OffsetDateTime,
    ) -> Result<(), webpki::Error> {
        let anchor = CertificateDer::from(self.trust_anchor);
        let anchors = [anchor_from_trusted_cert(&anchor)?];
        let intermediates: Vec<CertificateDer<'_>> =
            chain.iter().map(|issuer| CertificateDer::from(issuer.as_slice())).collect();
        let usage = if kind == Kind::ExternalServer { KeyUsage::server_auth() } else { KeyUsage::client_auth() };
        // A clock that is a little behind must not throw away a certificate that starts a minute ago.
        let tolerant = now.unix_timestamp().saturating_add(300).max(0).unsigned_abs();
        let moment = UnixTime::since_unix_epoch(Duration::from_secs(tolerant));
        let algorithms: Vec<_> = ALL_VERIFICATION_ALGS
            .iter()
            .map(|algorithm| Remembering { algorithm: *algorithm, once: tbs, issuers: &self.issuers })
            .collect();
        let algorithms: Vec<_> =
            algorithms.iter().map(|algorithm| algorithm as &dyn SignatureVerificationAlgorithm).collect();
        EndEntityCert::try_from(&CertificateDer::from(der))?
            .verify_for_usage(&algorithms, &anchors, &intermediates, moment, usage, None, None)
            .map(|_| ())
    }
}

/// An algorithm that remembers what it verified. What is good once stays good: nothing else enters a signature's
/// verification (RFC 5280 §6.1.3 (a) (1)), and names, times and purposes are looked at each time.
#[derive(Debug)]
struct Remembering<'a> {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    /// What is verified this once: the to-be-signed bytes of the certificate in question.
    once: &'a [u8],
    issuers: &'a Mutex<Vec<Verified>>,
}

impl SignatureVerificationAlgorithm for Remembering<'_> {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let algorithms = [self.public_key_alg_id(), self.signature_alg_id()];
        let issuers = || self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_this = |known: &Verified| {
            known.algorithms == algorithms
                && known.public_key == public_key
                && known.message == message
                && known.signature == signature
        };
        if issuers().iter().any(is_this) {
            return Ok(());
        }
        self.algorithm.verify_signature(public_key, message, signature)?;
        let mut issuers = issuers();
        if message != self.once && issuers.len() < ISSUERS && !issuers.iter().any(is_this) {
            let [public_key, message, signature] = [public_key, message, signature].map(<[u8]>::to_vec);
            issuers.push(Verified { algorithms, public_key, message, signature });
        }
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }

    fn fips(&self) -> bool {
        self.algorithm.fips()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };

    use super::*;
    use crate::protocol::messages::Der;

    fn params(name: &str, is_ca: IsCa) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = is_ca;
        params
    }

    #[test]
    fn an_issuer_is_verified_once_and_nobody_else_passes_for_it() {
        let key = || KeyPair::generate().unwrap();
        let ca = || IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params("root", ca()), key()).unwrap();
        let issuer_params = params("issuer", ca());
        let issuer_key = key();
        let issuer = issuer_params.signed_by(&issuer_key, &root).unwrap();
        let signing = Issuer::new(issuer_params.clone(), &issuer_key);
        let mut leaf_params = params("server", IsCa::NoCa);
        leaf_params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf_key = key();
        let csr = leaf_params.serialize_request(&leaf_key).unwrap();
        let leaf = leaf_params.signed_by(&leaf_key, &signing).unwrap();
        // The same names, by somebody else.
        let foreign_root = CertifiedIssuer::self_signed(params("root", ca()), key()).unwrap();
        let foreign_key = key();
        let foreign = issuer_params.signed_by(&foreign_key, &foreign_root).unwrap();
        let foreign_leaf = leaf_params.signed_by(&leaf_key, &Issuer::new(issuer_params, &foreign_key)).unwrap();
        let damaged = |der: &[u8], at: usize| {
            let mut der = der.to_vec();
            der[at] ^= 1;
            der
        };

        let checker = Checker::new(root.der());
        let check = |leaf: &[u8], issuer: &[u8]| {
            let issued = Issued { serial: String::new(), certificate: Der(leaf.to_vec()), chain: Vec::new() };
            let chain = [issuer.to_vec(), root.der().to_vec()];
            let now = OffsetDateTime::now_utc();
            checker.check(&issued, &chain, csr.der(), Kind::ExternalServer, "server", now).is_ok()
        };
        for _ in 0..2 {
            assert!(check(leaf.der(), issuer.der()));
        }
        assert_eq!(checker.issuers.lock().unwrap().len(), 1);
        for _ in 0..2 {
            // In the serial number, and in the signature.
            for at in [20, issuer.der().len() - 1] {
                assert!(!check(leaf.der(), &damaged(issuer.der(), at)));
            }
            assert!(!check(&damaged(leaf.der(), leaf.der().len() - 1), issuer.der()));
            assert!(!check(leaf.der(), foreign.der()));
            assert!(!check(foreign_leaf.der(), foreign.der()));
            assert!(!check(foreign_leaf.der(), issuer.der()));
        }
    }
}
