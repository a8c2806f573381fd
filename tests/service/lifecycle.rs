//! One request from its submission to the revocation list, as its client and its manager see it.

use ptc_enroll::protocol::messages::{CertificateSummary, Identity as CallerIdentity, RequestDetail, RequestStatus};
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::request::{Kind, Role, State};
use serde_json::json;
use time::Duration;

use crate::support::service::{A, B, Draft, Enrolled, Service};
use crate::support::verifiers::{openssl, openssl_verify, pem, pkilint_crl};

#[test]
fn submit_approve_collect_report_revoke() {
    let service = Service::start();
    let secret = service.package(A);
    let manager = service.manager(A);
    let secure = service.secure(Some(&manager));
    let draft = Draft::workstation(A, "001A2B3C4D5E-BFEBFBFF000906EA-01");

    let reply = service.public().submit(&secret, Some("first"), &draft);
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(reply.header("retry-after"), Some("60"));
    let status: RequestStatus = reply.json();
    assert_eq!((status.state, status.approver), (State::Pending, Role::RegistrationManager));
    let path = format!("/requests/{}", status.number);
    let manager_path = format!("/manager{path}");

    let detail: RequestDetail = secure.get(&manager_path).json();
    assert_eq!(detail.csr, draft.submission.csr);
    assert_eq!(detail.key, "EC P-256");
    assert_eq!(
        detail.subject,
        "CN=001A2B3C4D5E-BFEBFBFF000906EA-01,OU=Workstation,O=J1CFRA - FRANCE LA POSTE,L=Paris,C=FR"
    );
    // The draft's SAN names somebody else than the manager, so that the decision is theirs.
    let approve = json!({ "csr_sha256": detail.csr_sha256 });
    let reply = secure.post(&format!("{manager_path}/approve"), &approve);
    assert_eq!(reply.status, 200, "{}", reply.text());

    let reply = service.public().get_as(&draft.token, &path);
    let status: RequestStatus = reply.json();
    assert_eq!((status.state, reply.header("retry-after")), (State::Approved, None));
    let issued = status.issued.unwrap();
    let [issuing, root] = issued.chain.as_slice() else { panic!("{} issuers", issued.chain.len()) };
    openssl_verify(&root.0, &issuing.0, &issued.certificate.0, "sslclient", service.now());

    let outcome = |state: &str| {
        let bearer = format!("Bearer {}", draft.token.expose());
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let body = json!({ "state": state }).to_string();
        service.public().send("PUT", &format!("{path}/outcome"), &headers, Some(body.as_bytes()))
    };
    outcome("downloaded").is_problem(ProblemCode::InvalidField);
    for _ in 0..2 {
        assert_eq!(outcome("installed").json::<RequestStatus>().state, State::Installed);
    }

    let machine = service.identity(&Enrolled { number: status.number, draft });
    let caller: CallerIdentity = service.secure(Some(&machine)).get("/test").json();
    assert_eq!((caller.organisation.as_deref(), caller.kind), (Some(A), Some(Kind::Workstation)));
    assert_eq!(caller.serial, issued.serial);

    // A connection that lives while its certificate is revoked.
    let living = service.secure(Some(&machine));
    assert_eq!(living.get("/test").status, 200);
    let revocation = json!({ "code": "keyCompromise", "reason": "Volé à Besançon" });
    let reply = secure.post(&format!("/manager/certificates/{}/revoke", issued.serial), &revocation);
    assert!(reply.json::<CertificateSummary>().revoked_at.is_some());
    living.get("/test").is_problem(ProblemCode::CallerRevoked);
    secure
        .post(&format!("/manager/certificates/{}/revoke", issued.serial), &revocation)
        .is_problem(ProblemCode::StateConflict);

    let reply = service.public().get("/ca/crl");
    assert_eq!(reply.header("content-type"), Some("application/pkix-crl"));
    let text = openssl(&["crl", "-inform", "DER", "-in", "crl", "-noout", "-text"], &[("crl", &reply.body)]);
    assert!(text.contains(&issued.serial.to_uppercase()) && text.contains("Key Compromise"), "{text}");
    pkilint_crl("service", &reply.body);
    let issuing = pem(&issuing.0);
    let files = [("crl", reply.body.as_slice()), ("issuing", issuing.as_bytes())];
    let verified = openssl(&["crl", "-inform", "DER", "-in", "crl", "-noout", "-CAfile", "issuing"], &files);
    assert!(verified.contains("verify OK"), "{verified}");
}

