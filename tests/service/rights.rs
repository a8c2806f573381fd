//! Who may do what: every route of both listeners × everybody, default deny.

use std::collections::BTreeSet;

use ptc_enroll::protocol::bulk::BulkStatus;
use ptc_enroll::protocol::messages::{API, NewManager, Reissue, RequestDetail, Revocation, RevocationCode};
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::request::{Kind, Role};
use ptc_enroll::protocol::secret::Secret;
use ptc_enroll::service::audit::{self, Verdict};
use ptc_enroll::service::handover;
use serde_json::{Value, json};

use super::bulk;
use crate::support::service::{A, B, Draft, Enrolled, Identity, Reply, Service, new_package, operator};
use crate::support::verifiers::openssl;

/// Everybody, in the order of the columns below. No certificate means that TLS says no (0) on the secure listener.
const ROLES: [&str; 9] = [
    "anonymous",
    "package secret",
    "request token",
    "machine",
    "manager of A",
    "manager of B",
    "PTC manager",
    "revoked manager",
    "disabled manager",
];

/// All things below belong to organisation A: `{number}` is a pending request (an approved one for its outcome),
/// `{serial}` a workstation's certificate, `{id}` a manager or an install package.
const TABLE: [(&str, &str, [u16; 9]); 36] = [
    ("POST", "/requests", [401, 201, 401, 401, 401, 401, 401, 401, 401]),
    ("GET", "/requests/{number}", [401, 404, 200, 401, 401, 401, 401, 401, 401]),
    ("PUT", "/requests/{number}/outcome", [401, 404, 200, 401, 401, 401, 401, 401, 401]),
    ("POST", "/requests/batch", [401, 200, 401, 401, 401, 401, 401, 401, 401]),
    // The tokens in the body say which requests are the caller's.
    ("POST", "/requests/status", [200; 9]),
    ("POST", "/requests/outcomes", [200; 9]),
    ("GET", "/service", [200; 9]),
    ("GET", "/ca/chain", [200; 9]),
    ("GET", "/ca/crl", [200; 9]),
    ("GET", "/ca/issuer", [200; 9]),
    ("POST", "/ca/ocsp", [200; 9]),
    ("GET", "/ca/ocsp/{request}", [200; 9]),
    ("GET", "/test", [0, 0, 0, 200, 200, 200, 200, 403, 403]),
    ("GET", "/manager/requests", [0, 0, 0, 403, 200, 200, 200, 403, 403]),
    ("GET", "/manager/requests/{number}", [0, 0, 0, 403, 200, 404, 200, 403, 403]),
    ("POST", "/manager/requests/{number}/approve", [0, 0, 0, 403, 200, 404, 200, 403, 403]),
    ("POST", "/manager/requests/{number}/reject", [0, 0, 0, 403, 200, 404, 200, 403, 403]),
    ("GET", "/manager/bulk-decisions", [0, 0, 0, 403, 200, 200, 200, 403, 403]),
    // Of one request of A's; what becomes of it is an outcome.
    ("POST", "/manager/bulk-decisions", [0, 0, 0, 403, 202, 202, 202, 403, 403]),
    ("GET", "/manager/bulk-decisions/{id}", [0, 0, 0, 403, 200, 404, 200, 403, 403]),
    ("GET", "/manager/bulk-decisions/{id}/results", [0, 0, 0, 403, 200, 404, 200, 403, 403]),
    // Made by a colleague of the manager of A.
    ("POST", "/manager/bulk-decisions/{id}/stop", [0, 0, 0, 403, 403, 404, 409, 403, 403]),
    ("GET", "/manager/certificates", [0, 0, 0, 403, 200, 200, 200, 403, 403]),
    ("GET", "/manager/certificates/{serial}", [0, 0, 0, 403, 200, 404, 200, 403, 403]),
    ("POST", "/manager/certificates/{serial}/revoke", [0, 0, 0, 403, 200, 404, 200, 403, 403]),
    ("GET", "/manager/organisations", [0, 0, 0, 403, 403, 403, 200, 403, 403]),
    ("POST", "/manager/organisations", [0, 0, 0, 403, 403, 403, 201, 403, 403]),
    ("GET", "/manager/managers", [0, 0, 0, 403, 403, 403, 200, 403, 403]),
    ("POST", "/manager/managers", [0, 0, 0, 403, 403, 403, 201, 403, 403]),
    ("POST", "/manager/managers/{id}/disable", [0, 0, 0, 403, 403, 403, 200, 403, 403]),
    ("POST", "/manager/managers/{id}/reissue", [0, 0, 0, 403, 403, 403, 201, 403, 403]),
    ("GET", "/manager/packages", [0, 0, 0, 403, 403, 403, 200, 403, 403]),
    ("POST", "/manager/packages", [0, 0, 0, 403, 403, 403, 201, 403, 403]),
    ("POST", "/manager/packages/{id}/disable", [0, 0, 0, 403, 403, 403, 200, 403, 403]),
    ("POST", "/manager/packages/{id}/rotate", [0, 0, 0, 403, 403, 403, 201, 403, 403]),
    ("GET", "/manager/audit", [0, 0, 0, 403, 403, 403, 200, 403, 403]),
];

