//! Killed at every named place, the service keeps its promises when it comes back: it is asked for something, dies on the
//! way, is started again and asked for the same again.
//!
//! `tests/layout.rs` fails where a place in `src` is in no test like these.

mod commands;

use std::path::PathBuf;
use std::process::Stdio;

use ptc_enroll::protocol::bulk::BulkState;
use ptc_enroll::protocol::messages::{RequestStatus, Revocation, RevocationCode};
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::request::State;
use ptc_enroll::protocol::secret::Secret;
use ptc_enroll::service::config::Settings;
use ptc_enroll::service::files::write_secret;
use ptc_enroll::service::notices::{EVENT_ID, Webhook};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::bulk;
use super::ocsp::openssl_request;
use super::promises::{Record, Told, is_on};
use crate::support::receivers::{eventually, webhook};
use crate::support::service::{A, Client, Draft, Enrolled, Identity, Reply, Service};
use crate::support::serving::{Serving, is_killed, serve};

const KILL_AT: &str = "PTC_ENROLL_KILL_AT";

/// A service whose process is killed and started again; its database stays open here to be looked at.
struct Crashing {
    serving: Option<Serving>,
    flags: &'static [&'static str],
    told: Told,
    secret: Secret,
    manager: Identity,
    service: Service,
}

impl Crashing {
    fn start() -> Self {
        Self::with(&[], |_| {})
    }

    fn with(flags: &'static [&'static str], configure: impl FnOnce(&mut Settings)) -> Self {
        let mut service = Service::with_settings(configure);
        let (secret, manager) = (service.package(A), service.manager(A));
        service.stop();
        let mut this = Self { serving: None, flags, told: Told::default(), secret, manager, service };
        this.come_back();
        this
    }

    /// Starts the process, or starts it again.
    fn come_back(&mut self) {
        self.serving = None;
        self.serving = Some(Serving::start(&self.service.home(), self.flags, &self.log()));
    }

    /// Has the process killed at a place while it is asked for something, and starts it again.
    #[track_caller]
    fn killed_at(&mut self, place: &str, ask: impl FnOnce(&Self) -> Reply) {
        self.serving = None;
        let mut command = serve(&self.service.home(), self.flags);
        command.env(KILL_AT, place);
        self.serving = Some(Serving::of(command, &self.log()));
        let reply = ask(self);
        assert_eq!(reply.status, 0, "{place} comes after the answer: {}", reply.text());
        self.serving.as_mut().unwrap().is_killed(place);
        self.come_back();
    }

    /// Has the process killed at a place that it passes by itself. It stays dead.
    #[track_caller]
    fn dies_at(&mut self, place: &str) {
        self.serving = None;
        let mut command = serve(&self.service.home(), self.flags);
        command.env(KILL_AT, place).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        is_killed(&mut command.spawn().unwrap(), place);
    }

    fn log(&self) -> PathBuf {
        self.service.folder().join("serving.log")
    }

    fn public(&self) -> Client {
        self.service.client(self.serving.as_ref().unwrap().public, None)
    }

    fn secure(&self) -> Client {
        self.service.client(self.serving.as_ref().unwrap().secure, Some(&self.manager))
    }

    fn submit(&self, draft: &Draft) -> Reply {
        self.public().submit(&self.secret, Some(&draft.submission.csr.sha256()), draft)
    }

    /// A request that was accepted, as its client was told.
    fn pending(&mut self) -> Enrolled {
        let draft = Draft::workstation(A, &self.service.fresh("PC-"));
        let status: RequestStatus = self.submit(&draft).json();
        self.told.status(&draft.submission.csr.sha256(), &status);
        Enrolled { number: status.number, draft }
    }

    fn decide(&self, enrolled: &Enrolled, verdict: &str) -> Reply {
        let body = match verdict {
            "approve" => json!({ "csr_sha256": enrolled.draft.submission.csr.sha256() }),
            _ => json!({ "reason": "unknown machine" }),
        };
        self.secure().post(&format!("/manager/requests/{}/{verdict}", enrolled.number), &body)
    }

    fn approved(&mut self) -> Enrolled {
        let enrolled = self.pending();
        assert_eq!(self.decide(&enrolled, "approve").status, 200);
        assert!(self.follow(&enrolled).issued.is_some());
        enrolled
    }

    /// What the client of a request is told.
    fn follow(&mut self, enrolled: &Enrolled) -> RequestStatus {
        let reply = self.public().get_as(&enrolled.draft.token, &format!("/requests/{}", enrolled.number));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let status: RequestStatus = reply.json();
        self.told.status(&enrolled.draft.submission.csr.sha256(), &status);
        status
    }

    fn revoke(&self, serial: &str) -> Reply {
        let revocation = Revocation { code: RevocationCode::KeyCompromise, reason: String::new() };
        self.secure().post(&format!("/manager/certificates/{serial}/revoke"), &json!(revocation))
    }

    /// The list as anybody gets it.
    fn list(&mut self) -> Vec<u8> {
        let reply = self.public().get("/ca/crl");
        assert_eq!(reply.status, 200);
        self.told.list(&reply.body);
        reply.body
    }

    #[track_caller]
    fn keeps_all(&self) {
        Record::of(&self.service).keeps_all(&self.told);
    }
}

