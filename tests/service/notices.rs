//! Who is told of what, and that it arrives: once, late rather than never, and at nobody else's.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Instant;

use aws_lc_rs::hmac;
use ptc_enroll::locales::Language;
use ptc_enroll::protocol::messages::{Rejection, RequestStatus, Revocation, RevocationCode};
use ptc_enroll::protocol::request::{Kind, RequestNumber};
use ptc_enroll::protocol::secret::hex;
use ptc_enroll::service::files::{FileError, write_secret};
use ptc_enroll::service::listener::Limits;
use ptc_enroll::service::notices::{EVENT_ID, LaneError, Mail, SIGNATURE, Security, Webhook};
use ptc_enroll::service::server::{ServeError, serve};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::Duration;

use crate::support::receivers::{Call, Received, Receiver, eventually, mail_server, webhook};
use crate::support::service::{A, B, Draft, SECURE_URL, Service, operator};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn through(server: &Receiver<Received>) -> Mail {
    Mail {
        server: "127.0.0.1".to_owned(),
        port: Some(server.port),
        security: Security::None,
        user: None,
        password_file: None,
        from: "PTC Enroll <enroll@ptc.example>".parse().unwrap(),
        language: Language::English,
        reminder_days: 3,
    }
}

fn with_mail(server: &Receiver<Received>) -> Service {
    Service::with_settings(|settings| settings.mail = Some(through(server)))
}

/// A webhook in the settings; its secret lies in the folder.
fn to(receiver: &Receiver<Call>, folder: &TempDir, organisation: Option<&str>) -> Webhook {
    Webhook {
        url: format!("http://127.0.0.1:{}/events?from=ptc", receiver.port),
        secret_file: secret_file(folder, SECRET),
        organisation: organisation.map(str::to_owned),
    }
}

fn secret_file(folder: &TempDir, secret: &str) -> PathBuf {
    let path = folder.path().join(secret.len().to_string());
    if !path.exists() {
        write_secret(&path, format!("{secret}\n").as_bytes()).unwrap();
    }
    path
}

/// Waits until nothing waits any more.
#[track_caller]
fn settle(service: &Service) {
    eventually("an empty outbox", || service.run(service.app.outbox_state()).unwrap().waiting == 0);
}

fn reject(service: &Service, number: RequestNumber, reason: &str) {
    service.run(service.app.reject(&operator(), number, &Rejection { reason: reason.to_owned() })).unwrap();
}

/// Receivers and subjects, in an order that does not depend on who was written to first.
fn delivered(server: &Receiver<Received>) -> Vec<(String, String)> {
    let letters = server.received();
    let mut pairs: Vec<_> = letters.iter().map(|letter| (letter.to.join(","), letter.header("Subject"))).collect();
    pairs.sort();
    pairs
}

fn pair(to: &str, subject: &str) -> (String, String) {
    (to.to_owned(), subject.to_owned())
}

#[test]
fn managers_concerned_are_told_of_a_new_request_in_their_language() {
    let server = mail_server();
    let service = with_mail(&server);
    let jean = service.manager_with_email(A, "jean@poste.example");
    service.run(service.app.set_manager_language(&operator(), jean.id, Language::French)).unwrap();
    service.manager_with_email(A, "marie@poste.example");
    service.manager_with_email(B, "hans@post.example");
    let gone = service.manager_with_email(A, "gone@poste.example");
    service.run(service.app.disable_manager(&operator(), gone.id)).unwrap();

    let workstation = service.submit(A, Draft::workstation(A, "PC-7").described("Guichet 3, Besançon")).number;
    let external = service.submit(A, Draft::new(A, Kind::ExternalServer, "api.poste.example")).number;
    settle(&service);
    let waits = |number| format!("PTC Enroll (test): request {number} of {A} waits for your decision");
    let french = format!("PTC Enroll (test) : la demande {workstation} de {A} attend votre décision");
    assert_eq!(
        delivered(&server),
        [
            pair("jean@poste.example", &french),
            pair("marie@poste.example", &waits(workstation)),
            pair("perrine@ptc.example", &waits(external)),
        ]
    );
    for letter in server.received() {
        assert_eq!(letter.header("From"), "\"PTC Enroll\" <enroll@ptc.example>");
        assert_eq!(letter.header("To"), letter.to.join(","));
        assert_eq!(letter.header("Auto-Submitted"), "auto-generated");
        assert!(letter.header("Message-ID").ends_with("@enroll.ptc.example>"));
        let body = letter.body();
        if letter.to != ["perrine@ptc.example"] {
            for part in ["PC-7", "Guichet 3, Besançon", A, &format!("{SECURE_URL}/requests/{workstation}")] {
                assert!(body.contains(part), "{part} in {body}");
            }
        }
        assert_eq!(letter.to == ["jean@poste.example"], body.contains("Poste de travail"), "{body}");
    }

    // Where an organisation has no manager of its own in office, the request is not left to nobody.
    let without = Service::with_settings(|settings| settings.mail = Some(through(&server)));
    without.pending(B);
    settle(&without);
    assert_eq!(server.received().last().unwrap().to, ["perrine@ptc.example"]);
}

