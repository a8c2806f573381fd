//! Bulk decisions: each request has its outcome once, whatever happens in between, and nobody else sees it.

use std::collections::BTreeMap;
use std::process::Command;

use ptc_enroll::protocol::bulk::{BULK_LIMIT, BulkOutcome, BulkResult, BulkState, BulkStatus};
use ptc_enroll::protocol::messages::Page;
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::request::{Kind, RequestNumber, State};
use ptc_enroll::service::audit::{Verdict, verify};
use ptc_enroll::service::registration::{Caller, RequestQuery};
use serde_json::{Value, json};
use time::Duration;

use super::limits::counted;
use crate::support::receivers::eventually;
use crate::support::service::{A, B, Client, Draft, Reply, Service, Shown, operator};
use crate::support::serving::{PROGRAM, Serving};
use crate::support::site::Run;

const PATH: &str = "/manager/bulk-decisions";

pub fn approve_all(client: &Client, shown: &[Shown]) -> Reply {
    client.post(PATH, &json!({ "verdict": "approve", "requests": named(shown) }))
}

fn named(shown: &[Shown]) -> Vec<Value> {
    shown.iter().map(|(number, csr_sha256)| json!({ "number": number, "csr_sha256": csr_sha256 })).collect()
}

pub fn status(client: &Client, id: u64) -> BulkStatus {
    client.get(&format!("{PATH}/{id}")).json()
}

/// Waits until it has ended, and says how.
#[track_caller]
pub fn ended(client: &Client, id: u64) -> BulkStatus {
    eventually("the end of a bulk decision", || status(client, id).state != BulkState::Running);
    status(client, id)
}

/// What became of each request, in the order of the answer, page by page.
pub fn results(client: &Client, id: u64) -> Vec<BulkResult> {
    let (mut results, mut next) = (Vec::new(), Some(0));
    while let Some(after) = next {
        let page: Page<BulkResult> = client.get(&format!("{PATH}/{id}/results?limit=200&after={after}")).json();
        results.extend(page.items);
        next = page.next;
    }
    results
}

fn counts(status: &BulkStatus) -> [u64; 6] {
    [status.requests, status.waiting, status.approved, status.rejected, status.refused, status.stopped]
}

/// What was refused, by the problem's code.
fn refused(results: &[BulkResult]) -> BTreeMap<RequestNumber, ProblemCode> {
    let refused = results.iter().filter(|result| result.outcome == BulkOutcome::Refused);
    refused.map(|result| (result.number, result.problem.as_ref().unwrap().code().unwrap())).collect()
}

#[track_caller]
pub fn audit_is_intact(service: &Service) {
    let verdict = service.run(verify(service.app.database())).unwrap();
    assert!(matches!(verdict, Verdict::Intact { .. }), "{verdict:?}");
}

