//! What reads bytes from outside. Each takes any bytes, must not panic, and keeps what it promises of those it accepts.

use std::fs;
use std::path::Path;

use axum::extract::Query;
use axum::http::Uri;
use ptc_enroll::client::cli::{FieldArguments, MachineArguments, SubmitArguments};
use ptc_enroll::client::config::{Config, ConfigError, ExternalFields, MachineFields};
use ptc_enroll::client::error::Error;
use ptc_enroll::client::event_log::EventLog;
use ptc_enroll::client::home::Home;
use ptc_enroll::client::installation::Checker;
use ptc_enroll::client::journal::{Journal, Record};
use ptc_enroll::client::manifest;
use ptc_enroll::client::package::InstalledPackage;
use ptc_enroll::locales::Language;
use ptc_enroll::protocol::batch::{OutcomeBatch, StatusQuery, StatusResults, SubmissionBatch, SubmissionResults};
use ptc_enroll::protocol::messages::{
    Approval, Identity, IssuedManager, NewManager, NewPackage, Organisation, Outcome, Reissue, Rejection,
    RequestStatus, Revocation, Rotation, ServiceInfo, Submission,
};
use ptc_enroll::protocol::package::{FILES, MANIFEST, Package};
use ptc_enroll::protocol::problem::Problem;
use ptc_enroll::protocol::request::{Kind, StoreScope};
use ptc_enroll::protocol::rules::{Finding, check_csr, check_csr_again, check_csr_key, csr_subject, read_csr};
use ptc_enroll::protocol::secret::Secret;
use ptc_enroll::protocol::subject::{check_email, host_name, identity};
use ptc_enroll::protocol::text::{acts_or_hides, ascii_line, csv_cell, printable};
use ptc_enroll::service::ca::ocsp;
use ptc_enroll::service::error::Refusal;
use ptc_enroll::service::registration::{CertificateQuery, RequestQuery};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::support::csr::{expectation, pem};

/// A reader of bytes from outside.
#[derive(Clone, Copy)]
pub struct Target {
    /// Also the folder of its inputs in `tests/data/fuzz`.
    pub name: &'static str,
    /// Whether it accepts them. `place` is a folder for what is read from files.
    pub accepts: fn(input: &[u8], place: &Path) -> bool,
}

/// All of them.
pub const TARGETS: [Target; 11] = [
    Target { name: "csr", accepts: csr },
    Target { name: "package", accepts: package },
    Target { name: "settings", accepts: settings },
    Target { name: "answers", accepts: answers },
    Target { name: "manifest", accepts: servers },
    Target { name: "journal", accepts: journal },
    Target { name: "messages", accepts: messages },
    Target { name: "replies", accepts: replies },
    Target { name: "query", accepts: query },
    Target { name: "ocsp", accepts: ocsp_request },
    Target { name: "text", accepts: text },
];

/// When the packages among the inputs were good.
const THEN: OffsetDateTime = datetime!(2026-11-24 18:30 UTC);

/// A CSR as a file: what one reader accepts, every other reads the same way.
fn csr(input: &[u8], _: &Path) -> bool {
    let Ok(der) = read_csr(input) else { return false };
    // What is DER on its outside alone is searched for PEM, and refused by the rules either way.
    let holds_pem = der.windows(11).any(|window| window == b"-----BEGIN ");
    if der.first() == Some(&0x30) && is_der(&der) && !holds_pem {
        assert_eq!(read_csr(&der).as_ref(), Ok(&der), "DER is read as it stands");
    }
    if der.len() < 32 * 1024 {
        let file = pem("CERTIFICATE REQUEST", &der, "\r\n");
        assert_eq!(read_csr(file.as_bytes()).as_ref(), Ok(&der), "and as PEM");
    }
    let key = check_csr_key(&der);
    if let Some(subject) = csr_subject(&der) {
        assert!(!subject.contains(acts_or_hides), "{subject:?}");
    }
    let mut accepted = false;
    for kind in Kind::ALL {
        let expectation = expectation(kind);
        // Whoever signed it: nobody but the holder of the key could sign a mutation.
        match check_csr_again(&der, &expectation) {
            Ok(checked) => {
                assert_eq!(checked.der(), der);
                assert!(csr_subject(&der).is_some());
                assert!(is_der(&der), "another reader of DER does not accept it");
                for name in checked.dns_names() {
                    assert_eq!(host_name(name).as_ref(), Ok(name));
                }
                assert!(checked.emails().iter().all(|email| check_email(email).is_ok()));
                assert!(checked.subject().to_distinguished_name().is_ok());
            }
            Err(findings) => assert_told(&findings),
        }
        match check_csr(&der, &expectation) {
            Ok(checked) => {
                assert!(check_csr_again(&der, &expectation).is_ok());
                assert_eq!(Ok(checked.public_key()), key.as_deref().map_err(Vec::as_slice));
                accepted = true;
            }
            Err(findings) => assert_told(&findings),
        }
    }
    accepted
}

