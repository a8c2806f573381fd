//! TLS as others see it: a scanner that was not written here (sslscan), what clients agree on, and handshakes that are
//! wrong, made with a library that was not written here either (tlslite-ng).

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ptc_enroll::protocol::messages::API;
use ptc_enroll::service::ca::Profile;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore, StreamOwned};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::listener;
use crate::support::service::{A, Identity, Service};
use crate::support::site::Run;

/// The suites of RFC 9325 §4.2 and RFC 8446 that an ECDSA certificate can have.
const SUITES: [&str; 6] = [
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
];

/// What the scanner finds: its elements, one a line.
fn scan(port: u16) -> Vec<String> {
    let output = Command::new("sslscan")
        .args(["--xml=-", "--no-check-certificate", "--no-colour", &format!("127.0.0.1:{port}")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

fn attribute<'a>(element: &'a str, name: &str) -> &'a str {
    let (_, rest) = element.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("no {name} in {element}"));
    rest.split('"').next().unwrap()
}

#[test]
fn a_scanner_finds_nothing_weak() {
    let service = Service::start();
    for (listener, port) in [("public", service.public_port()), ("secure", service.secure_port())] {
        let found = scan(port);
        let elements = |name: &'static str| found.iter().filter(move |line| line.starts_with(&format!("<{name} ")));
        let spoken: Vec<_> = elements("protocol")
            .filter(|line| attribute(line, "enabled") == "1")
            .map(|line| (attribute(line, "type"), attribute(line, "version")))
            .collect();
        assert_eq!(spoken, [("tls", "1.2"), ("tls", "1.3")], "{listener}: {found:#?}");
        let suites: Vec<_> = elements("cipher").map(|line| attribute(line, "cipher")).collect();
        // Of TLS 1.2 the scanner sees none where a certificate is asked for.
        assert!(suites.len() >= 3 && suites.iter().all(|suite| SUITES.contains(suite)), "{listener}: {suites:?}");
        for line in elements("cipher") {
            assert_ne!(attribute(line, "curve"), "", "{listener}, without forward secrecy: {line}");
        }
        // Nobody may renegotiate (RFC 9325 §3.5), and nothing is compressed (§3.3).
        assert!(elements("renegotiation").all(|line| attribute(line, "supported") == "0"), "{listener}: {found:#?}");
        assert!(elements("compression").all(|line| attribute(line, "supported") == "0"), "{listener}: {found:#?}");
        assert!(elements("heartbleed").all(|line| attribute(line, "vulnerable") == "0"), "{listener}: {found:#?}");
    }
}

/// A client that knows these groups only, after a request that was answered.
fn asked(config: &Arc<ClientConfig>, port: u16) -> ClientConnection {
    let name = ServerName::try_from("enroll.ptc.example").unwrap();
    let connection = ClientConnection::new(config.clone(), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", port)).unwrap());
    stream.write_all(b"GET /api/v1/service HTTP/1.1\r\nhost: enroll.ptc.example\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    // Not every end is announced.
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    stream.conn
}

fn client(
    service: &Service,
    groups: Vec<&'static dyn SupportedKxGroup>,
    identity: Option<&Identity>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(service.app.ca().root().to_vec())).unwrap();
    let provider = CryptoProvider { kx_groups: groups, ..default_provider() };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = identity.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    })
}

#[test]
fn keys_are_agreed_on_against_later_quantum_computers_where_both_can() {
    let service = Service::start();
    for (groups, agreed) in [
        (default_provider().kx_groups, NamedGroup::X25519MLKEM768),
        // Whoever cannot is not turned away.
        (vec![kx_group::X25519], NamedGroup::X25519),
        (vec![kx_group::SECP256R1], NamedGroup::secp256r1),
    ] {
        let connection = asked(&client(&service, groups, None), service.public_port());
        assert_eq!(connection.negotiated_key_exchange_group().unwrap().name(), agreed);
    }
}

#[test]
fn the_secure_listener_resumes_no_session() {
    let service = Service::start();
    let manager = service.manager(A);
    let config = client(&service, default_provider().kx_groups, Some(&manager));
    for _ in 0..3 {
        let connection = asked(&config, service.secure_port());
        assert_eq!(connection.handshake_kind(), Some(HandshakeKind::Full));
    }
    // The public one, where nobody is verified, may.
    let config = client(&service, default_provider().kx_groups, None);
    asked(&config, service.public_port());
    assert_eq!(asked(&config, service.public_port()).handshake_kind(), Some(HandshakeKind::Resumed));
}

/// The certificate that a listener presents, whatever the time, as PEM.
fn presented(port: u16) -> String {
    // It fails where it is asked for a certificate, and has shown the listener's by then.
    let arguments = ["s_client", "-connect", &format!("127.0.0.1:{port}"), "-showcerts"];
    let said = Run::of(Command::new("openssl").args(arguments)).stdout;
    let (certificate, _) = said.split_once("-----END CERTIFICATE-----").unwrap();
    certificate[certificate.find("-----BEGIN").unwrap()..].to_owned() + "-----END CERTIFICATE-----\n"
}

fn end(certificate: &str) -> OffsetDateTime {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    X509Certificate::from_der(&der).unwrap().1.validity().not_after.to_datetime()
}

