//! HTTP itself: what is not JSON, too long, from another site, forged, unknown, paged.

use std::io::{Read, Write};

use ptc_enroll::protocol::messages::{API, BODY_LIMIT};
use ptc_enroll::protocol::problem::ProblemCode;
use serde_json::{Value, json};

use crate::support::service::{A, Draft, SECURE_URL, Service, base64};

#[test]
fn only_json_of_the_described_form_is_read() {
    let service = Service::start();
    let bearer = format!("Bearer {}", service.package(A).expose());
    let draft = Draft::workstation(A, "PC-1");
    let csr = base64(&draft.submission.csr.0);
    let token = draft.submission.token_sha256.as_str();
    let good = format!(r#""csr":"{csr}","token_sha256":"{token}""#);
    let deep = |depth| format!(r#"{{"kind":"workstation",{good},"more":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let malformed = Some(ProblemCode::Malformed);
    for (what, body, expected) in [
        ("empty", String::new(), malformed),
        ("cut off", r#"{"kind":"workstation""#.to_owned(), malformed),
        ("trailing", format!(r#"{{"kind":"workstation",{good}}} x"#), malformed),
        ("an array", "[]".to_owned(), malformed),
        ("a number", "1e999".to_owned(), malformed),
        ("a field twice", format!(r#"{{"kind":"workstation","kind":"server",{good}}}"#), malformed),
        ("mistyped", format!(r#"{{"kind":["workstation"],{good}}}"#), malformed),
        ("unknown word", format!(r#"{{"kind":"toaster",{good}}}"#), malformed),
        ("unknown word without end", format!(r#"{{"kind":"{}",{good}}}"#, "\\u001b".repeat(5_000)), malformed),
        ("a field missing", r#"{"kind":"workstation"}"#.to_owned(), malformed),
        ("not base64", format!(r#"{{"kind":"workstation","csr":"%%","token_sha256":"{token}"}}"#), malformed),
        ("not a hash", format!(r#"{{"kind":"workstation","csr":"{csr}","token_sha256":"AB"}}"#), malformed),
        ("lone surrogate", format!(r#"{{"kind":"\ud800",{good}}}"#), malformed),
        ("deep where text belongs", format!(r#"{{"kind":{}"#, "[".repeat(100_000)), malformed),
        ("null where text belongs", format!(r#"{{"kind":"workstation",{good},"contact":null}}"#), malformed),
        (
            "not a CSR",
            format!(r#"{{"kind":"workstation","csr":"AAAA","token_sha256":"{token}"}}"#),
            Some(ProblemCode::CsrRefused),
        ),
        ("deep in an unknown field", deep(100_000), None),
        ("an unknown field", format!(r#"{{"kind":"workstation",{good},"later":{{"x":[1]}}}}"#), None),
    ] {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json; charset=utf-8")];
        let reply = service.public().send("POST", "/requests", &headers, Some(body.as_bytes()));
        assert!(reply.body.len() < 16_000, "{what}: told {} bytes", reply.body.len());
        match expected {
            Some(code) => drop(reply.is_problem(code)),
            None => assert_eq!(reply.status, 201, "{what}: {}", reply.text()),
        }
    }
    for media_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonp")] {
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.extend(media_type.map(|media_type| ("Content-Type", media_type)));
        let reply = service.public().send("POST", "/requests", &headers, Some(b"{}"));
        reply.is_problem(ProblemCode::UnsupportedMediaType);
    }
}

#[test]
fn what_is_too_long_is_refused_and_the_sender_learns_it() {
    let service = Service::start();
    let bearer = format!("Bearer {}", service.package(A).expose());
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let send = |length: usize| service.public().send("POST", "/requests", &headers, Some(&vec![b' '; length]));
    send(BODY_LIMIT).is_problem(ProblemCode::Malformed);
    send(BODY_LIMIT + 1).is_problem(ProblemCode::BodyTooLarge);
    send(3 * 1024 * 1024).is_problem(ProblemCode::BodyTooLarge);
}

#[test]
fn a_refusal_before_the_body_is_read_reaches_its_sender() {
    let service = Service::start();
    let body = vec![b' '; 2 * 1024 * 1024];
    for (line, headers, status) in [
        (format!("POST {API}/nowhere"), "Content-Type: application/json\r\n", 404),
        (format!("PUT {API}/requests"), "Content-Type: application/json\r\n", 405),
        (format!("POST {API}/requests"), "Authorization: Bearer wrong\r\n", 401),
        (format!("POST {API}/ca/ocsp"), "Content-Type: application/ocsp-request\r\n", 413),
        (format!("POST {API}/nowhere"), "Content-Length: two\r\n", 400),
    ] {
        let mut stream = service.public_connection();
        let length = body.len();
        let head = format!("{line} HTTP/1.1\r\nHost: enroll.ptc.example\r\n{headers}Content-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // Nobody looks at the answer before everything is sent.
        stream.write_all(&body).unwrap_or_else(|error| panic!("{line}: {error}"));
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(String::from_utf8_lossy(&start), format!("HTTP/1.1 {status}"), "{line}");
    }
}

#[test]
fn an_endless_body_is_cut_off() {
    let service = Service::start();
    let bearer = service.package(A);
    let mut stream = service.public_connection();
    let head = format!(
        "POST {API}/requests HTTP/1.1\r\nHost: enroll.ptc.example\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        bearer.expose()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let mut sent = 0;
    while stream.write_all(chunk.as_bytes()).is_ok() {
        sent += chunk.len();
        // What the service reads for the sender's sake, and what lies in the system's buffers.
        assert!(sent < 64 * 1024 * 1024, "the service reads on and on");
    }
    assert!(sent > BODY_LIMIT);
    let mut rest = Vec::new();
    // The connection is gone; whether the answer came through before is the network's luck.
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(service.public().get("/service").status, 200);
}

#[test]
fn no_other_site_sends_through_a_managers_browser() {
    let service = Service::start();
    let manager = service.ptc_manager();
    let body = |code: String| json!({ "code": code, "name": "POSTE", "country": "XX" }).to_string();
    for (headers, allowed) in [
        (vec![], true),
        (vec![("Sec-Fetch-Site", "same-origin"), ("Origin", SECURE_URL)], true),
        (vec![("Sec-Fetch-Site", "none")], true),
        (vec![("Origin", "HTTPS://ENROLL.ptc.example:8444")], true),
        (vec![("Sec-Fetch-Site", "cross-site")], false),
        (vec![("Sec-Fetch-Site", "same-site")], false),
        (vec![("Origin", "https://evil.example")], false),
        (vec![("Origin", "https://enroll.ptc.example")], false),
        (vec![("Origin", "null")], false),
        (vec![("Sec-Fetch-Site", "same-origin"), ("Origin", "https://evil.example")], false),
    ] {
        let mut all = vec![("Content-Type", "application/json")];
        all.extend(&headers);
        let body = body(service.fresh("X"));
        // A refusal comes before the body was read, and may end the connection: each one gets its own.
        let client = service.secure(Some(&manager));
        let reply = client.send("POST", "/manager/organisations", &all, Some(body.as_bytes()));
        match allowed {
            true => assert_eq!(reply.status, 201, "{headers:?}: {}", reply.text()),
            false => drop(reply.is_problem(ProblemCode::CrossSite)),
        }
    }
    // A link of another site leads here; its pages load nothing from here.
    let load = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")];
    let refused = service.secure(Some(&manager)).send("GET", "/manager/requests", &load, None);
    refused.is_problem(ProblemCode::CrossSite);
    let link = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
    assert_eq!(service.secure(Some(&manager)).send("GET", "/manager/requests", &link, None).status, 200);
}

#[test]
fn forged_headers_make_nobody_somebody() {
    let service = Service::start();
    let ptc = service.ptc_manager();
    let certificate = base64(&ptc.chain[0]);
    let forged = [
        ("X-Forwarded-For", "127.0.0.1"),
        ("Forwarded", "for=127.0.0.1;proto=https"),
        ("X-SSL-Client-Verify", "SUCCESS"),
        ("X-SSL-Client-Serial", ptc.serial.as_str()),
        ("X-Client-Cert", certificate.as_str()),
        ("X-Forwarded-Client-Cert", certificate.as_str()),
        ("X-Original-URL", "/api/v1/manager/requests"),
        ("X-HTTP-Method-Override", "DELETE"),
    ];
    service.public().send("GET", "/manager/requests", &forged, None).is_problem(ProblemCode::NotFound);
    let manager = service.secure(Some(&service.manager(A)));
    manager.send("GET", "/manager/audit", &forged, None).is_problem(ProblemCode::Forbidden);
    assert_eq!(manager.send("GET", "/manager/requests", &forged, None).status, 200);
}

#[test]
fn every_answer_is_framed() {
    let service = Service::start();
    let secure = service.secure(Some(&service.ptc_manager()));
    let french = [("Accept-Language", "fr-CH, en;q=0.5")];
    let replies = [
        service.public().get("/service"),
        service.public().get("/nowhere"),
        service.public().get("/../../etc/passwd"),
        service.public().send("DELETE", "/service", &french, None),
        secure.get("/test"),
        secure.get("/nowhere"),
        secure.send("PUT", "/test", &french, None),
    ];
    let mut ids = std::collections::BTreeSet::new();
    for reply in &replies {
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{name}");
        }
        assert!(ids.insert(reply.header("x-request-id").unwrap()), "an id twice");
    }
    replies[1].is_problem(ProblemCode::NotFound);
    replies[5].is_problem(ProblemCode::NotFound);
    for reply in [&replies[3], &replies[6]] {
        let problem = reply.is_problem(ProblemCode::MethodNotAllowed);
        assert_eq!(problem.title, "Méthode non admise");
    }
}

#[test]
fn lists_come_in_pages() {
    let service = Service::start();
    let numbers: Vec<u64> = (0..5).map(|_| service.pending(A).number.0).collect();
    let client = service.secure(Some(&service.manager(A)));
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page: Value = client.get(&format!("/manager/requests?limit=2{after}")).json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["number"].as_u64().unwrap()));
        match page["next"].as_u64() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, numbers);
    for query in ["limit=0", "limit=201", "limit=x", "after=-1", "state=lost", "state=pending&state=pending", "sort=x"]
    {
        client.get(&format!("/manager/requests?{query}")).is_problem(ProblemCode::Malformed);
    }
    let page: Value = client.get("/manager/requests?state=approved").json();
    assert_eq!(page["items"], json!([]));
}