#[test]
fn a_submission_is_accepted_once() {
    let mut site = Crashing::start();
    for (place, after) in [
        ("accept.after-cancel", 201),
        ("accept.after-insert", 201),
        ("accept.before-commit", 201),
        ("accept.after-commit", 200),
    ] {
        // It takes the place of an older one.
        let older = site.pending();
        let draft = Draft::workstation(A, &site.service.detail(older.number).status.common_name);
        site.killed_at(place, |site| site.submit(&draft));
        let reply = site.submit(&draft);
        assert_eq!(reply.status, after, "{place}: {}", reply.text());
        let status: RequestStatus = reply.json();
        assert_eq!(status.replaces, Some(older.number), "{place}");
        site.told.status(&draft.submission.csr.sha256(), &status);
        assert_eq!(site.follow(&older).replaced_by, Some(status.number), "{place}");
        site.keeps_all();
    }
    assert_eq!(site.told.len(), 8);
}

#[test]
fn what_is_approved_as_it_comes_is_signed_once() {
    let mut site = Crashing::with(&["--auto-approve"], |_| {});
    for (place, after) in [
        ("accept.before-commit", 201),
        ("accept.after-commit", 200),
        ("auto-approve.before-sign", 200),
        ("auto-approve.after-sign", 200),
        ("accept.before-commit:2", 200),
        ("auto-approve.after-store", 200),
    ] {
        let draft = Draft::workstation(A, &site.service.fresh("PC-"));
        site.killed_at(place, |site| site.submit(&draft));
        let reply = site.submit(&draft);
        assert_eq!(reply.status, after, "{place}: {}", reply.text());
        let status: RequestStatus = reply.json();
        assert!(status.issued.is_some(), "{place}");
        site.told.status(&draft.submission.csr.sha256(), &status);
        site.keeps_all();
    }
}

#[test]
fn a_decision_is_made_once_and_what_it_approves_is_signed() {
    let mut site = Crashing::start();
    for (place, verdict, after) in [
        ("decide.after-record", "approve", 200),
        ("decide.before-commit", "approve", 200),
        ("decide.after-commit", "approve", 409),
        ("sign.before-sign", "approve", 409),
        ("sign.after-sign", "approve", 409),
        ("sign.before-commit", "approve", 409),
        ("sign.after-commit", "approve", 409),
        ("decide.before-commit", "reject", 200),
        ("decide.after-commit", "reject", 409),
    ] {
        let enrolled = site.pending();
        site.killed_at(place, |site| site.decide(&enrolled, verdict));
        let reply = site.decide(&enrolled, verdict);
        assert_eq!(reply.status, after, "{place}: {}", reply.text());
        if after == 409 {
            reply.is_problem(ProblemCode::StateConflict);
        }
        let status = site.follow(&enrolled);
        assert_eq!(status.issued.is_some(), verdict == "approve", "{place}: {status:?}");
        site.keeps_all();
    }
}

#[test]
fn a_start_that_is_killed_while_it_signs_is_made_good_by_the_next() {
    let mut site = Crashing::start();
    for place in ["resume.after-sign", "resume.before-commit", "resume.after-commit"] {
        let enrolled = site.pending();
        site.serving = None;
        let mut command = serve(&site.service.home(), site.flags);
        command.env(KILL_AT, "decide.after-commit");
        site.serving = Some(Serving::of(command, &site.log()));
        assert_eq!(site.decide(&enrolled, "approve").status, 0);
        site.dies_at(place);
        site.come_back();
        assert!(site.follow(&enrolled).issued.is_some(), "{place}");
        site.keeps_all();
    }
}

