//! What a CSR must hold. The client asks before it sends, the service before it queues: the same code for both.

use std::collections::HashSet;

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use num_bigint::BigUint;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::der_parser::asn1_rs::{Oid, Tag};
use x509_parser::der_parser::oid;
use x509_parser::extensions::{GeneralName, KeyUsage, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use super::csr_form::{characters, is_binary_private_key, is_pem_private_key, is_pkcs10, rsa_public_key};
use super::der::{self, NotDer};
use super::request::Kind;
use super::subject::{self, ATTRIBUTES, BadName, NameFormat, Subject};
use super::text::printable;
use super::weak_key::weakness;

/// The largest CSR that is read, in bytes. One with RSA-4096 and every field filled is under 3 KiB.
pub const CSR_LIMIT: usize = 64 * 1024;

/// More host names than any server here has.
const SAN_LIMIT: usize = 100;

/// More findings than anybody reads; a CSR made of nothing but faults gets no answer larger than itself.
const FINDING_LIMIT: usize = 100;

/// What a CSR is measured against.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// What the certificate is for.
    pub kind: Kind,
    /// `J1CFRA - FRANCE LA POSTE`.
    pub organisation: &'a str,
    /// Two capital letters.
    pub country: &'a str,
}

/// One rule and how it was missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct Finding {
    /// The rule's stable code, in kebab case; its text is in the catalogues under `rule-` and the code.
    pub rule: String,
    /// Where: `subject.CN`, `key`, `extension.keyUsage`, ….
    pub field: String,
    /// What is there, as it stands or in signs that need no language.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub found: String,
    /// What should be there, likewise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expected: String,
}

impl Finding {
    /// A finding; what was found is cut to a length that can be shown, and made safe to show.
    pub fn new(rule: Rule, field: impl Into<String>, found: impl AsRef<str>, expected: impl Into<String>) -> Self {
        let found = found.as_ref();
        let mut shown: String = found.chars().take(200).collect();
        if shown.len() < found.len() {
            shown.push('…');
        }
        Self {
            rule: rule.as_str().to_owned(),
            field: field.into(),
            found: printable(&shown).into_owned(),
            expected: expected.into(),
        }
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// The stable codes of all rules.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable code.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

rules! {
    /// Not a CSR at all.
    NotACsr = "not-a-csr";
    /// A private key, which must never be sent anywhere.
    PrivateKey = "private-key";
    /// Bytes are missing at the end.
    Truncated = "truncated";
    /// Bytes follow the CSR.
    TrailingBytes = "trailing-bytes";
    /// BER rather than DER.
    NotDer = "not-der";
    /// Larger than any real CSR.
    TooLarge = "too-large";
    /// The signature does not prove possession of the key (RFC 2986 §4.2).
    Signature = "signature";
    /// The signature's algorithm is not accepted.
    SignatureAlgorithm = "signature-algorithm";
    /// The key's algorithm or size is not accepted.
    KeyType = "key-type";
    /// The key can be broken.
    WeakKey = "weak-key";
    /// A subject attribute does not hold what it must.
    SubjectMismatch = "subject-mismatch";
    /// A subject attribute is missing.
    SubjectMissing = "subject-missing";
    /// A subject attribute appears more than once.
    SubjectRepeated = "subject-repeated";
    /// A subject attribute that has no place here.
    SubjectUnexpected = "subject-unexpected";
    /// A text is too long.
    TooLong = "too-long";
    /// A text holds characters that act or hide, or is in an unreadable encoding.
    BadText = "bad-text";
    /// The common name is not a public host name.
    NotAHostName = "not-a-host-name";
    /// The common name is not a machine name.
    NotAMachineName = "not-a-machine-name";
    /// The SAN holds what has no place in it.
    SanUnexpected = "san-unexpected";
    /// The e-mail address is not one.
    NotAnEmail = "not-an-email";
    /// The key usage is not the expected one.
    KeyUsage = "key-usage";
    /// The extended key usage is not the expected one.
    ExtendedKeyUsage = "extended-key-usage";
    /// The rights of a CA are asked for.
    CaRights = "ca-rights";
    /// An extension is empty, unreadable or repeated.
    BadExtension = "bad-extension";
    /// A critical extension that is not known here.
    UnknownCritical = "unknown-critical";
    /// For the approver: a host name mixes scripts that look alike.
    MixedScript = "mixed-script";
    /// For the approver: the same key is used by another request.
    DuplicateKey = "duplicate-key";
    /// For the approver: the same MAC address is named by another request.
    DuplicateMac = "duplicate-mac";
    /// For the approver: the same host name is given by another machine.
    DuplicateHost = "duplicate-host";
    /// For the approver: the same common name is asked for by another organisation.
    DuplicateName = "duplicate-name";
}

/// A CSR that keeps every rule. Only [`check_csr`] makes one.
#[derive(Debug, Clone)]
pub struct CheckedCsr {
    der: Vec<u8>,
    subject: Subject,
    dns_names: Vec<String>,
    emails: Vec<String>,
    key: KeyKind,
    public_key: Vec<u8>,
}

impl CheckedCsr {
    /// The CSR, byte for byte.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The subject; the common name of a server is in its canonical form.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The host names of a server: the common name first, then those of the SAN, each once, in canonical form.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// The e-mail addresses of the SAN.
    pub fn emails(&self) -> &[String] {
        &self.emails
    }

    /// The key's algorithm and size.
    pub fn key(&self) -> KeyKind {
        self.key
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }
}

/// The keys that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with a modulus of so many bits: 2048, 3072 or 4096.
    Rsa(u16),
    /// ECDSA on NIST P-256.
    P256,
    /// ECDSA on NIST P-384.
    P384,
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rsa(bits) => write!(formatter, "RSA {bits}"),
            Self::P256 => formatter.write_str("EC P-256"),
            Self::P384 => formatter.write_str("EC P-384"),
        }
    }
}

