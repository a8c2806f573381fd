//! CSRs of any shape: right in every point but the ones that a test bends, and signed after bending, so that nothing
//! else is wrong. What cannot be made here comes from the programs that administrators use.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use ptc_enroll::protocol::request::Kind;
use ptc_enroll::protocol::rules::Expectation;

pub(crate) const ORGANISATION: &str = "J1CFRA - FRANCE LA POSTE";
pub(crate) const HOST: &str = "api.poste.example";
pub(crate) const EMAIL: &str = "admin@poste.example";

/// What the CSRs made here are measured against.
pub(crate) fn expectation(kind: Kind) -> Expectation<'static> {
    Expectation { kind, organisation: ORGANISATION, country: "FR" }
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const TELETEX_STRING: u8 = 0x14;
pub(crate) const IA5_STRING: u8 = 0x16;
pub(crate) const UNIVERSAL_STRING: u8 = 0x1c;
pub(crate) const BMP_STRING: u8 = 0x1e;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Tags of GeneralName (RFC 5280 §4.2.1.6).
pub(crate) const RFC822_NAME: u8 = 0x81;
pub(crate) const DNS_NAME: u8 = 0x82;

pub(crate) const KEY_USAGE: &str = "2.5.29.15";
pub(crate) const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
pub(crate) const SUBJECT_ALT_NAME: &str = "2.5.29.17";
pub(crate) const BASIC_CONSTRAINTS: &str = "2.5.29.19";
pub(crate) const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";
pub(crate) const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
pub(crate) const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

/// One DER value around its content.
pub(crate) fn der(tag: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|digit| **digit == 0).count()..];
    let mut value = vec![tag];
    match content.len() {
        short @ 0..0x80 => value.push(short as u8),
        _ => {
            value.push(0x80 | digits.len() as u8);
            value.extend(digits);
        }
    }
    value.extend(content);
    value
}

/// A SEQUENCE.
pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    der(SEQUENCE, parts.concat())
}

/// An OBJECT IDENTIFIER.
pub(crate) fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted.split('.').map(|arc| arc.parse().unwrap()).collect();
    let mut content = Vec::new();
    for arc in std::iter::once(arcs[0] * 40 + arcs[1]).chain(arcs[2..].iter().copied()) {
        let mut groups = vec![(arc & 0x7f) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            groups.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        content.extend(groups.iter().rev());
    }
    der(0x06, content)
}

/// An AlgorithmIdentifier; RSA's has NULL for parameters.
pub(crate) fn algorithm(dotted: &str, parameters: &[u8]) -> Vec<u8> {
    sequence(&[oid(dotted), parameters.to_vec()])
}

pub(crate) const NULL: [u8; 2] = [0x05, 0x00];

/// A BIT STRING of whole octets.
pub(crate) fn bits(content: &[u8]) -> Vec<u8> {
    der(BIT_STRING, [&[0], content].concat())
}

/// The AttributeTypeAndValue of a subject's part.
pub(crate) fn attribute(short: &str, tag: u8, text: impl AsRef<[u8]>) -> Vec<u8> {
    let dotted = match short {
        "C" => "2.5.4.6",
        "ST" => "2.5.4.8",
        "L" => "2.5.4.7",
        "O" => "2.5.4.10",
        "OU" => "2.5.4.11",
        "CN" => "2.5.4.3",
        "emailAddress" => "1.2.840.113549.1.9.1",
        "serialNumber" => "2.5.4.5",
        "street" => "2.5.4.9",
        "DC" => "0.9.2342.19200300.100.1.25",
        dotted => dotted,
    };
    sequence(&[oid(dotted), der(tag, text)])
}

/// A part of a subject that stands alone in its set.
pub(crate) fn part(short: &str, tag: u8, text: impl AsRef<[u8]>) -> Vec<u8> {
    der(SET, attribute(short, tag, text))
}

/// An extension around the DER of its value.
pub(crate) fn extension(dotted: &str, critical: bool, value: impl AsRef<[u8]>) -> Vec<u8> {
    let critical = if critical { vec![0x01, 0x01, 0xff] } else { Vec::new() };
    sequence(&[oid(dotted), critical, der(OCTET_STRING, value)])
}

