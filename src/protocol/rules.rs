//! What a CSR must hold. The client asks before it sends, the service before it queues: the same code for both.

use num_bigint::BigUint;
use serde::{Deserialize, Serialize};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::der_parser::oid;
use x509_parser::extensions::{GeneralName, KeyUsage, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use super::der::{self, NotDer};
use super::request::Kind;
use super::subject::{self, ATTRIBUTES, BadName, NameFormat, Subject};
use super::text::printable;

/// The largest CSR that is read, in bytes. One with RSA-4096 and every field filled is under 3 KiB.
pub const CSR_LIMIT: usize = 64 * 1024;

/// More host names than any server here has.
const SAN_LIMIT: usize = 100;

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
    /// What is there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub found: String,
    /// What should be there.
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
const KEYS: &str = "RSA 2048, 3072 or 4096, EC P-256 or P-384";

/// The DER bytes of a file that holds a CSR as PEM or DER.
///
/// # Errors
/// A finding that says what the file holds instead. A private key is recognised and named, and never quoted.
pub fn read_csr(bytes: &[u8]) -> Result<Vec<u8>, Finding> {
    const EXPECTED: &str = "one PKCS #10 CSR, PEM or DER";
    let finding = |rule, found: &str| Err(Finding::new(rule, "csr", found, EXPECTED));
    if bytes.len() > CSR_LIMIT {
        return finding(Rule::TooLarge, &format!("{} bytes", bytes.len()));
    }
    if !bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        // PrivateKeyInfo (RFC 5958), RSAPrivateKey and ECPrivateKey start with a version where a CSR has a SEQUENCE.
        let body = bytes.iter().skip(1).position(|byte| *byte == 0x02);
        let private = bytes.first() == Some(&0x30) && body.is_some_and(|at| at <= 4) && bytes.len() > 40;
        return match bytes.first() {
            _ if private && !starts_like_csr(bytes) => finding(Rule::PrivateKey, "a private key"),
            Some(0x30) => Ok(bytes.to_vec()),
            _ => finding(Rule::NotACsr, "neither PEM nor DER"),
        };
    }
    let blocks: Vec<_> = Pem::iter_from_buffer(bytes).collect();
    let labels = bytes.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"-----BEGIN "));
    if labels.clone().any(|line| line.windows(11).any(|window| window == b"PRIVATE KEY")) {
        return finding(Rule::PrivateKey, "a private key");
    }
    match blocks.as_slice() {
        [Ok(block)] if matches!(block.label.as_str(), "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") => {
            Ok(block.contents.clone())
        }
        [Ok(block)] => finding(Rule::NotACsr, &format!("PEM {}", block.label)),
        [] | [Err(_)] => finding(Rule::Truncated, "PEM that does not end or is not base64"),
        _ => finding(Rule::NotACsr, &format!("{} PEM blocks", blocks.len())),
    }
}

/// Whether the outer SEQUENCE holds another one, as a CSR's does.
fn starts_like_csr(bytes: &[u8]) -> bool {
    let content = match bytes.get(1) {
        Some(length) if *length < 0x80 => 2,
        Some(length) => 2 + usize::from(length & 0x7f),
        None => return false,
    };
    bytes.get(content) == Some(&0x30)
}

/// Checks a DER CSR against every rule.
///
/// # Errors
/// All findings at once, at least one.
pub fn check_csr(der: &[u8], expectation: &Expectation<'_>) -> Result<CheckedCsr, Vec<Finding>> {
    let der = readable_der(der)?;
    let csr = parse(&der)?;
    let mut findings = Vec::new();
    let info = &csr.certification_request_info;
    let key = check_key(&info.subject_pki, &mut findings);
    check_signature(&csr, key.is_some(), &mut findings);
    let subject = check_subject(&info.subject, expectation, &mut findings);
    let requested = check_extensions(&csr, key, expectation, &mut findings);
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
            Ok(CheckedCsr { subject, dns_names, emails: requested.emails, key, public_key, der })
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
    let der = readable_der(der)?;
    let csr = parse(&der)?;
    let mut findings = Vec::new();
    let info = &csr.certification_request_info.subject_pki;
    let key = check_key(info, &mut findings);
    check_signature(&csr, key.is_some(), &mut findings);
    if findings.is_empty() { Ok(info.raw.to_vec()) } else { Err(findings) }
}

