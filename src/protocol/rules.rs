//! What a CSR must hold. The client asks before it sends, the service before it queues: the same code for both.

mod extensions;
mod key;
mod subject;

use serde::{Deserialize, Serialize};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

use self::extensions::check_extensions;
pub use self::key::KeyKind;
#[cfg(feature = "service")]
pub(crate) use self::key::key_kind;
use self::key::{check_key, check_signature};
use self::subject::check_subject;
use super::csr_form::{characters, is_binary_private_key, is_pem_private_key, is_pkcs10};
use super::der::{self, NotDer};
use super::request::Kind;
use super::subject::{NameFormat, Subject};
use super::text::{printable, shortened};

/// The largest CSR that is read, in bytes. One with RSA-4096 and every field filled is under 3 KiB.
pub const CSR_LIMIT: usize = 64 * 1024;

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
        Self {
            rule: rule.as_str().to_owned(),
            field: field.into(),
            found: printable(&shortened(found.as_ref(), 200)).into_owned(),
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
pub fn check_csr_again(der: &[u8], expectation: &Expectation<'_>) -> Result<CheckedCsr, Vec<Finding>> {
    judge(der, expectation, Possession::Proven)
}

/// Whether it is known that who asks holds the private key (RFC 2986 §4.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Possession {
    ToProve,
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

/// The subject of a CSR, printed as RFC 4514 has it, or nothing where it is not a CSR.
pub fn csr_subject(der: &[u8]) -> Option<String> {
    let (_, csr) = X509CertificationRequest::from_der(der).ok()?;
    Some(NameFormat::Rfc4514.print(&csr.certification_request_info.subject))
}