/// One bulk decision of four parts, killed at one place after the other.
#[test]
fn a_bulk_decision_goes_on_where_it_was() {
    let mut site = Crashing::start();
    site.service.restart_stopped();
    let shown = site.service.pending_many(A, 1_600);
    site.service.stop();
    let body = json!({ "verdict": "approve", "requests": shown.iter()
        .map(|(number, csr_sha256)| json!({ "number": number, "csr_sha256": csr_sha256 })).collect::<Vec<_>>() });
    let ask = |site: &Crashing| {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "monday")];
        site.secure().send("POST", "/manager/bulk-decisions", &headers, Some(body.to_string().as_bytes()))
    };
    for place in ["bulk.before-start", "bulk.after-start"] {
        // After the second one it is made, and goes on by itself as soon as the service is back: so it must not be.
        site.serving = None;
        let mut command = serve(&site.service.home(), &[]);
        command.env(KILL_AT, place);
        site.serving = Some(Serving::of(command, &site.log()));
        assert_eq!(ask(&site).status, 0, "{place}");
        site.serving.as_mut().unwrap().is_killed(place);
        Record::of(&site.service).keeps(&site.told);
    }
    for place in [
        "bulk.after-claim",
        "bulk.before-part",
        "bulk.after-part",
        // The fourth part, when the first one was signed by the start, and what was signed of the second would enter the record.
        "bulk.before-part:3",
        "bulk.before-part",
        "bulk.after-sign",
        "bulk.before-finish",
        "bulk.after-finish",
    ] {
        // What a dead process has taken is free after ten seconds.
        site.service.tamper("UPDATE bulk_decisions SET worker_until = 0 WHERE worker IS NOT NULL");
        site.dies_at(place);
        Record::of(&site.service).keeps(&site.told);
    }
    site.come_back();
    let reply = ask(&site);
    assert_eq!(reply.status, 202, "{}", reply.text());
    let status = bulk::ended(&site.secure(), reply.json::<Value>()["id"].as_u64().unwrap());
    assert_eq!((status.state, status.approved, status.refused), (BulkState::Finished, 1_600, 0));
    assert_eq!(site.service.number("SELECT count(*) FROM bulk_decisions"), 1);
    assert_eq!(site.service.number("SELECT count(der) FROM certificates WHERE request IS NOT NULL"), 1_600);
    for (number, csr_sha256) in &shown {
        site.told.decided(csr_sha256, *number, State::Approved);
    }
    site.keeps_all();
}

#[test]
fn a_revocation_comes_onto_the_list() {
    let mut site = Crashing::start();
    for (place, after) in [
        ("revoke.before-commit", 200),
        ("revoke.after-commit", 409),
        ("crl.before-sign", 409),
        ("crl.after-sign", 409),
        ("crl.before-commit", 409),
        ("crl.after-commit", 409),
    ] {
        let enrolled = site.approved();
        let serial = site.follow(&enrolled).issued.unwrap().serial;
        site.killed_at(place, |site| site.revoke(&serial));
        // Without being asked, the list of a service that has come back holds what was revoked.
        let listed = is_on(&site.list(), &serial);
        assert_eq!(listed, after == 409, "{place}");
        let reply = site.revoke(&serial);
        assert_eq!(reply.status, after, "{place}: {}", reply.text());
        assert!(is_on(&site.list(), &serial), "{place}");
        assert_eq!(site.follow(&enrolled).state, State::Revoked, "{place}");
        site.keeps_all();
    }
    // Nor does it matter that a start is killed while it makes the list.
    for place in ["crl.before-sign", "crl.after-sign", "crl.before-commit", "crl.after-commit"] {
        let enrolled = site.approved();
        let serial = site.follow(&enrolled).issued.unwrap().serial;
        site.serving = None;
        let mut command = serve(&site.service.home(), site.flags);
        command.env(KILL_AT, "revoke.after-commit");
        site.serving = Some(Serving::of(command, &site.log()));
        assert_eq!(site.revoke(&serial).status, 0);
        site.dies_at(place);
        site.come_back();
        assert!(is_on(&site.list(), &serial), "{place}");
        site.keeps_all();
    }
}

