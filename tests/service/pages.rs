//! The managers' pages without a browser: who may see and do what, what binds a decision, what is shown of what others
//! wrote. What a browser makes of them is in `tests/browser`.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_STANDARD, Engine};
use ptc_enroll::protocol::request::{Kind, RequestNumber, State};

use crate::support::service::{A, B, Draft, SECURE_URL, Service, operator};
use crate::support::verifiers::openssl;

#[test]
fn another_organisation_is_on_no_page() {
    let service = Service::start();
    let theirs = service.approved(B);
    let waiting = service.submit(B, Draft::workstation(B, "PC-SECRET").described("streng geheim"));
    service.pending(A);
    let serial = service.identity(&theirs).serial;
    let client = service.secure(Some(&service.manager(A)));
    for path in [
        "/requests",
        "/requests?state=all",
        "/requests?state=all&search=SECRET",
        "/requests?state=all&search=geheim",
        &format!("/requests?state=all&search={}", waiting.number),
        "/requests?state=pending&order=name",
        "/certificates",
        &format!("/certificates?search={serial}"),
        &format!("/certificates?search={}", theirs.number),
    ] {
        let page = client.page(path);
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        for secret in [
            "<td class=\"name\">PC-SECRET",
            "streng",
            &format!("/certificates/{serial}"),
            &format!("/requests/{}\"", waiting.number),
        ] {
            assert!(!page.text().contains(secret), "{path} shows {secret}");
        }
    }
    // Asking for the other one by name is refused, and recorded, as it is by the API.
    for path in ["/requests", "/certificates"] {
        assert_eq!(client.page(&format!("{path}?organisation={B}")).status, 404, "{path}");
    }
    assert!(!service.audited(&format!("organisation:{B}")).is_empty());
    // Nor does a list go on from theirs, which would tell where it stands among one's own.
    let mine = service.submit(A, Draft::workstation(A, "ZZ-LAST")).number;
    let row = format!("/requests/{mine}\"");
    let after = |number| client.page(&format!("/requests?state=pending&order=name&after={number}")).text();
    assert!(!after(waiting.number).contains(&row) && !after(RequestNumber(4711)).contains(&row));
    // The counts are one's own too.
    assert!(client.page("/requests").text().contains("<span class=\"count\">2</span>"));
    // In a selection, what is not one's own ends it; of a decision, it is a result like any other.
    let (number, digest) = (waiting.number.to_string(), service.detail(waiting.number).csr_sha256);
    let digest_name = format!("csr_sha256-{number}");
    let reply =
        client.form("/requests/decide", &[("number", &number), (&digest_name, &digest), ("verdict", "approve")]);
    assert!(reply.text().contains("There is no such thing here"), "{}", reply.text());
    assert_eq!(service.detail(waiting.number).status.state, State::Pending);
}

#[test]
fn what_others_wrote_is_text() {
    let service = Service::start();
    let attack = "<script>alert(1)</script>\"' onload=x \u{202e}evil' OR 1=1 --";
    let mut draft = Draft::workstation(A, "PC-1").described(attack);
    draft.submission.machine.host_name = "<b>host</b>".to_owned();
    draft.submission.machine.os_version = attack.to_owned();
    let number = service.submit(A, draft).number;
    let client = service.secure(Some(&service.manager(A)));
    for path in
        ["/requests".to_owned(), format!("/requests/{number}"), format!("/requests?search={}", "%3Cscript%3E%22'%22")]
    {
        let page = client.page(&path).text();
        for dangerous in ["<script>a", "<b>host", "\u{202e}"] {
            assert!(!page.contains(dangerous), "{path}: {dangerous}");
        }
    }
    let page = client.page(&format!("/requests/{number}")).text();
    assert!(page.contains("&#60;script&#62;alert(1)") && page.contains("\\u{202e}evil"), "{page}");
    let number = number.to_string();
    let preview = client.form("/requests/preview", &[("number", &number)]).text();
    assert!(!preview.contains("<script>a") && preview.contains("&#60;script&#62;alert(1)"));
    // A search that would keep the database busy is refused; words beyond the eighth are left out.
    assert_eq!(client.page(&format!("/requests?search={}", "0".repeat(201))).status, 422);
    assert_eq!(client.page(&format!("/requests?search={}", "a+".repeat(100))).status, 200);
    // A search for anything is a search.
    for search in ["\"", "' OR 1=1 --", "* AND NEAR(", "\u{0}abc\u{1}def", "%25_%25", "text:x", &"é".repeat(100)] {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("search", search).finish();
        assert_eq!(client.page(&format!("/requests?{query}")).status, 200, "{search}");
        assert_eq!(client.page(&format!("/certificates?{query}")).status, 200, "{search}");
    }
}