/// An attribute of the CSR with one value.
pub(crate) fn csr_attribute(dotted: &str, value: &[u8]) -> Vec<u8> {
    sequence(&[oid(dotted), der(SET, value)])
}

/// The SubjectAltName of these GeneralNames.
pub(crate) fn names(names: &[(u8, &str)]) -> Vec<u8> {
    sequence(&names.iter().map(|(tag, text)| der(*tag, text)).collect::<Vec<_>>())
}

/// The ExtKeyUsageSyntax of these purposes.
pub(crate) fn purposes(dotted: &[&str]) -> Vec<u8> {
    sequence(&dotted.iter().map(|purpose| oid(purpose)).collect::<Vec<_>>())
}

/// A CSR in parts. [`Csr::new`] makes one that is right for a kind; a test bends what it wants and builds it.
#[derive(Clone)]
pub(crate) struct Csr {
    pub(crate) version: Vec<u8>,
    /// The sets of the subject.
    pub(crate) subject: Vec<Vec<u8>>,
    /// SubjectPublicKeyInfo; the key that signs stays what it was.
    pub(crate) public_key: Vec<u8>,
    pub(crate) extensions: Vec<Vec<u8>>,
    /// The attributes beside the extensions.
    pub(crate) attributes: Vec<Vec<u8>>,
    /// What follows the attributes inside the signed part.
    pub(crate) trailer: Vec<u8>,
    pub(crate) signature_algorithm: Vec<u8>,
    rsa: bool,
}

impl Csr {
    /// With an EC P-256 key.
    pub(crate) fn new(kind: Kind) -> Self {
        let (name, purpose, mut alternatives) = match kind {
            Kind::Workstation | Kind::Mobile => ("001A2B3C4D5E-BFEBFBFF000906EA-1", CLIENT_AUTH, vec![]),
            Kind::Server => (HOST, CLIENT_AUTH, vec![(DNS_NAME, HOST)]),
            Kind::ExternalServer => (HOST, SERVER_AUTH, vec![(DNS_NAME, HOST)]),
        };
        alternatives.push((RFC822_NAME, EMAIL));
        let point = p256().public_key().as_ref();
        let parameters = oid("1.2.840.10045.3.1.7");
        Self {
            version: der(INTEGER, [0]),
            subject: vec![
                part("C", PRINTABLE_STRING, "FR"),
                part("ST", UTF8_STRING, "Île-de-France"),
                part("L", UTF8_STRING, "Paris"),
                part("O", UTF8_STRING, ORGANISATION),
                part("OU", UTF8_STRING, kind.organisational_unit()),
                part("CN", UTF8_STRING, name),
            ],
            public_key: sequence(&[algorithm("1.2.840.10045.2.1", &parameters), bits(point)]),
            extensions: vec![
                extension(KEY_USAGE, true, [BIT_STRING, 0x02, 0x07, 0x80]),
                extension(EXTENDED_KEY_USAGE, false, purposes(&[purpose])),
                extension(SUBJECT_ALT_NAME, false, names(&alternatives)),
            ],
            attributes: Vec::new(),
            trailer: Vec::new(),
            signature_algorithm: algorithm("1.2.840.10045.4.3.2", &[]),
            rsa: false,
        }
    }

    /// With an RSA-2048 key, and the three key usages that go with it.
    pub(crate) fn with_rsa(kind: Kind) -> Self {
        let mut csr = Self::new(kind);
        let public_key = bits(rsa().public_key().as_ref());
        csr.public_key = sequence(&[algorithm("1.2.840.113549.1.1.1", &NULL), public_key]);
        csr.signature_algorithm = algorithm("1.2.840.113549.1.1.11", &NULL);
        csr.set_extension(KEY_USAGE, true, [BIT_STRING, 0x02, 0x04, 0xb0]);
        csr.rsa = true;
        csr
    }

    /// Replaces the part of the subject of this type, or adds one.
    pub(crate) fn set(&mut self, short: &str, tag: u8, text: impl AsRef<[u8]>) {
        let start = part(short, tag, "")[4..].to_vec();
        let kind = &start[..usize::from(start[1]) + 2];
        let new = part(short, tag, text);
        replace(&mut self.subject, kind, new);
    }