/// The bytes of a CSR, if they are DER through and through.
fn readable_der(bytes: &[u8]) -> Result<Vec<u8>, Vec<Finding>> {
    let der = read_csr(bytes).map_err(|finding| vec![finding])?;
    der::check(&der).map_err(|error| {
        let rule = match error {
            NotDer::Truncated => Rule::Truncated,
            NotDer::TrailingBytes => Rule::TrailingBytes,
            NotDer::Form => Rule::NotDer,
        };
        vec![Finding::new(rule, "csr", "", "DER (X.690)")]
    })?;
    Ok(der)
}

fn parse(der: &[u8]) -> Result<X509CertificationRequest<'_>, Vec<Finding>> {
    X509CertificationRequest::from_der(der)
        .map(|(_, csr)| csr)
        .map_err(|_| vec![Finding::new(Rule::NotACsr, "csr", "another DER structure", "PKCS #10 (RFC 2986)")])
}

const RSA_ENCRYPTION: Oid<'static> = oid!(1.2.840.113549.1.1.1);
const EC_PUBLIC_KEY: Oid<'static> = oid!(1.2.840.10045.2.1);
const SECP256R1: Oid<'static> = oid!(1.2.840.10045.3.1.7);
const SECP384R1: Oid<'static> = oid!(1.3.132.0.34);

/// The key's kind, if it is one that is accepted.
fn check_key(info: &SubjectPublicKeyInfo<'_>, findings: &mut Vec<Finding>) -> Option<KeyKind> {
    let mut refuse = |rule, found: &str, expected: &str| {
        findings.push(Finding::new(rule, "key", found, expected));
        None
    };
    let algorithm = &info.algorithm.algorithm;
    if *algorithm == EC_PUBLIC_KEY {
        let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        return match curve {
            Some(curve) if curve == SECP256R1 => Some(KeyKind::P256),
            Some(curve) if curve == SECP384R1 => Some(KeyKind::P384),
            Some(curve) => refuse(Rule::KeyType, &format!("EC {}", curve.to_id_string()), KEYS),
            None => refuse(Rule::KeyType, "EC without a named curve", KEYS),
        };
    }
    if *algorithm != RSA_ENCRYPTION {
        return refuse(Rule::KeyType, &algorithm.to_id_string(), KEYS);
    }
    let Ok(PublicKey::RSA(rsa)) = info.parsed() else {
        return refuse(Rule::KeyType, "an unreadable RSA key", KEYS);
    };
    let modulus = BigUint::from_bytes_be(rsa.modulus);
    let bits = match modulus.bits() {
        bits @ (2048 | 3072 | 4096) => bits as u16,
        bits => return refuse(Rule::KeyType, &format!("RSA {bits}"), KEYS),
    };
    let exponent = BigUint::from_bytes_be(rsa.exponent);
    // FIPS 186-5 §5.1 (a): odd, above 2^16; 2^32 and more is nobody's habit and slow to verify.
    if exponent.bits() > 32 || exponent < BigUint::from(65_537_u32) || !exponent.bit(0) {
        return refuse(Rule::WeakKey, &format!("public exponent {exponent}"), "65537");
    }
    match weakness(&modulus) {
        Some(weakness) => refuse(Rule::WeakKey, weakness, "a modulus of two large primes far apart"),
        None => Some(KeyKind::Rsa(bits)),
    }
}

/// Whether a modulus falls to trial division or to Fermat's method.
fn weakness(modulus: &BigUint) -> Option<&'static str> {
    // The odd primes below 752, as the CA/Browser Forum's Baseline Requirements §6.1.6 ask.
    const SMALL: u32 = 752;
    if !modulus.bit(0) {
        return Some("an even modulus");
    }
    let small_factor = (3..SMALL).step_by(2).any(|divisor| {
        // Composite divisors cost little and need no table.
        modulus % divisor == BigUint::ZERO
    });
    if small_factor {
        return Some("a modulus with a small factor");
    }
    // Fermat: n = a² - b². For p and q close together, a is the root of n or one of the next few numbers
    // (Baseline Requirements §6.1.1.3: 100 rounds).
    let mut a = modulus.sqrt();
    if &a * &a < *modulus {
        a += 1_u32;
    }
    let mut square = &a * &a - modulus;
    for _ in 0..100 {
        if could_be_square(&square) {
            let root = square.sqrt();
            if &root * &root == square {
                return Some("a modulus of two primes close together");
            }
        }
        square += &a * 2_u32 + 1_u32;
        a += 1_u32;
    }
    None
}