#[test]
fn of_a_thousand_the_bad_ones_stop_no_other() {
    let service = Service::start();
    let manager = service.manager_with_email(A, "self@poste.example");
    let client = service.secure(Some(&manager));
    let mut shown = service.pending_many(A, 994);
    // One that is replaced, one that held something else, one that is decided, one of one's own, one of others, one of nobody.
    let replaced = shown[100].0;
    service.submit(A, Draft::workstation(A, &service.detail(replaced).status.common_name));
    shown[200].1 = "0".repeat(64);
    let decided = shown[300].0;
    service.approve(decided);
    let own = service.submit(A, Draft::workstation(A, "PC-OWN").from("self@poste.example")).number;
    let server = service.submit(A, Draft::new(A, Kind::Server, "api.poste.example")).number;
    let theirs = service.submit(B, Draft::workstation(B, "PC-THEIRS")).number;
    for (at, number) in [(400, own), (500, server), (600, theirs)] {
        shown.insert(at, (number, service.detail(number).csr_sha256));
    }
    shown.insert(700, (RequestNumber(4_711_000), "0".repeat(64)));
    let other_csr = shown[200].0;
    assert_eq!(shown.len(), 998);

    let body = json!({ "verdict": "approve", "requests": named(&shown) });
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "monday")];
    let post = |body: &Value| client.send("POST", PATH, &headers, Some(body.to_string().as_bytes()));
    let reply = post(&body);
    assert_eq!(reply.status, 202, "{}", reply.text());
    let made: BulkStatus = reply.json();
    assert_eq!(reply.header("location"), Some(format!("/api/v1{PATH}/{}", made.id).as_str()));
    assert_eq!((made.state, made.requests), (BulkState::Running, 998));
    // The same again is the same one; another one under its key is refused.
    assert_eq!(post(&body).json::<BulkStatus>().id, made.id);
    let another = json!({ "verdict": "approve", "requests": named(&shown[..1]) });
    post(&another).is_problem(ProblemCode::IdempotencyMismatch);

    let status = ended(&client, made.id);
    assert_eq!((status.state, counts(&status)), (BulkState::Finished, [998, 0, 991, 0, 7, 0]));
    let results = results(&client, made.id);
    assert_eq!(results.len(), 998);
    let expected = BTreeMap::from([
        (replaced, ProblemCode::Superseded),
        (other_csr, ProblemCode::Superseded),
        (decided, ProblemCode::StateConflict),
        (own, ProblemCode::OwnRequest),
        (server, ProblemCode::Forbidden),
        (theirs, ProblemCode::NotFound),
        (RequestNumber(4_711_000), ProblemCode::NotFound),
    ]);
    assert_eq!(refused(&results), expected);
    // They come first; of what others have, nothing is told.
    assert!(results[..7].iter().all(|result| result.outcome == BulkOutcome::Refused));
    let of_others = results.iter().find(|result| result.number == theirs).unwrap();
    assert_eq!((&of_others.organisation, &of_others.common_name), (&None, &None));
    assert!(results[7].common_name.is_some() && results[7].outcome == BulkOutcome::Approved);
    let french = [("Accept-Language", "fr")];
    let page: Page<BulkResult> =
        client.send("GET", &format!("{PATH}/{}/results?limit=1", made.id), &french, None).json();
    assert!(page.items[0].problem.as_ref().unwrap().detail.as_ref().unwrap().contains("demande"), "{page:?}");

    assert_eq!(
        service.number("SELECT count(DISTINCT serial) FROM certificates WHERE der IS NOT NULL AND request > 0"),
        992
    );
    assert_eq!(
        service.number("SELECT count(*) FROM audit WHERE action = 'request.approve' AND detail LIKE '%csr%'"),
        992
    );
    assert_eq!(
        service.number("SELECT count(*) - count(DISTINCT object) FROM audit WHERE action = 'certificate.issue'"),
        0
    );
    assert_eq!(
        service.number("SELECT count(*) FROM audit WHERE action LIKE 'bulk.%' AND detail NOT LIKE '%refused\":\"%'"),
        2
    );
    assert_eq!(service.detail(server).status.state, State::Pending);
    assert_eq!(service.detail(theirs).status.state, State::Pending);
    audit_is_intact(&service);

    // A colleague and the centre see it; another organisation does not, and has it in no list.
    let paths = [format!("{PATH}/{}", made.id), format!("{PATH}/{}/results", made.id)];
    for (who, expected) in [(service.manager(A), 200), (service.ptc_manager(), 200), (service.manager(B), 404)] {
        let other = service.secure(Some(&who));
        for path in &paths {
            assert_eq!(other.get(path).status, expected, "{path}");
        }
        let list: Page<BulkStatus> = other.get(PATH).json();
        assert_eq!(list.items.len(), usize::from(expected == 200));
    }
}

