//! What becomes of a CSR: one table of everything that ever comes in place of a right one.

use num_bigint::BigUint;
use ptc_enroll::client::csr as client_csr;
use ptc_enroll::client::keys::KeyAlgorithm;
use ptc_enroll::protocol::request::Kind;
use ptc_enroll::protocol::rules::{CSR_LIMIT, CheckedCsr, Finding, check_csr, read_csr};
use ptc_enroll::protocol::subject::Subject;
use tempfile::TempDir;

use crate::support::csr::*;

/// What comes, as a file, and the rules it breaks; none where it is accepted.
struct Case {
    what: String,
    file: Vec<u8>,
    kind: Kind,
    rules: Vec<&'static str>,
}

fn case(what: impl Into<String>, file: impl Into<Vec<u8>>, kind: Kind, rules: &[&'static str]) -> Case {
    Case { what: what.into(), file: file.into(), kind, rules: rules.to_vec() }
}

/// A right CSR for an external server, bent in one place.
fn bent(what: &str, rules: &[&'static str], bend: impl FnOnce(&mut Csr)) -> Case {
    let mut csr = Csr::new(Kind::ExternalServer);
    bend(&mut csr);
    case(what, csr.build(), Kind::ExternalServer, rules)
}

/// The way of both programs: the file is read, then the CSR is checked.
fn judge(file: &[u8], kind: Kind) -> Result<CheckedCsr, Vec<Finding>> {
    let der = read_csr(file).map_err(|finding| vec![finding])?;
    check_csr(&der, &expectation(kind))
}

fn broken(outcome: &Result<CheckedCsr, Vec<Finding>>) -> Vec<&str> {
    let mut rules: Vec<&str> =
        outcome.as_ref().err().into_iter().flatten().map(|finding| finding.rule.as_str()).collect();
    rules.sort_unstable();
    rules
}

/// Judges all cases and names every one that went another way.
fn assert_all(cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for Case { what, file, kind, mut rules } in cases {
        let outcome = judge(&file, kind);
        rules.sort_unstable();
        if broken(&outcome) != rules {
            wrong.push(format!("{what}: expected {rules:?}, got {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_the_client_makes_is_accepted() {
    let mut cases = Vec::new();
    for algorithm in KeyAlgorithm::ALL {
        let key = algorithm.start_search().finish().unwrap();
        for kind in [Kind::Workstation, Kind::Server, Kind::Mobile] {
            let subject = Subject {
                country: "FR".to_owned(),
                region: "Île-de-France".to_owned(),
                locality: String::new(),
                organisation: ORGANISATION.to_owned(),
                organisational_unit: kind.organisational_unit().to_owned(),
                common_name: if kind.named_by_host() { HOST.to_owned() } else { "001A2B3C4D5E-1".to_owned() },
            };
            let csr = client_csr::build(&subject, kind, EMAIL, algorithm, &key).unwrap();
            cases.push(case(format!("{algorithm} for {kind}"), csr, kind, &[]));
        }
    }
    for kind in Kind::ALL {
        cases.push(case(format!("by hand, EC, for {kind}"), Csr::new(kind).build(), kind, &[]));
        cases.push(case(format!("by hand, RSA, for {kind}"), Csr::with_rsa(kind).build(), kind, &[]));
    }
    assert_all(cases);
}

#[test]
fn what_other_programs_make_is_accepted() {
    const CERTTOOL: &str = "country = FR\nstate = \"Île-de-France\"\nlocality = Paris\n\
        organization = \"J1CFRA - FRANCE LA POSTE\"\nunit = Server\ncn = api.poste.example\n\
        dns_name = api.poste.example\nemail = admin@poste.example\n\
        signing_key\nencryption_key\ndata_encipherment\ntls_www_server\n";
    // It leaves dataEncipherment out of requests, which only an EC key can do without.
    const CERTTOOL_KEYS: [(&[&str], &[&str]); 2] = [
        (&["--key-type", "ecdsa", "--curve", "secp256r1"], &[]),
        (&["--key-type", "rsa", "--bits", "2048"], &["key-usage"]),
    ];
    const PYTHON: &str = r#"
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
names = [(NameOID.COUNTRY_NAME, "FR"), (NameOID.ORGANIZATION_NAME, "J1CFRA - FRANCE LA POSTE"),
         (NameOID.ORGANIZATIONAL_UNIT_NAME, "Server"), (NameOID.COMMON_NAME, "api.poste.example")]
usage = dict.fromkeys(["content_commitment", "key_agreement", "key_cert_sign", "crl_sign",
                       "encipher_only", "decipher_only"], False)
request = (x509.CertificateSigningRequestBuilder()
    .subject_name(x509.Name([x509.NameAttribute(*name) for name in names]))
    .add_extension(x509.KeyUsage(True, key_encipherment=True, data_encipherment=True, **usage), True)
    .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
    .add_extension(x509.SubjectAlternativeName([x509.DNSName("api.poste.example")]), False)
    .sign(rsa.generate_private_key(65537, 3072), hashes.SHA512()))
open("out", "wb").write(request.public_bytes(serialization.Encoding.PEM))
"#;
    let mut cases = Vec::new();
    for options in [
        &["-newkey", "rsa:2048", "-sha256"][..],
        &["-newkey", "rsa:2048", "-sha256", "-outform", "DER"],
        &["-newkey", "rsa:2048", "-sha384", "-text"],
        &["-newkey", "rsa:2048", "-sha512", "-newhdr"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha256"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha384"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha512"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha256"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha512"],
    ] {
        let csr = openssl_csr(options);
        cases.push(case(format!("openssl req {}", options.join(" ")), csr, Kind::ExternalServer, &[]));
    }
    for (options, rules) in CERTTOOL_KEYS {
        let folder = TempDir::new().unwrap();
        let key = [&["--generate-privkey", "--no-text", "--outfile", "out"], options].concat();
        let key = String::from_utf8(made_in(folder.path(), "certtool", &key, &[])).unwrap();
        let request = ["--generate-request", "--load-privkey", "key", "--template", "template", "--outfile", "out"];
        let csr = made_in(folder.path(), "certtool", &request, &[("key", &key), ("template", CERTTOOL)]);
        cases.push(case(format!("certtool {}", options.join(" ")), csr, Kind::ExternalServer, rules));
    }
    let csr = made_by("python3", &["-c", PYTHON], &[]);
    cases.push(case("python cryptography", csr, Kind::ExternalServer, &[]));
    let csr = windows_csr();
    cases.push(case("certreq", pem("NEW CERTIFICATE REQUEST", &csr, "\r\n"), Kind::ExternalServer, &[]));
    assert_all(cases);
}

/// A CSR with the attributes that Windows' certreq adds (MS-WCCE §2.2.2.7).
fn windows_csr() -> Vec<u8> {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    let mut csr = Csr::with_rsa(Kind::ExternalServer);
    csr.attributes = vec![
        csr_attribute("1.3.6.1.4.1.311.13.2.3", &der(IA5_STRING, "10.0.20348.2")),
        csr_attribute(
            "1.3.6.1.4.1.311.21.20",
            &sequence(&[
                der(INTEGER, [5]),
                der(UTF8_STRING, "SRV01.poste.example"),
                der(UTF8_STRING, "POSTE\\Administrateur"),
                der(UTF8_STRING, "certreq.exe"),
            ]),
        ),
        csr_attribute(
            "1.3.6.1.4.1.311.13.2.2",
            &sequence(&[
                der(INTEGER, [1]),
                der(BMP_STRING, wide("Microsoft RSA SChannel Cryptographic Provider")),
                bits(&[]),
            ]),
        ),
    ];
    csr.set_extension("2.5.29.14", false, der(OCTET_STRING, [7; 20]));
    csr.set_extension("1.3.6.1.4.1.311.21.10", false, sequence(&[purposes(&[SERVER_AUTH])]));
    csr.set_extension("1.2.840.113549.1.9.15", false, sequence(&[sequence(&[oid("2.16.840.1.101.3.4.1.42")])]));
    csr.build()
}

#[test]
fn files_of_every_form() {
    let csr = Csr::new(Kind::ExternalServer).build();
    let right = pem("CERTIFICATE REQUEST", &csr, "\n");
    let body = right.split_once('\n').unwrap().1;
    let utf16 = |mark: char, unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("{mark}{}", right.replace('\n', "\r\n")).encode_utf16().flat_map(unit).collect()
    };
    let certificate = made_by(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=a",
            "-out",
            "out",
        ],
        &[],
    );
    let kind = Kind::ExternalServer;
    assert_all(vec![
        case("PEM", right.clone(), kind, &[]),
        case("PEM with CRLF", right.replace('\n', "\r\n"), kind, &[]),
        case("PEM without a final newline", right.trim_end(), kind, &[]),
        case("PEM after other text", format!("Certificate Request:\n    Data: é\n{right}"), kind, &[]),
        case("PEM before other text", format!("{right}\nThank you"), kind, &[]),
        case("PEM labelled NEW", right.replace("BEGIN C", "BEGIN NEW C").replace("END C", "END NEW C"), kind, &[]),
        case("PEM in UTF-8 with a byte order mark", format!("\u{feff}{right}"), kind, &[]),
        case("PEM in UTF-16, little end first", utf16('\u{feff}', u16::to_le_bytes), kind, &[]),
        case("PEM in UTF-16, big end first", utf16('\u{feff}', u16::to_be_bytes), kind, &[]),
        case("two CSRs", right.repeat(2), kind, &["not-a-csr"]),
        case("CSR and certificate", [right.as_bytes(), &certificate].concat(), kind, &["not-a-csr"]),
        case("certificate", certificate, kind, &["not-a-csr"]),
        case("PEM without its end", right.split("-----END").next().unwrap(), kind, &["truncated"]),
        case("PEM cut in the first line", &right[..20], kind, &["truncated"]),
        case("PEM that is not base64", right.replace('M', "*"), kind, &["truncated"]),
        case("PEM without its first line", body, kind, &["not-a-csr"]),
        case("PEM around nothing", pem("CERTIFICATE REQUEST", &[], "\n"), kind, &["not-a-csr"]),
        case("nothing", "", kind, &["not-a-csr"]),
        case("a mark and nothing", [0xff, 0xfe], kind, &["not-a-csr"]),
        case("words", "please give me a certificate", kind, &["not-a-csr"]),
        case("zeros", [0; 1000], kind, &["not-a-csr"]),
        case("a SEQUENCE of nothing", [0x30, 0x00], kind, &["not-a-csr"]),
        case("an endless SEQUENCE", [0x30, 0x84, 0xff, 0xff, 0xff, 0xff], kind, &["truncated"]),
        case("as large as is read", vec![b'a'; CSR_LIMIT], kind, &["not-a-csr"]),
        case("larger than is read", vec![b'a'; CSR_LIMIT + 1], kind, &["too-large"]),
        case("trailing byte", [&csr[..], &[0]].concat(), kind, &["trailing-bytes"]),
        case("CSR twice", csr.repeat(2), kind, &["trailing-bytes"]),
        case("nested without end", [0x30, 0x80].repeat(1000), kind, &["not-der"]),
    ]);
}

#[test]
fn a_cut_csr_is_refused_at_every_length() {
    let csr = Csr::with_rsa(Kind::ExternalServer).build();
    for length in 0..csr.len() {
        let outcome = judge(&csr[..length], Kind::ExternalServer);
        let expected = if length == 0 { "not-a-csr" } else { "truncated" };
        assert_eq!(broken(&outcome), [expected], "{length} of {} bytes", csr.len());
    }
}

#[test]
fn a_private_key_is_refused_and_never_quoted() {
    let folder = TempDir::new().unwrap();
    let make = |arguments: &str| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        made_in(folder.path(), "openssl", &arguments, &[("config", OPENSSL_CONFIG)])
    };
    let csr = make("req -new -newkey rsa:2048 -nodes -keyout rsa -config config -out out");
    make("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out out");
    std::fs::rename(folder.path().join("out"), folder.path().join("ec")).unwrap();
    make("req -x509 -key rsa -config config -out out");
    std::fs::rename(folder.path().join("out"), folder.path().join("certificate")).unwrap();
    let mut keys: Vec<(String, Vec<u8>)> = [
        "pkey -in rsa -out out",
        "pkey -in rsa -outform DER -out out",
        "pkey -in rsa -traditional -out out",
        "pkey -in rsa -traditional -outform DER -out out",
        "pkey -in rsa -aes256 -passout pass:word -out out",
        "pkey -in rsa -aes256 -passout pass:word -traditional -out out",
        "pkcs8 -topk8 -in rsa -passout pass:word -out out",
        "pkcs8 -topk8 -in rsa -passout pass:word -outform DER -out out",
        "pkey -in ec -out out",
        "pkey -in ec -outform DER -out out",
        "pkey -in ec -traditional -out out",
        "pkey -in ec -traditional -outform DER -out out",
        "pkcs12 -export -inkey rsa -in certificate -passout pass:word -out out",
        "genpkey -algorithm ED25519 -outform DER -out out",
    ]
    .into_iter()
    .map(|command| (command.to_owned(), make(command)))
    .collect();
    let plain = keys[0].1.clone();
    let text = String::from_utf8(plain.clone()).unwrap();
    let binary = keys[1].1.clone();
    let wide: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    keys.extend([
        ("CRLF".to_owned(), text.replace('\n', "\r\n").into_bytes()),
        ("CR".to_owned(), text.replace('\n', "\r").into_bytes()),
        ("after text".to_owned(), format!("Bag Attributes\n    friendlyName: srv\n{text}").into_bytes()),
        ("indented".to_owned(), format!("  {}", text.replace('\n', "\n  ")).into_bytes()),
        ("cut".to_owned(), plain[..plain.len() / 2].to_vec()),
        ("cut, DER".to_owned(), binary[..binary.len() / 2].to_vec()),
        ("UTF-16".to_owned(), wide),
        ("before a CSR".to_owned(), [&plain[..], &csr].concat()),
        ("after a CSR".to_owned(), [&csr[..], &plain].concat()),
        ("as a CSR".to_owned(), pem("CERTIFICATE REQUEST", &binary, "\n").into_bytes()),
        ("OpenSSH".to_owned(), text.replace("PRIVATE", "OPENSSH PRIVATE").into_bytes()),
        ("PKCS #12 in BER".to_owned(), [&[0x30, 0x80, 0x02, 0x01, 0x03, 0x30, 0x80][..], &[4; 100]].concat()),
    ]);
    let mut wrong = Vec::new();
    for (what, key) in keys {
        // The finding is fixed words, so that nothing of the key can be in it.
        let expected = ("private-key", "csr", "");
        // The service hears what is said to be DER, and must not be less careful.
        for outcome in [judge(&key, Kind::ExternalServer), check_csr(&key, &expectation(Kind::ExternalServer))] {
            let findings = outcome.err().unwrap_or_default();
            match findings.as_slice() {
                [only] if (only.rule.as_str(), only.field.as_str(), only.found.as_str()) == expected => {}
                findings => wrong.push(format!("{what}: {findings:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn structures_that_two_readers_could_read_in_two_ways() {
    let right = Csr::new(Kind::ExternalServer);
    let info = right.info();
    let signature = bits(&right.signature(&info));
    let assembled = |parts: &[Vec<u8>]| sequence(parts);
    let indefinite = {
        let body = [info.clone(), right.signature_algorithm.clone(), signature.clone()].concat();
        [&[0x30, 0x80][..], &body, &[0, 0]].concat()
    };
    let long_length = {
        let csr = right.build();
        assert_eq!(csr[1], 0x82, "a CSR of usual length");
        [&[0x30, 0x83, 0x00][..], &csr[2..]].concat()
    };
    let loose = {
        let mut signature = signature.clone();
        signature[2] = 1;
        *signature.last_mut().unwrap() &= 0xfe;
        assembled(&[info.clone(), right.signature_algorithm.clone(), signature])
    };
    let kind = Kind::ExternalServer;
    assert_all(vec![
        case("indefinite length", indefinite, kind, &["not-der"]),
        case("length longer than need be", long_length, kind, &["not-der"]),
        case(
            "something after the signature",
            assembled(&[info.clone(), right.signature_algorithm.clone(), signature.clone(), NULL.to_vec()]),
            kind,
            &["not-a-csr"],
        ),
        case("no signature", assembled(&[info.clone(), right.signature_algorithm.clone()]), kind, &["not-a-csr"]),
        case("signature that is not whole octets", loose, kind, &["not-a-csr"]),
        case(
            "empty signature",
            assembled(&[info.clone(), right.signature_algorithm.clone(), bits(&[])]),
            kind,
            &["signature"],
        ),
        case(
            "signature without a first octet",
            assembled(&[info, right.signature_algorithm.clone(), der(BIT_STRING, [])]),
            kind,
            &["not-der"],
        ),
        bent("something after the attributes", &["not-a-csr"], |csr| csr.trailer = NULL.to_vec()),
        bent("an attribute after the attributes", &["not-a-csr"], |csr| {
            csr.trailer = csr_attribute(EXTENSION_REQUEST, &sequence(&[]));
        }),
        bent("version 2", &["not-a-csr"], |csr| csr.version = der(INTEGER, [1])),
        bent("negative version", &["not-a-csr"], |csr| csr.version = der(INTEGER, [0xff])),
        bent("an empty RDN", &["not-a-csr"], |csr| csr.subject.push(der(SET, []))),
        bent("an RDN that is a SEQUENCE", &["not-a-csr"], |csr| {
            csr.subject.push(sequence(&[attribute("CN", UTF8_STRING, "b")]));
        }),
        bent("a subject part with three members", &["not-a-csr"], |csr| {
            csr.subject.push(der(SET, sequence(&[oid("2.5.4.3"), der(UTF8_STRING, "b"), NULL.to_vec()])));
        }),
        bent("an attribute with two values", &["not-a-csr"], |csr| {
            let extensions = sequence(&csr.extensions);
            csr.attributes.push(sequence(&[oid(EXTENSION_REQUEST), der(SET, extensions.repeat(2))]));
            csr.extensions.clear();
        }),
        bent("an attribute without a value", &["not-a-csr"], |csr| {
            csr.attributes.push(sequence(&[oid("1.2.3.4"), der(SET, [])]));
        }),
        bent("two extension requests", &["bad-extension"], |csr| {
            let second = extension("2.5.29.14", false, der(OCTET_STRING, [7; 20]));
            csr.attributes.push(csr_attribute(EXTENSION_REQUEST, &sequence(&[second])));
        }),
        bent("an end of contents among the attributes", &["not-der"], |csr| csr.attributes.push(vec![0, 0])),
    ]);
}

#[test]
fn signatures() {
    let mut cases = vec![
        bent("SHA-1 is named", &["signature-algorithm"], |csr| {
            csr.signature_algorithm = algorithm("1.2.840.10045.4.1", &[]);
        }),
        bent("ECDSA with parameters", &["signature-algorithm"], |csr| {
            csr.signature_algorithm = algorithm("1.2.840.10045.4.3.2", &NULL);
        }),
        bent("RSA is named, the key is EC", &["signature"], |csr| {
            csr.signature_algorithm = algorithm("1.2.840.113549.1.1.11", &NULL);
        }),
        bent("another hash is named", &["signature"], |csr| {
            csr.signature_algorithm = algorithm("1.2.840.10045.4.3.3", &[]);
        }),
        bent("somebody else's key", &["signature"], |csr| {
            let mut point = csr.public_key.split_off(csr.public_key.len() - 65);
            // The curve's generator: a good public key, of the private key 1.
            point.splice(1.., generator());
            csr.public_key.extend(point);
        }),
        case("SHA-1", openssl_csr(&["-newkey", "rsa:2048", "-sha1"]), Kind::ExternalServer, &["signature-algorithm"]),
        case(
            "RSA-PSS, which few readers know",
            openssl_csr(&["-newkey", "rsa:2048", "-sigopt", "rsa_padding_mode:pss"]),
            Kind::ExternalServer,
            &["signature-algorithm"],
        ),
    ];
    let csr = Csr::new(Kind::ExternalServer);
    let (info, mut other) = (csr.info(), csr.clone());
    other.set("CN", UTF8_STRING, "other.poste.example");
    let foreign = sequence(&[info, csr.signature_algorithm.clone(), bits(&csr.signature(&other.info()))]);
    cases.push(case("signature over another CSR", foreign, Kind::ExternalServer, &["signature"]));
    let mut csr = Csr::with_rsa(Kind::ExternalServer);
    // RFC 4055 §5: NULL is right, absent is to be accepted.
    csr.signature_algorithm = algorithm("1.2.840.113549.1.1.11", &[]);
    cases.push(case("RSA without parameters", csr.build(), Kind::ExternalServer, &[]));
    csr.signature_algorithm = algorithm("1.2.840.113549.1.1.11", &der(OCTET_STRING, []));
    cases.push(case("RSA with odd parameters", csr.build(), Kind::ExternalServer, &["signature-algorithm"]));
    assert_all(cases);
}

/// The base point of P-256 (SEC 2 §2.4.2).
fn generator() -> Vec<u8> {
    let digits = "6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296\
                  4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5";
    number(digits).to_bytes_be()
}

fn number(digits: &str) -> BigUint {
    BigUint::parse_bytes(digits.as_bytes(), 16).unwrap()
}

/// Two primes of 1,024 bits; the next one above the first is 502 away.
const FIRST_PRIME: &str = "\
    DB07FCA900A6D02449E8747C2F402320D1B3B59B5E49327A9703707AB919DC51925388289732AC0AA48F8B7B57E737471C0683053D9A23AB\
    F9F3DFE91204F3C7392333682BFDA35511ADF6BEEE74062D48DB39D04C2E6B443D0D80B223565284ED6DA2F3AC4E1BC0A6A673FE09CD4E0E\
    66B351C03F6A39A95CE033CD85D18765";
const SECOND_PRIME: &str = "\
    C13288E8CF78190782E162EF190DB2A1FA2D5ABF40E92EE29F1C367A32E508B26CFB714FBE4D16E40BF557A5F433E2272675C6E4E47428C0\
    4D38B2247B41E34252457DC920A83ED9DD1EAF753CADC1E3CD6323F4806DB39264AC14047119224CF314F2A7125FC60009E4F9DBF48D9CA2\
    D9818EFA51C1D816D3C5E68A56F8C695";

#[test]
fn keys() {
    let first = number(FIRST_PRIME);
    let good = &first * number(SECOND_PRIME);
    let third: BigUint = (&good / 3_u32) | BigUint::from(1_u32);
    // A key that is refused is never used, so it does not matter here that another one signs.
    let rsa = |what: &str, modulus: &BigUint, exponent: u32, rules: &[&'static str]| {
        let integer = |number: &BigUint| der(INTEGER, [vec![0], number.to_bytes_be()].concat());
        let small = |number: u32| {
            let bytes = BigUint::from(number).to_bytes_be();
            der(INTEGER, if bytes[0] < 0x80 { bytes } else { [vec![0], bytes].concat() })
        };
        let mut csr = Csr::with_rsa(Kind::ExternalServer);
        let modulus =
            if modulus.bits().is_multiple_of(8) { integer(modulus) } else { der(INTEGER, modulus.to_bytes_be()) };
        let public_key = bits(&sequence(&[modulus, small(exponent)]));
        csr.public_key = sequence(&[algorithm("1.2.840.113549.1.1.1", &NULL), public_key]);
        case(what, csr.build(), Kind::ExternalServer, rules)
    };
    let rsa_form = |what: &str, public_key: Vec<u8>| {
        let mut csr = Csr::with_rsa(Kind::ExternalServer);
        csr.public_key = public_key;
        case(what, csr.build(), Kind::ExternalServer, &["key-type"])
    };
    let rsa_algorithm = || algorithm("1.2.840.113549.1.1.1", &NULL);
    let numbers = |modulus: &[u8]| sequence(&[der(INTEGER, modulus), der(INTEGER, [1, 0, 1])]);
    let negative = good.to_bytes_be();
    let positive = [&[0][..], &negative].concat();
    let by_openssl = |options: &[&str], rules: &[&'static str]| {
        case(options.join(" "), openssl_csr(options), Kind::ExternalServer, rules)
    };
    let dsa = {
        let folder = TempDir::new().unwrap();
        let make = |arguments: &str| {
            let arguments: Vec<&str> = arguments.split(' ').collect();
            made_in(folder.path(), "openssl", &arguments, &[("config", OPENSSL_CONFIG)])
        };
        make("genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024 -out out");
        std::fs::rename(folder.path().join("out"), folder.path().join("parameters")).unwrap();
        make("genpkey -paramfile parameters -out out");
        std::fs::rename(folder.path().join("out"), folder.path().join("dsa")).unwrap();
        make("req -new -key dsa -config config -out out")
    };
    assert_all(vec![
        rsa("the modulus that the others bend", &good, 65_537, &["signature"]),
        rsa("even modulus", &(&good + 1_u32), 65_537, &["weak-key"]),
        rsa("modulus with the factor 3", &(third * 3_u32), 65_537, &["weak-key"]),
        rsa("modulus of close primes", &(&first * (&first + 502_u32)), 65_537, &["weak-key"]),
        rsa("modulus that is a square", &(&first * &first), 65_537, &["weak-key"]),
        rsa("2,047 bits", &(&good >> 1_u32 | BigUint::from(1_u32)), 65_537, &["key-type"]),
        rsa("exponent 1", &good, 1, &["weak-key"]),
        rsa("exponent 3", &good, 3, &["weak-key"]),
        rsa("exponent 65,536", &good, 65_536, &["weak-key"]),
        rsa("exponent 65,538", &good, 65_538, &["weak-key"]),
        rsa("exponent of 32 bits", &good, 0xffff_ffff, &["signature"]),
        rsa_form(
            "exponent of 20,000 bytes",
            sequence(&[rsa_algorithm(), bits(&sequence(&[der(INTEGER, &positive), der(INTEGER, vec![0x55; 20_000])]))]),
        )
        .breaking(&["weak-key"]),
        rsa_form("negative modulus", sequence(&[rsa_algorithm(), bits(&numbers(&negative))])),
        rsa_form(
            "modulus with a zero too many",
            sequence(&[rsa_algorithm(), bits(&numbers(&[&[0], &positive[..]].concat()))]),
        ),
        rsa_form(
            "trailing bytes in the key",
            sequence(&[rsa_algorithm(), bits(&[&numbers(&positive)[..], &[0]].concat())]),
        ),
        rsa_form("empty key", sequence(&[rsa_algorithm(), bits(&[])])),
        rsa_form("RSA without NULL", sequence(&[algorithm("1.2.840.113549.1.1.1", &[]), bits(&numbers(&positive))])),
        bent("compressed point", &["key-type"], |csr| {
            let point = [&[2][..], &generator()[..32]].concat();
            let parameters = oid("1.2.840.10045.3.1.7");
            csr.public_key = sequence(&[algorithm("1.2.840.10045.2.1", &parameters), bits(&point)]);
        }),
        bent("point that is not on the curve", &["signature"], |csr| *csr.public_key.last_mut().unwrap() ^= 1),
        bent("point at infinity", &["key-type"], |csr| {
            let parameters = oid("1.2.840.10045.3.1.7");
            csr.public_key = sequence(&[algorithm("1.2.840.10045.2.1", &parameters), bits(&[0])]);
        }),
        bent("curve by its parameters", &["key-type"], |csr| {
            csr.public_key = sequence(&[algorithm("1.2.840.10045.2.1", &sequence(&[])), bits(&generator())]);
        }),
        by_openssl(&["-newkey", "rsa:1024"], &["key-type"]),
        by_openssl(&["-newkey", "rsa:2047"], &["key-type"]),
        by_openssl(&["-newkey", "rsa:2560"], &["key-type"]),
        by_openssl(&["-newkey", "rsa:2048", "-pkeyopt", "rsa_keygen_pubexp:3"], &["weak-key"]),
        by_openssl(&["-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"], &["key-type", "signature-algorithm"]),
        by_openssl(&["-newkey", "ed25519"], &["key-type", "signature-algorithm"]),
        by_openssl(&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521", "-sha512"], &["key-type"]),
        by_openssl(&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-224"], &["key-type"]),
        by_openssl(&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"], &["key-type"]),
        by_openssl(
            &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"],
            &["key-type"],
        ),
        case("DSA", dsa, Kind::ExternalServer, &["key-type", "signature-algorithm"]),
    ]);
}

impl Case {
    fn breaking(mut self, rules: &[&'static str]) -> Self {
        self.rules = rules.to_vec();
        self
    }
}

#[test]
fn extensions() {
    let usage = |flags: &'static [u8]| move |csr: &mut Csr| csr.set_extension(KEY_USAGE, true, flags);
    let constraints = |critical: bool, value: &'static [u8]| {
        move |csr: &mut Csr| csr.set_extension(BASIC_CONSTRAINTS, critical, sequence(&[value.to_vec()]))
    };
    let asking = |purpose: &'static [&'static str]| {
        move |csr: &mut Csr| csr.set_extension(EXTENDED_KEY_USAGE, false, purposes(purpose))
    };
    let rsa_usage = |what: &str, flags: [u8; 2], rules: &[&'static str]| {
        let mut csr = Csr::with_rsa(Kind::ExternalServer);
        csr.set_extension(KEY_USAGE, true, der(BIT_STRING, flags));
        case(what, csr.build(), Kind::ExternalServer, rules)
    };
    assert_all(vec![
        bent("none", &["extended-key-usage", "key-usage"], |csr| csr.extensions.clear()),
        bent("an empty list", &["extended-key-usage", "key-usage"], |csr| {
            csr.extensions.clear();
            csr.attributes.push(csr_attribute(EXTENSION_REQUEST, &sequence(&[])));
        }),
        bent("no SAN", &[], |csr| csr.remove_extension(SUBJECT_ALT_NAME)),
        bent("CA:FALSE", &[], constraints(false, &[])),
        bent("critical CA:FALSE", &[], constraints(true, &[])),
        bent("CA:TRUE", &["ca-rights"], constraints(true, &[0x01, 0x01, 0xff])),
        bent("CA:TRUE, not critical", &["ca-rights"], constraints(false, &[0x01, 0x01, 0xff])),
        bent("a path length alone", &["ca-rights"], constraints(true, &[0x02, 0x01, 0x00])),
        bent("CA:1, which is BER", &["bad-extension"], constraints(true, &[0x01, 0x01, 0x01])),
        bent("keyCertSign", &["ca-rights"], usage(&[BIT_STRING, 0x02, 0x02, 0x84])),
        bent("cRLSign", &["ca-rights"], usage(&[BIT_STRING, 0x02, 0x01, 0x82])),
        bent("no key usage", &["key-usage"], |csr| csr.remove_extension(KEY_USAGE)),
        bent("empty key usage", &["key-usage"], usage(&[BIT_STRING, 0x01, 0x00])),
        bent("key usage without a first octet", &["bad-extension", "key-usage"], usage(&[BIT_STRING, 0x00])),
        bent("key usage of many octets", &["key-usage"], usage(&[BIT_STRING, 0x05, 0x00, 0x80, 0xff, 0xff, 0xff])),
        bent("key usage that is an INTEGER", &["bad-extension", "key-usage"], usage(&[INTEGER, 0x01, 0x01])),
        bent("EC with keyAgreement", &[], usage(&[BIT_STRING, 0x02, 0x03, 0x88])),
        bent("EC without digitalSignature", &["key-usage"], usage(&[BIT_STRING, 0x02, 0x05, 0x20])),
        bent("EC with nonRepudiation", &["key-usage"], usage(&[BIT_STRING, 0x02, 0x06, 0xc0])),
        rsa_usage("RSA with the three", [0x04, 0xb0], &[]),
        rsa_usage("RSA with two", [0x05, 0xa0], &["key-usage"]),
        rsa_usage("RSA with four", [0x03, 0xb8], &["key-usage"]),
        bent("no extended key usage", &["extended-key-usage"], |csr| csr.remove_extension(EXTENDED_KEY_USAGE)),
        bent("empty extended key usage", &["extended-key-usage"], asking(&[])),
        bent("clientAuth for a server elsewhere", &["extended-key-usage"], asking(&[CLIENT_AUTH])),
        bent("both", &["extended-key-usage"], asking(&[SERVER_AUTH, CLIENT_AUTH])),
        bent("any purpose", &["extended-key-usage"], asking(&["2.5.29.37.0"])),
        bent("a purpose beside", &["extended-key-usage"], asking(&[SERVER_AUTH, "1.3.6.1.4.1.311.20.2.2"])),
        bent("extended key usage that is a SET", &["bad-extension", "extended-key-usage"], |csr| {
            csr.set_extension(EXTENDED_KEY_USAGE, false, der(SET, oid(SERVER_AUTH)));
        }),
        bent("unknown, critical", &["unknown-critical"], |csr| csr.set_extension("1.2.3.4", true, NULL)),
        bent("unknown, not critical", &[], |csr| csr.set_extension("1.2.3.4", false, NULL)),
        bent("known, critical, not copied", &["unknown-critical"], |csr| {
            csr.set_extension("2.5.29.32", true, sequence(&[sequence(&[oid("1.2.3.4")])]));
        }),
        bent("empty value", &["bad-extension"], |csr| csr.set_extension("1.2.3.4", false, [])),
        bent("value that is not DER", &["bad-extension"], |csr| {
            csr.set_extension("1.2.3.4", false, [0x30, 0x80, 0, 0])
        }),
        bent("value with trailing bytes", &["bad-extension"], |csr| {
            csr.set_extension("1.2.3.4", false, [0x05, 0x00, 0x00]);
        }),
        bent("the same twice", &["bad-extension"], |csr| csr.extensions.push(csr.extensions[1].clone())),
        bent("the SAN twice, with other names", &["bad-extension"], |csr| {
            csr.extensions.push(extension(SUBJECT_ALT_NAME, false, names(&[(DNS_NAME, "other.example")])));
        }),
        bent("a challenge password", &[], |csr| {
            csr.attributes.push(csr_attribute("1.2.840.113549.1.9.7", &der(UTF8_STRING, "word")));
        }),
    ]);
}

#[test]
fn alternative_names() {
    let with = |what: &str, rules: &[&'static str], given: &[(u8, &str)]| {
        bent(what, rules, |csr| csr.set_extension(SUBJECT_ALT_NAME, false, names(given)))
    };
    let host = (DNS_NAME, HOST);
    let other_name = sequence(&[[oid("1.3.6.1.4.1.311.20.2.3"), der(0xa0, der(UTF8_STRING, "admin@poste"))].concat()]);
    let mut cases = vec![
        with("none", &["bad-extension"], &[]),
        with("another host", &[], &[host, (DNS_NAME, "web.poste.example")]),
        with("the same host twice", &[], &[host, host]),
        with("the host in capitals", &[], &[(DNS_NAME, "API.Poste.Example")]),
        with("the host with a trailing dot", &[], &[(DNS_NAME, "api.poste.example.")]),
        with("wildcard", &["not-a-host-name"], &[host, (DNS_NAME, "*.poste.example")]),
        with("underscore", &["not-a-host-name"], &[host, (DNS_NAME, "a_b.poste.example")]),
        with("address as a name", &["not-a-host-name"], &[host, (DNS_NAME, "192.0.2.1")]),
        with("name without a domain", &["not-a-host-name"], &[host, (DNS_NAME, "api")]),
        with("empty name", &["not-a-host-name"], &[host, (DNS_NAME, "")]),
        with("URL as a name", &["not-a-host-name"], &[host, (DNS_NAME, "https://api.poste.example")]),
        with("name with a port", &["not-a-host-name"], &[host, (DNS_NAME, "api.poste.example:443")]),
        with("name with spaces around it", &["not-a-host-name"], &[host, (DNS_NAME, " api.poste.example ")]),
        with("name with NUL", &["not-a-host-name"], &[host, (DNS_NAME, "api.poste.example\0.evil.example")]),
        with("name that looks like another", &[], &[host, (DNS_NAME, "xn--pi-6kc.poste.example")]),
        with("two e-mail addresses", &[], &[host, (RFC822_NAME, "a@poste.example"), (RFC822_NAME, "b@poste.example")]),
        with("e-mail with words", &["not-an-email"], &[host, (RFC822_NAME, "A <a@poste.example>")]),
        with("e-mail without a domain", &["not-an-email"], &[host, (RFC822_NAME, "a@poste")]),
        with("e-mail with CRLF", &["not-an-email"], &[host, (RFC822_NAME, "a@poste.example\r\nBcc: b@c.example")]),
        with("empty e-mail", &["not-an-email"], &[host, (RFC822_NAME, "")]),
        with("URI", &["san-unexpected"], &[host, (0x86, "https://api.poste.example")]),
        with("IP address", &["san-unexpected"], &[host, (0x87, "\u{7f}\0\0\u{1}")]),
        with("registered id", &["san-unexpected"], &[host, (0x88, "*")]),
        bent("other name", &["san-unexpected"], |csr| {
            csr.set_extension(SUBJECT_ALT_NAME, false, sequence(&[der(0xa0, &other_name[2..])]));
        }),
        bent("directory name", &["san-unexpected"], |csr| {
            let name = der(0xa4, sequence(&[part("CN", UTF8_STRING, "a")]));
            csr.set_extension(SUBJECT_ALT_NAME, false, sequence(&[name]));
        }),
        bent("name that is not text", &["san-unexpected"], |csr| {
            csr.set_extension(SUBJECT_ALT_NAME, false, sequence(&[der(DNS_NAME, [0xff, 0xfe])]));
        }),
        bent("value that is no GeneralName", &["bad-extension"], |csr| {
            csr.set_extension(SUBJECT_ALT_NAME, false, sequence(&[NULL.to_vec()]));
        }),
        with("100 names", &[], &[host].repeat(100)),
        with("101 names", &["bad-extension"], &[host].repeat(101)),
        with("10,000 names", &["bad-extension"], &[(DNS_NAME, "a.b")].repeat(10_000)),
    ];
    for kind in [Kind::Workstation, Kind::Mobile] {
        let mut csr = Csr::new(kind);
        csr.set_extension(SUBJECT_ALT_NAME, false, names(&[(RFC822_NAME, EMAIL), host]));
        cases.push(case(format!("a host name for {kind}"), csr.build(), kind, &["san-unexpected"]));
    }
    assert_all(cases);
}

#[test]
fn subjects() {
    let with = |what: &str, rules: &[&'static str], short: &'static str, text: &str| {
        bent(what, rules, |csr| csr.set(short, UTF8_STRING, text))
    };
    let typed = |what: &str, rules: &[&'static str], short: &'static str, tag: u8, text: &[u8]| {
        bent(what, rules, |csr| csr.set(short, tag, text))
    };
    let without =
        |short: &'static str, rules: &[&'static str]| bent(&format!("no {short}"), rules, |csr| csr.remove(short));
    let twice = |short: &'static str| {
        bent(&format!("{short} twice"), &["subject-repeated"], |csr| {
            csr.subject.push(part(short, UTF8_STRING, "again"));
        })
    };
    let machine = |what: &str, rules: &[&'static str], name: &str| {
        let mut csr = Csr::new(Kind::Workstation);
        csr.set("CN", UTF8_STRING, name);
        case(what, csr.build(), Kind::Workstation, rules)
    };
    let mut cases = vec![
        bent("empty", &["subject-missing"; 4], |csr| csr.subject.clear()),
        without("C", &["subject-missing"]),
        without("O", &["subject-missing"]),
        without("OU", &["subject-missing"]),
        without("CN", &["subject-missing"]),
        without("ST", &[]),
        without("L", &[]),
        twice("C"),
        twice("L"),
        twice("OU"),
        twice("CN"),
        bent("two parts in one set", &["subject-repeated"], |csr| {
            csr.remove("L");
            csr.remove("ST");
            let both = [attribute("L", UTF8_STRING, "Paris"), attribute("ST", UTF8_STRING, "IdF")].concat();
            csr.subject.push(der(SET, both));
        }),
        bent("another order", &[], |csr| csr.subject.reverse()),
        with("e-mail in the subject", &["subject-unexpected"], "emailAddress", EMAIL),
        with("serial number", &["subject-unexpected"], "serialNumber", "1"),
        with("domain component", &["subject-unexpected"], "DC", "example"),
        with("unknown type", &["subject-unexpected"], "1.2.3.4", "a"),
        with("lower-case country", &["subject-mismatch"], "C", "fr"),
        with("another country", &["subject-mismatch"], "C", "DE"),
        with("three letters", &["subject-mismatch"], "C", "FRA"),
        with("country in UTF-8", &[], "C", "FR"),
        with("another organisation", &["subject-mismatch"], "O", "J1CDEA - DEUTSCHE POST"),
        with("the code alone", &["subject-mismatch"], "O", "J1CFRA"),
        with("organisation in small letters", &["subject-mismatch"], "O", "J1CFRA - France La Poste"),
        with("organisation with NUL", &["subject-mismatch"], "O", "J1CFRA - FRANCE LA POSTE\0"),
        with("organisation with a zero width", &["subject-mismatch"], "O", "J1CFRA - FRANCE LA\u{200b} POSTE"),
        with("another unit", &["subject-mismatch"], "OU", "Workstation"),
        with("empty locality", &["subject-missing"], "L", ""),
        with("blank locality", &["subject-missing"], "L", "   "),
        with("locality of 128 characters", &[], "L", &"é".repeat(128)),
        with("locality of 129 characters", &["too-long"], "L", &"é".repeat(129)),
        with("locality of 60 KB", &["too-long"], "L", &"a".repeat(60_000)),
        with("locality of 64 KB", &["too-large"], "L", &"a".repeat(64 * 1024)),
        with("locality with NUL", &["bad-text"], "L", "Par\0is"),
        with("locality with an escape", &["bad-text"], "L", "\u{1b}[2JParis"),
        with("locality with CRLF", &["bad-text"], "L", "Paris\r\napproved: yes"),
        with("locality written from the right", &["bad-text"], "L", "\u{202e}siraP"),
        with("locality with a zero width", &["bad-text"], "L", "Pa\u{200b}ris"),
        with("locality with markup", &[], "L", "<script>alert('1')</script>"),
        with("locality in another script", &[], "L", "東京都"),
        typed("PrintableString", &[], "L", PRINTABLE_STRING, b"Paris"),
        typed("IA5String", &[], "L", IA5_STRING, b"Paris"),
        typed("BMPString", &["bad-text"], "L", BMP_STRING, b"\0P\0a\0r\0i\0s"),
        typed("TeletexString", &["bad-text"], "L", TELETEX_STRING, b"Orl\xe9ans"),
        typed("UniversalString", &["bad-text"], "L", UNIVERSAL_STRING, b"\0\0\0P\0\0\0a"),
        typed("OCTET STRING", &["bad-text"], "L", OCTET_STRING, b"Paris"),
        typed("UTF8String that is Latin-1", &["bad-text"], "L", UTF8_STRING, b"Orl\xe9ans"),
        with("host in capitals", &[], "CN", "API.POSTE.EXAMPLE"),
        with("host with a trailing dot", &[], "CN", "api.poste.example."),
        with("host with two trailing dots", &["not-a-host-name"], "CN", "api.poste.example.."),
        with("host with an accent", &[], "CN", "b\u{fc}cher.poste.example"),
        with("host with an accent apart", &[], "CN", "bu\u{308}cher.poste.example"),
        // The service warns the approver.
        with("host of mixed scripts", &[], "CN", "p\u{430}ypal.poste.example"),
        with("wildcard", &["not-a-host-name"], "CN", "*.poste.example"),
        with("underscore", &["not-a-host-name"], "CN", "a_b.poste.example"),
        with("IPv4 address", &["not-a-host-name"], "CN", "192.0.2.1"),
        with("IPv6 address", &["not-a-host-name"], "CN", "2001:db8::1"),
        with("URL", &["not-a-host-name"], "CN", "https://api.poste.example/"),
        with("host with a port", &["not-a-host-name"], "CN", "api.poste.example:443"),
        with("host with a space before it", &["not-a-host-name"], "CN", " api.poste.example"),
        with("host without a domain", &["not-a-host-name"], "CN", "localhost"),
        with("host with an empty label", &["not-a-host-name"], "CN", "api..example"),
        with("host of a number", &["not-a-host-name"], "CN", "api.poste.1"),
        with("host with broken punycode", &["not-a-host-name"], "CN", "xn--\u{61}.example"),
        with("host with NUL", &["bad-text"], "CN", "api.poste.example\0.evil.example"),
        with("host of 64 characters", &[], "CN", &format!("{}.example", "a1".repeat(28))),
        with("host of 65 characters", &["too-long"], "CN", &format!("{}.example1", "a1".repeat(28))),
        with("a path", &["not-a-host-name"], "CN", "..\\..\\con.example"),
        machine("machine name of 64 characters", &[], &"A".repeat(64)),
        machine("machine name of 65 characters", &["too-long"], &"A".repeat(65)),
        machine("machine name with a space", &["not-a-machine-name"], "POSTE 1"),
        machine("machine name with a slash", &["not-a-machine-name"], "a/../b"),
        machine("machine name with an accent", &["not-a-machine-name"], "GUICHET-\u{e9}"),
        machine("machine name with a quote", &["not-a-machine-name"], "a'; drop table requests--"),
    ];
    let mut many = Csr::new(Kind::ExternalServer);
    many.subject.extend((0..3_000).map(|_| part("DC", UTF8_STRING, "")));
    // Not more findings than anybody reads.
    cases.push(case("3,000 parts", many.build(), Kind::ExternalServer, &["subject-unexpected"; 100]));
    assert_all(cases);
}

#[test]
fn every_mismatch_is_reported_at_once() {
    let mut csr = Csr::with_rsa(Kind::ExternalServer);
    csr.set("C", PRINTABLE_STRING, "fr");
    csr.set("OU", UTF8_STRING, "server");
    csr.set("CN", UTF8_STRING, "localhost");
    csr.set_extension(KEY_USAGE, true, [BIT_STRING, 0x02, 0x05, 0xa0]);
    csr.set_extension(EXTENDED_KEY_USAGE, false, purposes(&[CLIENT_AUTH]));
    let findings = judge(&csr.build(), Kind::ExternalServer).unwrap_err();
    let shown: Vec<[&str; 4]> = findings
        .iter()
        .map(|finding| [&finding.rule, &finding.field, &finding.found, &finding.expected].map(String::as_str))
        .collect();
    assert_eq!(
        shown,
        [
            ["subject-mismatch", "subject.C", "fr", "FR"],
            ["subject-mismatch", "subject.OU", "server", "Server"],
            ["not-a-host-name", "subject.CN", "localhost", "server.operator.example"],
            [
                "key-usage",
                "extension.keyUsage",
                "digitalSignature, keyEncipherment",
                "digitalSignature, keyEncipherment, dataEncipherment"
            ],
            ["extended-key-usage", "extension.extendedKeyUsage", "clientAuth", "serverAuth"],
        ]
    );
}

#[test]
fn what_was_found_is_shown_without_acting() {
    let mut csr = Csr::new(Kind::ExternalServer);
    csr.set("O", UTF8_STRING, "\u{1b}[2J\u{202e}POSTE\r\n");
    csr.set("CN", UTF8_STRING, "x".repeat(5_000));
    let findings = judge(&csr.build(), Kind::ExternalServer).unwrap_err();
    assert_eq!(findings[0].found, "\\u{1b}[2J\\u{202e}POSTE\\u{d}\\u{a}");
    assert_eq!(findings[1].found, format!("{}…", "x".repeat(200)));
}

#[test]
fn an_accepted_csr_is_read_in_its_one_form() {
    let mut csr = Csr::new(Kind::ExternalServer);
    csr.set("ST", UTF8_STRING, "I\u{302}le-de-France");
    csr.set("CN", UTF8_STRING, "API.B\u{fc}cher.example.");
    let alternatives = [(DNS_NAME, "web.Example"), (DNS_NAME, "api.xn--bcher-kva.example"), (RFC822_NAME, EMAIL)];
    csr.set_extension(SUBJECT_ALT_NAME, false, names(&alternatives));
    let der = csr.build();
    let checked = check_csr(&der, &expectation(Kind::ExternalServer)).unwrap();
    assert_eq!(checked.der(), der);
    assert_eq!(checked.subject().common_name, "api.xn--bcher-kva.example");
    assert_eq!(checked.subject().region, "\u{ce}le-de-France");
    assert_eq!(checked.subject().organisation, ORGANISATION);
    assert_eq!(checked.dns_names(), ["api.xn--bcher-kva.example", "web.example"]);
    assert_eq!(checked.emails(), [EMAIL]);
    assert_eq!(checked.key().to_string(), "EC P-256");
    assert_eq!(checked.public_key(), csr.public_key);
}

/// Every byte of a CSR is changed in several ways. The signature covers the signed part and the form is exact, so
/// nothing that differs is accepted.
#[test]
fn no_changed_byte_is_accepted() {
    let csr = Csr::new(Kind::ExternalServer).build();
    let expectation = expectation(Kind::ExternalServer);
    assert!(check_csr(&csr, &expectation).is_ok());
    for position in 0..csr.len() {
        for mask in [0x01, 0x02, 0x04, 0x10, 0x20, 0x80, 0xff] {
            let mut changed = csr.clone();
            changed[position] ^= mask;
            let outcome = judge(&changed, Kind::ExternalServer);
            assert!(outcome.is_err(), "byte {position} changed by {mask:#04x} is accepted");
        }
    }
}

#[test]
fn pem_inside_a_csr_is_not_another_csr() {
    let mut inner = Csr::new(Kind::Workstation);
    inner.set("CN", UTF8_STRING, "0000000000FF-2");
    let file = pem("CERTIFICATE REQUEST", &inner.build(), "\n");
    let mut outer = Csr::new(Kind::Workstation);
    outer.attributes.push(csr_attribute("1.2.840.113549.1.9.2", &der(UTF8_STRING, format!("\n{file}"))));
    let outer = outer.build();
    assert_eq!(read_csr(&outer).as_ref(), Ok(&outer));
    let checked = check_csr(&outer, &expectation(Kind::Workstation));
    // Whatever becomes of the attribute: the names that are shown are those that are judged.
    assert!(checked.is_ok_and(|csr| csr.der() == outer && csr.subject().common_name != "0000000000FF-2"));
    // A message holds DER; whoever reads a file makes it so.
    let findings = check_csr(file.as_bytes(), &expectation(Kind::Workstation)).unwrap_err();
    assert_eq!(findings[0].rule, "not-a-csr");
}