/// Turns away most numbers that are not squares without taking a root: a square is 0, 1, 4, 9, 16 … modulo 64.
fn could_be_square(number: &BigUint) -> bool {
    let low = number.iter_u64_digits().next().unwrap_or_default();
    let residue = |modulus: u64, value: u64| (0..modulus).any(|root| root * root % modulus == value);
    const OTHERS: u32 = 63 * 65 * 11;
    residue(64, low % 64) && {
        let rest = (number % OTHERS).iter_u64_digits().next().unwrap_or_default();
        [63, 65, 11].into_iter().all(|modulus| residue(modulus, rest % modulus))
    }
}

/// SHA-2 with RSA (RFC 4055 §5) and with ECDSA (RFC 5758 §3.2).
static SIGNATURES: [Oid<'static>; 6] = [
    oid!(1.2.840.113549.1.1.11),
    oid!(1.2.840.113549.1.1.12),
    oid!(1.2.840.113549.1.1.13),
    oid!(1.2.840.10045.4.3.2),
    oid!(1.2.840.10045.4.3.3),
    oid!(1.2.840.10045.4.3.4),
];

fn check_signature(csr: &X509CertificationRequest<'_>, key_is_good: bool, findings: &mut Vec<Finding>) {
    let algorithm = &csr.signature_algorithm.algorithm;
    if !SIGNATURES.contains(algorithm) {
        let expected = "SHA-256, SHA-384 or SHA-512 with RSA or ECDSA";
        findings.push(Finding::new(Rule::SignatureAlgorithm, "signature", algorithm.to_id_string(), expected));
    } else if key_is_good && csr.verify_signature().is_err() {
        findings.push(Finding::new(Rule::Signature, "signature", "", "the signature of the CSR's own key"));
    }
}

/// The subject, if nothing is wrong with it.
fn check_subject(name: &X509Name<'_>, expectation: &Expectation<'_>, findings: &mut Vec<Finding>) -> Option<Subject> {
    let before = findings.len();
    let mut values: [Option<String>; 6] = Default::default();
    for set in name.iter() {
        if set.iter().count() != 1 {
            findings.push(Finding::new(Rule::SubjectRepeated, "subject", "several attributes in one RDN", "one each"));
        }
        for part in set.iter() {
            let position = ATTRIBUTES[..6].iter().position(|known| {
                subject::attribute(part.attr_type()).is_some_and(|attribute| attribute.short == known.short)
            });
            let Some(position) = position else {
                let label = subject::attribute(part.attr_type())
                    .map_or_else(|| part.attr_type().to_id_string(), |known| known.short.to_owned());
                findings.push(Finding::new(Rule::SubjectUnexpected, "subject", label, "C, ST, L, O, OU, CN"));
                continue;
            };
            let attribute = &ATTRIBUTES[position];
            let field = format!("subject.{}", attribute.short);
            let Ok(text) = part.as_str() else {
                findings.push(Finding::new(Rule::BadText, field, "", "UTF8String or PrintableString"));
                continue;
            };
            if values[position].is_some() {
                findings.push(Finding::new(Rule::SubjectRepeated, field, text, "once"));
                continue;
            }
            match subject::check_text(text, attribute.limit) {
                Ok(()) => {}
                Err(BadName::Empty) => findings.push(Finding::new(Rule::SubjectMissing, field, "", "")),
                Err(BadName::TooLong) => {
                    findings.push(Finding::new(Rule::TooLong, field, text, format!("≤ {}", attribute.limit)));
                }
                Err(BadName::Character | BadName::NotPublic) => {
                    findings.push(Finding::new(Rule::BadText, field, text, ""));
                }
            }
            values[position] = Some(text.to_owned());
        }
    }
    let unit = expectation.kind.organisational_unit();
    for (position, expected) in [(0, expectation.country), (3, expectation.organisation), (4, unit)] {
        let field = format!("subject.{}", ATTRIBUTES[position].short);
        match &values[position] {
            None => findings.push(Finding::new(Rule::SubjectMissing, field, "", expected)),
            Some(found) if found != expected => {
                findings.push(Finding::new(Rule::SubjectMismatch, field, found, expected));
            }
            Some(_) => {}
        }
    }
    let [country, region, locality, organisation, organisational_unit, common_name] =
        values.map(Option::unwrap_or_default);
    let common_name = check_common_name(common_name, expectation.kind, findings);
    (findings.len() == before).then_some(Subject {
        country,
        region,
        locality,
        organisation,
        organisational_unit,
        common_name,
    })
}