#[test]
fn what_is_stopped_keeps_what_is_decided_and_decides_nothing_more() {
    let service = Service::with(|app| app.with_bulk_parts(10));
    let client = service.secure(Some(&service.manager(A)));
    let shown = service.pending_many(A, 400);
    let id = approve_all(&client, &shown).json::<BulkStatus>().id;
    let path = format!("{PATH}/{id}/stop");
    service.secure(Some(&service.manager(A))).post(&path, &json!({})).is_problem(ProblemCode::Forbidden);
    service.secure(Some(&service.manager(B))).post(&path, &json!({})).is_problem(ProblemCode::NotFound);
    eventually("the first decisions", || status(&client, id).approved >= 10);
    let page = client.page(&format!("/requests/bulk/{id}")).text();
    assert!(page.contains("<progress max=\"400\"") && page.contains("Stop</button>"), "{page}");
    let stopped: BulkStatus = client.post(&path, &json!({})).json();
    assert_eq!(stopped.state, BulkState::Stopped);
    let [_, waiting, approved, _, refused, left] = counts(&stopped);
    assert!(approved >= 10 && left >= 10 && waiting + refused == 0, "{stopped:?}");
    assert!(stopped.problem.is_none());
    client.post(&path, &json!({})).is_problem(ProblemCode::StateConflict);
    // What was decided gets its certificate, and nothing else does.
    let signed = "SELECT count(*) FROM certificates WHERE der IS NOT NULL AND request > 0";
    eventually("the last signatures", || service.number(signed).unsigned_abs() == approved);
    let outcomes: Vec<BulkOutcome> = results(&client, id).iter().map(|result| result.outcome).collect();
    assert_eq!(outcomes.iter().filter(|it| **it == BulkOutcome::Stopped).count() as u64, left);
    assert_eq!(outcomes[0], BulkOutcome::Stopped);
    let pending = service.number("SELECT count(*) FROM requests WHERE state = 'pending'");
    assert_eq!(pending.unsigned_abs(), left);
    assert_eq!(status(&client, id).approved, approved);
}

#[test]
fn a_manager_who_is_shut_out_in_the_middle_decides_nothing_more() {
    for revoke in [true, false] {
        let service = Service::with(|app| app.with_bulk_parts(10));
        let manager = service.manager(A);
        let client = service.secure(Some(&manager));
        let shown = service.pending_many(A, 400);
        let id = approve_all(&client, &shown).json::<BulkStatus>().id;
        eventually("the first decisions", || status(&client, id).approved >= 10);
        match revoke {
            true => {
                let revocation = json!({ "code": "keyCompromise" });
                let ptc = service.secure(Some(&service.ptc_manager()));
                let path = format!("/manager/certificates/{}/revoke", manager.serial);
                assert_eq!(ptc.post(&path, &revocation).status, 200);
            }
            false => {
                service.run(service.app.disable_manager(&operator(), manager.id)).unwrap();
            }
        }
        let colleague = service.secure(Some(&service.manager(A)));
        let status = ended(&colleague, id);
        let [_, waiting, approved, _, refused, left] = counts(&status);
        assert!(status.state == BulkState::Stopped && left >= 10 && waiting + refused == 0, "{status:?}");
        assert_eq!(status.problem.unwrap().code(), Some(ProblemCode::CallerRevoked));
        let last = results(&colleague, id).into_iter().find(|it| it.outcome == BulkOutcome::Stopped).unwrap();
        assert_eq!(last.problem.unwrap().code(), Some(ProblemCode::CallerRevoked));
        let decided = service.number("SELECT count(*) FROM requests WHERE state = 'approved'");
        assert_eq!(decided.unsigned_abs(), approved);
        let audited = service.number("SELECT count(*) FROM audit WHERE action = 'bulk.stop' AND actor = 'service'");
        assert_eq!(audited, 1);
    }
}

#[test]
fn what_has_nothing_left_has_finished_even_where_its_maker_is_shut_out() {
    let service = Service::start();
    let manager = service.manager(A);
    let colleague = service.secure(Some(&service.manager(A)));
    let shown = service.pending_many(A, 3);
    let id = approve_all(&service.secure(Some(&manager)), &shown[..2]).json::<BulkStatus>().id;
    ended(&colleague, id);
    // As a process left it that was killed before it said so.
    service.run(service.app.disable_manager(&operator(), manager.id)).unwrap();
    service.tamper("UPDATE bulk_decisions SET state = 'running', ended_at = NULL, worker = NULL, worker_until = NULL");
    ended(&colleague, approve_all(&colleague, &shown[2..]).json::<BulkStatus>().id);
    let status = ended(&colleague, id);
    assert_eq!((status.state, counts(&status)), (BulkState::Finished, [2, 0, 2, 0, 0, 0]));
}

