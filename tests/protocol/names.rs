//! Names as they are printed, beside the programs whose form it is.

use ptc_enroll::protocol::request::Kind;
use ptc_enroll::protocol::rules::csr_subject;
use ptc_enroll::protocol::subject::NameFormat;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::support::csr::*;

/// The sets of names that are hard to print.
fn odd_names() -> Vec<Vec<Vec<u8>>> {
    let odd_texts = [
        "plain",
        "Besançon 東京 😀",
        "a,b",
        "a, b=c",
        "a+b",
        "a\"b",
        "say \"a, b\"",
        "back\\slash, too",
        "back\\slash",
        "a<b>c",
        "a;b",
        "#first",
        "in # the middle",
        " first",
        "last ",
        " ",
        "  two  ",
        "",
        "a=b",
        "it's",
        "new\nline",
        "tab\tand\u{7f}\u{1}",
        "carriage\r",
    ];
    let mut names: Vec<Vec<Vec<u8>>> = odd_texts
        .iter()
        .map(|text| vec![part("C", PRINTABLE_STRING, "FR"), part("O", UTF8_STRING, text), part("CN", UTF8_STRING, "x")])
        .collect();
    names.extend([
        vec![],
        vec![
            part("C", PRINTABLE_STRING, "FR"),
            part("ST", UTF8_STRING, "Île-de-France"),
            part("L", UTF8_STRING, "Paris"),
            part("O", UTF8_STRING, ORGANISATION),
            part("OU", UTF8_STRING, "Server"),
            part("CN", UTF8_STRING, HOST),
        ],
        vec![
            part("DC", IA5_STRING, "example"),
            part("street", UTF8_STRING, "1, rue X"),
            part("serialNumber", PRINTABLE_STRING, "12"),
            part("emailAddress", IA5_STRING, EMAIL),
        ],
        vec![
            part("C", PRINTABLE_STRING, "FR"),
            der(SET, [attribute("OU", UTF8_STRING, "b,c"), attribute("CN", UTF8_STRING, "a")].concat()),
            part("CN", UTF8_STRING, "z"),
        ],
        vec![part("1.2.3.4", UTF8_STRING, "unknown type"), part("CN", UTF8_STRING, "x")],
    ]);
    names
}

fn printed(format: NameFormat, subject: &[Vec<u8>]) -> String {
    let der = sequence(subject);
    let (_, name) = X509Name::from_der(&der).unwrap();
    format.print(&name)
}

/// The CSR is not checked by `openssl req` unless asked, so any subject prints.
fn openssl_subject(subject: &[Vec<u8>], options: &str) -> String {
    let mut csr = Csr::new(Kind::Workstation);
    csr.subject = subject.to_vec();
    let pem = pem("CERTIFICATE REQUEST", &csr.build(), "\n");
    let arguments = ["req", "-in", "csr", "-noout", "-subject", "-nameopt", options, "-out", "out"];
    let said = String::from_utf8(made_by("openssl", &arguments, &[("csr", &pem)])).unwrap();
    said.trim_end_matches('\n').strip_prefix("subject=").unwrap().to_owned()
}

#[test]
fn openssl_and_rfc4514_print_as_openssl_does() {
    for (format, options) in
        [(NameFormat::Openssl, "oneline,utf8,-esc_msb"), (NameFormat::Rfc4514, "RFC2253,utf8,-esc_msb")]
    {
        let wrong: Vec<_> = odd_names()
            .iter()
            .map(|name| (printed(format, name), openssl_subject(name, options)))
            .filter(|(ours, theirs)| ours != theirs)
            .collect();
        assert!(wrong.is_empty(), "{format}, ours and openssl's: {wrong:#?}");
    }
}

/// `NeedsQuoting` of .NET's `X500NameEncoder`, which does as `CertNameToStr` does.
#[test]
fn windows_prints_as_dotnet_does() {
    for (text, expected) in [
        ("plain", "plain"),
        ("", "\"\""),
        ("a,b", "\"a,b\""),
        ("a+b", "\"a+b\""),
        ("a=b", "\"a=b\""),
        ("a\"b", "\"a\"\"b\""),
        ("a<b", "\"a<b\""),
        ("a>b", "\"a>b\""),
        ("a#b", "\"a#b\""),
        ("a;b", "\"a;b\""),
        ("new\nline", "\"new\nline\""),
        ("a\rb", "a\rb"),
        ("a\tb", "a\tb"),
        ("last\t", "\"last\t\""),
        (" first", "\" first\""),
        ("last ", "\"last \""),
        ("back\\slash", "back\\slash"),
        ("Besançon", "Besançon"),
    ] {
        let name = [part("C", PRINTABLE_STRING, "FR"), part("O", UTF8_STRING, text)];
        assert_eq!(printed(NameFormat::Windows, &name), format!("O={expected}, C=FR"));
    }
    let name = [
        part("ST", UTF8_STRING, "IdF"),
        der(SET, [attribute("OU", UTF8_STRING, "b"), attribute("CN", UTF8_STRING, "a")].concat()),
        part("emailAddress", IA5_STRING, EMAIL),
        part("serialNumber", PRINTABLE_STRING, "12"),
        part("street", UTF8_STRING, "rue"),
        part("DC", IA5_STRING, "example"),
        part("1.2.3.4", UTF8_STRING, "x"),
    ];
    assert_eq!(
        printed(NameFormat::Windows, &name),
        "OID.1.2.3.4=x, DC=example, STREET=rue, SERIALNUMBER=12, E=admin@poste.example, OU=b + CN=a, S=IdF"
    );
}

/// What is shown to an approver comes from strangers.
#[test]
fn what_hides_is_written_out() {
    let mut csr = Csr::new(Kind::Workstation);
    csr.subject = vec![part("CN", UTF8_STRING, "a\u{202e}b\u{200b}c\u{9b}d\0")];
    assert_eq!(csr_subject(&csr.build()).as_deref(), Some("CN=a\\E2\\80\\AEb\\E2\\80\\8Bc\\C2\\9Bd\\00"));
    assert_eq!(csr_subject(b"no CSR"), None);
    // OpenSSL forgets the backslash where the value is one character.
    assert_eq!(printed(NameFormat::Rfc4514, &[part("CN", UTF8_STRING, "#")]), "CN=\\#");
    let name = [part("CN", BMP_STRING, b"\0a")];
    assert_eq!(printed(NameFormat::Rfc4514, &name), "CN=#1E020061");
}
