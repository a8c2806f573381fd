//! What the table of rights does not say: what is audited, what a list holds, what ends an open connection.

use std::collections::BTreeSet;

use ptc_enroll::protocol::messages::RequestDetail;
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::request::Kind;
use ptc_enroll::service::audit::{self, Verdict};
use serde_json::{Value, json};
use time::Duration;

use crate::support::service::{A, B, Draft, Enrolled, Service};
use crate::support::verifiers::openssl;

#[test]
fn another_organisation_does_not_exist_and_reaching_for_it_is_audited() {
    let service = Service::start();
    let manager = service.manager(A);
    let client = service.secure(Some(&manager));
    let theirs = service.approved(B);
    let serial = service.identity(&theirs).serial;
    let (number, missing) = (theirs.number, 4711);
    let approve = json!({ "csr_sha256": "0".repeat(64) });
    for (path, body, object, action) in [
        (format!("/manager/requests/{number}"), None, format!("request:{number}"), "request.read"),
        (format!("/manager/requests/{number}/approve"), Some(&approve), format!("request:{number}"), "request.approve"),
        (format!("/manager/certificates/{serial}"), None, format!("certificate:{serial}"), "certificate.read"),
        (format!("/manager/requests?organisation={B}"), None, format!("organisation:{B}"), "request.list"),
        (format!("/manager/certificates?organisation={B}"), None, format!("organisation:{B}"), "certificate.list"),
        // What does not exist at all looks the same, on paper too.
        (format!("/manager/requests/{missing}"), None, format!("request:{missing}"), "request.read"),
    ] {
        let reply = match body {
            Some(body) => client.post(&path, body),
            None => client.get(&path),
        };
        reply.is_problem(ProblemCode::NotFound);
        let audited = service.audited(&object);
        let (actor, last, detail) = audited.last().unwrap();
        assert!(actor.starts_with(&format!("manager {} ", manager.id)), "{actor}");
        assert_eq!((last.as_str(), detail), (action, &json!({ "refused": "not-found" })), "{path}");
    }
    // Lists, searches and counts hold one's own only.
    service.pending(A);
    for path in ["/manager/requests", "/manager/requests?search=PC", "/manager/requests?limit=1"] {
        let page: Value = client.get(path).json();
        let organisations: BTreeSet<&str> =
            page["items"].as_array().unwrap().iter().map(|item| item["organisation"].as_str().unwrap()).collect();
        assert_eq!(organisations, BTreeSet::from([A]), "{path}");
    }
    assert!(!client.get("/manager/certificates").text().contains(&serial));
}

#[test]
fn a_registration_manager_does_not_decide_on_servers() {
    let service = Service::start();
    let server = |name: &str| Draft::new(A, Kind::Server, name);
    let Enrolled { number, .. } = service.submit(A, server("api.poste.example"));
    let body = json!({ "csr_sha256": service.detail(number).csr_sha256 });
    let path = format!("/manager/requests/{number}/approve");
    let manager = service.secure(Some(&service.manager(A)));
    assert_eq!(manager.get(&format!("/manager/requests/{number}")).status, 200);
    assert_eq!(manager.post(&path, &body).status, 403);
    let approved: RequestDetail = service.secure(Some(&service.ptc_manager())).post(&path, &body).json();
    let serial = approved.status.issued.unwrap().serial;
    let revoke = json!({ "code": "unspecified" });
    assert_eq!(manager.post(&format!("/manager/certificates/{serial}/revoke"), &revoke).status, 403);
}

#[test]
fn disabling_a_manager_ends_the_open_connection() {
    let service = Service::start();
    let manager = service.manager(A);
    let client = service.secure(Some(&manager));
    assert_eq!(client.get("/manager/requests").status, 200);
    let ptc = service.secure(Some(&service.ptc_manager()));
    assert_eq!(ptc.post(&format!("/manager/managers/{}/disable", manager.id), &json!({})).status, 200);
    client.get("/manager/requests").is_problem(ProblemCode::CallerRevoked);
    let crl = service.public().get("/ca/crl");
    let text = openssl(&["crl", "-inform", "DER", "-in", "crl", "-noout", "-text"], &[("crl", &crl.body)]);
    assert!(text.contains(&manager.serial.to_uppercase()), "{text}");
}

#[test]
fn a_certificate_that_ends_is_good_no_longer_over_the_connection_it_was_made_with() {
    let service = Service::start();
    let client = service.secure(Some(&service.manager(A)));
    assert_eq!(client.get("/manager/requests").status, 200);
    service.advance(Duration::days(20 * 365));
    client.get("/manager/requests").is_problem(ProblemCode::CallerRevoked);
}

#[test]
fn names_that_nothing_can_have_fill_no_record() {
    let service = Service::start();
    let secure = service.secure(Some(&service.manager(A)));
    let entries = || match service.run(audit::verify(service.app.database())).unwrap() {
        Verdict::Intact { entries, .. } => entries,
        broken => panic!("{broken:?}"),
    };
    let before = entries();
    let long = "A".repeat(1_000);
    for serial in [long.as_str(), &"a".repeat(41), "xyz"] {
        secure.get(&format!("/manager/certificates/{serial}")).is_problem(ProblemCode::NotFound);
        let revocation = json!({ "code": "keyCompromise", "reason": "" });
        let path = format!("/manager/certificates/{serial}/revoke");
        secure.post(&path, &revocation).is_problem(ProblemCode::NotFound);
    }
    secure.get(&format!("/manager/requests?organisation={long}")).is_problem(ProblemCode::InvalidField);
    let organisation = json!({ "code": long, "name": "X", "country": "FR" });
    secure.post("/manager/organisations", &organisation).is_problem(ProblemCode::InvalidField);
    assert_eq!(entries(), before);
    // What could be somebody's is recorded as before.
    secure.get(&format!("/manager/certificates/{}", "a".repeat(40))).is_problem(ProblemCode::NotFound);
    assert_eq!(entries(), before + 1);

    let serial = service.identity(&service.approved(A)).serial;
    let capitals = serial.to_uppercase();
    assert_eq!(secure.get(&format!("/manager/certificates/{capitals}")).status, 200);
    let revocation = json!({ "code": "keyCompromise", "reason": "" });
    assert_eq!(secure.post(&format!("/manager/certificates/{capitals}/revoke"), &revocation).status, 200);
}