#[test]
fn killed_in_the_middle_it_goes_on_and_decides_each_once() {
    let mut service = Service::start();
    let manager = service.manager(A);
    let shown = service.pending_many(A, 1_500);
    // The service is now a process that can be killed.
    let stopping = service.begin_to_stop();
    service.run(stopping).unwrap();
    let start = |name: &str| Serving::start(&service.home(), &[], &service.folder().join(name));
    let victim = start("victim");
    let client = service.client(victim.secure, Some(&manager));
    let id = approve_all(&client, &shown).json::<BulkStatus>().id;
    eventually("the first decisions", || status(&client, id).approved > 0);
    victim.kill();
    let heir = start("heir");
    let client = service.client(heir.secure, Some(&manager));
    let before = status(&client, id);
    assert!(before.state == BulkState::Running && before.approved < 1_500, "it was over before: {before:?}");
    let after = ended(&client, id);
    assert_eq!((after.state, counts(&after)), (BulkState::Finished, [1_500, 0, 1_500, 0, 0, 0]));
    assert_eq!(heir.stop(), 0);
    service.restart_stopped();
    let certificates = "SELECT count(*) FROM certificates WHERE request IS NOT NULL AND der IS NOT NULL";
    assert_eq!(service.number(certificates), 1_500);
    assert_eq!(service.number("SELECT count(*) FROM certificates WHERE der IS NULL"), 0);
    for entries in [
        "SELECT count(*) - count(DISTINCT object) FROM audit WHERE action = 'request.approve'",
        "SELECT count(*) - count(DISTINCT object) FROM audit WHERE action = 'certificate.issue'",
    ] {
        assert_eq!(service.number(entries), 0, "something was done twice");
    }
    audit_is_intact(&service);
}

#[test]
fn a_view_is_shown_and_decided_on_exactly_as_it_was() {
    let service = Service::start();
    let client = service.secure(Some(&service.manager(A)));
    service.submit(A, Draft::new(A, Kind::Server, "api.poste.example"));
    service.submit(B, Draft::workstation(B, "PC-THEIRS"));
    let mut drafts: Vec<Draft> = (0..6).map(|at| Draft::workstation(A, &format!("PC-{at}"))).collect();
    for (at, draft) in drafts.iter_mut().enumerate() {
        draft.submission.machine.mac_address = format!("00112233445{at}");
    }
    // Two of the same machine's address.
    drafts[3].submission.machine.mac_address = "001122334455".to_owned();
    let numbers: Vec<RequestNumber> = drafts.into_iter().map(|draft| service.submit(A, draft).number).collect();
    let start = |fields: &[(&str, &str)]| {
        let reply = client.form("/requests/bulk", fields);
        assert_eq!(reply.status, 303, "{}", reply.text());
        reply.header("location").unwrap().to_owned()
    };
    let path = start(&[("state", "waiting")]);
    let page = client.page(&path).text();
    assert!(page.contains("6 requests can be decided on."), "{page}");
    assert!(page.contains("Leave out the 2 requests with warnings"), "{page}");
    let place = |number: RequestNumber| page.find(&format!("/requests/{number}\"")).unwrap();
    assert!(place(numbers[5]) < place(numbers[0]) && place(numbers[3]) < place(numbers[0]), "{page}");
    assert!(!page.contains("api.poste.example") && !page.contains("PC-THEIRS"), "{page}");
    // Nothing is decided by looking. Meanwhile one is replaced, and another one comes.
    assert_eq!(service.detail(numbers[0]).status.state, State::Pending);
    let newer = service.submit(A, Draft::workstation(A, "PC-1")).number;
    let late = service.submit(A, Draft::workstation(A, "PC-LATE")).number;
    // A colleague sees it and cannot start it; a rejection needs a reason.
    let colleague = service.secure(Some(&service.manager(A)));
    let go = format!("{path}/start");
    let page = colleague.page(&path);
    assert!(page.status == 200 && !page.text().contains("Approve all"), "{}", page.text());
    assert_eq!(colleague.form(&go, &[("verdict", "approve")]).status, 403);
    assert_eq!(client.form(&go, &[("verdict", "reject")]).status, 422);
    assert_eq!(client.form(&go, &[("verdict", "approve"), ("leave_out", "warned")]).status, 303);
    assert_eq!(client.form(&go, &[("verdict", "approve")]).status, 409);
    let id: u64 = path.rsplit('/').next().unwrap().parse().unwrap();
    let status = ended(&client, id);
    assert_eq!((status.state, counts(&status)), (BulkState::Finished, [4, 0, 3, 0, 1, 0]));
    assert_eq!(refused(&results(&client, id)), BTreeMap::from([(numbers[1], ProblemCode::Superseded)]));
    for number in [newer, late, numbers[3], numbers[5]] {
        assert_eq!(service.detail(number).status.state, State::Pending, "{number}");
    }
    let page = client.page(&path).text();
    assert!(page.contains("finished") && page.contains(&format!("request {newer} took the place")), "{page}");
    let csv = client.page(&format!("{path}/results"));
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    assert!(csv.header("content-disposition").unwrap().contains(&format!("bulk-decision-{id}.csv")));
    let lines: Vec<String> = csv.text().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(
        lines[1]
            .starts_with(&format!("\"{}\",\"{A}\",\"workstation\",\"PC-1\",\"refused\",\"superseded\"", numbers[1]))
    );

    // All that is left is rejected, each with the reason.
    let path = start(&[("state", "pending"), ("search", "PC-")]);
    assert_eq!(client.form(&format!("{path}/start"), &[("verdict", "reject"), ("reason", "Not ours.")]).status, 303);
    let id: u64 = path.rsplit('/').next().unwrap().parse().unwrap();
    let status = ended(&client, id);
    assert_eq!(counts(&status), [4, 0, 0, 4, 0, 0]);
    assert_eq!(service.detail(late).status.reason.as_deref(), Some("Not ours."));
    assert_eq!(client.form("/requests/bulk", &[("state", "waiting")]).status, 422, "nothing waits any more");
    assert_eq!(client.form("/requests/bulk", &[("state", "approved")]).status, 422);
}

