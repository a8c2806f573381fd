//! A disk that is full: whoever asks is told to come again, nothing that was told is lost, and room is all that it takes.
//!
//! On PostgreSQL it is the server's disk, and not tried: its answer is of class 53 (db/error.rs), as passing as a stop.

use std::process::Command;
use std::time::Instant;

use ptc_enroll::protocol::messages::{RequestStatus, Revocation, RevocationCode};
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::request::State;
use ptc_enroll::service::app::{App, Clock};
use ptc_enroll::service::config::Home;
use serde_json::json;

use super::promises::{Record, Told};
use crate::support::service::{A, Draft, Reply, Service};
use crate::support::serving::{PROGRAM, Serving, serve};
use crate::support::site::Run;
use crate::support::small_disk::{SmallDisk, ran_elsewhere};

#[test]
fn a_full_disk_takes_nothing_back_and_room_is_all_that_it_takes() {
    if ran_elsewhere("service::full_disk::a_full_disk_takes_nothing_back_and_room_is_all_that_it_takes") {
        return;
    }
    let mut service = Service::start();
    if service.on_a_server() {
        return;
    }
    let (secret, manager) = (service.package(A), service.manager(A));
    service.stop();
    service.run(service.app.database().close());
    let disk = SmallDisk::mount(&service.folder().join("disk"), 16 * 1024);
    let home = disk.copy(&service.home(), "home");
    let log = service.folder().join("serving.log");
    let mut told = Told::default();
    // How many pages are left: from none to as many as one change takes.
    for free in [0, 1, 2, 3, 5, 8, 13] {
        let serving = Serving::start(&home, &[], &log);
        let (public, secure) = (service.client(serving.public, None), service.client(serving.secure, Some(&manager)));
        let submit = |draft: &Draft| public.submit(&secret, Some(&draft.submission.csr.sha256()), draft);
        let drafts = [(); 3].map(|()| Draft::workstation(A, &service.fresh("PC-")));
        let digests = drafts.each_ref().map(|draft| draft.submission.csr.sha256());
        let [first, second, third] = &drafts;
        let statuses = [first, second].map(|draft| submit(draft).json::<RequestStatus>());
        statuses.iter().zip(&digests).for_each(|(status, csr_sha256)| told.status(csr_sha256, status));
        let [to_approve, to_revoke] = statuses.map(|status| status.number);
        let approve = |number, csr_sha256: &str| {
            secure.post(&format!("/manager/requests/{number}/approve"), &json!({ "csr_sha256": csr_sha256 }))
        };
        assert_eq!(approve(to_revoke, &digests[1]).status, 200);
        let status =
            |number, draft: &Draft| public.get_as(&draft.token, &format!("/requests/{number}")).json::<RequestStatus>();
        told.status(&digests[1], &status(to_revoke, second));
        let serial = told.serial(to_revoke);
        let revoke = || {
            let revocation = Revocation { code: RevocationCode::KeyCompromise, reason: String::new() };
            secure.post(&format!("/manager/certificates/{serial}/revoke"), &json!(revocation))
        };

        disk.fill(free);
        let full = |what: &str, reply: Reply| {
            // A few pages may be enough.
            if free == 0 || reply.status >= 400 {
                let problem = reply.is_problem(ProblemCode::Unavailable);
                assert!(reply.header("retry-after").is_some(), "{what} with {free} pages: {problem:?}");
            }
        };
        for _ in 0..3 {
            full("submit", submit(third));
            full("approve", approve(to_approve, &digests[0]));
            full("revoke", revoke());
        }
        // What is there can be had.
        assert_eq!(status(to_approve, first).number, to_approve);
        assert_eq!(public.get("/ca/crl").status, 200);
        if free == 0 {
            let mut add = Command::new(PROGRAM);
            add.args(["--lang=en", "--home"]).arg(&home).args([
                "org",
                "add",
                "--code=J1CXXA",
                "--name=X",
                "--country=FR",
            ]);
            let run = Run::of(&mut add);
            assert!(run.code > 0 && run.stderr.contains("full"), "{}: {}", run.code, run.stderr);
        }

        disk.make_room();
        assert!(matches!(submit(third).status, 200 | 201));
        assert!(matches!(approve(to_approve, &digests[0]).status, 200 | 409));
        assert!(matches!(revoke().status, 200 | 409));
        let approved = status(to_approve, first);
        assert!(approved.issued.is_some());
        told.status(&digests[0], &approved);
        told.decided(&digests[1], to_revoke, State::Revoked);
        told.list(&public.get("/ca/crl").body);
        assert_eq!(serving.stop(), 0);
        let app = service.run(App::open(Home::new(&home), Clock::system())).unwrap();
        Record { app: &app, runtime: &service.runtime }.keeps_all(&told);
        service.run(app.database().close());
    }

    // A start on a full disk says why it is none.
    disk.fill(0);
    let begun = Instant::now();
    let run = Run::of(&mut serve(&home, &[]));
    assert!(run.code > 0 && run.stderr.contains("Next:"), "{}: {}", run.code, run.stderr);
    assert!(begun.elapsed().as_secs() < 30);
    disk.make_room();
    drop(Serving::start(&home, &[], &log));
}
