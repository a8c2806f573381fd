//! OCSP as those who ask see it: OpenSSL as the client, pkilint, and requests that nobody should send.

use std::time::Instant;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use ptc_enroll::protocol::messages::{Revocation, RevocationCode};
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::service::ca::{Algorithm, Ca, KeyAccess, NewCa};
use time::Duration;
use yasna::Tag;
use yasna::models::ObjectIdentifier;

use super::limits::counted;
use crate::support::service::{A, Reply, Service, operator};
use crate::support::verifiers::{openssl, openssl_extensions, pem, pkilint_ocsp};

const MALFORMED: &[u8] = &[0x30, 3, 0x0a, 1, 1];
const TRY_LATER: &[u8] = &[0x30, 3, 0x0a, 1, 3];
const UNAUTHORIZED: &[u8] = &[0x30, 3, 0x0a, 1, 6];
/// Far above what anything here takes, so that a wait that would never end does.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// A serial number of the right form that nobody has.
pub const NOBODY: &str = "40000000000000000000000000000001";

fn serial(service: &Service) -> String {
    service.detail(service.approved(A).number).status.issued.unwrap().serial
}

fn revoke(service: &Service, serial: &str) {
    let revocation = Revocation { code: RevocationCode::KeyCompromise, reason: String::new() };
    service.run(service.app.revoke(&operator(), serial, &revocation)).unwrap();
}

/// OpenSSL's client with an issuer, and the root and issuing CA as what it trusts.
fn openssl_ocsp(service: &Service, issuer: &[u8], arguments: &[&str], files: &[(&str, &[u8])]) -> String {
    let (issuer, anchors) = (pem(issuer), pem(service.app.ca().root()) + &pem(service.app.ca().issuing()));
    let mut all = vec!["ocsp", "-issuer", "issuer", "-CAfile", "anchors"];
    all.extend(arguments);
    let mut given = vec![("issuer", issuer.as_bytes()), ("anchors", anchors.as_bytes())];
    given.extend(files);
    openssl(&all, &given)
}

/// A request as OpenSSL makes it.
pub fn openssl_request(service: &Service, serials: &[&str], options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("request");
    let serials: Vec<String> = serials.iter().map(|serial| format!("0x{serial}")).collect();
    let mut arguments = options.to_vec();
    serials.iter().for_each(|serial| arguments.extend(["-serial", serial]));
    arguments.extend(["-reqout", out.to_str().unwrap()]);
    openssl_ocsp(service, service.app.ca().issuing(), &arguments, &[]);
    std::fs::read(out).unwrap()
}

/// What OpenSSL says of a response to a question about one serial number.
fn verified(service: &Service, serial: &str, response: &[u8]) -> String {
    let serial = format!("0x{serial}");
    let arguments = ["-serial", &serial, "-no_nonce", "-respin", "response"];
    openssl_ocsp(service, service.app.ca().issuing(), &arguments, &[("response", response)])
}

fn post(service: &Service, request: &[u8]) -> Reply {
    let reply =
        service.public().send("POST", "/ca/ocsp", &[("Content-Type", "application/ocsp-request")], Some(request));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/ocsp-response"));
    reply
}

/// The path of a request in the form of RFC 6960 A.1.
fn path(request: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(request);
    format!("/ca/ocsp/{}", text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"))
}

/// A request with these bytes after its list, in what a signature covers, and after that. OpenSSL makes none that is wrong.
fn within(request: &[u8], signed: &[u8], after: &[u8]) -> Vec<u8> {
    around(&[&request[4..], signed].concat(), after)
}

/// The same with a requestorName.
fn asked_by(request: &[u8], name: &[u8]) -> Vec<u8> {
    around(&[&[0xa1, name.len() as u8], name, &request[4..]].concat(), &[])
}

/// The same with an optionalSignature.
fn signed(request: &[u8], signature: &[u8]) -> Vec<u8> {
    within(request, &[], &[&[0xa0, signature.len() as u8], signature].concat())
}

fn around(tbs: &[u8], after: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_sequence(|writer| writer.next().write_der(tbs));
            if !after.is_empty() {
                writer.next().write_der(after);
            }
        });
    })
}