#[test]
fn drafts_go_after_an_hour_and_results_after_a_month() {
    let service = Service::start();
    let client = service.secure(Some(&service.ptc_manager()));
    let shown = service.pending_many(A, 3);
    let draft = client.form("/requests/bulk", &[("state", "pending")]).header("location").unwrap().to_owned();
    let id = approve_all(&client, &shown[..1]).json::<BulkStatus>().id;
    ended(&client, id);
    service.advance(Duration::minutes(59));
    service.run(service.app.tidy_up_bulk()).unwrap();
    assert_eq!(client.page(&draft).status, 200);
    service.advance(Duration::minutes(2));
    assert_eq!(client.form(&format!("{draft}/start"), &[("verdict", "approve")]).status, 409);
    service.run(service.app.tidy_up_bulk()).unwrap();
    assert_eq!(client.page(&draft).status, 404);
    assert_eq!(client.form(&format!("{draft}/start"), &[("verdict", "approve")]).status, 404);
    assert_eq!(client.get(&format!("{PATH}/{id}")).status, 200);
    assert_eq!(service.detail(shown[1].0).status.state, State::Pending);
    // A manager who looks again and again keeps a few drafts.
    for _ in 0..7 {
        assert_eq!(client.form("/requests/bulk", &[("state", "pending")]).status, 303);
    }
    assert_eq!(service.number("SELECT count(*) FROM bulk_decisions WHERE state = 'draft'"), 5);
    service.advance(Duration::days(30));
    service.run(service.app.tidy_up_bulk()).unwrap();
    client.get(&format!("{PATH}/{id}")).is_problem(ProblemCode::NotFound);
    assert_eq!(service.number("SELECT count(*) FROM bulk_items"), 0);
}

