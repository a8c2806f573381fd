//! The revocation list between revocation and reader: nothing is missing on it, whoever revokes, and whatever stops.

use std::thread;
use std::time::Instant;

use ptc_enroll::protocol::messages::{Revocation, RevocationCode};
use ptc_enroll::protocol::secret::{hex, sha256_hex};
use ptc_enroll::service::app::App;
use serde_json::json;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::support::service::{A, Reply, Service, operator};
use crate::support::verifiers::{openssl, pem};

/// For how long an answer of the database's is shared.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);
/// Far above what anything here takes, so that a wait that would never end does.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

const REVOCATION: Revocation = Revocation { code: RevocationCode::Superseded, reason: String::new() };

fn serials(service: &Service, count: usize) -> Vec<String> {
    (0..count).map(|_| service.detail(service.approved(A).number).status.issued.unwrap().serial).collect()
}

fn text(list: &[u8]) -> String {
    openssl(&["crl", "-inform", "DER", "-in", "crl", "-noout", "-text"], &[("crl", list)])
}

fn list(service: &Service) -> Reply {
    service.public().get("/ca/crl")
}

fn made(service: &Service) -> usize {
    let page = service.run(service.app.audit_record(&operator(), 0, Some(200))).unwrap();
    page.items.iter().filter(|entry| entry.action == "crl.publish").count()
}

#[test]
fn those_who_revoke_at_once_share_a_list_that_holds_all_of_them() {
    let service = Service::start();
    let serials = serials(&service, 16);
    let before = made(&service);
    let ptc = service.ptc_manager();
    let revoke_and_look = &|serial: &String| {
        let path = format!("/manager/certificates/{serial}/revoke");
        let reply = service.secure(Some(&ptc)).post(&path, &json!({ "code": "superseded" }));
        assert_eq!(reply.status, 200, "{}", reply.text());
        // Whoever is told that it is revoked finds it on the list.
        assert!(text(&list(&service).body).contains(&serial.to_uppercase()));
    };
    thread::scope(|scope| {
        for serial in &serials {
            scope.spawn(move || revoke_and_look(serial));
        }
    });
    let lists = made(&service) - before;
    assert!((1..=serials.len()).contains(&lists), "{lists} lists");
    let last = text(&list(&service).body);
    assert!(serials.iter().all(|serial| last.contains(&serial.to_uppercase())), "{last}");
}

#[test]
fn what_was_revoked_before_a_stop_is_on_the_list_after_it() {
    let mut service = Service::start();
    let serials = serials(&service, 1);
    service.tamper(
        "UPDATE certificates SET revoked_at = not_before + 60, revoked_by = 'nobody', revocation_code = 'superseded',
                revocation = 1 WHERE request IS NOT NULL",
    );
    let number = || service.run(service.app.crl()).unwrap().number;
    let before = number();
    assert!(!text(&list(&service).body).contains(&serials[0].to_uppercase()));
    service.restart();
    assert!(text(&list(&service).body).contains(&serials[0].to_uppercase()));
    assert!(service.run(service.app.crl()).unwrap().number > before);
}

#[test]
fn two_processes_never_publish_the_same_number_or_forget_each_other() {
    let service = Service::start();
    let serials = serials(&service, 12);
    let beside = service.beside();
    let by = async |app: &App, first: usize| {
        for serial in serials.iter().skip(first).step_by(2) {
            app.revoke(&operator(), serial, &REVOCATION).await.unwrap();
        }
    };
    service.run(async { tokio::join!(by(&service.app, 0), by(&beside, 1)) });
    // A third one, which knows only what lies in the database.
    let third = service.beside();
    let newest = service.run(third.crl()).unwrap();
    let last = text(&newest.der);
    assert!(serials.iter().all(|serial| last.contains(&serial.to_uppercase())), "{last}");
    let page = service.run(service.app.audit_record(&operator(), 0, Some(200))).unwrap();
    let numbers: Vec<u64> = page
        .items
        .iter()
        .filter_map(|entry| entry.object.strip_prefix("crl:"))
        .map(|number| number.parse().unwrap())
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
}

