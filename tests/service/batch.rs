//! Many requests in one message: a result for each, and nothing that one item does to another.

use ptc_enroll::protocol::batch::{BATCH_BODY_LIMIT, REQUESTS_LIMIT, SUBMISSIONS_LIMIT};
use ptc_enroll::protocol::messages::{BODY_LIMIT, RequestStatus};
use ptc_enroll::protocol::problem::{Problem, ProblemCode};
use ptc_enroll::protocol::request::{Kind, RequestNumber, State};
use ptc_enroll::protocol::secret::Secret;
use serde_json::{Value, json};

use crate::support::service::{A, B, Draft, Enrolled, Reply, Service};

/// Submits drafts under their keys with a package's secret.
fn submit(service: &Service, secret: &Secret, drafts: &[(&str, &Draft)]) -> Reply {
    let submissions: Vec<Value> = drafts
        .iter()
        .map(|(key, draft)| {
            let mut submission = serde_json::to_value(&draft.submission).unwrap();
            submission["idempotency_key"] = json!(key);
            submission
        })
        .collect();
    post_as(service, secret, &json!({ "submissions": submissions }))
}

fn post_as(service: &Service, secret: &Secret, body: &Value) -> Reply {
    let bearer = format!("Bearer {}", secret.expose());
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json"), ("Accept-Language", "fr")];
    service.public().send("POST", "/requests/batch", &headers, Some(body.to_string().as_bytes()))
}

fn held(number: RequestNumber, token: &Secret) -> Value {
    json!({ "number": number, "token": token.expose() })
}

fn status(service: &Service, requests: &[Value]) -> Reply {
    service.public().post("/requests/status", &json!({ "requests": requests }))
}

fn results(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json::<Value>()["results"].as_array().unwrap().clone()
}

fn request(result: &Value) -> RequestStatus {
    serde_json::from_value(result["request"].clone()).unwrap_or_else(|error| panic!("{error}: {result}"))
}

fn problem(result: &Value) -> Problem {
    serde_json::from_value(result["problem"].clone()).unwrap_or_else(|error| panic!("{error}: {result}"))
}

#[test]
fn one_refusal_does_not_touch_the_others() {
    let service = Service::start();
    let secret = service.package(A);
    let good = [Draft::workstation(A, "PC-1"), Draft::new(A, Kind::ExternalServer, "api.poste.example")];
    let foreign = Draft::workstation(B, "PC-2");
    let mobile = Draft::new(A, Kind::Mobile, "PHONE-1");
    let long = Draft::workstation(A, "PC-3").described(&"é".repeat(2_001));
    let drafts =
        [("1", &good[0]), ("2", &foreign), ("3", &mobile), ("with space", &good[0]), ("4", &long), ("5", &good[1])];
    let reply = submit(&service, &secret, &drafts);
    let results = results(&reply);
    assert_eq!(results.len(), drafts.len());
    for (index, code) in [
        (1, ProblemCode::CsrRefused),
        (2, ProblemCode::KindNotAllowed),
        (3, ProblemCode::InvalidField),
        (4, ProblemCode::InvalidField),
    ] {
        let problem = problem(&results[index]);
        assert_eq!(problem.code(), Some(code), "{}", results[index]);
        assert_eq!((problem.status, Some(problem.request_id.as_str())), (code.status(), reply.header("x-request-id")));
        assert!(problem.detail.is_some() && problem.hint.is_some());
        assert_eq!(problem.findings.is_empty(), code != ProblemCode::CsrRefused);
    }
    // In the caller's language, as a problem of its own would be.
    assert!(problem(&results[1]).detail.unwrap().contains("certificat"), "{}", results[1]);
    for (index, draft) in [(0, &good[0]), (5, &good[1])] {
        assert_eq!(results[index]["created"], true);
        let number = request(&results[index]).number;
        // Each has a token of its own.
        let path = format!("/requests/{number}");
        assert_eq!(service.public().get_as(&draft.token, &path).status, 200);
        assert_eq!(service.detail(number).csr, draft.submission.csr);
    }
}