#[test]
fn a_decision_binds_to_what_was_shown() {
    let service = Service::start();
    let client = service.secure(Some(&service.manager(A)));
    // Another CSR than the one that was shown.
    let number = service.pending(A).number;
    let reply = client.form(&format!("/requests/{number}/approve"), &[("csr_sha256", &"0".repeat(64))]);
    assert_eq!(reply.status, 412, "{}", reply.text());
    // Superseded while the page was open: it says by which.
    let older = service.submit(A, Draft::workstation(A, "PC-TWICE")).number;
    let digest = service.detail(older).csr_sha256;
    let newer = service.submit(A, Draft::workstation(A, "PC-TWICE")).number;
    for (action, fields) in [("approve", ("csr_sha256", digest.as_str())), ("reject", ("reason", "no"))] {
        let reply = client.form(&format!("/requests/{older}/{action}"), &[fields]);
        assert_eq!(reply.status, 412);
        assert!(reply.text().contains(&newer.to_string()), "{}", reply.text());
    }
    assert_eq!(service.detail(older).status.state, State::Cancelled);
    // Somebody else was first: it says who.
    let other = service.secure(Some(&service.manager(A)));
    let digest = service.detail(newer).csr_sha256;
    let path = format!("/requests/{newer}/approve");
    assert_eq!(other.form(&path, &[("csr_sha256", &digest)]).status, 303);
    let late = client.form(&path, &[("csr_sha256", &digest)]);
    assert_eq!(late.status, 409);
    assert!(late.text().contains("Jean Dupont"), "{}", late.text());
}

#[test]
fn many_are_decided_at_once_with_a_result_each() {
    let service = Service::start();
    let manager = service.manager_with_email(A, "self@poste.example");
    let client = service.secure(Some(&manager));
    let good = service.pending(A).number;
    let own = service.submit(A, Draft::workstation(A, "PC-OWN").from("self@poste.example")).number;
    let done = service.approved(A).number;
    let numbers = [good, own, done].map(|number| number.to_string());
    let selection: Vec<(&str, &str)> = numbers.iter().map(|number| ("number", number.as_str())).collect();
    let preview = client.form("/requests/preview", &selection).text();
    assert!(preview.contains("2 requests can be decided on."), "{preview}");
    let digests: Vec<(String, String)> =
        [good, own, done].map(|number| (format!("csr_sha256-{number}"), service.detail(number).csr_sha256)).to_vec();
    let mut fields = selection.clone();
    fields.extend(digests.iter().map(|(name, digest)| (name.as_str(), digest.as_str())));
    fields.push(("verdict", "approve"));
    let results = client.form("/requests/decide", &fields).text();
    assert!(results.contains("1 request approved.") && results.contains("2 not decided."), "{results}");
    assert!(results.contains("Nobody decides on a request of their own"), "{results}");
    assert_eq!(service.detail(good).status.state, State::Approved);
    assert_eq!(service.detail(own).status.state, State::Pending);
    // Whoever wrote a reason and pressed Enter did not mean to approve: the first button of the form rejects.
    let preview = client.form("/requests/preview", &[("number", &numbers[1])]).text();
    let place = |verdict: &str| preview.find(&format!("value=\"{verdict}\"")).unwrap();
    assert!(place("reject") < place("approve"), "{preview}");
    assert!(preview.contains("admin@poste.example"), "what the certificate would name besides: {preview}");
    fields.push(("reason", "unknown machine"));
    assert_eq!(client.form("/requests/decide", &fields).status, 422);
    // Nothing selected, and a rejection without a reason, are told.
    assert_eq!(client.form("/requests/preview", &[]).status, 422);
    assert_eq!(client.form("/requests/decide", &[("number", &numbers[1]), ("verdict", "reject")]).status, 422);
}

#[test]
fn forms_of_other_sites_do_nothing() {
    let service = Service::start();
    let client = service.secure(Some(&service.manager(A)));
    let number = service.pending(A).number;
    let path = format!("/requests/{number}/reject");
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    for headers in [
        vec![form],
        vec![form, ("Origin", "null")],
        vec![form, ("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")],
        vec![form, ("Origin", SECURE_URL), ("Sec-Fetch-Site", "same-site")],
        vec![form, ("Origin", "https://evil.example"), ("Host", "enroll.ptc.example:8444")],
    ] {
        let client = service.secure(Some(&service.manager(A)));
        assert_eq!(client.send_to("POST", &path, &headers, Some(b"reason=no")).status, 403, "{headers:?}");
    }
    assert_eq!(service.detail(number).status.state, State::Pending);
    let page = client.page("/requests");
    let policy = page.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for inline in [" style=", "onclick=", "<style", "javascript:"] {
        assert!(!page.text().contains(inline), "{inline}");
    }
    // Nothing of this service is loaded into another site's page, but a link leads here.
    let from = |mode, dest| {
        let headers = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest)];
        client.send_to("GET", "/requests", &headers, None).status
    };
    assert_eq!((from("no-cors", "image"), from("navigate", "iframe"), from("navigate", "document")), (403, 403, 200));
    // The way back after choosing a language leads to this service only.
    for back in ["//evil.example", "/\\evil.example", "https://evil.example", ""] {
        let reply = client.form("/language", &[("language", "fr"), ("back", back)]);
        assert_eq!(reply.header("location"), Some("/"), "{back}");
    }
}