#[test]
fn what_nobody_decides_on_expires() {
    let service = Service::start();
    let enrolled = service.pending(A);
    let path = format!("/requests/{}", enrolled.number);
    let state = || service.public().get_as(&enrolled.draft.token, &path).json::<RequestStatus>().state;
    service.advance(Duration::days(30) - Duration::minutes(1));
    assert_eq!(state(), State::Pending);
    service.advance(Duration::minutes(2));
    assert_eq!(state(), State::Expired);
    let audited = service.audited(&format!("request:{}", enrolled.number));
    assert_eq!(
        audited.iter().map(|(_, action, _)| action.as_str()).collect::<Vec<_>>(),
        ["request.submit", "request.expire"]
    );
}

#[test]
fn a_newer_request_of_the_same_identity_takes_the_place() {
    let service = Service::start();
    let secret = service.package(A);
    // One host, whatever the case and the final dot.
    let drafts = ["API.poste.example", "api.poste.example."].map(|name| Draft::new(A, Kind::ExternalServer, name));
    let [older, newer] = drafts.each_ref().map(|draft| {
        let reply = service.public().submit(&secret, None, draft);
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json::<RequestStatus>()
    });
    assert_eq!(newer.replaces, Some(older.number));
    let asked = |index: usize, status: &RequestStatus| {
        let token = &drafts[index].token;
        service.public().get_as(token, &format!("/requests/{}", status.number)).json::<RequestStatus>()
    };
    let cancelled = asked(0, &older);
    assert_eq!((cancelled.state, cancelled.replaced_by), (State::Cancelled, Some(newer.number)));
    assert_eq!(asked(1, &newer).state, State::Pending);

    // Another kind, another organisation, another name: each waits for itself.
    let others = [
        service.submit(A, Draft::new(A, Kind::Server, "api.poste.example")),
        service.submit(B, Draft::new(B, Kind::ExternalServer, "api.poste.example")),
        service.submit(A, Draft::new(A, Kind::ExternalServer, "www.poste.example")),
    ];
    assert!(others.iter().all(|other| service.detail(other.number).status.state == State::Pending));
    assert_eq!(asked(1, &newer).state, State::Pending);
}

#[test]
fn the_approver_is_warned() {
    let service = Service::start();
    // Cyrillic а in a Latin name; the A-label hides it.
    let mixed = service.submit(A, Draft::new(A, Kind::ExternalServer, "xn--pypal-4ve.example"));
    let warnings = service.detail(mixed.number).warnings;
    assert!(warnings.iter().any(|warning| warning.rule == "mixed-script"), "{warnings:?}");

    let first = service.pending(A);
    let second = service.pending(A);
    let rules = |enrolled: &Enrolled| {
        let detail = service.detail(enrolled.number);
        detail.warnings.into_iter().map(|warning| (warning.rule, warning.found)).collect::<Vec<_>>()
    };
    let found = second.number.to_string();
    assert!(rules(&first).contains(&("duplicate-mac".to_owned(), found)), "{:?}", rules(&first));

    // The same CSR again, from the other organisation's point of view of the key.
    let again = service.public().submit(&service.package(A), None, &first.draft);
    let again: RequestStatus = again.json();
    let warnings = service.detail(again.number).warnings;
    assert!(
        warnings.iter().any(|warning| warning.rule == "duplicate-key" && warning.found == first.number.to_string()),
        "{warnings:?}"
    );
}
