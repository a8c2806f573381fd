//! Killed at any instant, the next run goes on: no key lost, no request doubled, no orphan.

use std::fs;
use std::process::Stdio;

use crate::support::site::{FIELDS, Run, Site};

/// A site on the database that the service's tests have: it may make a difference to what a client finds again.
fn site() -> Site {
    Site::builder().on_test_database().start()
}

#[test]
fn submit_resumes_after_a_kill_at_every_step() {
    for place in [
        "submit.before-record",
        "journal.before-rename",
        "submit.before-key",
        "submit.before-send",
        "submit.after-send",
        "submit.after-accepted",
    ] {
        let site = site();
        let machine = site.workstation("pc");
        let submit = ["submit"].iter().chain(&FIELDS);
        let killed = Run::of(machine.command(submit.clone()).env("PTC_ENROLL_KILL_AT", place));
        assert_eq!(killed.code, -1, "{place} was never passed: {}", killed.stderr);

        // Either command goes on; `fetch` alone cannot make what was never recorded.
        let arrived = site.requests().len();
        assert!(arrived <= 1);
        if place == "submit.after-accepted" {
            machine.run(["fetch"]).exits(5);
        } else {
            machine.run(submit).exits(0);
        }
        assert_eq!(site.requests().len(), 1, "{place}: the request was doubled");
        assert_eq!(machine.keys().len(), 1, "{place}: a key is lost or has no request");
        assert_eq!(machine.records().len(), 1, "{place}");
        site.approve(1);
        machine.run(["fetch"]).exits(0);
        machine.run(["test"]).exits(0);
    }
}

#[test]
fn fetch_alone_finishes_a_submission_that_was_cut_off() {
    let site = site();
    let machine = site.workstation("pc");
    Run::of(machine.command(["submit"].iter().chain(&FIELDS)).env("PTC_ENROLL_KILL_AT", "submit.after-send"));
    assert_eq!(site.requests().len(), 1);
    machine.run(["fetch"]).exits(5);
    assert_eq!(site.requests().len(), 1);
}

#[test]
fn fetch_resumes_after_a_kill_at_every_step() {
    for place in [
        "fetch.before-delivery",
        "journal.before-rename",
        "install.before-certificate",
        "install.before-current",
        "fetch.before-delivered",
        "fetch.before-report",
        "fetch.after-report",
    ] {
        let site = site();
        let machine = site.workstation("pc");
        machine.submit();
        site.approve(1);
        let killed = Run::of(machine.command(["fetch"]).env("PTC_ENROLL_KILL_AT", place));
        assert_eq!(killed.code, -1, "{place} was never passed: {}", killed.stderr);
        machine.run(["fetch"]).exits(0);
        assert_eq!(site.requests()[0]["state"], "installed", "{place}");
        assert_eq!(machine.keys().len(), 1, "{place}");
        machine.run(["test"]).exits(0);
    }
}

#[test]
fn a_rejection_that_was_cut_off_leaves_no_key() {
    let site = site();
    let machine = site.workstation("pc");
    machine.submit();
    site.admin(["request", "reject", "1", "--reason=no"]).exits(0);
    let killed = Run::of(machine.command(["fetch"]).env("PTC_ENROLL_KILL_AT", "fetch.before-closed"));
    assert_eq!(killed.code, -1);
    machine.run(["fetch"]).exits(4);
    assert!(machine.keys().is_empty());
}

#[test]
fn downloads_resume_and_are_single() {
    for place in ["download.before-file", "fetch.before-delivered", "fetch.before-report"] {
        let site = site();
        let machine = site.workstation("pc");
        let csr = crate::support::site::external_csr(site.folder(), "api.poste.example", &[]);
        machine.run(["submit-external", csr.to_str().unwrap(), FIELDS[0]]).exits(0);
        site.approve(1);
        let killed = Run::of(machine.command(["fetch"]).env("PTC_ENROLL_KILL_AT", place));
        assert_eq!(killed.code, -1, "{place} was never passed: {}", killed.stderr);
        machine.run(["fetch"]).exits(0);
        let downloads = fs::read_dir(machine.home.join("config/test"))
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("request-"))
            .count();
        assert_eq!(downloads, 1, "{place}");
    }
}

#[test]
fn two_runs_at_once_make_one_request_after_the_other() {
    let site = site();
    let machine = site.workstation("pc");
    let mut runs: Vec<_> = (0..4)
        .map(|_| {
            let mut command = machine.command(["submit"].iter().chain(&FIELDS));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for run in &mut runs {
        assert!(run.wait().unwrap().success());
    }
    let states: Vec<_> = site.requests().iter().map(|request| request["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states.iter().filter(|state| *state == "pending").count(), 1, "{states:?}");
    assert_eq!(states.len(), 4);
    machine.run(["fetch"]).exits(5);
    assert_eq!(machine.keys().len(), 1);
}

#[test]
fn a_package_that_ended_meanwhile_costs_no_key() {
    let site = site();
    let machine = site.workstation("pc");
    Run::of(machine.command(["submit"].iter().chain(&FIELDS)).env("PTC_ENROLL_KILL_AT", "submit.after-send"));
    assert_eq!(site.requests().len(), 1);
    let packages = site.admin(["--output=json", "package", "list"]).exits(0).json();
    let id = packages["result"][0]["id"].as_u64().unwrap_or_else(|| panic!("{packages}"));
    site.admin(["package", "disable", &id.to_string()]).exits(0);
    // The request arrived before the end of the package: its answer still can be had, and its key is there.
    machine.run(["fetch"]).exits(5);
    site.approve(1);
    machine.run(["fetch"]).exits(0);
    // What is new is refused, and no key of an accepted request is lost by that.
    machine.run(["submit"].iter().chain(&FIELDS)).exits(4);
    machine.run(["test"]).exits(0);
}
