//! Between the decision and the certificate: what a stop, a collision or a revocation in between does.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ptc_enroll::protocol::bulk::BulkStatus;
use ptc_enroll::protocol::messages::RequestStatus;
use ptc_enroll::protocol::request::State;
use ptc_enroll::service::ca::Serial;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::bulk::{approve_all, ended};
use crate::support::service::{A, Service};

/// What kill -9 leaves between the record and the signature.
const UNSIGNED: &str = "UPDATE certificates SET der = NULL WHERE request IS NOT NULL";

#[test]
fn what_was_recorded_is_signed_when_the_service_comes_back() {
    let mut service = Service::start();
    let enrolled = service.approved(A);
    let serial = service.detail(enrolled.number).status.issued.unwrap().serial;
    let path = format!("/requests/{}", enrolled.number);

    service.tamper(UNSIGNED);
    service.restart();
    let issued = service.detail(enrolled.number).status.issued.unwrap();
    assert_eq!(issued.serial, serial, "signed anew rather than from the record");

    // And when its client asks, without a restart.
    let other = service.approved(A);
    service.tamper(UNSIGNED);
    let status: RequestStatus = service.public().get_as(&enrolled.draft.token, &path).json();
    assert_eq!(status.issued.unwrap().serial, serial);
    // Whoever asks for one waits for no other one.
    let unsigned = "SELECT count(*) FROM certificates WHERE request IS NOT NULL AND der IS NULL";
    assert_eq!(service.number(unsigned), 1);
    service.run(service.app.sign_recorded()).unwrap();
    assert!(service.detail(other.number).status.issued.is_some());
    assert_eq!(service.number(unsigned), 0);
}

#[test]
fn a_certificate_revoked_before_its_signature_is_never_signed() {
    let mut service = Service::start();
    let enrolled = service.approved(A);
    let serial = service.detail(enrolled.number).status.issued.unwrap().serial;
    // Before the tampering, because issuing to somebody else signs what is left over.
    let secure = service.secure(Some(&service.manager(A)));
    service.tamper(UNSIGNED);
    let revocation = json!({ "code": "unspecified" });
    assert_eq!(secure.post(&format!("/manager/certificates/{serial}/revoke"), &revocation).status, 200);
    service.restart();
    let status = service.detail(enrolled.number).status;
    assert_eq!((status.state, status.issued), (State::Revoked, None));
    let secure = service.secure(Some(&service.ptc_manager()));
    let certificate: serde_json::Value = secure.get(&format!("/manager/certificates/{serial}")).json();
    assert_eq!(certificate["certificate"], serde_json::Value::Null);
}

#[test]
fn a_serial_number_that_is_taken_is_not_used_again() {
    let [taken, free] = [(), ()].map(|()| Serial::fresh(OffsetDateTime::now_utc()).unwrap());
    let drawn = Mutex::new(vec![free, taken, taken, taken]);
    let service = Service::with_serials(Box::new(move |_| Ok(drawn.lock().unwrap().pop().unwrap())));
    let serials = [(), ()].map(|()| {
        let enrolled = service.approved(A);
        service.detail(enrolled.number).status.issued.unwrap().serial
    });
    assert_eq!(serials[0], taken.to_string());
    assert_ne!(serials[0], serials[1]);
}

#[test]
fn a_serial_number_that_many_are_given_at_once_goes_to_one_of_them() {
    let given = Serial::fresh(OffsetDateTime::now_utc()).unwrap();
    let more = Arc::new(AtomicUsize::new(0));
    let left = more.clone();
    let is_left = move || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    let service = Service::with_serials(Box::new(move |now| if is_left() { Ok(given) } else { Serial::fresh(now) }));
    let manager = service.secure(Some(&service.manager(A)));
    let shown = service.pending_many(A, 3);

    more.store(5, Ordering::SeqCst);
    let job: BulkStatus = approve_all(&manager, &shown).json();
    let job = ended(&manager, job.id);
    assert_eq!((job.approved, more.load(Ordering::SeqCst)), (3, 0), "{job:?}");
    let serials: HashSet<String> =
        shown.iter().map(|(number, _)| service.detail(*number).status.issued.unwrap().serial).collect();
    assert_eq!(serials.len(), 3);
    assert!(serials.contains(&given.to_string()));
}

#[test]
fn the_revocation_list_is_renewed_and_its_number_only_grows() {
    let mut service = Service::start();
    let crl = |service: &Service| service.run(service.app.crl()).unwrap();
    let first = crl(&service);
    service.run(service.app.refresh_crl()).unwrap();
    assert_eq!(crl(&service).number, first.number, "renewed although it is fresh");
    service.advance(Duration::days(4));
    service.run(service.app.refresh_crl()).unwrap();
    let second = crl(&service);
    assert!(second.number > first.number && second.this_update > first.this_update);
    service.restart();
    // Two within one second, on a clock that was set back.
    service.advance(-Duration::days(4));
    let serials = [service.approved(A), service.approved(A)]
        .map(|enrolled| service.detail(enrolled.number).status.issued.unwrap().serial);
    let secure = service.secure(Some(&service.ptc_manager()));
    let mut last = second.number;
    for serial in serials {
        let reply = secure.post(&format!("/manager/certificates/{serial}/revoke"), &json!({ "code": "superseded" }));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let next = crl(&service).number;
        assert!(next > last, "{next} after {last}");
        last = next;
    }
}