#[test]
fn the_request_page_has_what_a_decision_needs() {
    let service = Service::start();
    let first = service.submit(A, Draft::workstation(A, "PC-SAME"));
    service.approve(first.number);
    let mut draft = Draft::workstation(A, "PC-SAME").described("new disk");
    draft.submission.machine.os_version = "Debian 13".to_owned();
    let second = service.submit(A, draft).number;
    // Another machine with the same MAC address.
    service.pending(A);
    let (one, two) = (service.manager(A), service.manager(A));
    service.secure(Some(&one)).page(&format!("/requests/{second}"));
    let page = service.secure(Some(&two)).page(&format!("/requests/{second}")).text();
    for needed in [
        "new disk",
        "CN=PC-SAME",
        "EC P-256",
        "digitalSignature",
        "clientAuth",
        "Debian 13",
        "was different",
        &format!("/requests/{}", first.number),
        "MAC address: the same MAC address is named by another request",
        "Also open at: Jean Dupont",
        "Submitted",
        "package ",
        &service.detail(second).csr_sha256,
    ] {
        assert!(page.contains(needed), "{needed}: {page}");
    }
    let french = service
        .secure(Some(&two))
        .send_to("GET", &format!("/requests/{second}"), &[("Accept-Language", "fr")], None)
        .text();
    assert!(french.contains("Adresse MAC : la même adresse MAC est indiquée"), "{french}");
    // A server's request is not theirs to decide on, and the page says so instead of offering it.
    let server = service.submit(A, Draft::new(A, Kind::Server, "api.poste.example")).number;
    let page = service.secure(Some(&two)).page(&format!("/requests/{server}")).text();
    assert!(!page.contains("id=\"approve\""), "{page}");
}

#[test]
fn lists_go_on_where_they_stopped_in_every_order() {
    let service = Service::start();
    let client = service.secure(Some(&service.ptc_manager()));
    for number in 0..120 {
        let organisation = if number % 2 == 0 { A } else { B };
        service.submit(organisation, Draft::workstation(organisation, &format!("PC-{:03}", (number * 7) % 120)));
    }
    for query in [
        "?state=pending",
        "?state=pending&order=newest",
        "?state=pending&order=name",
        "?state=pending&order=organisation",
        "?state=all&search=PC-",
    ] {
        let mut seen = Vec::new();
        let mut path = format!("/requests{query}");
        loop {
            let page = client.page(&path).text();
            let rows = page.split("<th scope=\"row\"><a href=\"/requests/").skip(1);
            seen.extend(rows.map(|row| row.split('"').next().unwrap().parse::<u64>().unwrap()));
            let Some(next) = page.split("\" rel=\"next\"").next().filter(|before| before.len() < page.len()) else {
                break;
            };
            path = next.rsplit("href=\"").next().unwrap().replace("&#38;", "&");
        }
        let unique: BTreeSet<u64> = seen.iter().copied().collect();
        assert_eq!((seen.len(), unique.len()), (120, 120), "{query}");
    }
    let one = client.page(&format!("/requests?state=pending&organisation={B}&search=pc-007")).text();
    assert_eq!(one.matches("<th scope=\"row\">").count(), 1, "{one}");
}

#[test]
fn the_audit_record_is_filtered_exported_and_verified() {
    let service = Service::start();
    let number = service.submit(A, Draft::workstation(A, "PC-1")).number;
    let manager = service.manager(A);
    let reject = [("reason", "=HYPERLINK(\"http://evil.example\")")];
    assert_eq!(service.secure(Some(&manager)).form(&format!("/requests/{number}/reject"), &reject).status, 303);
    let client = service.secure(Some(&service.ptc_manager()));
    let page = client.page(&format!("/audit?object=request:{number}")).text();
    assert!(page.contains("Rejected") && page.contains("Submitted") && !page.contains("Organisation added"), "{page}");
    let csv = client.page(&format!("/audit/export?object=request:{number}")).text();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    for line in csv.lines().skip(1) {
        assert!(line.split(',').all(|cell| !cell.starts_with("\"=")), "{line}");
    }
    let lines = client.page(&format!("/audit/export?form=jsonl&action=request.&actor=MANAGER%20{}", manager.id)).text();
    let entry: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((lines.lines().count(), entry["action"].as_str()), (1, Some("request.reject")), "{lines}");
    let verified = client.form("/audit/verify", &[]).text();
    assert!(verified.contains("is intact"), "{verified}");
    service.unprotect_audit();
    service.tamper("UPDATE audit SET actor = 'nobody' WHERE sequence = 3");
    let broken = client.form("/audit/verify", &[]).text();
    assert!(broken.contains("entry 3 was changed"), "{broken}");
}