#[test]
fn a_key_is_one_request_within_a_batch_and_between_batches() {
    let service = Service::start();
    let secret = service.package(A);
    let [draft, other] = [Draft::workstation(A, "PC-1"), Draft::workstation(A, "PC-2")];
    let reply = submit(&service, &secret, &[("key", &draft), ("key", &draft), ("key", &other)]);
    let first = results(&reply);
    let number = request(&first[0]).number;
    assert_eq!((&first[0]["created"], &first[1]["created"]), (&json!(true), &json!(false)));
    assert_eq!(request(&first[1]).number, number);
    assert_eq!(problem(&first[2]).code(), Some(ProblemCode::IdempotencyMismatch));

    let again = results(&submit(&service, &secret, &[("other", &other), ("key", &draft)]));
    assert_eq!((&again[0]["created"], &again[1]["created"]), (&json!(true), &json!(false)));
    assert_eq!(request(&again[1]).number, number);
    // A key of a single submission is the same key.
    let single = service.public().submit(&secret, Some("key"), &draft);
    assert_eq!((single.status, single.json::<RequestStatus>().number), (200, number));
}

#[test]
fn later_items_replace_earlier_ones_of_the_same_name() {
    let service = Service::start();
    let drafts = [Draft::workstation(A, "PC-1"), Draft::workstation(A, "pc-1")];
    let results = results(&submit(&service, &service.package(A), &[("1", &drafts[0]), ("2", &drafts[1])]));
    let [older, newer] = [0, 1].map(|index| request(&results[index]));
    assert_eq!(newer.replaces, Some(older.number));
    assert_eq!(service.detail(older.number).status.state, State::Cancelled);
}

#[test]
fn a_token_in_a_batch_opens_its_own_request_only() {
    let service = Service::start();
    let [mine, theirs] = [A, B].map(|organisation| service.pending(organisation));
    let approved = service.approved(A);
    let token = |enrolled: &Enrolled| enrolled.draft.token.clone();
    let reply = status(
        &service,
        &[
            held(mine.number, &token(&mine)),
            held(theirs.number, &token(&mine)),
            held(RequestNumber(4711), &token(&mine)),
            held(approved.number, &token(&approved)),
            held(theirs.number, &token(&theirs)),
        ],
    );
    let answer: Value = reply.json();
    let results = results(&reply);
    assert_eq!(request(&results[0]).number, mine.number);
    let [wrong, unknown] = [1, 2].map(|index| problem(&results[index]));
    assert_eq!((wrong.code(), wrong.detail, wrong.hint), (Some(ProblemCode::NotFound), unknown.detail, unknown.hint));
    assert_eq!(request(&results[4]).state, State::Pending);
    assert!(reply.header("retry-after").is_some(), "something is pending");

    // The issuers stand once, above all.
    let single = service.public().get_as(&token(&approved), &format!("/requests/{}", approved.number));
    let mut single: RequestStatus = single.json();
    let chain = std::mem::take(&mut single.issued.as_mut().unwrap().chain);
    assert_eq!(request(&results[3]), single);
    assert_eq!(answer["chain"], serde_json::to_value(chain).unwrap());

    let reply = status(&service, &[held(approved.number, &token(&approved))]);
    assert_eq!(reply.header("retry-after"), None, "nothing is pending");
    // Not a token at all: the call is wrong, and is not quoted.
    let body = json!({ "requests": [{ "number": 1, "token": "not-a-token" }] });
    let problem = service.public().post("/requests/status", &body).is_problem(ProblemCode::Malformed);
    assert!(!problem.detail.unwrap().contains("not-a-token"));
}

#[test]
fn a_request_that_is_asked_about_twice_has_its_certificate_twice() {
    let service = Service::start();
    let approved = service.approved(A);
    let twice = vec![held(approved.number, &approved.draft.token); 2];
    let statuses: Vec<RequestStatus> = results(&status(&service, &twice)).iter().map(request).collect();
    assert_eq!(statuses[0], statuses[1]);
    assert!(statuses[0].issued.is_some());
}

#[test]
fn outcomes_are_noted_each_by_itself() {
    let service = Service::start();
    let [approved, pending] = [service.approved(A), service.pending(A)];
    let outcome = |enrolled: &Enrolled, token: &Secret, state: &str| {
        let mut outcome = held(enrolled.number, token);
        outcome["state"] = json!(state);
        outcome
    };
    let outcomes = [
        outcome(&approved, &pending.draft.token, "installed"),
        outcome(&approved, &approved.draft.token, "downloaded"),
        outcome(&pending, &pending.draft.token, "installed"),
        outcome(&approved, &approved.draft.token, "installed"),
        outcome(&approved, &approved.draft.token, "installed"),
    ];
    let reply = service.public().post("/requests/outcomes", &json!({ "outcomes": outcomes }));
    let results = results(&reply);
    for (index, code) in [(0, ProblemCode::NotFound), (1, ProblemCode::InvalidField), (2, ProblemCode::StateConflict)] {
        assert_eq!(problem(&results[index]).code(), Some(code), "{}", results[index]);
    }
    for result in &results[3..] {
        assert_eq!((request(result).state, request(result).issued), (State::Installed, None));
    }
    assert_eq!(service.audited(&format!("request:{}", approved.number)).len(), 3, "submit, approve, outcome");
}