/// At least one finding, each of them fit to show and of a length that can be shown.
fn assert_told(findings: &[Finding]) {
    assert!(!findings.is_empty() && findings.len() <= 100, "{} findings", findings.len());
    for Finding { found, expected, .. } in findings {
        assert!(!found.contains(acts_or_hides), "{found:?}");
        assert!(found.len() + expected.len() < 8_000, "{} bytes", found.len());
    }
}

/// Whether yasna reads one value of DER at every level.
fn is_der(bytes: &[u8]) -> bool {
    fn inner(mut content: &[u8]) -> bool {
        while !content.is_empty() {
            let length = match content {
                [_, length @ ..=0x7f, ..] => 2 + usize::from(*length),
                [_, digits @ 0x81..=0x84, rest @ ..] => {
                    let digits = usize::from(digits & 0x7f);
                    let Some(digits_read) = rest.get(..digits) else { return false };
                    2 + digits + digits_read.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit))
                }
                _ => return false,
            };
            let Some((value, rest)) = content.split_at_checked(length) else { return false };
            if !is_der(value) {
                return false;
            }
            content = rest;
        }
        true
    }
    yasna::parse_der(bytes, |reader| reader.read_tagged_der())
        .is_ok_and(|value| value.pcbit() == yasna::PCBit::Primitive || inner(value.value()))
}

/// An install package: its files one after the other, each after a line with its name.
fn package(input: &[u8], place: &Path) -> bool {
    let home = home(place);
    let folder = home.config.join("test");
    fs::create_dir_all(&folder).unwrap();
    let input = String::from_utf8_lossy(input);
    for name in FILES.iter().chain([&MANIFEST]) {
        let content = input.split("\n=== ").find_map(|part| part.strip_prefix(name)?.strip_prefix('\n'));
        fs::write(folder.join(name), content.unwrap_or_default()).unwrap();
    }
    match InstalledPackage::load(&home, None, THEN) {
        Ok(package) => {
            assert_eq!(package.settings.environment, "test");
            true
        }
        Err(error) => assert_shown(&error.text().in_language(Language::French)),
    }
}

/// The settings in an install package, which are also written as TOML.
fn settings(input: &[u8], _: &Path) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let Ok(package) = toml::from_str::<Package>(text) else { return false };
    assert_eq!(toml::from_str::<Package>(&toml::to_string(&package).unwrap()), Ok(package));
    true
}

/// The answers file, for this machine and for external servers.
fn answers(input: &[u8], place: &Path) -> bool {
    let path = place.join("answers.toml");
    fs::write(&path, input).unwrap();
    let config = config(place);
    let fields = || FieldArguments { answers: Some(path.clone()), ..FieldArguments::default() };
    let submit = SubmitArguments {
        fields: fields(),
        locality: None,
        region: None,
        key: None,
        common_name: None,
        store: None,
        grant_read: Vec::new(),
        dry_run: false,
    };
    let machine = MachineFields::collect(&config, submit);
    let external = ExternalFields::collect(&config, fields(), MachineArguments::default(), true);
    for error in [machine.as_ref().err(), external.as_ref().err()].into_iter().flatten() {
        assert_shown(&error.text().in_language(Language::English));
        if let ConfigError::Answers { source, .. } = error {
            assert!(source.span().is_some() && error.to_string().contains("line"), "no line in {error}");
        }
    }
    machine.is_ok() || external.is_ok()
}