#[test]
fn the_requester_is_told_of_every_decision_and_of_no_manager() {
    let server = mail_server();
    let service = Service::with_settings(|settings| {
        settings.mail = Some(Mail { language: Language::French, ..through(&server) });
    });
    let submit = |email: &str| service.submit(A, Draft::workstation(A, &service.fresh("PC-")).from(email)).number;
    let rejected = submit("paul@poste.example");
    let approved = submit("anna@poste.example");
    // Without an address nobody is told.
    reject(&service, submit(""), "Unknown");
    reject(&service, rejected, "Machine inconnue à Besançon");
    service.approve(approved);
    settle(&service);
    let serial = service.detail(approved).status.issued.unwrap().serial;
    let revocation = Revocation { code: RevocationCode::KeyCompromise, reason: "Volé".to_owned() };
    service.run(service.app.revoke(&operator(), &serial, &revocation)).unwrap();
    settle(&service);

    let letters: Vec<_> = server.received().into_iter().filter(|letter| letter.to != ["perrine@ptc.example"]).collect();
    let about = |to: &str, what: &str| {
        let found: Vec<_> =
            letters.iter().filter(|one| one.to == [to] && one.header("Subject").contains(what)).collect();
        assert_eq!(found.len(), 1, "{to}, {what}: {letters:?}");
        found[0].body()
    };
    assert!(about("paul@poste.example", "est rejetée").contains("Machine inconnue à Besançon"));
    assert!(about("anna@poste.example", "est approuvée").contains("ptc-enroll fetch"));
    assert!(about("anna@poste.example", "est révoqué").contains("Volé"));
    assert_eq!(letters.len(), 3, "{letters:?}");
    assert!(letters.iter().all(|letter| !letter.body().contains("operator")), "{letters:?}");
}

#[test]
fn what_a_requester_writes_stays_text() {
    let server = mail_server();
    let service = with_mail(&server);
    let evil = "x\r\n.\r\nRCPT TO:<all@poste.example>\r\nBcc: all@poste.example\r\n\r\n\u{202e}";
    let number = service.submit(A, Draft::workstation(A, "PC-7").described(evil)).number;
    settle(&service);
    // Worse than the rules for requests let through, as if they failed.
    service.tamper("UPDATE requests SET common_name = 'PC\r\nBcc: all@poste.example'");
    reject(&service, number, "No\r\nBcc: all@poste.example");
    settle(&service);
    let letters = server.received();
    assert_eq!(letters.len(), 2, "{letters:?}");
    for letter in &letters {
        let names: Vec<_> = letter.headers().into_iter().map(|(name, _)| name).collect();
        assert!(!names.contains(&"Bcc".to_owned()), "{names:?}");
        assert_eq!(letter.to.len(), 1);
        let body = letter.body();
        assert!(!body.lines().any(|line| line.starts_with("Bcc")) && !body.contains('\u{202e}'), "{body}");
    }
    // An address that is none reaches no server, and holds up nobody.
    let bad = service.pending(A).number;
    let good = service.submit(A, Draft::workstation(A, "PC-8").from("anna@poste.example")).number;
    service.tamper(
        r"UPDATE requests SET contact = replace(contact, 'admin@poste.example', 'a@b.example>\r\nRCPT TO:<c@d.example')
          WHERE common_name LIKE 'PC-0'",
    );
    reject(&service, bad, "No");
    reject(&service, good, "No");
    eventually("the good letter", || server.received().iter().any(|letter| letter.to == ["anna@poste.example"]));
    let known = ["perrine@ptc.example", "admin@poste.example", "anna@poste.example"];
    assert!(server.received().iter().flat_map(|letter| &letter.to).all(|to| known.contains(&to.as_str())));
    eventually("that only the bad one waits", || service.run(service.app.outbox_state()).unwrap().waiting == 1);
}

