//! From a template to a certificate, in the safe order: build, lint, (the caller records,) sign.

use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, CrlDistributionPoint, CustomExtension, IsCa, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
    PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey, SubjectPublicKeyInfo,
};
use time::OffsetDateTime;
use yasna::Tag;
use yasna::models::ObjectIdentifier;

use super::profile::{Places, Profile, Template};
use super::serial::Serial;
use super::times;
use super::{Ca, CaError, IssuingCertificate, lint};
use crate::protocol::der;
use crate::protocol::subject::NameFormat;

const AUTHORITY_INFORMATION_ACCESS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
const OCSP: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1];
const CA_ISSUERS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 2];
const OCSP_NOCHECK: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 5];

/// A certificate that was checked and may be signed: the to-be-signed bytes. Only [`Ca::prepare`] and [`Ca::resume`]
/// make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    tbs: Vec<u8>,
    serial: Serial,
    subject: String,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    /// Key identifier of the CA that has checked it.
    issuer: Vec<u8>,
}

impl Prepared {
    /// The DER TBSCertificate, to be recorded before it is signed.
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// The serial number.
    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// The subject (RFC 4514).
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// When the certificate starts.
    pub fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// When the certificate ends.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }
}

impl Ca {
    /// Builds and lints a certificate. Nothing is signed yet.
    pub fn prepare(&self, template: &Template, serial: Serial, now: OffsetDateTime) -> Result<Prepared, CaError> {
        let certificate = parameters(template, serial, now, self.issuing_ends())
            .and_then(|parameters| {
                parameters.signed_by(&SubjectPublicKeyInfo::from_der(&template.public_key)?, &self.issuer)
            })
            .map_err(CaError::Encoding)?;
        let tbs = to_be_signed(certificate.der()).ok_or(CaError::Signature)?;
        self.check(tbs.to_vec(), &[template.profile])
    }

    /// Takes up bytes that were prepared and recorded before a crash. They are linted again, because what keeps the
    /// record is not this module.
    pub fn resume(&self, tbs: Vec<u8>) -> Result<Prepared, CaError> {
        self.check(tbs, &Profile::ALL)
    }

    /// Signs what was checked, and checks what was signed. Returns the DER certificate.
    pub fn sign(&self, prepared: &Prepared) -> Result<Vec<u8>, CaError> {
        // Another CA has checked other things.
        if prepared.issuer != self.issuing.key_identifier {
            return Err(CaError::Signature);
        }
        self.issuing.signed(&prepared.tbs, |message| self.key.sign(message))
    }

    fn check(&self, tbs: Vec<u8>, profiles: &[Profile]) -> Result<Prepared, CaError> {
        let read = lint::certificate(&tbs, &self.issuing, profiles)?;
        let serial = Serial::try_from(read.raw_serial()).map_err(|_| CaError::Signature)?;
        let subject = NameFormat::Rfc4514.print(&read.subject);
        let [not_before, not_after] =
            [read.validity().not_before, read.validity().not_after].map(|time| time.to_datetime());
        let issuer = self.issuing.key_identifier.clone();
        Ok(Prepared { serial, subject, not_before, not_after, issuer, tbs })
    }
}

/// Stands in for the issuing key where rcgen builds a certificate: signs nothing.
pub(super) struct StandIn {
    public_key: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

impl StandIn {
    /// In the place of this certificate's key.
    pub(super) fn of(certificate: &IssuingCertificate) -> Self {
        let algorithm = if certificate.is_rsa { &PKCS_RSA_SHA256 } else { &PKCS_ECDSA_P256_SHA256 };
        Self { public_key: certificate.subject_public_key.clone(), algorithm }
    }
}

impl PublicKeyData for StandIn {
    fn der_bytes(&self) -> &[u8] {
        &self.public_key
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for StandIn {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}

/// The TBSCertificate of a certificate: the first of its three parts (RFC 5280 §4.1.1).
fn to_be_signed(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = der::split(certificate).ok()?;
    let (_, rest) = der::split(certificate.content).ok()?;
    certificate.content.strip_suffix(rest)
}

/// What the profile and the template say, as rcgen takes it.
fn parameters(
    template: &Template,
    serial: Serial,
    now: OffsetDateTime,
    issuer_end: OffsetDateTime,
) -> Result<CertificateParams, rcgen::Error> {
    let profile = template.profile;
    let rsa = lint::is_rsa(&template.public_key);
    let mut parameters = CertificateParams::default();
    parameters.serial_number = Some(SerialNumber::from_slice(serial.as_ref()));
    parameters.not_before = times::start(now);
    parameters.not_after = profile.end(parameters.not_before, issuer_end);
    parameters.distinguished_name = template.subject.to_distinguished_name()?;
    // With an explicit "no CA" rcgen writes the subject key identifier too (RFC 5280 §4.2.1.2).
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = profile.key_usage(rsa).to_vec();
    parameters.extended_key_usages = vec![profile.extended_key_usage()];
    for name in &template.dns_names {
        parameters.subject_alt_names.push(SanType::DnsName(Ia5String::try_from(name.as_str())?));
    }
    for address in &template.ip_addresses {
        parameters.subject_alt_names.push(SanType::IpAddress(*address));
    }
    for email in &template.emails {
        parameters.subject_alt_names.push(SanType::Rfc822Name(Ia5String::try_from(email.as_str())?));
    }
    if let Some(places) = &template.places {
        // rcgen panics on a text that is no IA5String.
        let crl = Ia5String::try_from(places.crl.as_str())?.to_string();
        parameters.crl_distribution_points.push(CrlDistributionPoint { uris: vec![crl] });
        parameters.custom_extensions.push(authority_information_access(places)?);
    }
    if profile == Profile::OcspResponder {
        // Who trusts the issuer trusts the responder until its end (RFC 6960 §4.2.2.2.1). The value is NULL.
        parameters.custom_extensions.push(CustomExtension::from_oid_content(OCSP_NOCHECK, vec![5, 0]));
    }
    Ok(parameters)
}

/// Where to ask about the certificate, and where its issuer's is (RFC 5280 §4.2.2.1).
fn authority_information_access(places: &Places) -> Result<CustomExtension, rcgen::Error> {
    let descriptions = [
        (OCSP, Ia5String::try_from(places.ocsp.as_str())?),
        (CA_ISSUERS, Ia5String::try_from(places.issuer.as_str())?),
    ];
    let content = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for (method, url) in &descriptions {
                writer.next().write_sequence(|writer| {
                    writer.next().write_oid(&ObjectIdentifier::from_slice(method));
                    // uniformResourceIdentifier (RFC 5280 §4.2.1.6).
                    writer
                        .next()
                        .write_tagged_implicit(Tag::context(6), |writer| writer.write_ia5_string(url.as_str()));
                });
            }
        });
    });
    Ok(CustomExtension::from_oid_content(AUTHORITY_INFORMATION_ACCESS, content))
}
