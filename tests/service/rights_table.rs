//! Every route of every listener × everybody, as docs/rights.md says; default deny.

use std::collections::BTreeSet;

use ptc_enroll::protocol::bulk::BulkStatus;
use ptc_enroll::protocol::messages::{API, NewManager, Reissue, Revocation, RevocationCode};
use ptc_enroll::protocol::request::Role;
use ptc_enroll::protocol::secret::Secret;
use ptc_enroll::service::handover;
use ptc_enroll::service::router::{DESCRIPTION, OPERATIONS, plain_description};
use ptc_enroll::service::web::PAGES;
use serde_json::json;

use super::bulk;
use crate::support::service::{A, B, Client, Draft, Identity, Reply, Service, new_package, operator};

/// A row: the listener, method and path, and the status that each role is answered, 0 where TLS says no.
struct Row {
    listener: &'static str,
    method: &'static str,
    path: &'static str,
    expected: [u16; 9],
}

/// Everybody, in the order of the columns.
const ROLES: [&str; 9] = [
    "nobody",
    "enrollment secret",
    "request token",
    "machine",
    "manager of A",
    "manager of B",
    "PTC manager",
    "revoked manager",
    "disabled manager",
];

fn table() -> Vec<Row> {
    let mut lines = include_str!("../../docs/rights.md").lines().filter(|line| line.starts_with('|'));
    let cells =
        |line: &'static str| -> Vec<&'static str> { line.trim_matches('|').split('|').map(str::trim).collect() };
    assert_eq!(cells(lines.next().unwrap())[2..], ROLES, "the columns");
    let rows = lines.skip(1).map(|line| {
        let [listener, route, statuses @ ..] = &*cells(line) else { panic!("{line}") };
        let (method, path) = route.trim_matches('`').split_once(' ').unwrap();
        let expected: Vec<u16> =
            statuses.iter().map(|cell| if *cell == "TLS" { 0 } else { cell.parse().unwrap() }).collect();
        Row { listener, method, path, expected: expected.try_into().unwrap() }
    });
    rows.collect()
}