#[test]
fn the_list_is_sent_once_to_who_keeps_it() {
    let service = Service::start();
    let serials = serials(&service, 1);
    let first = list(&service);
    let tag = first.header("etag").unwrap();
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    let again = || service.public().send("GET", "/ca/crl", &[("If-None-Match", tag)], None);
    let reply = again();
    assert_eq!((reply.status, reply.body.len()), (304, 0));
    let since = first.header("last-modified").unwrap();
    assert_eq!(service.public().send("GET", "/ca/crl", &[("If-Modified-Since", since)], None).status, 304);
    service.run(service.app.revoke(&operator(), &serials[0], &REVOCATION)).unwrap();
    let reply = again();
    assert_eq!(reply.status, 200);
    assert!(text(&reply.body).contains(&serials[0].to_uppercase()));
}

#[test]
fn those_who_ask_while_the_database_is_away_share_the_answer() {
    let service = Service::start();
    let begun = Instant::now();
    loop {
        service.tamper("ALTER TABLE crls RENAME TO away");
        // What is known is good for a second.
        let mut asked = Instant::now();
        while list(&service).status == 200 {
            assert!(begun.elapsed() < PATIENCE, "the database is never missed");
            asked = Instant::now();
        }
        service.tamper("ALTER TABLE away RENAME TO crls");
        let status = list(&service).status;
        // On a machine that was slow, the second may be over.
        if asked.elapsed() < LOOK {
            assert_ne!(status, 200, "asked the database again");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "never within a second");
    }
    while list(&service).status != 200 {
        assert!(begun.elapsed() < PATIENCE, "the answer lasts for ever");
    }
}

#[test]
fn a_date_hides_no_list_of_the_same_second() {
    let service = Service::start();
    let since = |date: &str| service.public().send("GET", "/ca/crl", &[("If-Modified-Since", date)], None);
    let begun = Instant::now();
    let date = loop {
        let [first, second] = [(); 2].map(|()| {
            service.run(service.app.publish_crl(&operator())).unwrap();
            list(&service)
        });
        let date = first.header("last-modified").unwrap().to_owned();
        if second.header("last-modified") == Some(&date) {
            break date;
        }
        assert!(begun.elapsed() < PATIENCE, "never two lists in a second");
    };
    assert_eq!(since(&date).status, 200);
    // In another second the next one is alone, and does not go twice to who knows dates only.
    service.advance(Duration::minutes(1));
    service.run(service.app.publish_crl(&operator())).unwrap();
    let next = list(&service);
    assert_eq!(since(&date).status, 200);
    assert_eq!(since(next.header("last-modified").unwrap()).status, 304);
}

/// When a list began to be good, as HTTP tells it.
fn date(reply: &Reply) -> OffsetDateTime {
    httpdate::parse_http_date(reply.header("last-modified").unwrap()).unwrap().into()
}

fn publish(service: &Service) -> Reply {
    service.run(service.app.publish_crl(&operator())).unwrap();
    list(service)
}

#[test]
fn a_list_of_a_clock_that_is_behind_is_the_newer_one_all_the_same() {
    let service = Service::start();
    service.advance(Duration::hours(6));
    let first = publish(&service);
    // As the list of another process.
    service.advance(Duration::seconds(-40));
    let second = publish(&service);
    assert_eq!(date(&second), date(&first));
    assert_ne!(second.body, first.body);
    // It is not made again for that.
    service.run(service.app.refresh_crl()).unwrap();
    assert_eq!(list(&service).body, second.body);
    let asked = httpdate::fmt_http_date((date(&first) + Duration::SECOND).into());
    for since in [first.header("last-modified").unwrap(), &asked] {
        let reply = service.public().send("GET", "/ca/crl", &[("If-Modified-Since", since)], None);
        assert_eq!((reply.status, &reply.body), (200, &second.body), "{since}");
    }
    // A clock that was wrong by more is not followed: what is not good yet is refused by whoever checks it.
    service.advance(Duration::hours(-2));
    let ahead = list(&service);
    assert_eq!(ahead.header("last-modified"), None, "later than the answer");
    service.run(service.app.refresh_crl()).unwrap();
    let third = list(&service);
    assert_ne!(third.body, ahead.body, "still not good");
    assert!(date(&third) <= service.now());
    assert_eq!(text(&third.body).matches("CRL Number").count(), 1);
}

