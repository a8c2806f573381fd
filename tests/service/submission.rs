//! Submissions that come twice, at once, with the wrong credentials, with the wrong content, with any text.

use std::collections::BTreeSet;
use std::sync::Barrier;

use ptc_enroll::protocol::messages::RequestStatus;
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::request::{Kind, RequestNumber, State};
use ptc_enroll::protocol::secret::Secret;
use ptc_enroll::service::audit::{self, Verdict};

use crate::support::service::{A, B, Draft, Service};

#[test]
fn one_key_is_one_request() {
    let service = Service::start();
    let (secret, other) = (service.package(A), service.package(B));
    let draft = Draft::workstation(A, "PC-1");
    let submit = |secret: &Secret, key, draft: &Draft| service.public().submit(secret, Some(key), draft);

    let first = submit(&secret, "key", &draft);
    let again = submit(&secret, "key", &draft);
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.json::<RequestStatus>(), again.json::<RequestStatus>());
    submit(&secret, "key", &Draft::workstation(A, "PC-1")).is_problem(ProblemCode::IdempotencyMismatch);
    // Another client's key is another key.
    let foreign = submit(&other, "key", &Draft::workstation(B, "PC-1"));
    assert_eq!(foreign.status, 201);
    assert_ne!(foreign.json::<RequestStatus>().number, first.json::<RequestStatus>().number);
    // It still answers with the request when that has been decided on.
    service.approve(first.json::<RequestStatus>().number);
    assert_eq!(submit(&secret, "key", &draft).json::<RequestStatus>().state, State::Approved);

    for key in ["", &"k".repeat(65), "with space"] {
        submit(&secret, key, &draft).is_problem(ProblemCode::InvalidField);
    }
}

#[test]
fn a_hundred_at_once_are_one_request() {
    let service = Service::start();
    let secret = service.package(A);
    let draft = Draft::workstation(A, "PC-1");
    let together = Barrier::new(100);
    let replies: Vec<_> = std::thread::scope(|scope| {
        let submit = || {
            let client = service.public();
            together.wait();
            client.submit(&secret, Some("key"), &draft)
        };
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(submit)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let first: RequestStatus = replies[0].json();
    assert!(replies.iter().all(|reply| reply.json::<RequestStatus>() == first));
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
    assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 201)));
}