#[test]
fn certificates_are_found_by_what_people_know_of_them() {
    let service = Service::start();
    let number = service.submit(A, Draft::workstation(A, "PC-FIND-ME")).number;
    service.approve(number);
    service.approved(A);
    let serial = service.detail(number).status.issued.unwrap().serial;
    let client = service.secure(Some(&service.manager(A)));
    let colons: Vec<&str> = (0..serial.len() / 2).map(|at| &serial[2 * at..2 * at + 2]).collect();
    for search in [serial.as_str(), &serial[..12], &colons.join(":"), &number.to_string(), "find-me", "PC-FIND"] {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("search", search).finish();
        let page = client.page(&format!("/certificates?{query}")).text();
        assert!(page.contains(&format!("/certificates/{serial}")), "{search}: {page}");
        assert_eq!(page.matches("<th scope=\"row\">").count(), 1, "{search}");
    }
    let page = client.page(&format!("/certificates?search={}", &serial[..11])).text();
    assert!(page.contains("the first 12 digits or more") && !page.contains(&serial), "{page}");
    let revoke = [("code", "keyCompromise"), ("reason", "stolen")];
    assert_eq!(client.form(&format!("/certificates/{serial}/revoke"), &revoke).status, 303);
    let page = client.page(&format!("/certificates/{serial}")).text();
    assert!(page.contains("stolen") && !page.contains("/revoke\""), "{page}");
    assert!(client.page("/certificates?view=revoked").text().contains(&serial));
    assert!(!client.page("/certificates?view=ending").text().contains(&serial));
}

#[test]
fn a_manager_is_issued_once_and_a_package_shows_its_secret_never_again() {
    let service = Service::start();
    let client = service.secure(Some(&service.ptc_manager()));
    let fields = [
        ("name", "Zoé Nouvelle"),
        ("email", "zoe@poste.example"),
        ("role", "registration-manager"),
        ("organisation", A),
    ];
    let page = client.form("/managers", &fields).text();
    let content = page.split("base64,").nth(1).unwrap().split('"').next().unwrap().replace("&#43;", "+");
    let password = page.rsplit("<code>").next().unwrap().split('<').next().unwrap();
    let sealed = BASE64_STANDARD.decode(content).unwrap();
    let pem = openssl(&["pkcs12", "-in", "p12", "-nodes", "-passin", &format!("pass:{password}")], &[("p12", &sealed)]);
    assert!(pem.contains("PRIVATE KEY") && pem.contains("CERTIFICATE"), "{pem}");
    assert!(!client.page("/managers").text().contains(password));
    let again = client.form("/managers", &fields);
    assert_eq!(again.status, 409, "{}", again.text());

    let package = [("organisation", A), ("kind", "workstation"), ("store", "machine"), ("locality", "Paris <1>")];
    let before = service.run(service.app.list_packages(&operator())).unwrap().len();
    let preview = client.form("/packages/preview", &package).text();
    assert!(preview.contains("Paris &#60;1&#62;"), "{preview}");
    assert_eq!(service.run(service.app.list_packages(&operator())).unwrap().len(), before);
    let zip = client.form("/packages", &package);
    assert_eq!(zip.header("content-type"), Some("application/zip"));
    assert!(zip.body.starts_with(b"PK"));
    let wrong = client
        .form("/packages", &[("organisation", A), ("kind", "workstation"), ("store", "machine"), ("expires", "soon")]);
    assert_eq!(wrong.status, 422, "{}", wrong.text());
    let listed = service.run(service.app.list_packages(&operator())).unwrap();
    let last = listed.last().unwrap().id;
    assert_eq!(client.form(&format!("/packages/{last}/rotate"), &[("grace_days", "7")]).status, 200);
    // Days that nobody can read are not none.
    assert_eq!(client.form(&format!("/packages/{}/rotate", last + 1), &[("grace_days", "1e1")]).status, 422);
    let page = client.page("/packages").text();
    assert!(page.contains(&format!("→ {}", last + 1)), "{page}");
}
