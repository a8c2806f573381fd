//! Decisions that come too late, twice, on one's own request, or on what is no longer there.

use std::sync::Barrier;
use std::thread;

use ptc_enroll::protocol::messages::{RequestDetail, RequestStatus};
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::request::{RequestNumber, State};
use ptc_enroll::service::registration::Verdict;
use serde_json::json;
use time::Duration;

use crate::support::service::{A, Client, Draft, Reply, Service, operator};

fn approve(client: &Client, number: RequestNumber, csr_sha256: &str) -> Reply {
    client.post(&format!("/manager/requests/{number}/approve"), &json!({ "csr_sha256": csr_sha256 }))
}

fn reject(client: &Client, number: RequestNumber) -> Reply {
    client.post(&format!("/manager/requests/{number}/reject"), &json!({ "reason": "Unknown machine" }))
}

#[test]
fn of_two_approvals_one_wins_and_the_other_learns_who() {
    let service = Service::start();
    let managers = [service.manager(A), service.manager(A)];
    let number = service.pending(A).number;
    let csr_sha256 = service.detail(number).csr_sha256;
    let together = Barrier::new(2);
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let threads: Vec<_> = managers
            .iter()
            .map(|manager| {
                let client = service.secure(Some(manager));
                let (together, csr_sha256) = (&together, &csr_sha256);
                scope.spawn(move || {
                    // The connection stands before both go off.
                    client.get("/test");
                    together.wait();
                    approve(&client, number, csr_sha256)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (won, lost) = if replies[0].status == 200 { (0, 1) } else { (1, 0) };
    let decided: RequestDetail = replies[won].json();
    assert_eq!(decided.status.state, State::Approved);
    let problem = replies[lost].is_problem(ProblemCode::StateConflict);
    let winner = format!("manager {}", managers[won].id);
    assert!(problem.detail.as_ref().unwrap().contains(&winner), "{problem:?}");
    let secure = service.secure(Some(&service.ptc_manager()));
    let certificates: serde_json::Value = secure.get("/manager/certificates?search=PC-").json();
    assert_eq!(certificates["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_decision_is_final() {
    let service = Service::start();
    let client = service.secure(Some(&service.manager(A)));
    let rejected = service.pending(A);
    let csr_sha256 = service.detail(rejected.number).csr_sha256;
    assert_eq!(reject(&client, rejected.number).json::<RequestDetail>().status.state, State::Rejected);
    approve(&client, rejected.number, &csr_sha256).is_problem(ProblemCode::StateConflict);
    let path = format!("/requests/{}", rejected.number);
    let status: RequestStatus = service.public().get_as(&rejected.draft.token, &path).json();
    assert_eq!(status.reason.as_deref(), Some("Unknown machine"));

    let approved = service.approved(A);
    reject(&client, approved.number).is_problem(ProblemCode::StateConflict);

    let expired = service.pending(A);
    let csr_sha256 = service.detail(expired.number).csr_sha256;
    service.advance(Duration::days(31));
    approve(&client, expired.number, &csr_sha256).is_problem(ProblemCode::StateConflict);

    let reasons = [json!({ "reason": "" }), json!({ "reason": " \t" }), json!({ "reason": "x".repeat(501) })];
    let pending = service.pending(A).number;
    for reason in reasons {
        let reply = client.post(&format!("/manager/requests/{pending}/reject"), &reason);
        reply.is_problem(ProblemCode::InvalidField);
    }
}

#[test]
fn an_approval_binds_to_what_was_shown() {
    let service = Service::start();
    let client = service.secure(Some(&service.manager(A)));
    let secret = service.package(A);
    let submit = || service.public().submit(&secret, None, &Draft::workstation(A, "PC-1")).json::<RequestStatus>();
    let shown = submit().number;
    let csr_sha256 = service.detail(shown).csr_sha256;
    approve(&client, shown, &"0".repeat(64)).is_problem(ProblemCode::Superseded);
    assert_eq!(service.detail(shown).status.state, State::Pending);
    // The page is open; the machine asks again.
    let newer = submit().number;
    let problem = approve(&client, shown, &csr_sha256).is_problem(ProblemCode::Superseded);
    assert!(problem.detail.unwrap().contains(&newer.to_string()));
    approve(&client, newer, &csr_sha256).is_problem(ProblemCode::Superseded);
}

#[test]
fn nobody_approves_a_request_of_their_own() {
    let service = Service::start();
    let other = service.secure(Some(&service.manager(A)));
    for (what, email, contact) in [
        ("the contact, whatever the case", "jean@poste.example", "Jean@Poste.EXAMPLE"),
        ("the SAN", "ADMIN@poste.example", "somebody@poste.example"),
    ] {
        let own = service.secure(Some(&service.manager_with_email(A, email)));
        let number = service.submit(A, Draft::workstation(A, &service.fresh("PC-")).from(contact)).number;
        let csr_sha256 = service.detail(number).csr_sha256;
        approve(&own, number, &csr_sha256).is_problem(ProblemCode::OwnRequest);
        assert_eq!(service.detail(number).status.state, State::Pending, "{what}");
        assert_eq!(approve(&other, number, &csr_sha256).status, 200, "{what}");
    }
}

#[test]
fn rules_that_became_stricter_hold_at_the_approval() {
    let service = Service::start();
    let number = service.pending(A).number;
    let csr_sha256 = service.detail(number).csr_sha256;
    // As if the organisation had another name now: the CSR no longer fits.
    service.tamper("UPDATE organisations SET name = 'LA POSTE' WHERE code = 'J1CFRA'");
    let client = service.secure(Some(&service.manager(A)));
    let detail: RequestDetail = client.get(&format!("/manager/requests/{number}")).json();
    assert!(detail.warnings.iter().any(|warning| warning.rule == "subject-mismatch"), "{:?}", detail.warnings);
    let problem = approve(&client, number, &csr_sha256).is_problem(ProblemCode::CsrRefused);
    assert_eq!(problem.findings.len(), 1);
    assert_eq!(service.detail(number).status.state, State::Pending);
}

#[test]
fn of_five_hundred_at_once_a_bad_one_stops_no_other() {
    let service = Service::start();
    let shown: Vec<(RequestNumber, String)> = thread::scope(|scope| {
        let submit = |share: usize| {
            let numbers = (share..500).step_by(8);
            let name = |number| format!("PC-{number}");
            let submitted = numbers.map(|number| service.submit(A, Draft::workstation(A, &name(number))));
            submitted.map(|it| (it.number, it.draft.submission.csr.sha256())).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..8).map(|share| scope.spawn(move || submit(share))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let superseded = service.detail(shown[123].0).status;
    let newer = service.submit(A, Draft::workstation(A, &superseded.common_name)).number;
    let mut asked = shown.clone();
    asked[321].1 = "0".repeat(64);

    let decided = service.run(service.app.decide_all(&operator(), &Verdict::Approve, &asked));
    let refused: Vec<_> =
        decided.iter().filter_map(|it| it.outcome.as_ref().err().map(|why| (it.number, why))).collect();
    let codes: Vec<_> = refused.iter().map(|(number, why)| (*number, why.refusal().code())).collect();
    assert_eq!(codes, [(shown[123].0, ProblemCode::Superseded), (shown[321].0, ProblemCode::Superseded)]);
    assert!(refused[0].1.to_string().contains(&newer.to_string()), "{}", refused[0].1);
    assert_eq!(
        service.number("SELECT count(DISTINCT serial) FROM certificates WHERE der IS NOT NULL AND request > 0"),
        498
    );
    // Once more: everything is decided already, and nobody has two certificates.
    let again = service.run(service.app.decide_all(&operator(), &Verdict::Approve, &asked));
    assert!(again.iter().all(|it| it.outcome.is_err()));
    assert_eq!(service.number("SELECT count(*) FROM certificates WHERE request IS NOT NULL"), 498);
}