/// A manifest of servers elsewhere.
fn servers(input: &[u8], place: &Path) -> bool {
    let path = place.join("servers.csv");
    let read = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        manifest::read(&path)
    };
    // Either ends a line.
    let lines = 1 + input.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    match read(input) {
        Ok(rows) => {
            assert!(!rows.is_empty() && rows.len() < lines, "{} rows in {lines} lines", rows.len());
            assert!(rows.iter().all(|row| row.csr != place));
            if !input.starts_with(b"\xef\xbb\xbf") {
                let marked = read(&[b"\xef\xbb\xbf", input].concat()).unwrap();
                assert_eq!(format!("{rows:?}"), format!("{marked:?}"), "with a byte order mark");
            }
            true
        }
        Err(Error::Manifest(error)) => {
            let details = error.details(Language::English);
            assert!(!details.is_empty() && details.len() <= 20 + 9, "{} mistakes", details.len());
            for detail in details {
                let numbers = detail.split(|character: char| !character.is_ascii_digit());
                let line = numbers.filter_map(|number| number.parse().ok()).find(|number| (1..=lines).contains(number));
                assert!(line.is_some(), "no line in {detail}");
                assert_shown(&detail);
            }
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// Records of the journal, alone in a file and several in one.
fn journal(input: &[u8], place: &Path) -> bool {
    let folder = place.join("journal");
    fs::create_dir_all(&folder).unwrap();
    let read = |name: &str| {
        let path = folder.join(name);
        fs::write(&path, input).unwrap();
        let records = Journal::new(folder.clone()).records();
        fs::remove_file(path).unwrap();
        records
    };
    let (single, group) = (read("one.json"), read("many.jsonl"));
    if let (Ok(single), Ok(group)) = (&single, &group) {
        let written = |records: &[Record]| serde_json::to_string(records).unwrap();
        assert_eq!(written(single), written(group), "the same in both kinds of file");
    }
    for error in [single.as_ref().err(), group.as_ref().err()].into_iter().flatten() {
        assert_shown(&error.text().in_language(Language::English));
    }
    for record in single.iter().chain(&group).flatten() {
        repeats(record);
    }
    single.is_ok_and(|records| !records.is_empty()) || group.is_ok_and(|records| !records.is_empty())
}

/// What clients and managers send.
fn messages(input: &[u8], _: &Path) -> bool {
    [
        reads::<Submission>,
        reads::<SubmissionBatch>,
        reads::<StatusQuery>,
        reads::<OutcomeBatch>,
        reads::<Outcome>,
        reads::<Approval>,
        reads::<Rejection>,
        reads::<Revocation>,
        reads::<NewManager>,
        reads::<NewPackage>,
        reads::<Organisation>,
        reads::<Reissue>,
        reads::<Rotation>,
    ]
    .map(|reads| reads(input))
    .contains(&true)
}

/// What the client reads of the service's answers, or of what comes in their place.
fn replies(input: &[u8], _: &Path) -> bool {
    if let Ok(status) = serde_json::from_slice::<RequestStatus>(input)
        && let Some(issued) = &status.issued
    {
        let chain: Vec<Vec<u8>> = issued.chain.iter().map(|der| der.0.clone()).collect();
        let anchor = chain.last().cloned().unwrap_or_default();
        let csr = include_bytes!("../data/fuzz/enrolled.csr");
        let checker = Checker::new(&anchor);
        if let Err(error) = checker.check(issued, &chain, csr, status.kind, &status.common_name, THEN) {
            assert_shown(&error.text().in_language(Language::French));
        }
    }
    if let Ok(problem) = serde_json::from_slice::<Problem>(input) {
        let _ = problem.code();
    }
    [
        reads::<RequestStatus>,
        reads::<StatusResults>,
        reads::<SubmissionResults>,
        reads::<Problem>,
        reads::<Identity>,
        reads::<ServiceInfo>,
        reads::<IssuedManager>,
    ]
    .map(|reads| reads(input))
    .contains(&true)
}

/// The query of a manager's list.
fn query(input: &[u8], _: &Path) -> bool {
    let Ok(uri) = Uri::try_from([b"/?", input].concat()) else { return false };
    let requests = Query::<RequestQuery>::try_from_uri(&uri);
    let certificates = Query::<CertificateQuery>::try_from_uri(&uri);
    for error in [requests.as_ref().err(), certificates.as_ref().err()].into_iter().flatten() {
        assert_shown(&Refusal::malformed(error.body_text()).to_string());
    }
    requests.is_ok() || certificates.is_ok()
}

/// An OCSP request.
fn ocsp_request(input: &[u8], _: &Path) -> bool {
    let Ok(request) = ocsp::Request::read(input) else { return false };
    assert!((1..=16).contains(&request.certificates.len()));
    assert!(request.nonce.is_none_or(|nonce| (1..=128).contains(&nonce.len())));
    assert!(request.certificates.iter().all(|id| !id.serial().is_empty()));
    assert!(is_der(input), "another reader of DER does not accept it");
    true
}

/// Any text: names that are accepted are canonical, and what is shown is inert.
fn text(input: &[u8], _: &Path) -> bool {
    let text = String::from_utf8_lossy(input);
    let shown = printable(&text);
    assert!(!shown.contains(acts_or_hides));
    assert_eq!(printable(&shown), shown, "once more");
    assert_eq!(identity(&identity(&text)), identity(&text));
    let value = Value::String(text.clone().into_owned());
    let line = ascii_line(&value);
    assert!(line.is_ascii() && line.matches('\n').count() == 1);
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    let cell = csv_cell(&text);
    let mut rows = csv::ReaderBuilder::new().has_headers(false).from_reader(cell.as_bytes());
    let row = rows.records().next().unwrap().unwrap();
    assert_eq!(row.len(), 1);
    assert!(row[0] == *text || row[0].strip_prefix('\'') == Some(&text));
    assert!(!row[0].starts_with(['=', '+', '-', '@', '\t', '\r', '\n']));
    match host_name(&text) {
        Ok(name) => {
            assert_eq!(host_name(&name).as_ref(), Ok(&name));
            assert_eq!(identity(&name), name);
            true
        }
        Err(_) => check_email(&text).is_ok(),
    }
}

/// Whether a message is read; if so, it means the same when it is written and read again.
fn reads<T: Serialize + DeserializeOwned>(input: &[u8]) -> bool {
    let Ok(message) = serde_json::from_slice::<T>(input) else { return false };
    repeats(&message);
    true
}

fn repeats<T: Serialize + DeserializeOwned>(message: &T) {
    let written = serde_json::to_vec(message).unwrap();
    let again: T = serde_json::from_slice(&written).unwrap();
    assert!(serde_json::to_vec(&again).unwrap() == written, "{}", String::from_utf8_lossy(&written));
}

/// An error's text acts on nobody's terminal and fills nobody's screen; it says that nothing was accepted.
fn assert_shown(text: &str) -> bool {
    let acting = |character| acts_or_hides(character) && !matches!(character, '\n' | '\u{2068}' | '\u{2069}');
    assert!(!text.is_empty() && !text.contains(acting), "{text:?}");
    assert!(text.len() < 16_000, "{} bytes of an error", text.len());
    false
}

fn home(place: &Path) -> Home {
    Home {
        config: place.join("config"),
        state: place.join("state"),
        log: place.join("enroll.log"),
        machine_store: place.join("machine"),
        user_store: place.join("user"),
    }
}

/// A client with a package that gives no defaults.
fn config(place: &Path) -> Config {
    let settings = Package {
        format: 1,
        environment: "test".to_owned(),
        service_url: "https://enroll.ptc.example".to_owned(),
        secure_url: "https://enroll.ptc.example".to_owned(),
        kind: Kind::Workstation,
        store: StoreScope::User,
        external_requests: true,
        system_roots: false,
        organisation: Organisation { code: "J1CFRA".into(), name: "FRANCE LA POSTE".into(), country: "FR".into() },
        defaults: Default::default(),
    };
    let secret = Secret::random().unwrap();
    let package = InstalledPackage { settings, trust_anchor: Vec::new(), secret, folder: place.to_owned() };
    let home = home(place);
    let events = EventLog::new(home.log.clone());
    Config { home, package, language: Language::English, interactive: false, events }
}