fn check_common_name(name: String, kind: Kind, findings: &mut Vec<Finding>) -> String {
    const FIELD: &str = "subject.CN";
    if name.is_empty() {
        findings.push(Finding::new(Rule::SubjectMissing, FIELD, "", ""));
    } else if kind.named_by_host() {
        // A URL is a way to say it on a command line, not a name to certify.
        match subject::host_name(&name) {
            Ok(host) if !name.contains(['/', ':', '?', '#']) => return host,
            _ => findings.push(Finding::new(Rule::NotAHostName, FIELD, &name, "server.operator.example")),
        }
    } else if subject::check_machine_name(&name).is_err() {
        findings.push(Finding::new(Rule::NotAMachineName, FIELD, &name, "A–Z a–z 0–9 - _ ."));
    }
    name
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
    key: Option<KeyKind>,
    expectation: &Expectation<'_>,
    findings: &mut Vec<Finding>,
) -> Requested {
    let mut requested = Requested::default();
    let mut seen: Vec<String> = Vec::new();
    let mut key_usage = None;
    let mut extended_key_usage = None;
    for attribute in csr.certification_request_info.iter_attributes() {
        let ParsedCriAttribute::ExtensionRequest(request) = attribute.parsed_attribute() else { continue };
        for extension in &request.extensions {
            let oid = extension.oid.to_id_string();
            if seen.contains(&oid) {
                findings.push(Finding::new(Rule::BadExtension, format!("extension.{oid}"), "", "once"));
                continue;
            }
            seen.push(oid.clone());
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
                ParsedExtension::SubjectKeyIdentifier(_) => {}
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
    check_key_usage(key_usage, key, findings);
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

fn check_key_usage(usage: Option<KeyUsage>, key: Option<KeyKind>, findings: &mut Vec<Finding>) {
    const FIELD: &str = "extension.keyUsage";
    let bits = usage.map_or(0, |usage| usage.flags);
    let names: Vec<&str> =
        KEY_USAGES.iter().enumerate().filter_map(|(bit, name)| (bits >> bit & 1 == 1).then_some(*name)).collect();
    if names.iter().any(|name| matches!(*name, "keyCertSign" | "cRLSign")) {
        findings.push(Finding::new(Rule::CaRights, FIELD, names.join(", "), ""));
        return;
    }
    // Encipherment has no meaning with an EC key (RFC 8813 §3), so its CSR may leave that out.
    let elliptic = matches!(key, Some(KeyKind::P256 | KeyKind::P384));
    let good = if elliptic {
        names.first() == Some(&KEY_USAGES[0]) && names.iter().all(|name| ACCEPTED_WITH_EC.contains(name))
    } else {
        names == RSA_KEY_USAGES
    };
    if !good {
        let expected = if elliptic { KEY_USAGES[0].to_owned() } else { RSA_KEY_USAGES.join(", ") };
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
        let found = format!("{} names", names.len());
        findings.push(Finding::new(Rule::BadExtension, FIELD, found, format!("1 – {SAN_LIMIT}")));
        return;
    }
    for name in names {
        match name {
            GeneralName::RFC822Name(email) => match subject::check_email(email) {
                Ok(()) => requested.emails.push((*email).to_owned()),
                Err(_) => findings.push(Finding::new(Rule::NotAnEmail, FIELD, email, "name@operator.example")),
            },
            GeneralName::DNSName(host) if kind.named_by_host() => match subject::host_name(host) {
                Ok(canonical) if !host.contains(['/', ':', '?', '#']) => requested.dns_names.push(canonical),
                _ => findings.push(Finding::new(Rule::NotAHostName, FIELD, host, "server.operator.example")),
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
