//! What is not done, and that nothing is left of it.

use std::fs;

use crate::support::proxy::Fault;
use crate::support::site::{Run, Site};
use crate::wine::{FIELDS, Windows, probe};

#[test]
fn a_rejected_and_a_cancelled_request_leave_no_key() {
    let site = Site::start();
    let windows = Windows::workstation(&site, "machine");
    windows.submit();
    let newer = windows.submit();
    assert_eq!(windows.containers("machine").len(), 2);
    windows.run(["fetch"]).exits(5);
    assert_eq!(windows.containers("machine").len(), 1, "the cancelled request's key stayed");
    site.admin(["request", "reject", &newer.to_string(), "--reason=not ours"]).exits(0);
    let run = windows.run(["fetch"]).exits(4);
    assert!(run.stdout.contains("was rejected: not ours"), "{}", run.stdout);
    assert!(windows.containers("machine").is_empty());
    assert!(windows.entries("machine", "REQUEST").is_empty());
    assert!(windows.entries("machine", "My").is_empty());
}

#[test]
fn the_machine_store_is_closed_to_accounts_without_rights() {
    let site = Site::start();
    let windows = Windows::workstation(&site, "machine");
    let submit = |store: &str| {
        let mut command = windows.program(probe());
        command.arg("unelevated").args(windows.command(["submit", store].iter().chain(&FIELDS)).get_args());
        Run::of(&mut command)
    };
    let run = submit("--store=machine").exits(8);
    assert!(run.stderr.contains("needs administrator rights"), "{}", run.stderr);
    assert!(run.stderr.contains("Run as administrator"), "{}", run.stderr);
    assert!(windows.containers("machine").is_empty(), "a key was made all the same");
    assert!(!windows.home.join("state/test").exists(), "a record was made all the same");
    assert!(site.requests().is_empty());
    submit("--store=user").exits(0);
    assert_eq!(windows.containers("user").len(), 1);
}

#[test]
fn what_the_store_cannot_hold_is_said_before_a_key_is_made() {
    let site = Site::start();
    let windows = Windows::workstation(&site, "machine");
    for (arguments, words) in [
        (["submit", "--store=user", "--grant-read=NETWORK SERVICE"], "works with the machine’s store of Windows only"),
        (["submit", "--store=machine", "--key=ec-p256"], "takes RSA keys only here, not ec-p256"),
        (["submit", "--store=machine", "--grant-read=No Such Account"], "The account “No Such Account” is not known"),
    ] {
        let run = windows.run(arguments.iter().chain(&FIELDS)).exits(3);
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
    assert!(windows.containers("machine").is_empty());
    assert!(site.requests().is_empty());
}

#[test]
fn a_certificate_that_does_not_fit_the_key_is_not_installed() {
    let site = Site::builder().serve(&["--auto-approve"]).behind_proxy().start();
    let windows = Windows::workstation(&site, "machine");
    windows.submit();
    // The same name, asked for by another machine with another key.
    let rival = site.workstation("rival");
    rival.run(["submit"].iter().chain(&FIELDS)).exits(0);
    let [right, wrong] = [site.certificate(1), site.certificate(2)];
    site.proxy.as_ref().unwrap().next([Fault::Swap(right, wrong)]);
    let run = windows.run(["fetch"]).exits(8);
    assert!(run.stdout.contains("belongs to another key"), "{}", run.stdout);
    assert!(windows.entries("machine", "My").is_empty());
    assert_eq!(windows.entries("machine", "REQUEST").len(), 1, "the key has to wait for the right certificate");
    windows.run(["fetch"]).exits(0);
    windows.run(["test"]).exits(0);
}

#[test]
fn what_another_account_asked_for_is_left_alone() {
    let site = Site::start();
    let windows = Windows::workstation(&site, "user");
    windows.killed_at("submit.after-send", ["submit"].iter().chain(&FIELDS));
    let state = windows.home.join("state/test");
    let record = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
    let record = record.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "json")).unwrap();
    let own = fs::read_to_string(&record).unwrap();
    let account = serde_json::from_str::<serde_json::Value>(&own).unwrap()["account"].as_str().unwrap().to_owned();
    assert!(account.starts_with("S-1-5-"), "{account}");
    // As if it were another account's, whose store we cannot look into.
    let foreign = own.replace(&account, "S-1-5-21-1-2-3-1001");
    fs::write(&record, &foreign).unwrap();
    windows.run(["fetch"]).exits(0);
    assert_eq!(fs::read_to_string(&record).unwrap(), foreign, "the record was touched");
    fs::write(&record, own).unwrap();
    windows.run(["fetch"]).exits(5);
}