#[test]
fn every_route_by_everybody() {
    let service = Service::with_plain_listener();
    let table = table();
    let known: BTreeSet<(String, String, String)> =
        table.iter().map(|row| (row.listener.into(), row.method.into(), row.path.into())).collect();
    assert_eq!(known.len(), table.len(), "a row twice");
    let routes = routes(&service);
    let without_row: Vec<_> = routes.difference(&known).collect();
    let without_route: Vec<_> = known.difference(&routes).collect();
    assert!(without_row.is_empty() && without_route.is_empty(), "no row: {without_row:?}, no route: {without_route:?}");

    let everybody = Everybody::of(&service);
    let mut wrong = Vec::new();
    for Row { listener, method, path, expected } in &table {
        for (role, expected) in expected.iter().enumerate() {
            let is_page = PAGES.contains(&(method.to_lowercase().as_str(), path));
            let reply = match is_page {
                true => visit(&service, &everybody.client(role, listener), method, path),
                false => everybody.call(role, listener, method, path),
            };
            let in_words = !is_page
                || !matches!(expected, 403 | 404)
                || reply.header("content-type") == Some("text/html; charset=utf-8");
            if reply.status != *expected || !in_words {
                let (role, said) = (ROLES[role], reply.text());
                wrong.push(format!("{method} {path} as {role}: {} instead of {expected}: {said}", reply.status));
            }
        }
    }
    let on_plain: BTreeSet<_> =
        table.iter().filter(|row| row.listener == "plain").map(|row| (row.method, row.path)).collect();
    // Whatever else the public listener has needs TLS.
    for Row { method, path, .. } in table.iter().filter(|row| row.listener == "public") {
        if !on_plain.contains(&(*method, *path)) {
            let reply = everybody.call(1, "plain", method, path);
            if reply.status != 404 {
                wrong.push(format!("{method} {path} without TLS: {}", reply.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} routes × {} roles", table.len(), ROLES.len());
}

/// Listener, method and path of all routes, from the routers.
fn routes(service: &Service) -> BTreeSet<(String, String, String)> {
    let ptc = service.ptc_manager();
    let mut routes = BTreeSet::new();
    let described = [
        ("public", service.public().get(DESCRIPTION).json()),
        ("secure", service.secure(Some(&ptc)).get(DESCRIPTION).json()),
        ("plain", serde_json::to_value(plain_description()).unwrap()),
    ];
    for (listener, document) in described {
        if listener != "plain" {
            routes.insert((listener.to_owned(), "GET".to_owned(), format!("{API}{DESCRIPTION}")));
        }
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                routes.insert((listener.to_owned(), method.to_uppercase(), path.clone()));
            }
        }
    }
    routes.extend(PAGES.iter().map(|(method, path)| ("secure".to_owned(), method.to_uppercase(), (*path).to_owned())));
    routes.extend(OPERATIONS.iter().map(|path| ("operations".to_owned(), "GET".to_owned(), (*path).to_owned())));
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

    /// How a role comes to a listener.
    fn client(&self, role: usize, listener: &str) -> Client {
        match listener {
            "secure" => self.service.secure(self.identities[role].as_ref()),
            "operations" => self.service.operations(),
            "plain" => self.service.plain(),
            _ => self.service.public(),
        }
    }

    /// Calls the API, or asks the operations listener, about fresh things and with a body that is good.
    fn call(&self, role: usize, listener: &str, method: &str, template: &str) -> Reply {
        let service = self.service;
        let mut token = Secret::random().unwrap();
        let template = template.strip_prefix(API).unwrap_or(template);
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
        let client = self.client(role, listener);
        let body = body.filter(|_| method != "GET").map(|body| body.to_string());
        let base = if listener == "operations" { "" } else { API };
        client.send_to(method, &format!("{base}{path}"), &headers, body.as_ref().map(String::as_bytes))
    }
}

/// Visits a page, or fills in its form with what is good, for fresh things.
fn visit(service: &Service, client: &Client, method: &str, template: &str) -> Reply {
    let number = service.pending(A).number;
    let digest = service.detail(number).csr_sha256;
    let number = number.to_string();
    let mut path = template.replace("{number}", &number).replace("{name}", "style.css");
    if template.contains("{serial}") {
        path = path.replace("{serial}", &service.identity(&service.approved(A)).serial);
    }
    if template.starts_with("/requests/bulk/{id}") {
        let ptc = service.secure(Some(&service.ptc_manager()));
        let draft = ptc.form("/requests/bulk", &[("state", "pending")]);
        path = draft.header("location").unwrap().to_owned() + template.strip_prefix("/requests/bulk/{id}").unwrap();
    }
    if template.starts_with("/managers/{id}") {
        path = path.replace("{id}", &service.manager(A).id.to_string());
    }
    if template.starts_with("/packages/{id}") {
        service.package(A);
        let packages = service.run(service.app.list_packages(&operator())).unwrap();
        path = path.replace("{id}", &packages.last().unwrap().id.to_string());
    }
    if method == "GET" {
        return client.page(&path);
    }
    let code = service.fresh("X");
    let email = format!("{}@poste.example", service.fresh("new"));
    let digest_name = format!("csr_sha256-{number}");
    let fields: &[(&str, &str)] = match template {
        "/organisations" => &[("code", &code), ("name", "POSTE"), ("country", "XX")],
        "/managers" => {
            &[("name", "Nouvelle Venue"), ("email", &email), ("role", "registration-manager"), ("organisation", A)]
        }
        "/packages" | "/packages/preview" => &[("organisation", A), ("kind", "workstation"), ("store", "machine")],
        _ => &[
            ("number", &number),
            (&digest_name, &digest),
            ("csr_sha256", &digest),
            ("reason", "no"),
            ("verdict", "reject"),
            ("code", "superseded"),
            ("language", "fr"),
            ("grace_days", "0"),
            ("state", "pending"),
        ],
    };
    client.form(&path, fields)
}