#[test]
fn a_mail_server_that_is_down_delays_nothing_and_gets_everything_once() {
    let server = mail_server();
    server.set_down(true);
    let mut service = with_mail(&server);
    let started = Instant::now();
    let rejected = service.pending(A).number;
    reject(&service, rejected, "Unknown machine");
    assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
    let state = service.run(service.app.outbox_state()).unwrap();
    assert_eq!((state.waiting, state.failed), (2, 0));
    assert!(state.oldest_waiting.is_some_and(|since| since <= service.now()));
    // Still down after a restart.
    service.restart();
    assert_eq!(service.run(service.app.outbox_state()).unwrap().waiting, 2);

    server.set_down(false);
    service.advance(Duration::hours(1));
    service.restart();
    settle(&service);
    let expected = delivered(&server);
    assert_eq!(expected.len(), 2, "{expected:?}");
    // Nothing is sent again.
    service.restart();
    let last = service.pending(A).number;
    settle(&service);
    let told = delivered(&server);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().any(|(_, subject)| subject.contains(&format!("request {last} of"))), "{told:?}");
}

#[test]
fn what_never_arrives_is_given_up_after_days() {
    let server = mail_server();
    server.set_down(true);
    let mut service = with_mail(&server);
    service.pending(A);
    for attempt in 1..20 {
        eventually("an attempt", || attempts(&service) >= attempt);
        service.advance(Duration::hours(6));
        service.restart();
    }
    eventually("the end", || failed(&service) == 1);
    assert_eq!(service.run(service.app.outbox_state()).unwrap().waiting, 0);
    assert_eq!(attempts(&service), 20);
    service.advance(Duration::days(40));
    service.run(service.app.tidy_up_outbox()).unwrap();
    assert_eq!(failed(&service), 0);
}

fn attempts(service: &Service) -> i64 {
    service.number("SELECT CAST(coalesce(sum(attempts), 0) AS BIGINT) FROM outbox")
}

fn failed(service: &Service) -> u64 {
    service.run(service.app.outbox_state()).unwrap().failed
}

#[test]
fn managers_are_reminded_in_one_letter() {
    let server = mail_server();
    let service = with_mail(&server);
    service.manager_with_email(A, "jean@poste.example");
    service.manager_with_email(B, "hans@post.example");
    let numbers = [service.pending(A).number, service.pending(A).number];
    let decided = service.pending(A).number;
    settle(&service);
    let before = server.received().len();
    service.run(service.app.remind()).unwrap();
    settle(&service);
    assert_eq!(server.received().len(), before, "too early");

    reject(&service, decided, "Unknown");
    service.advance(Duration::days(3));
    let remind = || {
        service.run(service.app.remind()).unwrap();
        settle(&service);
        server
            .received()
            .into_iter()
            .filter(|letter| letter.header("Subject").contains("still wait"))
            .collect::<Vec<_>>()
    };
    // The second time on that day, everybody has been reminded.
    assert_eq!(remind().len(), 1);
    let reminders = remind();
    assert_eq!(reminders.len(), 1, "{reminders:?}");
    assert_eq!(reminders[0].to, ["jean@poste.example"]);
    assert_eq!(reminders[0].header("Subject"), "PTC Enroll (test): 2 requests still wait for your decision");
    let body = reminders[0].body();
    for number in numbers {
        assert!(body.contains(&format!("{SECURE_URL}/requests/{number}")), "{body}");
    }
    assert!(!body.contains(&format!("/requests/{decided}")), "{body}");
    service.advance(Duration::days(3));
    assert_eq!(remind().len(), 2);
}

#[test]
fn webhooks_get_signed_events_of_their_organisation() {
    let folder = tempfile::tempdir().unwrap();
    let (all, only_b, hung) = (webhook(), webhook(), TcpListener::bind("127.0.0.1:0").unwrap());
    all.set_down(true);
    let mut service = Service::with_settings(|settings| {
        settings.webhooks = vec![
            // Takes connections and never answers.
            Webhook {
                url: format!("http://localhost:{}/", hung.local_addr().unwrap().port()),
                secret_file: secret_file(&folder, SECRET),
                organisation: Some(B.to_owned()),
            },
            to(&all, &folder, None),
            to(&only_b, &folder, Some(B)),
        ];
    });
    let secret = service.package(A);
    let status: RequestStatus = service.public().submit(&secret, None, &Draft::workstation(A, "PC-7")).json();
    let of_b = service.pending(B).number;
    eventually("the event of B", || only_b.received().len() == 1);
    // Noted, not only received: the next attempt is due a minute after the service has the answer, by its own clock.
    let refused = "SELECT COUNT(*) FROM outbox WHERE last_error IS NOT NULL AND receiver LIKE '%from=ptc'";
    eventually("two refused events", || service.number(refused) == 2);
    all.set_down(false);
    service.advance(Duration::minutes(2));
    service.approve(of_b);
    eventually("everything", || all.received().len() == 5 && only_b.received().len() == 2);

    let calls = all.received();
    let call = calls.iter().find(|call| call.body.contains("PC-7")).unwrap();
    let at = status.submitted_at.format(&time::format_description::well_known::Rfc3339).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&call.body).unwrap(),
        json!({
            "event": "request.pending", "number": status.number, "organisation": A, "kind": "workstation",
            "state": "pending", "common_name": "PC-7", "at": at,
        })
    );
    assert_eq!(call.header("Content-Type"), "application/json");
    assert!(call.head.starts_with("POST /events?from=ptc HTTP/1.1\r\n"), "{}", call.head);
    for call in &calls {
        let (time, signature) = call.header(SIGNATURE).strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let tag = |secret: &str, body: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            hex(hmac::sign(&key, format!("{time}.{body}").as_bytes()).as_ref())
        };
        assert_eq!(tag(SECRET, &call.body), signature);
        assert_ne!(tag(SECRET, &call.body.replace("J1C", "J1D")), signature);
        assert_ne!(tag(&SECRET.replace('0', "1"), &call.body), signature);
        assert!(!call.body.contains("admin@poste.example"));
    }
    // Sent again, an event keeps its id.
    let mut ids: Vec<_> = calls.iter().map(|call| call.header(EVENT_ID)).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
    // Lest the stop wait for its answer.
    drop(hung);
    service.restart();
    assert_eq!(all.received().len(), 5);
}

