//! Certificate signing requests (PKCS #10, RFC 2986) for this machine.

use rcgen::string::Ia5String;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};

use super::keys::{KeyAlgorithm, KeyError, PrivateKey};
use crate::protocol::request::Kind;
use crate::protocol::subject::Subject;

/// The DER CSR for a subject: SAN with the e-mail address (and the host name of a server), the product's key usages,
/// clientAuth; signed with the key itself.
pub fn build(
    subject: &Subject,
    kind: Kind,
    email: &str,
    algorithm: KeyAlgorithm,
    key: &PrivateKey,
) -> Result<Vec<u8>, KeyError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject.to_distinguished_name().map_err(KeyError::Request)?;
    let ia5 = |text: &str| Ia5String::try_from(text).map_err(KeyError::Request);
    if kind.named_by_host() {
        params.subject_alt_names.push(SanType::DnsName(ia5(&subject.common_name)?));
    }
    // RFC 5280 §4.1.2.6: the address belongs into the SAN, not into the subject.
    params.subject_alt_names.push(SanType::Rfc822Name(ia5(email)?));
    params.key_usages = if algorithm.is_elliptic() {
        // Encipherment has no meaning with these keys (RFC 8813 §3).
        vec![KeyUsagePurpose::DigitalSignature]
    } else {
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::DataEncipherment]
    };
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let request = params.serialize_request(key.pair()).map_err(KeyError::Request)?;
    Ok(request.der().to_vec())
}