/// A request with a nonce of any length.
fn with_nonce(request: &[u8], nonce: &[u8]) -> Vec<u8> {
    // OCSPRequest and TBSRequest are SEQUENCEs of less than 128 octets.
    assert!(request[1] < 0x80 && request[3] < 0x80);
    let extensions = yasna::construct_der(|writer| {
        writer.write_tagged(Tag::context(2), |writer| {
            writer.write_sequence(|writer| {
                writer.next().write_sequence(|writer| {
                    writer.next().write_oid(&ObjectIdentifier::from_slice(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 2]));
                    writer.next().write_bytes(&yasna::construct_der(|writer| writer.write_bytes(nonce)));
                });
            });
        });
    });
    within(request, &extensions, &[])
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn openssl_asks_and_is_answered() {
    let service = Service::with_plain_listener();
    let (good, bad) = (serial(&service), serial(&service));
    revoke(&service, &bad);
    let url = format!("http://127.0.0.1:{}/api/v1/ca/ocsp", service.plain_port());
    for digest in ["-sha1", "-sha256"] {
        let ask = |serials: &[&str]| {
            let serials: Vec<String> = serials.iter().map(|serial| format!("0x{serial}")).collect();
            let mut arguments = vec![digest, "-url", url.as_str(), "-nonce"];
            serials.iter().for_each(|serial| arguments.extend(["-serial", serial]));
            let said = openssl_ocsp(&service, service.app.ca().issuing(), &arguments, &[]);
            assert!(said.contains("Response verify OK"), "{said}");
            assert!(!said.contains("nonce") && !said.contains("WARNING"), "{said}");
            said
        };
        assert!(ask(&[&good]).contains(&format!("0x{good}: good")));
        let said = ask(&[&bad]);
        assert!(said.contains(&format!("0x{bad}: revoked")) && said.contains("Reason: keyCompromise"), "{said}");
        for nobody in [NOBODY, "00", "1234", &"7f".repeat(20)] {
            assert!(ask(&[nobody]).contains(&format!("0x{nobody}: unknown")), "{nobody}");
        }
        let said = ask(&[&good, NOBODY, &bad, &good]);
        for (serial, state) in [(good.as_str(), "good"), (NOBODY, "unknown"), (&bad, "revoked")] {
            assert!(said.contains(&format!("0x{serial}: {state}")), "{said}");
        }
    }
    // The responder's certificate is in the response, and for nothing else.
    let request = openssl_request(&service, &[&good], &["-no_nonce"]);
    let response = post(&service, &request).body;
    let said = openssl_ocsp(
        &service,
        service.app.ca().issuing(),
        &["-respin", "response", "-noverify", "-text"],
        &[("response", &response)],
    );
    for part in ["Version: 1", "Responder Id: ", "PTC test OCSP Responder", "OCSP Signing", "OCSP No Check"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn another_ca_is_not_answered_for() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let other = Ca::create(
        &folder.path().join("ca"),
        &NewCa { algorithm: Algorithm::EcdsaP256, environment: "other", root_crl: None },
        &KeyAccess::default(),
        service.now(),
    )
    .unwrap();
    let ours = serial(&service);
    let out = folder.path().join("request");
    let (ours, out_path) = (format!("0x{ours}"), out.to_str().unwrap());
    let stranger = pem(other.issuing());
    let files = [("stranger", stranger.as_bytes())];
    let foreign = ["-issuer", "stranger", "-serial", "0x1234", "-no_nonce", "-reqout", out_path];
    openssl_ocsp(&service, other.issuing(), &foreign, &files);
    assert_eq!(post(&service, &std::fs::read(&out).unwrap()).body, UNAUTHORIZED);

    // Nor beside one of ours: OpenSSL would not believe such a response.
    let both = ["-serial", &ours, "-issuer", "stranger", "-serial", "0x1234", "-no_nonce", "-reqout", out_path];
    openssl_ocsp(&service, service.app.ca().issuing(), &both, &files);
    assert_eq!(post(&service, &std::fs::read(&out).unwrap()).body, UNAUTHORIZED);
}

#[test]
fn responses_are_kept_until_they_age_or_become_untrue() {
    let service = Service::start();
    let (number, other) = (serial(&service), serial(&service));
    let requests = ["-sha1", "-sha256"].map(|digest| openssl_request(&service, &[&number], &[digest, "-no_nonce"]));
    let ask = || requests.each_ref().map(|request| post(&service, request).body);
    let first = ask();
    assert_eq!(ask(), first, "signed again");
    service.advance(Duration::hours(11));
    assert_eq!(ask(), first, "signed again before half of its time was over");
    // Another's revocation does not touch it.
    revoke(&service, &other);
    assert_eq!(ask(), first, "signed again because of another certificate");
    service.advance(Duration::hours(2));
    let second = ask();
    assert!(second.iter().zip(&first).all(|(second, first)| second != first), "not renewed");

    // By this process: at once. By another one: within a second.
    revoke(&service, &number);
    let third = ask();
    let said = [&third[0], &third[1]].map(|response| verify_later(&service, response));
    assert!(said.iter().all(|said| said.contains("Cert Status: revoked")), "{said:?}");
    assert_eq!(ask(), third, "signed again");

    let third = serial(&service);
    let request = openssl_request(&service, &[&third], &["-no_nonce"]);
    let status = |response: &[u8]| verify_later(&service, response).contains("Cert Status: revoked");
    assert!(!status(&post(&service, &request).body));
    let beside = service.beside();
    let revocation = Revocation { code: RevocationCode::Superseded, reason: String::new() };
    service.run(beside.revoke(&operator(), &third, &revocation)).unwrap();
    let begun = Instant::now();
    while !status(&post(&service, &request).body) {
        assert!(begun.elapsed() < PATIENCE, "the other process's revocation does not arrive");
    }
    let list = service.public().get("/ca/crl").body;
    let text = openssl(&["crl", "-inform", "DER", "-in", "crl", "-noout", "-text"], &[("crl", &list)]);
    assert!(text.contains(&third.to_uppercase()), "{text}");
}

/// What is in a response, whatever the time.
fn verify_later(service: &Service, response: &[u8]) -> String {
    let arguments = ["-respin", "response", "-noverify", "-text"];
    openssl_ocsp(service, service.app.ca().issuing(), &arguments, &[("response", response)])
}

/// The serial number of the responder that has signed a response.
fn responder(service: &Service, response: &[u8]) -> String {
    let said = verify_later(service, response);
    let (_, certificate) = said.split_once("Certificate:").unwrap();
    certificate.lines().skip_while(|line| !line.contains("Serial Number")).nth(1).unwrap().trim().replace(':', "")
}

#[test]
fn a_responder_is_renewed_before_it_ends() {
    let service = Service::start();
    let number = serial(&service);
    let request = openssl_request(&service, &[&number], &["-no_nonce"]);
    let responder = || responder(&service, &post(&service, &request).body);
    let renew = || service.run(service.app.renew_responder()).unwrap();
    let first = responder();
    renew();
    service.advance(Duration::days(6));
    renew();
    assert_eq!(responder(), first, "renewed too early");
    service.advance(Duration::days(2));
    renew();
    let second = responder();
    assert_ne!(second, first, "not renewed");
    // A service that stood still for long.
    service.advance(Duration::days(20));
    assert_ne!(responder(), second, "a responder whose certificate is over");
    // Recorded and audited like every certificate.
    let audited = service.audited(&format!("certificate:{first}"));
    assert!(audited.iter().any(|(_, action, _)| action == "certificate.issue"), "{audited:?}");
}

#[test]
fn a_revoked_responder_signs_nothing_more() {
    let service = Service::start();
    let number = serial(&service);
    let request = openssl_request(&service, &[&number], &["-no_nonce"]);
    let ask = || post(&service, &request).body;
    let responder = |response: &[u8]| responder(&service, response);
    let first = ask();
    revoke(&service, &responder(&first));
    let second = ask();
    assert_ne!(responder(&second), responder(&first));
    assert!(verified(&service, &number, &second).contains(": good"));
    assert_eq!(ask(), second, "signed again");
    // Another process learns it within a second.
    let beside = service.beside();
    let revocation = Revocation { code: RevocationCode::KeyCompromise, reason: String::new() };
    service.run(beside.revoke(&operator(), &responder(&second), &revocation)).unwrap();
    let begun = Instant::now();
    while responder(&ask()) == responder(&second) {
        assert!(begun.elapsed() < PATIENCE, "the other process's revocation does not arrive");
    }
}

#[test]
fn nobody_waits_long_for_a_responder_that_cannot_be_recorded() {
    let service = Service::start();
    let number = serial(&service);
    let request = openssl_request(&service, &[&number], &["-no_nonce"]);
    // Somebody else writes, for longer than anybody who asks would wait.
    let held = service.run(service.app.database().write()).unwrap();
    let begun = Instant::now();
    assert_eq!(post(&service, &request).body, TRY_LATER);
    // Those who come after that are told at once.
    let waited = Instant::now();
    (0..20).for_each(|_| assert_eq!(post(&service, &request).body, TRY_LATER));
    assert!(waited.elapsed() < PATIENCE / 2, "one after the other");
    service.run(async { drop(held) });
    while post(&service, &request).body == TRY_LATER {
        assert!(begun.elapsed() < PATIENCE, "never certified");
    }
    assert!(verified(&service, &number, &post(&service, &request).body).contains(": good"));
    let responders = "SELECT count(*) FROM certificates WHERE subject LIKE '%OCSP Responder%'";
    assert_eq!(service.number(responders), 1);
}

#[test]
fn http_may_keep_what_get_answers() {
    let service = Service::start();
    let number = serial(&service);
    let request = openssl_request(&service, &[&number], &["-no_nonce"]);
    let standard = BASE64_STANDARD.encode(&request);
    let canonical = path(&request);
    let reply = service.public().get(&canonical);
    assert!(verified(&service, &number, &reply.body).contains(": good"));
    for (name, path) in [
        ("slashes as they are", format!("/ca/ocsp/{standard}")),
        ("without padding", format!("/ca/ocsp/{}", standard.trim_end_matches('='))),
        ("for URLs", format!("/ca/ocsp/{}", BASE64_URL_SAFE_NO_PAD.encode(&request))),
        (
            "everything encoded",
            format!("/ca/ocsp/{}", standard.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>()),
        ),
    ] {
        let other = service.public().get(&path);
        assert_eq!((other.status, &other.body), (200, &reply.body), "{name}");
    }
    for path in ["%%%", "~~~", "%00", "M", "%ff"] {
        let other = service.public().get(&format!("/ca/ocsp/{path}"));
        assert!(other.body == MALFORMED || other.status == 404, "{path}");
    }

    let control = reply.header("cache-control").unwrap();
    let seconds = control.strip_prefix("max-age=").and_then(|control| control.split_once(", ")).unwrap();
    assert_eq!(seconds.1, "public, no-transform, must-revalidate");
    // Half of a day, less what the test takes.
    assert!((43_100..=43_200).contains(&seconds.0.parse::<u32>().unwrap()), "{control}");
    let date = |reply: &Reply, name: &str| httpdate::parse_http_date(reply.header(name).unwrap()).unwrap();
    let lasts = date(&reply, "expires").duration_since(date(&reply, "last-modified")).unwrap();
    assert_eq!(lasts.as_secs(), 24 * 60 * 60);
    let (tag, since) = (reply.header("etag").unwrap(), reply.header("last-modified").unwrap());
    let conditional = |name: &str, value: &str| service.public().send("GET", &canonical, &[(name, value)], None);
    let later = httpdate::fmt_http_date(date(&reply, "last-modified") + PATIENCE);
    let earlier = httpdate::fmt_http_date(date(&reply, "last-modified") - PATIENCE);
    for (name, value, status) in [
        ("If-None-Match", tag.to_owned(), 304),
        ("If-None-Match", format!("\"other\", W/{tag}"), 304),
        ("If-None-Match", "*".to_owned(), 304),
        ("If-None-Match", "\"other\"".to_owned(), 200),
        // A response of the same second may have said something else.
        ("If-Modified-Since", since.to_owned(), 200),
        // Nor is a later date one from which on nothing changed: that of another process's clock.
        ("If-Modified-Since", later, 200),
        ("If-Modified-Since", earlier, 200),
        ("If-Modified-Since", "yesterday".to_owned(), 200),
    ] {
        let other = conditional(name, &value);
        assert_eq!(other.status, status, "{name}: {value}");
        assert_eq!(other.body.is_empty(), status == 304);
        assert_eq!(other.header("etag"), Some(tag));
    }
    let head = service.public().send("HEAD", &canonical, &[], None);
    assert_eq!((head.status, head.header("etag"), head.body.len()), (200, Some(tag), 0));

    // What is for one asker, or may be otherwise soon, is not kept.
    for request in [with_nonce(&request, &[7; 32]), openssl_request(&service, &[NOBODY], &["-no_nonce"])] {
        let reply = service.public().get(&path(&request));
        assert_eq!((reply.header("cache-control"), reply.header("etag")), (Some("no-store"), None));
    }
    assert_eq!(post(&service, &request).header("cache-control"), Some("no-store"));
    revoke(&service, &number);
    let other = conditional("If-None-Match", tag);
    assert_eq!(other.status, 200);
    assert!(verified(&service, &number, &other.body).contains(": revoked"));
}

#[test]
fn what_is_no_request_is_said_to_be_none() {
    let service = Service::start();
    let request = openssl_request(&service, &[NOBODY], &["-no_nonce"]);
    let many: Vec<String> = (0..17).map(|number| format!("4000000000000000000000000000{number:04x}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let replaced = |at: usize, byte: u8| {
        let mut bytes = request.clone();
        bytes[at] = byte;
        bytes
    };
    // A critical extension that nobody knows (1.2.3).
    let mut critical = with_nonce(&request, &[7; 4]);
    let place = critical.windows(9).position(|window| window == [43, 6, 1, 5, 5, 7, 48, 1, 2]).unwrap();
    critical[place] = 44;
    assert_ne!(post(&service, &critical).body, MALFORMED, "an extension that is not critical");
    let mut cases = vec![
        ("nothing".to_owned(), Vec::new()),
        ("an empty sequence".to_owned(), vec![0x30, 0]),
        ("text".to_owned(), b"OCSP, please".to_vec()),
        ("a trailing byte".to_owned(), [request.as_slice(), &[0]].concat()),
        ("an indefinite length".to_owned(), [&[0x30, 0x80], &request[2..], &[0, 0]].concat()),
        ("another type".to_owned(), replaced(0, 0x31)),
        ("a request list of another type".to_owned(), replaced(4, 0x31)),
        ("17 certificates".to_owned(), openssl_request(&service, &many, &["-no_nonce"])),
        ("a nonce without octets".to_owned(), with_nonce(&request, &[])),
        ("a nonce of 129 octets".to_owned(), with_nonce(&request, &[7; 129])),
        ("a certificate".to_owned(), service.app.ca().issuing().to_vec()),
        ("a requestor that is no name".to_owned(), asked_by(&request, &[0x30, 0])),
        ("a requestor of two names".to_owned(), asked_by(&request, &[0x82, 1, b'a', 0x82, 1, b'b'])),
        ("a requestor without a name".to_owned(), asked_by(&request, &[])),
        ("a name of a type that does not exist".to_owned(), asked_by(&request, &[0x89, 0])),
        ("an empty signature".to_owned(), signed(&request, &[])),
        ("a signature without a value".to_owned(), signed(&request, &[0x30, 2, 0x30, 0])),
        ("no extension".to_owned(), within(&request, &[0xa2, 2, 0x30, 0], &[])),
    ];
    for (name, request) in [
        ("a directory name", asked_by(&request, &[0xa4, 2, 0x30, 0])),
        ("a host name", asked_by(&request, &[0x82, 1, b'a'])),
        ("a signature", signed(&request, &[0x30, 6, 0x30, 0, 0x03, 2, 0, 0xff])),
        ("a signature with a chain", signed(&request, &[0x30, 10, 0x30, 0, 0x03, 2, 0, 0xff, 0xa0, 2, 0x30, 0])),
    ] {
        assert_ne!(post(&service, &request).body, MALFORMED, "{name}");
    }
    cases.extend((0..request.len()).map(|length| (format!("{length} octets"), request[..length].to_vec())));
    for (name, request) in &cases {
        assert_eq!(post(&service, request).body, MALFORMED, "{name}");
        if !request.is_empty() {
            assert_eq!(service.public().get(&path(request)).body, MALFORMED, "{name}");
        }
    }
    assert_ne!(post(&service, &openssl_request(&service, &many[..16], &["-no_nonce"])).body, MALFORMED);
    let huge = service.public().send("POST", "/ca/ocsp", &[], Some(&vec![0x30; 64 * 1024]));
    huge.is_problem(ProblemCode::BodyTooLarge);
    let long = service.public().get(&format!("/ca/ocsp/{}", "A".repeat(8_000)));
    assert_eq!(long.body, MALFORMED);
}

#[test]
fn a_nonce_is_repeated_or_left_out() {
    let service = Service::start();
    let number = serial(&service);
    let request = openssl_request(&service, &[&number], &["-no_nonce"]);
    let kept = post(&service, &request).body;
    for length in [1, 16, 32] {
        let nonce: Vec<u8> = (0..length).map(|octet| 0xa0 ^ octet).collect();
        let response = post(&service, &with_nonce(&request, &nonce)).body;
        assert!(contains(&response, &[&[4, length + 2, 4, length], nonce.as_slice()].concat()), "{length} octets");
        assert!(verified(&service, &number, &response).contains("verify OK"));
    }
    for length in [33, 128] {
        assert_eq!(post(&service, &with_nonce(&request, &vec![7; length])).body, kept, "{length} octets");
    }
}

#[test]
fn nobody_makes_the_service_sign_without_end() {
    let service = Service::with(|app| app.with_ocsp_signatures(4));
    let (number, other) = (serial(&service), serial(&service));
    let request = openssl_request(&service, &[&number], &["-no_nonce"]);
    let kept = post(&service, &request).body;
    let nonces = |request: &[u8]| {
        let mut answered = Vec::new();
        // Four a second are allowed, so that a few dozen at once are too many.
        for octet in 0..40 {
            answered.push(post(&service, &with_nonce(request, &[octet; 32])).body);
        }
        answered
    };
    let answered = nonces(&request);
    let without = answered.iter().filter(|response| **response == kept).count();
    assert!(without > 10, "{without} of 40 responses are the one that was there");
    // So are answers about a serial number that was made up, which serve nobody else.
    let fresh = openssl_request(&service, &[&other], &["-no_nonce"]);
    let made_up = openssl_request(&service, &[NOBODY], &["-no_nonce"]);
    let begun = Instant::now();
    while post(&service, &made_up).body != TRY_LATER {
        assert!(begun.elapsed() < PATIENCE, "made-up serial numbers are signed without end");
    }
    // Where there is none yet, the half that is left serves.
    assert_ne!(post(&service, &fresh).body, TRY_LATER);
    let several = openssl_request(&service, &[&number, &other], &["-no_nonce"]);
    let begun = Instant::now();
    while post(&service, &several).body != TRY_LATER {
        assert!(begun.elapsed() < PATIENCE, "several at once are signed without end");
    }
    assert_eq!(counted(&service, "ocsp-signatures"), 2);
    assert_eq!(post(&service, &request).body, kept);
}

#[test]
fn many_certificates_cost_as_many_signatures() {
    let service = Service::with(|app| app.with_ocsp_signatures(32));
    let serials: Vec<String> = (0..16).map(|number| format!("4000000000000000000000000000{number:04x}")).collect();
    let serials: Vec<&str> = serials.iter().map(String::as_str).collect();
    let request = openssl_request(&service, &serials, &["-no_nonce"]);
    let answered = (0..8).filter(|_| post(&service, &request).body != TRY_LATER).count();
    assert!((1..8).contains(&answered), "{answered} of 8");
}

#[test]
fn pkilint_finds_nothing() {
    let service = Service::start();
    let (good, bad) = (serial(&service), serial(&service));
    revoke(&service, &bad);
    for (name, serials, options) in [
        ("good", &[good.as_str()][..], &["-no_nonce"][..]),
        ("revoked, SHA-256", &[&bad], &["-sha256", "-no_nonce"]),
        ("unknown", &[NOBODY], &["-no_nonce"]),
        ("several with a nonce", &[&good, &bad, NOBODY], &["-nonce"]),
    ] {
        pkilint_ocsp(name, &post(&service, &openssl_request(&service, serials, options)).body);
    }
    for (name, response) in [("malformedRequest", MALFORMED), ("unauthorized", UNAUTHORIZED), ("tryLater", TRY_LATER)] {
        pkilint_ocsp(name, response);
    }
}

#[test]
fn certificates_lead_to_the_plain_listener_and_no_further() {
    let service = Service::with_plain_listener();
    let certificate = service.identity(&service.approved(A)).chain[0].clone();
    let said = openssl_extensions(&certificate, "authorityInfoAccess,crlDistributionPoints");
    for url in ["ca/crl", "ca/ocsp", "ca/issuer"] {
        assert!(said.contains(&format!("URI:http://ca.ptc.example/api/v1/{url}\n")), "{said}");
    }
    let plain = service.plain();
    let issuer = plain.get("/ca/issuer");
    assert_eq!((issuer.status, issuer.header("content-type")), (200, Some("application/pkix-cert")));
    assert_eq!(issuer.body, service.app.ca().issuing());
    assert_eq!(plain.get("/ca/crl").body, service.public().get("/ca/crl").body);
    assert_eq!(plain.get("/ca/ocsp/MAA=").body, MALFORMED);
    for path in ["/service", "/ca/chain", "/requests/1", "/openapi.json", "/manager/requests", "/test"] {
        plain.get(path).is_problem(ProblemCode::NotFound);
    }
    for path in ["/ca/crl", "/ca/issuer"] {
        assert_eq!(plain.post(path, &serde_json::json!({})).status, 405, "{path}");
    }

    let elsewhere = Service::start();
    let certificate = elsewhere.identity(&elsewhere.approved(A)).chain[0].clone();
    let said = openssl_extensions(&certificate, "authorityInfoAccess");
    assert!(said.contains("OCSP - URI:https://enroll.ptc.example:8443/api/v1/ca/ocsp\n"), "{said}");
}