/// What [`KeyKind`]s are accepted, in words.
const KEYS: &str = "RSA 2048, 3072, 4096; EC P-256, P-384";

/// The DER bytes of a file that holds a CSR as PEM or DER.
///
/// # Errors
/// A finding that says what the file holds instead. A private key is recognised and named, and never quoted.
pub fn read_csr(bytes: &[u8]) -> Result<Vec<u8>, Finding> {
    const EXPECTED: &str = "PKCS #10 (PEM, DER)";
    let finding = |rule, found: &str| Err(Finding::new(rule, "csr", found, EXPECTED));
    if bytes.len() > CSR_LIMIT {
        return finding(Rule::TooLarge, &format!("{} B", bytes.len()));
    }
    let text = characters(bytes);
    if is_pem_private_key(&text) || is_binary_private_key(bytes) {
        return finding(Rule::PrivateKey, "");
    }
    // A name or attribute of a DER value may hold any text, PEM too.
    if der::check(bytes).is_ok() || !text.windows(11).any(|window| window == b"-----BEGIN ") {
        return match bytes.first() {
            Some(0x30) => Ok(bytes.to_vec()),
            _ => finding(Rule::NotACsr, ""),
        };
    }
    let blocks: Vec<_> = Pem::iter_from_buffer(&text).collect();
    match blocks.as_slice() {
        [Ok(block)] if matches!(block.label.as_str(), "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") => {
            match is_binary_private_key(&block.contents) {
                true => finding(Rule::PrivateKey, ""),
                false => Ok(block.contents.clone()),
            }
        }
        [Ok(block)] => finding(Rule::NotACsr, &format!("PEM {}", block.label)),
        [] | [Err(_)] => finding(Rule::Truncated, "PEM"),
        _ => finding(Rule::NotACsr, &format!("{} × PEM", blocks.len())),
    }
}

/// Checks a DER CSR against every rule.
///
/// # Errors
/// All findings at once, at least one.
pub fn check_csr(der: &[u8], expectation: &Expectation<'_>) -> Result<CheckedCsr, Vec<Finding>> {
    judge(der, expectation, Possession::ToProve)
}

/// Checks a DER CSR that passed [`check_csr`] when it came, against the rules and the expectation of today. Its signature
/// was verified then, and costs more than all other rules together: the caller knows that these are the same bytes.
///
/// # Errors
/// All findings at once, at least one.
#[cfg(feature = "service")]
pub fn check_csr_again(der: &[u8], expectation: &Expectation<'_>) -> Result<CheckedCsr, Vec<Finding>> {
    judge(der, expectation, Possession::Proven)
}

/// Whether it is known that who asks holds the private key (RFC 2986 §4.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Possession {
    ToProve,
    #[cfg(feature = "service")]
    Proven,
}