    /// Leaves out the part of the subject of this type.
    pub(crate) fn remove(&mut self, short: &str) {
        let start = part(short, UTF8_STRING, "")[4..].to_vec();
        let kind = start[..usize::from(start[1]) + 2].to_vec();
        self.subject.retain(|part| !holds(part, &kind));
    }

    /// Replaces the extension of this type, or adds one.
    pub(crate) fn set_extension(&mut self, dotted: &str, critical: bool, value: impl AsRef<[u8]>) {
        replace(&mut self.extensions, &oid(dotted), extension(dotted, critical, value));
    }

    /// Leaves out the extension of this type.
    pub(crate) fn remove_extension(&mut self, dotted: &str) {
        let kind = oid(dotted);
        self.extensions.retain(|extension| !holds(extension, &kind));
    }

    /// The part that is signed.
    pub(crate) fn info(&self) -> Vec<u8> {
        let mut attributes = self.attributes.clone();
        if !self.extensions.is_empty() {
            attributes.push(csr_attribute(EXTENSION_REQUEST, &sequence(&self.extensions)));
        }
        sequence(&[
            self.version.clone(),
            sequence(&self.subject),
            self.public_key.clone(),
            der(0xa0, attributes.concat()),
            self.trailer.clone(),
        ])
    }

    /// Signs and assembles; DER.
    pub(crate) fn build(&self) -> Vec<u8> {
        self.sign(self.info())
    }

    /// The CSR around an `info` that was made elsewhere.
    pub(crate) fn sign(&self, info: Vec<u8>) -> Vec<u8> {
        let signature = self.signature(&info);
        sequence(&[info, self.signature_algorithm.clone(), bits(&signature)])
    }

    /// The signature over these bytes by the CSR's own key.
    pub(crate) fn signature(&self, info: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        if self.rsa {
            let mut signature = vec![0; rsa().public_modulus_len()];
            rsa().sign(&RSA_PKCS1_SHA256, &random, info, &mut signature).unwrap();
            signature
        } else {
            p256().sign(&random, info).unwrap().as_ref().to_vec()
        }
    }
}

fn holds(value: &[u8], part: &[u8]) -> bool {
    value.windows(part.len()).any(|window| window == part)
}

fn replace(values: &mut Vec<Vec<u8>>, kind: &[u8], new: Vec<u8>) {
    match values.iter_mut().find(|value| holds(value, kind)) {
        Some(old) => *old = new,
        None => values.push(new),
    }
}

fn p256() -> &'static EcdsaKeyPair {
    static KEY: OnceLock<EcdsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
}

fn rsa() -> &'static RsaKeyPair {
    static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

/// The PEM of a label around DER.
pub(crate) fn pem(label: &str, der: &[u8], line_end: &str) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let base64 = BASE64_STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----{line_end}");
    for line in base64.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push_str(line_end);
    }
    text + &format!("-----END {label}-----{line_end}")
}

/// A file that a program makes in an empty folder. `arguments` may name the other files and must write `out`.
pub(crate) fn made_by(program: &str, arguments: &[&str], files: &[(&str, &str)]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    made_in(folder.path(), program, arguments, files)
}

/// The same in a folder that holds what earlier calls made.
pub(crate) fn made_in(folder: &Path, program: &str, arguments: &[&str], files: &[(&str, &str)]) -> Vec<u8> {
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
    }
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{program} does not start ({error}); tests/run installs it"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    fs::read(folder.join("out")).unwrap()
}

/// A configuration for `openssl req`: subject and extensions of a right external server's CSR.
pub(crate) const OPENSSL_CONFIG: &str = "
[req]
prompt = no
utf8 = yes
string_mask = utf8only
distinguished_name = subject
req_extensions = extensions
[subject]
C = FR
ST = Île-de-France
L = Paris
O = J1CFRA - FRANCE LA POSTE
OU = Server
CN = api.poste.example
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment, dataEncipherment
extendedKeyUsage = serverAuth
subjectAltName = DNS:api.poste.example, email:admin@poste.example
";

/// What `openssl req` makes of [`OPENSSL_CONFIG`] with a new key.
pub(crate) fn openssl_csr(options: &[&str]) -> Vec<u8> {
    let fixed = ["req", "-new", "-nodes", "-keyout", "key", "-config", "config", "-out", "out"];
    made_by("openssl", &[&fixed, options].concat(), &[("config", OPENSSL_CONFIG)])
}