#[test]
fn what_nobody_decided_on_ends_once() {
    let mut site = Crashing::start();
    for place in ["expire.before-commit", "expire.after-commit"] {
        let (enrolled, other) = (site.pending(), site.pending());
        site.service.tamper(
            "UPDATE requests SET submitted_at = 1
             WHERE number = (SELECT min(number) FROM requests WHERE state = 'pending')",
        );
        // Whoever decides on anything ends what is overdue first.
        site.killed_at(place, |site| site.decide(&other, "reject"));
        site.decide(&enrolled, "approve").is_problem(ProblemCode::StateConflict);
        assert_eq!(site.follow(&enrolled).state, State::Expired, "{place}");
        let noted = site.service.audited(&format!("request:{}", enrolled.number));
        assert_eq!(noted.iter().filter(|(_, action, _)| action == "request.expire").count(), 1, "{place}");
        assert_eq!(site.decide(&other, "reject").status, 200, "{place}");
        site.keeps_all();
    }
}

#[test]
fn a_responder_of_ocsp_that_nobody_heard_of_is_followed_by_another_one() {
    let mut site = Crashing::start();
    let enrolled = site.approved();
    let serial = site.follow(&enrolled).issued.unwrap().serial;
    let request = openssl_request(&site.service, &[&serial], &["-no_nonce"]);
    let ask = |site: &Crashing| {
        site.public().send("POST", "/ca/ocsp", &[("Content-Type", "application/ocsp-request")], Some(&request))
    };
    let certified = |site: &Crashing| {
        site.service.number("SELECT count(der) FROM certificates WHERE subject LIKE '%OCSP Responder%'")
    };
    for (place, left) in [("own-certificate.before-commit", 0), ("own-certificate.after-commit", 1)] {
        let before = certified(&site);
        site.killed_at(place, ask);
        // What was recorded is signed and listed, though its key went with the process.
        assert_eq!(certified(&site) - before, left, "{place}");
        assert_eq!(ask(&site).status, 200, "{place}");
        assert_eq!(certified(&site) - before, left + 1, "{place}");
        site.keeps_all();
    }
}

#[test]
fn an_outcome_is_noted_once() {
    let mut site = Crashing::start();
    for place in ["outcome.before-commit", "outcome.after-commit"] {
        let enrolled = site.approved();
        let bearer = format!("Bearer {}", enrolled.draft.token.expose());
        let report = |site: &Crashing| {
            let path = format!("/requests/{}/outcome", enrolled.number);
            let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
            site.public().send("PUT", &path, &headers, Some(br#"{"state":"installed"}"#))
        };
        site.killed_at(place, report);
        assert_eq!(report(&site).status, 200, "{place}");
        assert_eq!(site.follow(&enrolled).state, State::Installed);
        let noted = site.service.audited(&format!("request:{}", enrolled.number));
        assert_eq!(noted.iter().filter(|(_, action, _)| action == "request.outcome").count(), 1, "{place}");
        site.keeps_all();
    }
}

#[test]
fn a_notice_arrives_and_a_second_time_at_most_under_the_same_name() {
    let folder = TempDir::new().unwrap();
    let secret_file = folder.path().join("secret");
    write_secret(&secret_file, b"0123456789abcdef0123456789abcdef\n").unwrap();
    let receiver = webhook();
    let mut site = Crashing::with(&[], |settings| {
        settings.webhooks =
            vec![Webhook { url: format!("http://127.0.0.1:{}/", receiver.port), secret_file, organisation: None }];
    });
    for (place, times) in [("notice.before-send", 1), ("notice.after-send", 2)] {
        eventually("the notices from before", || waiting(&site) == 0);
        let before = receiver.received().len();
        // Acknowledged or not: the notice enters the record with the request.
        site.serving = None;
        let mut command = serve(&site.service.home(), site.flags);
        command.env(KILL_AT, place);
        site.serving = Some(Serving::of(command, &site.log()));
        let draft = Draft::workstation(A, &site.service.fresh("PC-"));
        site.submit(&draft);
        site.serving.as_mut().unwrap().is_killed(place);
        assert_eq!(waiting(&site), 1, "{place}");
        // What a dead process has taken is free after a minute.
        site.service.tamper("UPDATE outbox SET next_attempt_at = 0 WHERE next_attempt_at IS NOT NULL");
        site.come_back();
        eventually("the notice", || waiting(&site) == 0);
        let calls = receiver.received();
        let names: Vec<&str> = calls[before..].iter().map(|call| call.header(EVENT_ID)).collect();
        assert_eq!(names.len(), times, "{place}: {names:?}");
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
        let status = site.submit(&draft).json();
        site.told.status(&draft.submission.csr.sha256(), &status);
        site.keeps_all();
    }
}

fn waiting(site: &Crashing) -> i64 {
    site.service.number("SELECT count(*) FROM outbox WHERE next_attempt_at IS NOT NULL")
}