fn judge(der: &[u8], expectation: &Expectation<'_>, possession: Possession) -> Result<CheckedCsr, Vec<Finding>> {
    check_der(der)?;
    let csr = parse(der)?;
    let mut findings = Vec::new();
    let info = &csr.certification_request_info;
    let key = check_key(&info.subject_pki, &mut findings);
    check_signature(&csr, key, possession, &mut findings);
    let subject = check_subject(&info.subject, expectation, &mut findings);
    let requested = check_extensions(&csr, expectation, &mut findings);
    findings.truncate(FINDING_LIMIT);
    match (key, subject) {
        (Some(key), Some(subject)) if findings.is_empty() => {
            let mut dns_names = Vec::new();
            if expectation.kind.named_by_host() {
                dns_names.push(subject.common_name.clone());
                for name in requested.dns_names {
                    if !dns_names.contains(&name) {
                        dns_names.push(name);
                    }
                }
            }
            let public_key = info.subject_pki.raw.to_vec();
            Ok(CheckedCsr { subject, dns_names, emails: requested.emails, key, public_key, der: der.to_vec() })
        }
        _ => Err(findings),
    }
}

/// The DER SubjectPublicKeyInfo of a DER CSR of which only key and signature count, because the names come from
/// elsewhere.
///
/// # Errors
/// All findings at once, at least one.
pub fn check_csr_key(der: &[u8]) -> Result<Vec<u8>, Vec<Finding>> {
    check_der(der)?;
    let csr = parse(der)?;
    let mut findings = Vec::new();
    let info = &csr.certification_request_info.subject_pki;
    let key = check_key(info, &mut findings);
    check_signature(&csr, key, Possession::ToProve, &mut findings);
    if findings.is_empty() { Ok(info.raw.to_vec()) } else { Err(findings) }
}

/// Refuses what is not DER through and through. PEM around or within it is no other way to write it: what is judged are the
/// bytes that everybody else is shown.
fn check_der(bytes: &[u8]) -> Result<(), Vec<Finding>> {
    let finding = |rule, expected: &str| Err(vec![Finding::new(rule, "csr", "", expected)]);
    if read_csr(bytes).map_err(|finding| vec![finding])? != bytes {
        return finding(Rule::NotACsr, "PKCS #10 (DER)");
    }
    match der::check(bytes) {
        Ok(()) => Ok(()),
        Err(NotDer::Truncated) => finding(Rule::Truncated, "DER (X.690)"),
        Err(NotDer::TrailingBytes) => finding(Rule::TrailingBytes, "DER (X.690)"),
        Err(NotDer::Form) => finding(Rule::NotDer, "DER (X.690)"),
    }
}

fn parse(der: &[u8]) -> Result<X509CertificationRequest<'_>, Vec<Finding>> {
    let csr = is_pkcs10(der).then(|| X509CertificationRequest::from_der(der).ok()).flatten();
    csr.map(|(_, csr)| csr).ok_or_else(|| vec![Finding::new(Rule::NotACsr, "csr", "DER", "PKCS #10 (RFC 2986)")])
}

const RSA_ENCRYPTION: Oid<'static> = oid!(1.2.840.113549.1.1.1);
const EC_PUBLIC_KEY: Oid<'static> = oid!(1.2.840.10045.2.1);
const SECP256R1: Oid<'static> = oid!(1.2.840.10045.3.1.7);
const SECP384R1: Oid<'static> = oid!(1.3.132.0.34);

/// The kind of a key, if it is one that is accepted.
#[cfg(feature = "service")]
pub(crate) fn key_kind(info: &SubjectPublicKeyInfo<'_>) -> Option<KeyKind> {
    check_key(info, &mut Vec::new())
}