#[test]
fn one_organisation_leaves_room_for_the_others() {
    let service = Service::start();
    let clients = [A, B].map(|organisation| service.secure(Some(&service.manager(organisation))));
    let shown = [A, B].map(|organisation| service.pending_many(organisation, 3));
    let first = approve_all(&clients[0], &shown[0][..1]).json::<BulkStatus>().id;
    assert_eq!(ended(&clients[0], first).approved, 1);
    // Five of A's that another process works on.
    service.tamper(
        "INSERT INTO bulk_decisions (made_by, manager, certificate, organisation, state, verdict, created_at, started_at,
                                     requests, worker, worker_until)
         WITH RECURSIVE copies (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM copies WHERE i < 5)
         SELECT made_by, manager, certificate, organisation, 'running', verdict, created_at, started_at, 1, 'another',
                99999999999
         FROM bulk_decisions CROSS JOIN copies WHERE state = 'finished'",
    );
    let reply = approve_all(&clients[0], &shown[0][1..2]);
    assert!(reply.header("retry-after").is_some());
    reply.is_problem(ProblemCode::TooManyRequests);
    assert_eq!(counted(&service, "bulk-decisions"), 1);
    let other = approve_all(&clients[1], &shown[1]).json::<BulkStatus>().id;
    assert_eq!(ended(&clients[1], other).approved, 3);

    // What became of each is kept of so many: the oldest go first, the others' stay.
    service.tamper("UPDATE bulk_decisions SET state = 'finished', ended_at = started_at WHERE state = 'running'");
    let second = approve_all(&clients[0], &shown[0][1..2]).json::<BulkStatus>().id;
    ended(&clients[0], second);
    service.tamper("UPDATE bulk_decisions SET requests = 200000 WHERE decided > 0");
    let third = approve_all(&clients[0], &shown[0][2..]).json::<BulkStatus>().id;
    ended(&clients[0], third);
    clients[0].get(&format!("{PATH}/{first}")).is_problem(ProblemCode::NotFound);
    for (client, id) in [(&clients[0], second), (&clients[0], third), (&clients[1], other)] {
        assert_eq!(client.get(&format!("{PATH}/{id}")).status, 200, "{id}");
    }
}

#[test]
fn a_manager_has_one_draft_made_at_a_time() {
    let service = Service::start();
    service.pending_many(A, 3);
    let [one, other] = [A, A].map(|organisation| {
        let manager = service.manager(organisation);
        service.run(service.app.identify(&manager.chain[0])).unwrap()
    });
    let query = RequestQuery { state: Some(State::Pending), ..RequestQuery::default() };
    let draft = async |caller: &Caller| service.app.draft_bulk(caller.maker(), &query, false).await;
    let (first, second, others) = service.run(async { tokio::join!(draft(&one), draft(&one), draft(&other)) });
    assert!(first.unwrap().is_some() && others.unwrap().is_some());
    assert_eq!(second.unwrap_err().refusal().code(), ProblemCode::TooManyRequests);
    assert!(service.run(draft(&one)).unwrap().is_some());
}

#[test]
fn one_that_cannot_be_looked_at_holds_up_no_other() {
    let service = Service::start();
    let client = service.secure(Some(&service.manager(A)));
    let shown = service.pending_many(A, 40);
    service.tamper("UPDATE requests SET contact = '' WHERE number = 20");
    let id = approve_all(&client, &shown).json::<BulkStatus>().id;
    let status = ended(&client, id);
    assert_eq!((status.state, counts(&status)), (BulkState::Finished, [40, 0, 39, 0, 1, 0]));
    let refused = results(&client, id).into_iter().find(|it| it.outcome == BulkOutcome::Refused).unwrap();
    assert_eq!((refused.number.0, refused.problem.unwrap().code()), (20, Some(ProblemCode::Internal)));
}