#[test]
fn batches_have_bounds() {
    let service = Service::start();
    let secret = service.package(A);
    let draft = Draft::workstation(A, "PC-1");
    let Enrolled { number, draft: pending } = service.pending(A);
    let submissions = |count: usize| submit(&service, &secret, &vec![("key", &draft); count]);
    let statuses = |count: usize| status(&service, &vec![held(number, &pending.token); count]);
    let outcomes = |count: usize| {
        let mut outcome = held(number, &pending.token);
        outcome["state"] = json!("installed");
        service.public().post("/requests/outcomes", &json!({ "outcomes": vec![outcome; count] }))
    };
    for (limit, send) in [
        (SUBMISSIONS_LIMIT, &submissions as &dyn Fn(usize) -> Reply),
        (REQUESTS_LIMIT, &statuses),
        (REQUESTS_LIMIT, &outcomes),
    ] {
        assert_eq!(results(&send(limit)).len(), limit);
        for count in [0, limit + 1] {
            let problem = send(count).is_problem(ProblemCode::InvalidField);
            assert!(problem.detail.unwrap().contains(&limit.to_string()));
        }
    }
    let bearer = format!("Bearer {}", secret.expose());
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let send = |length| service.public().send("POST", "/requests/batch", &headers, Some(&vec![b' '; length]));
    send(BATCH_BODY_LIMIT).is_problem(ProblemCode::Malformed);
    let problem = send(BATCH_BODY_LIMIT + 1).is_problem(ProblemCode::BodyTooLarge);
    assert!(problem.detail.unwrap().contains(&BATCH_BODY_LIMIT.to_string()));
    // Elsewhere the limit is what it was.
    let reply = service.public().send("POST", "/requests", &headers, Some(&vec![b' '; BODY_LIMIT + 1]));
    reply.is_problem(ProblemCode::BodyTooLarge);
    // A member that stands twice is no better here.
    let mut twice = serde_json::to_string(&draft.submission).unwrap();
    twice.insert_str(1, r#""idempotency_key":"k","kind":"mobile","#);
    let body = format!(r#"{{"submissions":[{twice}]}}"#);
    let reply = service.public().send("POST", "/requests/batch", &headers, Some(body.as_bytes()));
    reply.is_problem(ProblemCode::Malformed);
}

#[test]
fn an_ended_package_submits_nothing_new_in_a_batch_either() {
    let service = Service::start();
    let secret = service.package(A);
    let [before, after] = [Draft::workstation(A, "PC-1"), Draft::workstation(A, "PC-2")];
    let number = request(&results(&submit(&service, &secret, &[("1", &before)]))[0]).number;
    service.tamper("UPDATE packages SET disabled_at = 1");
    let results = results(&submit(&service, &secret, &[("1", &before), ("2", &after)]));
    assert_eq!(request(&results[0]).number, number);
    assert_eq!(problem(&results[1]).code(), Some(ProblemCode::Forbidden));
    submit(&service, &Secret::random().unwrap(), &[("1", &before)]).is_problem(ProblemCode::Unauthenticated);
}

/// PostgreSQL plans by what it knows of a table, and of one that was just made it knows nothing.
#[test]
fn a_new_database_on_a_server_is_read_by_its_indexes() {
    let service = Service::with(|app| app.with_auto_approval().unwrap());
    if !service.on_a_server() {
        return;
    }
    let secret = service.package(A);
    let mut rounds = 0;
    // What a connection did is told about once a second.
    while service.number("SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'certificates'") < 100 {
        rounds += 1;
        assert!(rounds < 1_000, "the server does not tell");
        let drafts: Vec<Draft> = (0..8).map(|number| Draft::workstation(A, &format!("PC-{rounds}-{number}"))).collect();
        let keys: Vec<String> = (0..8).map(|number| format!("{rounds}-{number}")).collect();
        let keyed: Vec<(&str, &Draft)> = keys.iter().map(String::as_str).zip(&drafts).collect();
        for result in results(&submit(&service, &secret, &keyed)) {
            assert_eq!(request(&result).state, State::Approved);
        }
    }
    for scans in [
        "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'certificates'",
        "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'requests'",
    ] {
        assert_eq!(service.number(scans), 0, "{scans}");
    }
}