#[test]
fn the_listeners_certificate_is_renewed_before_it_ends() {
    let service = Service::start();
    let both = || [service.public_port(), service.secure_port()].map(presented);
    let renew = || service.run(service.app.renew_listeners()).unwrap();
    let issued = || service.number("SELECT count(*) FROM certificates WHERE subject LIKE '%Enrollment Service%'");
    let first = both();
    assert_eq!(first[0], first[1]);
    service.advance(Duration::days(2 * 365 - 61));
    renew();
    assert_eq!(both(), first, "renewed too early");
    // A connection that was made before goes on.
    let mut connection = service.public_connection();
    connection.write_all(b"GET /api/v1/service HTTP/1.1\r\nhost: x\r\n").unwrap();
    service.advance(Duration::days(2));
    let file = service.home().join("tls/service.crt.pem");
    renew();
    let second = both();
    assert_eq!(second[0], second[1]);
    assert!(end(&second[0]) > end(&first[0]) + Duration::days(600), "not renewed");
    assert!(fs::read_to_string(&file).unwrap().starts_with(&second[0]), "not on disk");
    assert_eq!(issued(), 2);
    renew();
    assert_eq!((both(), issued()), (second, 2), "renewed again");
    connection.write_all(b"connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_renewal_that_fails_is_tried_again_in_an_hour_and_not_at_once() {
    let service = Service::start();
    if service.on_a_server() {
        return;
    }
    service.advance(Duration::days(2 * 365 - 30));
    // It fails after the certificate was recorded.
    service.tamper(
        "CREATE TRIGGER unsigned BEFORE UPDATE OF der ON certificates BEGIN SELECT RAISE(ABORT, 'not signed'); END",
    );
    let recorded = || service.number("SELECT count(*) FROM certificates WHERE subject LIKE '%Enrollment Service%'");
    assert!(service.run(service.app.renew_listeners()).is_err());
    for _ in 0..59 {
        service.advance(Duration::minutes(1));
        service.run(service.app.renew_listeners()).unwrap();
    }
    assert_eq!(recorded(), 2);
    service.advance(Duration::minutes(2));
    assert!(service.run(service.app.renew_listeners()).is_err());
    assert_eq!(recorded(), 3);
}

#[test]
fn what_an_administrator_puts_there_is_presented_in_time_and_never_replaced() {
    let service = Service::start();
    let file = |name: &str| service.home().join("tls").join(name);
    // Of another CA, for the same key; in office for longer than the one that the listeners have, but not for long.
    let key = KeyPair::from_pem(&fs::read_to_string(file("service.key.pem")).unwrap()).unwrap();
    let mut other = CertificateParams::default();
    other.not_after = service.now() + Duration::days(2 * 365 + 10);
    let other = other.self_signed(&key).unwrap().pem();
    fs::write(file("service.crt.pem"), &other).unwrap();
    service.run(service.app.renew_listeners()).unwrap();
    assert_ne!(end(&presented(service.public_port())), end(&other), "too early");
    service.advance(Duration::days(2 * 365 - 30));
    for _ in 0..2 {
        service.run(service.app.renew_listeners()).unwrap();
        assert_eq!(end(&presented(service.public_port())), end(&other));
    }
    assert_eq!(fs::read_to_string(file("service.crt.pem")).unwrap(), other);
}

#[test]
fn wrong_handshakes_are_refused_and_harm_nobody() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let (ca, manager, leaving) = (service.app.ca(), service.manager(A), service.manager(A));
    for (name, identity) in [("manager", &manager), ("leaving", &leaving), ("ptc", &service.ptc_manager())] {
        write_identity(folder.path(), name, &identity.chain, identity.key_pem());
    }
    let foreign = listener::ca(&folder.path().join("ca"));
    let key = KeyPair::generate().unwrap();
    let mut client = CertificateParams::default();
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own = client.self_signed(&key).unwrap().der().to_vec();
    write_identity(folder.path(), "self-signed", &[own], &key.serialize_pem());
    // The CA itself signs none that ended before it began.
    client.not_after = OffsetDateTime::now_utc() - Duration::hours(1);
    let issuing_key = fs::read_to_string(service.home().join("ca/issuing.key.pem")).unwrap();
    let issuer = Issuer::from_ca_cert_der(&ca.issuing().into(), KeyPair::from_pem(&issuing_key).unwrap()).unwrap();
    let expired = client.signed_by(&key, &issuer).unwrap().der().to_vec();
    write_identity(folder.path(), "expired", &[expired, ca.issuing().to_vec()], &key.serialize_pem());
    for (name, ca, profile) in [("foreign", &foreign, Profile::Manager), ("wrong-purpose", ca, Profile::PackageSigner)]
    {
        let (certificate, key) = listener::client(ca, profile);
        write_identity(folder.path(), name, &[certificate, ca.issuing().to_vec()], &key.serialize_pem());
    }
    write_certificates(&folder.path().join("root.pem"), &[ca.root().to_vec()]);
    fs::write(folder.path().join("disable"), format!("{API}/manager/managers/{}/disable", leaving.id)).unwrap();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/handshakes.py");
    let mut python = Command::new("python3");
    python
        .arg(script)
        .arg(folder.path())
        .args([service.public_port(), service.secure_port()].map(|port| port.to_string()));
    let run = Run::of(&mut python).exits(0);
    assert!(run.stdout.contains(" cases, 0 failed"), "{}", run.stdout);
    println!("{}", run.stdout);
}

fn write_identity(folder: &Path, name: &str, chain: &[Vec<u8>], key: &str) {
    write_certificates(&folder.join(format!("{name}.crt.pem")), chain);
    fs::write(folder.join(format!("{name}.key.pem")), key).unwrap();
}

fn write_certificates(file: &Path, chain: &[Vec<u8>]) {
    let blocks: Vec<_> = chain.iter().map(|der| pem::Pem::new("CERTIFICATE", der.as_slice())).collect();
    fs::write(file, pem::encode_many(&blocks)).unwrap();
}
