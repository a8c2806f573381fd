//! From a template to a certificate, in the safe order: build, lint, (the caller records,) sign.

use std::cell::RefCell;

use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, CrlDistributionPoint, CustomExtension, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256, PublicKeyData,
    SanType, SerialNumber, SignatureAlgorithm, SigningKey, SubjectPublicKeyInfo,
};
use time::OffsetDateTime;
use x509_parser::certificate::TbsCertificate;
use x509_parser::prelude::{FromDer, X509Certificate};
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, Tag};

use super::profile::{self, Places, Profile, Template};
use super::serial::Serial;
use super::{Ca, CaError, lint};

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
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
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
        let issuer_end = self.issuing_certificate()?.validity().not_after.to_datetime();
        let parameters = parameters(template, serial, now, issuer_end).map_err(CaError::Encoding)?;
        let tbs = SubjectPublicKeyInfo::from_der(&template.public_key)
            .and_then(|key| self.to_be_signed(|issuer| parameters.signed_by(&key, issuer).map(drop)))
            .map_err(CaError::Encoding)?;
        self.check(tbs, &[template.profile])
    }

    /// Takes up bytes that were prepared and recorded before a crash. They are linted again, because what keeps the
    /// record is not this module.
    pub fn resume(&self, tbs: Vec<u8>) -> Result<Prepared, CaError> {
        self.check(tbs, &Profile::ALL)
    }

    /// Signs what was checked, and checks what was signed. Returns the DER certificate.
    pub fn sign(&self, prepared: &Prepared) -> Result<Vec<u8>, CaError> {
        let der = self.signed(&prepared.tbs)?;
        let issuing = self.issuing_certificate()?;
        let (rest, certificate) = X509Certificate::from_der(&der).map_err(|_| CaError::Signature)?;
        let sound = rest.is_empty()
            && certificate.tbs_certificate.as_ref() == prepared.tbs
            && certificate.signature_algorithm == certificate.tbs_certificate.signature
            // A value that another CA prepared names another key.
            && lint::names_key_of(certificate.extensions(), &issuing)
            && certificate.verify_signature(Some(issuing.public_key())).is_ok();
        if sound { Ok(der) } else { Err(CaError::Signature) }
    }

    fn check(&self, tbs: Vec<u8>, profiles: &[Profile]) -> Result<Prepared, CaError> {
        lint::certificate(&tbs, &self.issuing_certificate()?, profiles)?;
        let (_, read) = TbsCertificate::from_der(&tbs).map_err(|_| CaError::Signature)?;
        let serial = Serial::try_from(read.raw_serial()).map_err(|_| CaError::Signature)?;
        let [not_before, not_after] =
            [read.validity().not_before, read.validity().not_after].map(|time| time.to_datetime());
        Ok(Prepared { serial, not_before, not_after, tbs })
    }

    /// The bytes that rcgen would have the issuing key sign.
    fn to_be_signed(
        &self,
        build: impl FnOnce(&Issuer<'_, Capture<'_>>) -> Result<(), rcgen::Error>,
    ) -> Result<Vec<u8>, rcgen::Error> {
        let capture = Capture { key: &self.key, message: RefCell::default() };
        let issuer = Issuer::from_ca_cert_der(&self.issuing, capture)?;
        build(&issuer)?;
        Ok(issuer.key().message.take())
    }

    /// `SEQUENCE { to-be-signed, signatureAlgorithm, signature }` (RFC 5280 §4.1.1 and §5.1.1).
    pub(super) fn signed(&self, to_be_signed: &[u8]) -> Result<Vec<u8>, CaError> {
        let signature = self.key.sign(to_be_signed).map_err(CaError::Encoding)?;
        Ok(yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_der(to_be_signed);
                self.write_algorithm(writer.next());
                writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
            });
        }))
    }

    /// The AlgorithmIdentifier of the issuing key's signatures.
    pub(super) fn write_algorithm(&self, writer: DERWriter<'_>) {
        writer.write_sequence(|writer| {
            if self.key.algorithm() == &PKCS_RSA_SHA256 {
                // sha256WithRSAEncryption, with NULL (RFC 4055 §5).
                writer.next().write_oid(&ObjectIdentifier::from_slice(&[1, 2, 840, 113_549, 1, 1, 11]));
                writer.next().write_null();
            } else {
                // ecdsa-with-SHA256, without parameters (RFC 5758 §3.2).
                writer.next().write_oid(&ObjectIdentifier::from_slice(&[1, 2, 840, 10_045, 4, 3, 2]));
            }
        });
    }
}

/// Stands in for the issuing key: keeps what it is asked to sign, and signs nothing.
struct Capture<'a> {
    key: &'a KeyPair,
    message: RefCell<Vec<u8>>,
}

impl PublicKeyData for Capture<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.key.algorithm()
    }
}

impl SigningKey for Capture<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.message.replace(message.to_vec());
        Ok(Vec::new())
    }
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
    parameters.not_before = profile::start(now);
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