#[test]
fn many_of_one_machine_at_once_take_each_others_place() {
    let service = Service::start();
    let secret = service.package(A);
    let drafts: Vec<Draft> = (0..30).map(|_| Draft::workstation(A, "PC-1")).collect();
    let together = Barrier::new(drafts.len());
    let numbers: BTreeSet<u64> = std::thread::scope(|scope| {
        let (service, secret, together) = (&service, &secret, &together);
        let submit = |draft| {
            let client = service.public();
            together.wait();
            client.submit(secret, None, draft).json::<RequestStatus>().number.0
        };
        let threads: Vec<_> = drafts.iter().map(|draft| scope.spawn(move || submit(draft))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // One waits, and each of the others names the one that came next.
    assert_eq!(numbers, (1..=30).collect());
    for number in 1..30 {
        let status = service.detail(RequestNumber(number)).status;
        let expected = (State::Cancelled, Some(RequestNumber(number + 1)));
        assert_eq!((status.state, status.replaced_by), expected, "{number}");
    }
    assert_eq!(service.detail(RequestNumber(30)).status.state, State::Pending);
    let verdict = service.run(audit::verify(service.app.database())).unwrap();
    assert!(matches!(verdict, Verdict::Intact { .. }), "{verdict:?}");
    assert_eq!(service.number("SELECT count(*) FROM audit WHERE action = 'request.cancel'"), 29);
}

#[test]
fn what_is_approved_as_it_comes_is_answered_with_its_certificate() {
    let service = Service::with(|app| app.with_auto_approval().unwrap());
    let secret = service.package(A);
    let drafts: Vec<Draft> = (0..30).map(|number| Draft::workstation(A, &format!("PC-{number}"))).collect();
    let serials: BTreeSet<String> = std::thread::scope(|scope| {
        let (service, secret) = (&service, &secret);
        let submit = |draft: &Draft| {
            let status = service.public().submit(secret, None, draft).json::<RequestStatus>();
            assert_eq!(status.state, State::Approved);
            let again = service.public().get_as(&draft.token, &format!("/requests/{}", status.number));
            // What is answered is what is on record.
            assert_eq!(again.json::<RequestStatus>(), status);
            status.issued.unwrap().serial
        };
        let threads: Vec<_> = drafts.iter().map(|draft| scope.spawn(move || submit(draft))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(serials.len(), 30);
    assert_eq!(service.number("SELECT count(*) FROM certificates WHERE request IS NOT NULL AND der IS NULL"), 0);
    assert_eq!(service.number("SELECT count(*) FROM audit WHERE action = 'request.approve'"), 30);
}

#[test]
fn a_token_opens_its_own_request_only() {
    let service = Service::start();
    let [mine, theirs] = [A, B].map(|organisation| service.pending(organisation));
    let get = |number: u64, token: &Secret| service.public().get_as(token, &format!("/requests/{number}"));
    assert_eq!(get(mine.number.0, &mine.draft.token).status, 200);
    let wrong = get(mine.number.0, &theirs.draft.token).is_problem(ProblemCode::NotFound);
    let unknown = get(4711, &theirs.draft.token).is_problem(ProblemCode::NotFound);
    assert_eq!((wrong.title, wrong.detail, wrong.hint), (unknown.title, unknown.detail, unknown.hint));
    for number in ["0", "18446744073709551615", "18446744073709551616", "-1", "x", "1%00"] {
        let reply = service.public().get_as(&mine.draft.token, &format!("/requests/{number}"));
        reply.is_problem(ProblemCode::NotFound);
    }
    let path = format!("/requests/{}", mine.number);
    service.public().get(&path).is_problem(ProblemCode::Unauthenticated);
    // In the URL a token is no credential.
    let query = format!("{path}?token={}", mine.draft.token.expose());
    service.public().get(&query).is_problem(ProblemCode::Unauthenticated);
    for value in ["Basic AAAA", "Bearer", "Bearer x", &format!("Token {}", mine.draft.token.expose())] {
        let reply = service.public().send("GET", &path, &[("Authorization", value)], None);
        reply.is_problem(ProblemCode::Unauthenticated);
    }
}

#[test]
fn a_package_enrols_what_it_is_for() {
    let service = Service::start();
    let workstations = service.package_of_kind(A, Kind::Workstation, false);
    let servers = service.package_of_kind(A, Kind::Server, true);
    let of = |organisation, kind: Kind| {
        let name = if kind.named_by_host() { "api.poste.example" } else { "PC-1" };
        Draft::new(organisation, kind, name)
    };
    for (what, secret, draft, refused) in [
        ("its own kind", &workstations, of(A, Kind::Workstation), None),
        ("another kind", &workstations, of(A, Kind::Server), Some(ProblemCode::KindNotAllowed)),
        ("external, not allowed", &workstations, of(A, Kind::ExternalServer), Some(ProblemCode::KindNotAllowed)),
        ("external, allowed", &servers, of(A, Kind::ExternalServer), None),
        ("mobile", &servers, of(A, Kind::Mobile), Some(ProblemCode::KindNotAllowed)),
        ("another organisation's CSR", &workstations, of(B, Kind::Workstation), Some(ProblemCode::CsrRefused)),
        ("no package's secret", &Secret::random().unwrap(), of(A, Kind::Server), Some(ProblemCode::Unauthenticated)),
    ] {
        let reply = service.public().submit(secret, None, &draft);
        match refused {
            Some(code) => {
                let problem = reply.is_problem(code);
                assert_eq!(problem.findings.is_empty(), code != ProblemCode::CsrRefused, "{what}");
            }
            None => assert_eq!(reply.status, 201, "{what}: {}", reply.text()),
        }
    }
    let accepted = of(A, Kind::Workstation);
    let first = service.public().submit(&workstations, Some("key"), &accepted);
    service.tamper("UPDATE packages SET disabled_at = 1");
    // Whoever did not hear that their request was accepted still does.
    let again = service.public().submit(&workstations, Some("key"), &accepted);
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.json::<RequestStatus>(), again.json::<RequestStatus>());
    let reply = service.public().submit(&workstations, None, &of(A, Kind::Workstation));
    reply.is_problem(ProblemCode::Forbidden);
}

#[test]
fn any_text_is_kept_as_it_is() {
    let service = Service::start();
    for text in [
        "Robert'); DROP TABLE requests;--",
        "<script>alert(1)</script>&amp;",
        "=cmd|' /C calc'!A0",
        "\u{1b}[2J\r\nHTTP/1.1 200 OK\r\n\r\n",
        "pay\u{202e}lap\u{200b}\u{feff}",
        "e\u{301} é 日本郵便 🏤",
        "../../etc/passwd C:\\NUL \\\\host\\share file::$DATA",
        "%' OR '1'='1",
    ] {
        let name = service.fresh("PC-");
        let mut draft = Draft::workstation(A, &name).described(text);
        draft.submission.machine.host_name = text.to_owned();
        draft.submission.contact.telephone = text.to_owned();
        let detail = service.detail(service.submit(A, draft).number);
        assert_eq!(detail.contact.description, text);
        assert_eq!(detail.contact.telephone, text);
        assert_eq!(detail.machine.host_name, text);
    }
    // The one character that not every database can store.
    let secret = service.package(A);
    for set in [
        |draft: &mut Draft| draft.submission.contact.description = "a\0b".to_owned(),
        |draft: &mut Draft| draft.submission.machine.host_name = "\0".to_owned(),
    ] {
        let mut draft = Draft::workstation(A, "PC-NUL");
        set(&mut draft);
        service.public().submit(&secret, None, &draft).is_problem(ProblemCode::InvalidField);
    }
    // A search is text too, not a pattern.
    let secure = service.secure(Some(&service.ptc_manager()));
    let found = |search: &str| {
        secure.get(&format!("/manager/requests?search={search}")).json::<serde_json::Value>()["items"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(found("drop%20TABLE"), 1);
    assert_eq!(found("%25"), 1);
    assert_eq!(found("_"), 0);
    assert_eq!(found("pc-3"), 1);
}

#[test]
fn fields_have_bounds() {
    let service = Service::start();
    let secret = service.package(A);
    let draft = |change: &dyn Fn(&mut Draft)| {
        let mut draft = Draft::workstation(A, "PC-1");
        change(&mut draft);
        draft
    };
    for (field, draft) in [
        ("contact.description", draft(&|draft| draft.submission.contact.description = "é".repeat(2_001))),
        ("contact.telephone", draft(&|draft| draft.submission.contact.telephone = "1".repeat(65))),
        ("contact.email", draft(&|draft| draft.submission.contact.email = "A <a@poste.example>".to_owned())),
        ("contact.email", draft(&|draft| draft.submission.contact.email = "a@poste.example\r\nBcc: b".to_owned())),
        ("machine.host_name", draft(&|draft| draft.submission.machine.host_name = "h".repeat(254))),
        ("machine.nic_id", draft(&|draft| draft.submission.machine.nic_id = "h".repeat(254))),
    ] {
        let problem = service.public().submit(&secret, None, &draft).is_problem(ProblemCode::InvalidField);
        assert!(problem.detail.unwrap().contains(field), "{field}");
    }
    let longest = draft(&|draft| {
        draft.submission.contact.description = "é".repeat(2_000);
        draft.submission.contact.email = String::new();
    });
    assert_eq!(service.public().submit(&secret, None, &longest).status, 201);
}

#[test]
fn a_disk_that_was_full_is_used_again() {
    let service = Service::start();
    if service.on_a_server() {
        // Whose disk it is then.
        return;
    }
    let secret = service.package(A);
    let submit = || {
        let draft = Draft::workstation(A, &service.fresh("PC-"));
        service.public().submit(&secret, None, &draft)
    };
    // The file may not grow any more; the limit ends with the connection that it was set on.
    service.tamper("CREATE TABLE filler (content); PRAGMA max_page_count = 1");
    let full = service.try_to_tamper("INSERT INTO filler VALUES (zeroblob(10000000))");
    assert!(full.unwrap_err().to_string().contains("full"));
    for _ in 0..3 {
        let reply = submit();
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
}
