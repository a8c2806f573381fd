//! The audit record: what it holds, and that changes to it show.

use ptc_enroll::service::audit::{Verdict, verify};

use crate::support::service::{A, Service};

#[test]
fn a_change_anywhere_breaks_the_chain() {
    for (what, statement, broken_at) in [
        ("nothing", "SELECT 1", None),
        ("an actor", "UPDATE audit SET actor = 'somebody' WHERE sequence = 3", Some(3)),
        ("a detail", "UPDATE audit SET detail = '{}' WHERE sequence = 1", Some(1)),
        ("a time", "UPDATE audit SET time = time + 1 WHERE sequence = 2", Some(2)),
        ("an entry gone", "DELETE FROM audit WHERE sequence = 4", Some(4)),
        ("the first gone", "DELETE FROM audit WHERE sequence = 1", Some(1)),
        (
            "two exchanged",
            "UPDATE audit SET sequence = -sequence WHERE sequence IN (2, 3);
            UPDATE audit SET sequence = 5 + sequence WHERE sequence IN (-2, -3)",
            Some(2),
        ),
        ("a hash too", "UPDATE audit SET actor = 'x', hash = '00' WHERE sequence = 2", Some(2)),
    ] {
        let service = Service::start();
        service.unprotect_audit();
        service.tamper(statement);
        let verdict = service.run(verify(service.app.database())).unwrap();
        match (broken_at, verdict) {
            (None, Verdict::Intact { entries, .. }) => assert!(entries > 5, "{entries}"),
            (Some(expected), Verdict::Broken { sequence }) => assert_eq!(sequence, expected, "{what}"),
            (_, verdict) => panic!("{what}: {verdict:?}"),
        }
    }
}

#[test]
fn the_database_itself_refuses_changes() {
    let service = Service::start();
    for statement in ["DELETE FROM audit", "UPDATE audit SET actor = 'x'", "DELETE FROM certificates"] {
        assert!(service.try_to_tamper(statement).is_err(), "{statement}");
    }
}

#[test]
fn every_step_of_a_request_is_there() {
    let service = Service::start();
    let enrolled = service.approved(A);
    let serial = service.detail(enrolled.number).status.issued.unwrap().serial;
    let actions = |object: &str| service.audited(object).into_iter().map(|(_, action, _)| action).collect::<Vec<_>>();
    assert_eq!(actions(&format!("request:{}", enrolled.number)), ["request.submit", "request.approve"]);
    assert_eq!(actions(&format!("certificate:{serial}")), ["certificate.issue"]);
}