/// The key's kind, if it is one that is accepted.
fn check_key(info: &SubjectPublicKeyInfo<'_>, findings: &mut Vec<Finding>) -> Option<KeyKind> {
    let mut refuse = |rule, found: &str, expected: &str| {
        findings.push(Finding::new(rule, "key", found, expected));
        None
    };
    let algorithm = &info.algorithm.algorithm;
    let parameters = info.algorithm.parameters.as_ref();
    let public_key = info.subject_public_key.data.as_ref();
    if *algorithm == EC_PUBLIC_KEY {
        // Of another type, the same octets would pass for a curve; the certificate will carry them as they are.
        let named = parameters.filter(|parameters| parameters.tag() == Tag::Oid);
        let curve = named.and_then(|parameters| parameters.as_oid().ok());
        // Uncompressed points are those that every reader knows (RFC 5480 §2.2).
        let uncompressed = |bytes: usize| public_key.first() == Some(&0x04) && public_key.len() == 1 + 2 * bytes;
        return match curve {
            Some(curve) if curve == SECP256R1 && uncompressed(32) => Some(KeyKind::P256),
            Some(curve) if curve == SECP384R1 && uncompressed(48) => Some(KeyKind::P384),
            Some(curve) if curve == SECP256R1 || curve == SECP384R1 => {
                refuse(Rule::KeyType, "EC, 02/03 ‖ X", "04 ‖ X ‖ Y (SEC 1 §2.3.3)")
            }
            Some(curve) => refuse(Rule::KeyType, &format!("EC {}", curve.to_id_string()), KEYS),
            None => refuse(Rule::KeyType, "EC, ≠ namedCurve", KEYS),
        };
    }
    if *algorithm != RSA_ENCRYPTION {
        return refuse(Rule::KeyType, &algorithm.to_id_string(), KEYS);
    }
    // RFC 3279 §2.3.1: the parameters are NULL. The certificate will carry these bytes as they are.
    if parameters.is_none_or(|parameters| parameters.tag() != Tag::Null) {
        return refuse(Rule::KeyType, "RSA, parameters ≠ NULL", "NULL");
    }
    let Some((modulus, exponent)) = rsa_public_key(public_key) else {
        return refuse(Rule::KeyType, "RSA", KEYS);
    };
    let modulus = BigUint::from_bytes_be(modulus);
    let bits = match modulus.bits() {
        bits @ (2048 | 3072 | 4096) => bits as u16,
        bits => return refuse(Rule::KeyType, &format!("RSA {bits}"), KEYS),
    };
    // FIPS 186-5 §5.1 (a): odd, above 2^16; 2^32 and more is nobody's habit and slow to verify.
    match BigUint::from_bytes_be(exponent) {
        exponent if exponent.bits() > 32 => {
            return refuse(Rule::WeakKey, &format!("e > 2^{}", exponent.bits() - 1), "e = 65537");
        }
        exponent if exponent < BigUint::from(65_537_u32) || !exponent.bit(0) => {
            return refuse(Rule::WeakKey, &format!("e = {exponent}"), "e = 65537");
        }
        _ => {}
    }
    match weakness(&modulus) {
        Some(weakness) => refuse(Rule::WeakKey, weakness, "n = p · q"),
        None => Some(KeyKind::Rsa(bits)),
    }
}