#[test]
fn what_another_process_took_over_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/", receiver.local_addr().unwrap().port());
    let service = Service::with_settings(|settings| {
        settings.webhooks = vec![Webhook { url, secret_file: secret_file(&folder, SECRET), organisation: None }];
    });
    let (taken, given_up) = ("503 Service Unavailable", "next_attempt_at = NULL, failed_at = 7");
    // What another process noted while the answer was under way, the answer, and what is on record in the end.
    let cases = [
        ("next_attempt_at = NULL, sent_at = 7", taken, "0 attempts, sent 7"),
        ("next_attempt_at = 4102444800, attempts = 3", taken, "3 attempts, due 4102444800"),
        (given_up, taken, "0 attempts, given up 7"),
        (given_up, "204 No Content", "1 attempts, sent"),
    ];
    for (by_another, answer, _) in cases {
        let number = service.pending(A).number;
        let mut stream = receiver.accept().unwrap().0;
        let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
        assert!(head.any(|line| line.unwrap().is_empty()));
        service.tamper(&format!("UPDATE outbox SET {by_another} WHERE payload LIKE '%\"number\":{number},%'"));
        stream.write_all(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
    }
    // Each of them was taken although the one before was no longer ours to note, and the last one is noted.
    eventually("a note", || service.number("SELECT count(*) FROM outbox WHERE sent_at > 7") == 1);
    for (id, (_, _, expected)) in (1..).zip(cases) {
        let state = service.text(&format!(
            "SELECT attempts || ' attempts' || coalesce(', due ' || next_attempt_at, '')
                 || coalesce(', given up ' || failed_at, '') || coalesce(', sent ' || sent_at, '') FROM outbox WHERE id = {id}"
        ));
        assert!(state.starts_with(expected), "{state} is not {expected}");
    }
}

#[test]
fn without_settings_nothing_is_kept_and_what_lost_its_way_is_given_up() {
    let service = Service::start();
    service.approved(A);
    let state = service.run(service.app.outbox_state()).unwrap();
    assert_eq!((state.waiting, state.failed, state.oldest_waiting), (0, 0, None));
    service.tamper(
        "INSERT INTO outbox (event, channel, receiver, payload, created_at, next_attempt_at)
         VALUES ('x', 'email', 'jean@poste.example', '', 4102444800, 0),
                ('x', 'webhook', 'https://hooks.example/', '', 4102444800, 0)",
    );
    assert_eq!(service.run(service.app.outbox_state()).unwrap().waiting, 2);
    service.run(service.app.tidy_up_outbox()).unwrap();
    let state = service.run(service.app.outbox_state()).unwrap();
    assert_eq!((state.waiting, state.failed), (0, 2));
}

#[test]
fn secrets_that_are_none_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = webhook();
    let service = Service::with_settings(|settings| settings.webhooks = vec![to(&receiver, &folder, None)]);
    let path = folder.path().join(SECRET.len().to_string());
    let start = || match service.run(serve(service.app.clone(), Limits::default())) {
        Err(ServeError::Notices(error)) => error,
        other => panic!("{other:?}"),
    };
    std::fs::write(&path, "short").unwrap();
    assert!(matches!(start(), LaneError::ShortSecret { .. }));
    std::fs::write(&path, [0xff; 40]).unwrap();
    assert!(matches!(start(), LaneError::File(FileError::NotText { .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(start(), LaneError::File(_)));
}
