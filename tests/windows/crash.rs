//! Killed between any two steps, the next run goes on: no key lost, none orphaned, no request doubled.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use crate::support::site::Site;
use crate::wine::{FIELDS, Windows};

#[test]
fn submit_resumes_at_every_step() {
    let site = Site::start();
    let windows = Windows::workstation(&site, "machine");
    let submit = || ["submit"].iter().chain(&FIELDS);
    for (index, (place, keys)) in [
        ("submit.before-record", 0),
        ("submit.before-key", 0),
        ("store.before-key", 1),
        ("submit.before-send", 1),
        ("submit.after-send", 1),
        ("submit.after-accepted", 1),
    ]
    .into_iter()
    .enumerate()
    {
        // Each round ends with one pending request and its key, which the next one replaces.
        let before = windows.containers("machine").len();
        windows.killed_at(place, submit());
        assert_eq!(windows.containers("machine").len(), before + keys, "{place}");
        windows.run(submit()).exits(0);
        windows.run(["fetch"]).exits(5);
        let containers = windows.containers("machine");
        let placeholders = windows.entries("machine", "REQUEST");
        assert_eq!((containers.len(), placeholders.len()), (1, 1), "{place}: {containers:?} {placeholders:?}");
        let requests = site.requests();
        let pending = requests.iter().filter(|request| request["state"] == "pending").count();
        assert_eq!(pending, 1, "{place}: {requests:?}");
        let most = index + 2 + usize::from(place == "submit.after-accepted");
        assert!(requests.len() <= most, "{place}: {requests:?}");
    }
}

#[test]
fn records_are_their_owners_alone() {
    let site = Site::start();
    let windows = Windows::workstation(&site, "user");
    windows.submit();
    // Wine shows the rights of Windows as those of the system below; the group stands for administrators.
    let mode = fs::metadata(windows.home.join("state/test")).unwrap().mode();
    assert_eq!(mode & 0o007, 0, "{mode:o}");
}

#[test]
fn fetch_resumes_at_every_step() {
    let site = Site::builder().serve(&["--auto-approve"]).start();
    let windows = Windows::workstation(&site, "user");
    for place in [
        "fetch.before-delivery",
        "install.before-certificate",
        "install.before-current",
        "fetch.before-retired",
        "fetch.before-delivered",
        "fetch.before-report",
        "fetch.after-report",
    ] {
        if place == "fetch.before-retired" {
            // There is something to retire from here on; until now each round removed it.
            windows.submit();
            windows.run(["fetch", "--replaced=remove"]).exits(0);
        }
        windows.submit();
        windows.killed_at(place, ["fetch", "--replaced=remove"]);
        windows.run(["fetch", "--replaced=remove"]).exits(0);
        assert_eq!(windows.entries("user", "REQUEST").len(), 0, "{place}");
        assert_eq!(windows.entries("user", "My").len(), 1, "{place}");
        assert_eq!(windows.containers("user").len(), 1, "{place}");
        windows.run(["test"]).exits(0);
    }
    assert!(site.requests().iter().all(|request| request["state"] == "installed"));
}

#[test]
fn two_runs_at_once_make_one_request_after_the_other() {
    let site = Site::start();
    let windows = Windows::workstation(&site, "user");
    let mut runs: Vec<_> = (0..3)
        .map(|_| {
            let mut command = windows.command(["submit"].iter().chain(&FIELDS));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for run in &mut runs {
        assert!(run.wait().unwrap().success());
    }
    let requests = site.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests.iter().filter(|request| request["state"] == "pending").count(), 1, "{requests:?}");
    windows.run(["fetch"]).exits(5);
    assert_eq!(windows.containers("user").len(), 1);
}