#[test]
fn a_list_is_good_for_whoever_is_a_little_behind() {
    let service = Service::start();
    let [good, revoked] = [(); 2].map(|()| service.detail(service.approved(A).number).status.issued.unwrap());
    service.advance(Duration::hours(1));
    service.run(service.app.revoke(&operator(), &revoked.serial, &REVOCATION)).unwrap();
    let behind = service.now() - Duration::seconds(50);
    let ca = service.app.ca();
    let (root, issuing, list) = (pem(ca.root()), ca.issuing(), list(&service).body);
    let at = behind.unix_timestamp().to_string();
    let arguments = ["verify", "-crl_check", "-attime", &at, "-CAfile", "root", "-untrusted", "issuing"];
    let arguments = [arguments.as_slice(), &["-CRLfile", "list", "certificate"]].concat();
    let certificate = good.certificate.0.as_slice();
    let files = [("root", root.as_bytes()), ("issuing", issuing), ("list", &list), ("certificate", certificate)];
    let said = openssl(&arguments, &files);
    assert!(said.contains("certificate: OK"), "{said}");
    // The entry tells when it was revoked, though that is later than the list's own date.
    let (_, list) = CertificateRevocationList::from_der(&list).unwrap();
    let entry = list.iter_revoked_certificates().next().unwrap();
    assert_eq!(hex(entry.raw_serial()), revoked.serial);
    assert!(entry.revocation_date.to_datetime() > list.last_update().to_datetime());
}

#[test]
fn a_certificate_stays_until_it_was_on_a_list_of_after_its_end() {
    let service = Service::start();
    let [early, late] = <[String; 2]>::try_from(serials(&service, 2)).unwrap();
    let has = |serial: &str| text(&list(&service).body).contains(&serial.to_uppercase());
    service.run(service.app.revoke(&operator(), &early, &REVOCATION)).unwrap();
    // The service stood still for long.
    service.advance(Duration::days(3 * 365));
    publish(&service);
    assert!(has(&early), "never on a list of after its end");
    // One that ended long ago is on the list, too, when it is revoked.
    service.run(service.app.revoke(&operator(), &late, &REVOCATION)).unwrap();
    assert!(has(&late) && !has(&early));
    service.advance(Duration::days(13));
    publish(&service);
    assert!(has(&late), "gone after thirteen days");
    service.advance(Duration::days(2));
    publish(&service);
    assert!(!has(&late), "never gone");
}

#[test]
fn http_is_told_what_is_known_by_every_line_and_method() {
    let service = Service::start();
    let first = list(&service);
    let tag = first.header("etag").unwrap();
    // A name that no other list has, whatever database it came from.
    assert_eq!(tag.trim_matches('"'), sha256_hex(&first.body));
    let length = first.body.len().to_string();
    for method in ["GET", "HEAD"] {
        for (headers, status) in [
            (vec![], 200),
            (vec![("If-None-Match", tag)], 304),
            (vec![("If-None-Match", "\"other\""), ("If-None-Match", tag)], 304),
            // A name goes before a date (RFC 9110 §13.2.2), also one that cannot be read.
            (vec![("If-None-Match", "other"), ("If-Modified-Since", first.header("last-modified").unwrap())], 200),
        ] {
            let reply = service.public().send(method, "/ca/crl", &headers, None);
            assert_eq!(reply.status, status, "{method} {headers:?}");
            let told = reply.header("content-length");
            assert!(told.map_or(status == 304, |told| told == length), "{method} {headers:?}: {told:?}");
            assert_eq!(reply.body.is_empty(), method == "HEAD" || status == 304);
        }
    }
}

#[test]
fn the_date_of_an_answer_goes_back_with_the_clock() {
    let service = Service::start();
    let told = || {
        let reply = list(&service);
        OffsetDateTime::from(httpdate::parse_http_date(reply.header("date").unwrap()).unwrap())
    };
    for hours in [0, 5, -4] {
        service.advance(Duration::hours(hours));
        let (before, told, after) = (service.now(), told(), service.now());
        assert!(before - Duration::SECOND < told && told <= after, "{hours}: {before} {told} {after}");
    }
}