#[test]
fn every_route_by_everybody() {
    let service = Service::start();
    let everybody = Everybody::of(&service);
    let described = described(&service);
    let known: BTreeSet<(String, String)> =
        TABLE.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    let all: BTreeSet<(String, String)> =
        described.iter().map(|(method, path, _)| (method.clone(), path.clone())).collect();
    assert_eq!(known, all, "the table and the OpenAPI documents differ");

    let mut wrong = Vec::new();
    for (method, template, expected) in TABLE {
        let secure = described.iter().any(|(known, path, secure)| known == method && path == template && *secure);
        for (role, expected) in expected.into_iter().enumerate() {
            let reply = everybody.try_route(role, secure, method, template);
            if reply.status != expected {
                wrong.push(format!(
                    "{method} {template} as {}: {} instead of {expected}: {}",
                    ROLES[role],
                    reply.status,
                    reply.text()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Method, path below the API's, and whether it is on the secure listener, from both OpenAPI documents.
fn described(service: &Service) -> Vec<(String, String, bool)> {
    let ptc = service.ptc_manager();
    let mut routes = Vec::new();
    for (client, secure) in [(service.public(), false), (service.secure(Some(&ptc)), true)] {
        let document: Value = client.get("/openapi.json").json();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                let path = path.strip_prefix(API).unwrap().to_owned();
                routes.push((method.to_uppercase(), path, secure));
            }
        }
    }
    routes
}

struct Everybody<'a> {
    service: &'a Service,
    package: Secret,
    /// Another manager of A.
    colleague: Identity,
    /// By column; the first three have none.
    identities: [Option<Identity>; 9],
}

impl<'a> Everybody<'a> {
    fn of(service: &'a Service) -> Self {
        let machine = service.identity(&service.approved(A));
        let revoked = service.manager(A);
        let revocation = Revocation { code: RevocationCode::Unspecified, reason: String::new() };
        service.run(service.app.revoke(&operator(), &revoked.serial, &revocation)).unwrap();
        // Only out of office; what disabling revokes besides is not what is tried here.
        let disabled = service.manager_with_email(A, "disabled@poste.example");
        service.tamper("UPDATE managers SET disabled_at = 1 WHERE email = 'disabled@poste.example'");
        let identities = [
            None,
            None,
            None,
            Some(machine),
            Some(service.manager(A)),
            Some(service.manager(B)),
            Some(service.ptc_manager()),
            Some(revoked),
            Some(disabled),
        ];
        Self { service, package: service.package(A), colleague: service.manager(A), identities }
    }

    /// Tries a route on fresh things, with a body that is good.
    fn try_route(&self, role: usize, secure: bool, method: &str, template: &str) -> Reply {
        let service = self.service;
        let mut token = Secret::random().unwrap();
        let mut path = template.to_owned();
        let mut body = None;
        if template.contains("{number}") {
            let enrolled = service.pending(A);
            if template.ends_with("/outcome") {
                service.approve(enrolled.number);
            }
            path = path.replace("{number}", &enrolled.number.to_string());
            body = Some(match template.rsplit('/').next().unwrap() {
                "approve" => json!({ "csr_sha256": service.detail(enrolled.number).csr_sha256 }),
                "reject" => json!({ "reason": "no" }),
                _ => json!({ "state": "installed" }),
            });
            token = enrolled.draft.token;
        }
        if template.contains("{serial}") {
            let serial = service.identity(&service.approved(A)).serial;
            path = path.replace("{serial}", &serial);
            body = Some(json!({ "code": "superseded" }));
        }
        if template.starts_with("/manager/managers/") {
            path = path.replace("{id}", &service.manager(A).id.to_string());
        }
        if template.starts_with("/manager/bulk-decisions/") {
            // It has ended, which is told to whoever may stop it.
            let colleague = service.secure(Some(&self.colleague));
            let shown = service.pending_many(A, 1);
            let id = bulk::approve_all(&colleague, &shown).json::<BulkStatus>().id;
            bulk::ended(&colleague, id);
            path = path.replace("{id}", &id.to_string());
            body = Some(json!({}));
        }
        if template.starts_with("/manager/packages/") {
            let created = service.run(service.app.create_package(&operator(), &new_package(A))).unwrap();
            path = path.replace("{id}", &created.id.to_string());
        }
        match template {
            "/ca/ocsp" => body = Some(json!("no request, which OCSP says itself")),
            "/ca/ocsp/{request}" => path = path.replace("{request}", "MAA="),
            "/requests" => {
                let draft = Draft::workstation(A, &service.fresh("PC-"));
                body = Some(serde_json::to_value(&draft.submission).unwrap());
            }
            "/requests/batch" => {
                let draft = Draft::workstation(A, &service.fresh("PC-"));
                let mut submission = serde_json::to_value(&draft.submission).unwrap();
                submission["idempotency_key"] = json!("key");
                body = Some(json!({ "submissions": [submission] }));
            }
            "/requests/status" => {
                body = Some(json!({ "requests": [{ "number": 1, "token": token.expose() }] }));
            }
            "/requests/outcomes" => {
                body = Some(json!({ "outcomes": [{ "number": 1, "token": token.expose(), "state": "installed" }] }));
            }
            "/manager/bulk-decisions" => {
                let enrolled = service.pending(A);
                let csr_sha256 = service.detail(enrolled.number).csr_sha256;
                let shown = json!({ "number": enrolled.number, "csr_sha256": csr_sha256 });
                body = Some(json!({ "verdict": "approve", "requests": [shown] }));
            }
            "/manager/organisations" => {
                body = Some(json!({ "code": service.fresh("X"), "name": "POSTE", "country": "XX" }));
            }
            "/manager/managers" => {
                let name = service.fresh("new");
                let new = NewManager {
                    name: "Nouvelle Venue".to_owned(),
                    email: format!("{name}@poste.example"),
                    role: Role::RegistrationManager,
                    organisation: Some(A.to_owned()),
                    csr: handover::prepare(&service.folder().join(name)).unwrap(),
                };
                body = Some(serde_json::to_value(new).unwrap());
            }
            "/manager/managers/{id}/reissue" => {
                let csr = handover::prepare(&service.folder().join(service.fresh("reissued"))).unwrap();
                body = Some(serde_json::to_value(Reissue { csr, revoke_older: true }).unwrap());
            }
            "/manager/packages/{id}/rotate" => body = Some(json!({ "grace_days": 1 })),
            "/manager/packages" => {
                body = Some(json!({ "organisation": A, "kind": "workstation", "store": "machine" }));
            }
            _ => {}
        }
        let bearer = match role {
            1 => Some(format!("Bearer {}", self.package.expose())),
            2 => Some(format!("Bearer {}", token.expose())),
            _ => None,
        };
        let mut headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
        headers.push(("Content-Type", "application/json"));
        let client = if secure { service.secure(self.identities[role].as_ref()) } else { service.public() };
        let body = body.filter(|_| method != "GET").map(|body| body.to_string());
        client.send(method, &path, &headers, body.as_ref().map(String::as_bytes))
    }
}

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