#[test]
fn what_cannot_be_is_refused_as_a_whole() {
    let service = Service::start();
    let client = service.secure(Some(&service.manager(A)));
    let one = service.pending_many(A, 1);
    let many: Vec<Shown> = (1..=BULK_LIMIT as u64 + 1).map(|number| (RequestNumber(number), "0".repeat(64))).collect();
    let twice = [one[0].clone(), one[0].clone()];
    // It would be kept for a month.
    let long = [(one[0].0, "0".repeat(1_000_000))];
    for (body, field) in [
        (json!({ "verdict": "approve", "requests": [] }), "requests"),
        (json!({ "verdict": "approve", "requests": named(&many) }), "requests"),
        (json!({ "verdict": "approve", "requests": named(&twice) }), "requests"),
        (json!({ "verdict": "approve", "requests": named(&long) }), "requests"),
        (json!({ "verdict": "reject", "requests": named(&one) }), "reason"),
        (json!({ "verdict": "reject", "reason": "n".repeat(501), "requests": named(&one) }), "reason"),
        (json!({ "verdict": "approve", "reason": "no", "requests": named(&one) }), "reason"),
    ] {
        let problem = client.post(PATH, &body).is_problem(ProblemCode::InvalidField);
        assert!(problem.detail.as_ref().unwrap().contains(field), "{problem:?}");
    }
    client.post(PATH, &json!({ "verdict": "perhaps", "requests": named(&one) })).is_problem(ProblemCode::Malformed);
    assert_eq!(service.number("SELECT count(*) FROM bulk_decisions"), 0);
    client.get(&format!("{PATH}/4711")).is_problem(ProblemCode::NotFound);
    // As many as may be are taken in one body.
    let reply = approve_all(&client, &many[1..]);
    assert_eq!(reply.status, 202, "{}", reply.text());
}

#[test]
fn the_command_line_decides_on_everything_that_waits() {
    let service = Service::start();
    let shown = service.pending_many(A, 120);
    service.pending_many(B, 3);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        Run::of(command.args(["--lang=en", "--home"]).arg(service.home()).arg("request").args(arguments))
    };
    let all = |rest: &[&'static str]| run(&[&["approve", "--all-pending"], rest].concat());
    let would = all(&["--organisation", A, "--dry-run"]).exits(0);
    assert!(
        would.stdout.contains("120 requests would be decided on, 0 with warnings. Nothing was."),
        "{}",
        would.stdout
    );
    assert!(would.stdout.contains(&shown[119].0.to_string()));
    assert_eq!(service.number("SELECT count(*) FROM bulk_decisions"), 0);
    let done = all(&["--organisation", A, "--kind=workstation", "--output=json"]).exits(0).json();
    assert_eq!(done["result"]["bulk_decision"]["approved"], 120);
    assert_eq!(done["result"]["results"].as_array().unwrap().len(), 120);
    assert_eq!(service.number("SELECT count(*) FROM certificates WHERE der IS NOT NULL AND request > 0"), 120);
    // What breaks the rules by now is told, and ends with the code for a refusal.
    service.tamper("UPDATE organisations SET name = 'ANOTHER' WHERE code = 'J1CDEA'");
    let refused = all(&[]).exits(4);
    assert!(refused.stdout.contains("Not decided") && refused.stdout.contains("3 not decided"), "{}", refused.stdout);
    assert!(refused.stderr.contains("3 requests were not decided on."), "{}", refused.stderr);
    let would = all(&["--dry-run", "--without-warnings"]).exits(0);
    assert!(would.stdout.contains("Nothing to decide on"), "{}", would.stdout);
    // They can still be rejected.
    run(&["reject", "--all-pending", "--reason=Not ours"]).exits(0);
    assert_eq!(service.number("SELECT count(*) FROM requests WHERE reason = 'Not ours'"), 3);
    // That nothing waits is no error, and that nobody has such a code is one.
    let nothing = all(&["--output=json"]).exits(0).json();
    assert_eq!(nothing["result"], json!({ "bulk_decision": null, "results": [], "has_more": false }));
    assert!(all(&["--organisation=TYPO"]).exits(3).stderr.contains("organisation is not valid"));
    // What cannot be started leaves nothing behind.
    service.pending_many(A, 1);
    run(&["reject", "--all-pending", "--reason", " "]).exits(3);
    assert_eq!(service.number("SELECT count(*) FROM bulk_decisions WHERE state = 'draft'"), 0);
    run(&["approve", "7", "--all-pending"]).exits(2);
    run(&["approve"]).exits(2);
    run(&["approve", "7", "--dry-run"]).exits(2);
}