/// SHA-256, SHA-384 and SHA-512 with RSA (RFC 4055 §5), and with ECDSA (RFC 5758 §3.2).
static RSA_SIGNATURES: [Oid<'static>; 3] =
    [oid!(1.2.840.113549.1.1.11), oid!(1.2.840.113549.1.1.12), oid!(1.2.840.113549.1.1.13)];
static ECDSA_SIGNATURES: [Oid<'static>; 3] =
    [oid!(1.2.840.10045.4.3.2), oid!(1.2.840.10045.4.3.3), oid!(1.2.840.10045.4.3.4)];

fn check_signature(
    csr: &X509CertificationRequest<'_>,
    key: Option<KeyKind>,
    possession: Possession,
    findings: &mut Vec<Finding>,
) {
    let algorithm = &csr.signature_algorithm.algorithm;
    let parameters = csr.signature_algorithm.parameters.as_ref();
    let with_rsa = RSA_SIGNATURES.contains(algorithm);
    let known = with_rsa || ECDSA_SIGNATURES.contains(algorithm);
    // RFC 4055 §5: NULL, and absent is to be accepted too; RFC 5758 §3.2: absent.
    if !known || !parameters.is_none_or(|parameters| with_rsa && parameters.tag() == Tag::Null) {
        let expected = "SHA-256, SHA-384, SHA-512 (RSA, ECDSA)";
        findings.push(Finding::new(Rule::SignatureAlgorithm, "signature", algorithm.to_id_string(), expected));
        return;
    }
    let Some(key) = key else { return };
    let public_key = &csr.certification_request_info.subject_pki.subject_public_key.data;
    let verifies = verifier(algorithm, key).is_some_and(|verifier| {
        possession != Possession::ToProve
            || UnparsedPublicKey::new(verifier, public_key)
                .verify(csr.certification_request_info.raw, &csr.signature_value.data)
                .is_ok()
    });
    if !verifies {
        findings.push(Finding::new(Rule::Signature, "signature", "", ""));
    }
}

/// What verifies a signature of this algorithm by this key, if the two belong together. `x509-parser` has the same for
/// most, but none for ECDSA with SHA-512.
fn verifier(algorithm: &Oid<'_>, key: KeyKind) -> Option<&'static dyn VerificationAlgorithm> {
    let (algorithms, verifiers): (_, [&'static dyn VerificationAlgorithm; 3]) = match key {
        KeyKind::Rsa(_) => (
            &RSA_SIGNATURES,
            [
                &signature::RSA_PKCS1_2048_8192_SHA256,
                &signature::RSA_PKCS1_2048_8192_SHA384,
                &signature::RSA_PKCS1_2048_8192_SHA512,
            ],
        ),
        KeyKind::P256 => (
            &ECDSA_SIGNATURES,
            [
                &signature::ECDSA_P256_SHA256_ASN1,
                &signature::ECDSA_P256_SHA384_ASN1,
                &signature::ECDSA_P256_SHA512_ASN1,
            ],
        ),
        KeyKind::P384 => (
            &ECDSA_SIGNATURES,
            [
                &signature::ECDSA_P384_SHA256_ASN1,
                &signature::ECDSA_P384_SHA384_ASN1,
                &signature::ECDSA_P384_SHA512_ASN1,
            ],
        ),
    };
    algorithms.iter().zip(verifiers).find_map(|(known, verifier)| (known == algorithm).then_some(verifier))
}

/// The subject, if nothing is wrong with it.
fn check_subject(name: &X509Name<'_>, expectation: &Expectation<'_>, findings: &mut Vec<Finding>) -> Option<Subject> {
    let before = findings.len();
    let mut values: [Option<String>; 6] = Default::default();
    // What exactly the six must be, where the package or the kind decides that; in the order of `ATTRIBUTES`.
    let unit = expectation.kind.organisational_unit();
    let fixed = [Some(expectation.country), None, None, Some(expectation.organisation), Some(unit), None];
    for set in name.iter() {
        if set.iter().count() != 1 {
            findings.push(Finding::new(Rule::SubjectRepeated, "subject", "1 RDN", "1 × AttributeTypeAndValue"));
        }
        for part in set.iter() {
            let known = subject::attribute(part.attr_type());
            let position = ATTRIBUTES[..6].iter().position(|own| known.is_some_and(|known| known.short == own.short));
            let Some(position) = position else {
                let label = known.map_or_else(|| part.attr_type().to_id_string(), |known| known.short.to_owned());
                findings.push(Finding::new(Rule::SubjectUnexpected, "subject", label, "C, ST, L, O, OU, CN"));
                continue;
            };
            let attribute = &ATTRIBUTES[position];
            let field = format!("subject.{}", attribute.short);
            let value = &mut values[position];
            if value.is_some() {
                findings.push(Finding::new(Rule::SubjectRepeated, field, part.as_str().unwrap_or_default(), "1 ×"));
                continue;
            }
            // macOS writes accents apart from their letters; the name is the same (RFC 5280 §7.1).
            let text: String = part.as_str().unwrap_or_default().nfc().collect();
            let fault = match fixed[position] {
                _ if part.as_str().is_err() => Some((Rule::BadText, "UTF8String or PrintableString".to_owned())),
                Some(expected) => text.chars().ne(expected.nfc()).then(|| (Rule::SubjectMismatch, expected.to_owned())),
                None => subject::check_text(&text, attribute.limit).err().map(|bad| match bad {
                    BadName::Empty => (Rule::SubjectMissing, String::new()),
                    BadName::TooLong => (Rule::TooLong, format!("≤ {}", attribute.limit)),
                    BadName::Character | BadName::NotPublic => (Rule::BadText, String::new()),
                }),
            };
            match fault {
                Some((rule, expected)) => findings.push(Finding::new(rule, field, &text, expected)),
                None if attribute.short == "CN" => check_common_name(&text, expectation.kind, findings),
                None => {}
            }
            *value = Some(text);
        }
    }
    for ((attribute, value), expected) in ATTRIBUTES.iter().zip(&values).zip(fixed) {
        if value.is_none() && (expected.is_some() || attribute.short == "CN") {
            let field = format!("subject.{}", attribute.short);
            findings.push(Finding::new(Rule::SubjectMissing, field, "", expected.unwrap_or_default()));
        }
    }
    let [country, region, locality, organisation, organisational_unit, common_name] =
        values.map(Option::unwrap_or_default);
    let common_name = match expectation.kind.named_by_host() {
        true => canonical_host(&common_name).unwrap_or_default(),
        false => common_name,
    };
    (findings.len() == before).then_some(Subject {
        country,
        region,
        locality,
        organisation,
        organisational_unit,
        common_name,
    })
}

fn check_common_name(name: &str, kind: Kind, findings: &mut Vec<Finding>) {
    const FIELD: &str = "subject.CN";
    if kind.named_by_host() {
        if canonical_host(name).is_none() {
            findings.push(Finding::new(Rule::NotAHostName, FIELD, name, "server.operator.example"));
        }
    } else if subject::check_machine_name(name).is_err() {
        findings.push(Finding::new(Rule::NotAMachineName, FIELD, name, "A–Z a–z 0–9 - _ ."));
    }
}

/// A host name in its one form. A URL is a way to say it on a command line, not a name to certify.
fn canonical_host(name: &str) -> Option<String> {
    let bare = !name.contains(['/', ':', '?', '#']) && !name.contains(char::is_whitespace);
    bare.then(|| subject::host_name(name).ok()).flatten()
}

/// What the CSR's extensions ask for and the profile may use.
#[derive(Default)]
struct Requested {
    dns_names: Vec<String>,
    emails: Vec<String>,
}

const CLIENT_AUTH: &str = "clientAuth";
const SERVER_AUTH: &str = "serverAuth";

fn check_extensions(
    csr: &X509CertificationRequest<'_>,
    expectation: &Expectation<'_>,
    findings: &mut Vec<Finding>,
) -> Requested {
    let mut requested = Requested::default();
    let mut seen = HashSet::new();
    let mut requests = 0;
    let mut key_usage = None;
    let mut extended_key_usage = None;
    for attribute in csr.certification_request_info.iter_attributes() {
        let ParsedCriAttribute::ExtensionRequest(request) = attribute.parsed_attribute() else { continue };
        requests += 1;
        for extension in &request.extensions {
            let oid = extension.oid.to_id_string();
            if !seen.insert(&extension.oid) {
                findings.push(Finding::new(Rule::BadExtension, format!("extension.{oid}"), "", "1 ×"));
                continue;
            }
            let readable = !extension.value.is_empty() && der::check(extension.value).is_ok();
            match extension.parsed_extension() {
                _ if !readable => {
                    findings.push(Finding::new(Rule::BadExtension, format!("extension.{oid}"), "", "DER"));
                }
                ParsedExtension::KeyUsage(usage) => key_usage = Some(*usage),
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    let mut names: Vec<String> = [
                        (usage.any, "anyExtendedKeyUsage"),
                        (usage.server_auth, SERVER_AUTH),
                        (usage.client_auth, CLIENT_AUTH),
                        (usage.code_signing, "codeSigning"),
                        (usage.email_protection, "emailProtection"),
                        (usage.time_stamping, "timeStamping"),
                        (usage.ocsp_signing, "OCSPSigning"),
                    ]
                    .into_iter()
                    .filter(|(asked, _)| *asked)
                    .map(|(_, name)| name.to_owned())
                    .collect();
                    names.extend(usage.other.iter().map(Oid::to_id_string));
                    extended_key_usage = Some(names);
                }
                ParsedExtension::SubjectAlternativeName(names) => {
                    check_names(&names.general_names, expectation.kind, &mut requested, findings);
                }
                ParsedExtension::BasicConstraints(constraints)
                    if (constraints.ca || constraints.path_len_constraint.is_some()) =>
                {
                    findings.push(Finding::new(Rule::CaRights, "extension.basicConstraints", "CA:TRUE", "CA:FALSE"));
                }
                ParsedExtension::BasicConstraints(_) | ParsedExtension::SubjectKeyIdentifier(_) => {}
                ParsedExtension::ParseError { .. } => {
                    findings.push(Finding::new(Rule::BadExtension, format!("extension.{oid}"), "", "RFC 5280 §4.2"));
                }
                _ if extension.critical => {
                    findings.push(Finding::new(Rule::UnknownCritical, format!("extension.{oid}"), "", ""));
                }
                // Windows' certreq adds its own, not critical; the profile copies none of them.
                _ => {}
            }
        }
    }
    // RFC 2985 §5.4.2: extensionRequest is SINGLE VALUE, so that nothing hides in a second one.
    if requests > 1 {
        findings.push(Finding::new(Rule::BadExtension, "extensionRequest", format!("{requests} ×"), "1 ×"));
    }
    let with_rsa = csr.certification_request_info.subject_pki.algorithm.algorithm == RSA_ENCRYPTION;
    check_key_usage(key_usage, with_rsa, findings);
    let expected = if expectation.kind == Kind::ExternalServer { SERVER_AUTH } else { CLIENT_AUTH };
    match extended_key_usage {
        Some(names) if names == [expected] => {}
        found => {
            let found = found.map(|names| names.join(", ")).unwrap_or_default();
            findings.push(Finding::new(Rule::ExtendedKeyUsage, "extension.extendedKeyUsage", found, expected));
        }
    }
    requested
}

fn check_key_usage(usage: Option<KeyUsage>, with_rsa: bool, findings: &mut Vec<Finding>) {
    const FIELD: &str = "extension.keyUsage";
    let bits = usage.map_or(0, |usage| usage.flags);
    let names: Vec<&str> =
        KEY_USAGES.iter().enumerate().filter_map(|(bit, name)| (bits >> bit & 1 == 1).then_some(*name)).collect();
    if names.iter().any(|name| matches!(*name, "keyCertSign" | "cRLSign")) {
        findings.push(Finding::new(Rule::CaRights, FIELD, names.join(", "), ""));
        return;
    }
    // Encipherment has no meaning with an EC key (RFC 8813 §3), so its CSR may leave that out.
    let good = match with_rsa {
        true => names == RSA_KEY_USAGES,
        false => names.first() == Some(&KEY_USAGES[0]) && names.iter().all(|name| ACCEPTED_WITH_EC.contains(name)),
    };
    if !good {
        let expected = if with_rsa { RSA_KEY_USAGES.join(", ") } else { KEY_USAGES[0].to_owned() };
        findings.push(Finding::new(Rule::KeyUsage, FIELD, names.join(", "), expected));
    }
}

/// The names of the bits (RFC 5280 §4.2.1.3), bit 0 first.
const KEY_USAGES: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];
const RSA_KEY_USAGES: [&str; 3] = ["digitalSignature", "keyEncipherment", "dataEncipherment"];
const ACCEPTED_WITH_EC: [&str; 4] = ["digitalSignature", "keyEncipherment", "dataEncipherment", "keyAgreement"];

fn check_names(names: &[GeneralName<'_>], kind: Kind, requested: &mut Requested, findings: &mut Vec<Finding>) {
    const FIELD: &str = "extension.subjectAltName";
    if names.is_empty() || names.len() > SAN_LIMIT {
        let found = format!("{} × GeneralName", names.len());
        findings.push(Finding::new(Rule::BadExtension, FIELD, found, format!("1 – {SAN_LIMIT}")));
        return;
    }
    for name in names {
        match name {
            GeneralName::RFC822Name(email) => match subject::check_email(email) {
                Ok(()) => requested.emails.push((*email).to_owned()),
                Err(_) => findings.push(Finding::new(Rule::NotAnEmail, FIELD, email, "name@operator.example")),
            },
            GeneralName::DNSName(host) if kind.named_by_host() => match canonical_host(host) {
                Some(canonical) => requested.dns_names.push(canonical),
                None => findings.push(Finding::new(Rule::NotAHostName, FIELD, host, "server.operator.example")),
            },
            other => {
                let expected = if kind.named_by_host() { "dNSName, rfc822Name" } else { "rfc822Name" };
                findings.push(Finding::new(Rule::SanUnexpected, FIELD, other.to_string(), expected));
            }
        }
    }
}

/// The subject of a CSR, printed as RFC 4514 has it, or nothing where it is not a CSR.
pub fn csr_subject(der: &[u8]) -> Option<String> {
    let (_, csr) = X509CertificationRequest::from_der(der).ok()?;
    Some(NameFormat::Rfc4514.print(&csr.certification_request_info.subject))
}
