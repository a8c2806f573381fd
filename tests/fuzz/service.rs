//! The same of a whole service: no request makes it fail, and none leaves anything behind that makes the next ones fail.

use ptc_enroll::protocol::messages::{API, RequestStatus};
use ptc_enroll::protocol::request::Kind;
use serde_json::json;

use super::mutator::{mutate, rearrange};
use super::{cases, chance, keep, kept};
use crate::support::chance::Chance;
use crate::support::csr::Csr;
use crate::support::service::{A, Draft, Identity, Reply, SECURE_URL, Service};

/// What everybody who works here looks at.
const LISTS: [&str; 9] = [
    "/requests?state=all",
    "/certificates",
    "/organisations",
    "/managers",
    "/packages",
    "/audit",
    "/health",
    "/audit/export",
    "/profiles",
];

/// Requests of the PTC manager: a line with method and address, then the body.
#[test]
fn requests() {
    let service = Service::start();
    service.approved(A);
    service.pending(A);
    let manager = service.ptc_manager();
    let templates: Vec<Vec<u8>> = kept("requests").into_iter().map(|(_, content)| content).collect();
    for template in &templates {
        let (head, body) = halves(template);
        let reply = send(&service, &manager, head, body);
        assert!((200..500).contains(&reply.status), "{head}: {} {}", reply.status, reply.text());
    }
    let (seed, mut chance) = chance("requests");
    let cases = cases(600);
    let mut refused = 0;
    for case in 0..cases {
        let template = &templates[chance.below(templates.len())];
        let (head, body) = mutated(&mut chance, template, &templates);
        let reply = send(&service, &manager, &head, &body);
        refused += usize::from(reply.status >= 400);
        let told = || {
            format!(
                "case {case} of PTC_FUZZ_SEED={seed}: {}",
                keep("requests", &[head.as_bytes(), b"\n", &body].concat()).display()
            )
        };
        assert!((200..500).contains(&reply.status), "{} {}\n{}", reply.status, reply.text(), told());
        if case % 50 == 0 || case + 1 == cases || reply.status == 201 {
            for list in LISTS {
                let page = service.secure(Some(&manager)).page(list);
                assert_eq!(page.status, 200, "{list}: {}\n{}", page.text(), told());
            }
        }
    }
    println!("requests: {refused} of {cases} refused, PTC_FUZZ_SEED={seed}");
}

/// Whatever the rules accept can be issued, and whatever else a CSR holds is told to whoever sent it.
#[test]
fn submissions() {
    let service = Service::start();
    let ptc = service.secure(Some(&service.ptc_manager()));
    let (seed, mut chance) = chance("submissions");
    let cases = cases(400);
    let mut refused = 0;
    for case in 0..cases {
        let kind = Kind::ALL[chance.below(Kind::ALL.len())];
        let csr = Csr::new(kind);
        let mut info = csr.info();
        for _ in 0..=chance.below(2) {
            info = rearrange(&mut chance, &info).unwrap_or(info);
        }
        let mut draft = Draft::new(A, kind, "PC-1");
        draft.submission.csr.0 = csr.sign(info);
        let told =
            || format!("case {case} of PTC_FUZZ_SEED={seed}: {}", keep("csr", &draft.submission.csr.0).display());
        let package_kind = if kind == Kind::ExternalServer { Kind::Workstation } else { kind };
        let reply = service.public().submit(&service.package_of_kind(A, package_kind, true), None, &draft);
        // The rules, or the length of a body.
        if matches!(reply.status, 413 | 422) {
            refused += 1;
            continue;
        }
        assert_eq!(reply.status, 201, "{}\n{}", reply.text(), told());
        let number = reply.json::<RequestStatus>().number;
        let approval = json!({ "csr_sha256": service.detail(number).csr_sha256 });
        let approved = ptc.post(&format!("/manager/requests/{number}/approve"), &approval);
        assert_eq!(approved.status, 200, "{}\n{}", approved.text(), told());
    }
    assert!(refused < cases, "nothing was accepted");
    println!("submissions: {refused} of {cases} refused, PTC_FUZZ_SEED={seed}");
}

/// The first line and what follows it.
fn halves(template: &[u8]) -> (&str, &[u8]) {
    let end = template.iter().position(|byte| *byte == b'\n').unwrap();
    (std::str::from_utf8(&template[..end]).unwrap(), &template[end + 1..])
}

/// A template with another query or body; the route stays.
fn mutated(chance: &mut Chance, template: &[u8], all: &[Vec<u8>]) -> (String, Vec<u8>) {
    let (head, body) = halves(template);
    let Some((route, query)) = head.split_once('?') else {
        let bodies: Vec<Vec<u8>> = all.iter().map(|other| halves(other).1.to_vec()).collect();
        let own = vec![body.to_vec(); bodies.len()];
        return (head.to_owned(), mutate(chance, &[own, bodies].concat()));
    };
    let queries = all.iter().filter_map(|other| halves(other).0.split_once('?'));
    let queries: Vec<Vec<u8>> = queries.map(|(_, query)| query.as_bytes().to_vec()).chain([query.into()]).collect();
    let mut query = mutate(chance, &queries);
    query.truncate(4_000);
    let escape = |byte: &u8| match byte {
        b'%' | b'&' | b'=' | b'+' | b'-' | b'.' | b'_' => char::from(*byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        byte => format!("%{byte:02x}"),
    };
    (format!("{route}?{}", query.iter().map(escape).collect::<String>()), Vec::new())
}

/// Sends it as the API or the pages expect it.
fn send(service: &Service, manager: &Identity, head: &str, body: &[u8]) -> Reply {
    let (method, path) = head.split_once(' ').unwrap();
    let media_type = match path {
        _ if path.contains("/ocsp") => "application/ocsp-request",
        _ if path.starts_with(API) => "application/json",
        _ => "application/x-www-form-urlencoded",
    };
    let headers = [("Content-Type", media_type), ("Sec-Fetch-Site", "same-origin"), ("Origin", SECURE_URL)];
    // After a body that is too large, the connection is closed: each request has its own.
    let client = service.secure(Some(manager));
    match method {
        "GET" => client.send_to(method, path, &headers[1..2], None),
        _ => client.send_to(method, path, &headers, Some(body)),
    }
}
