//! The main job, for the machine's and for the account's store, looked at by a program that shares no code with ours.

use std::fs;

use serde_json::Value;

use crate::support::site::{Site, external_csr};
use crate::wine::{FIELDS, Windows};

#[test]
fn a_workstation_is_enrolled_for_the_machine() {
    enroll("machine", "LocalMachine");
}

#[test]
fn a_workstation_is_enrolled_for_the_account() {
    enroll("user", "CurrentUser");
}

fn enroll(scope: &str, location: &str) {
    let site = Site::start();
    let windows = Windows::workstation(&site, scope);
    let number = windows.submit();

    // From the moment of submit the key is in the store, and what leads to it is where administrators look for it.
    let [placeholder] = &windows.entries(scope, "REQUEST")[..] else { panic!("one placeholder") };
    assert_eq!(placeholder["friendly_name"], format!("PTC test request {number}"));
    assert_eq!(placeholder["has_key"], true, "{placeholder}");
    assert!(placeholder["subject"].as_str().unwrap().contains("PC-7"), "{placeholder}");
    assert_eq!(windows.containers(scope), [placeholder["container"].as_str().unwrap()]);
    assert!(windows.entries(scope, "My").is_empty());
    assert!(!windows.home.join("store").exists(), "a key in a file");
    windows.run(["fetch"]).exits(5);

    site.approve(number);
    let run = windows.run(["fetch"]).exits(0);
    let [certificate] = &windows.entries(scope, "My")[..] else { panic!("one certificate") };
    let thumbprint = certificate["thumbprint"].as_str().unwrap();
    let place = format!(r"the certificate is installed in Cert:\{location}\My\{thumbprint}.");
    assert!(run.stdout.contains(&place), "{}", run.stdout);
    assert_eq!(certificate["has_key"], true, "{certificate}");
    assert_eq!(certificate["container"], placeholder["container"]);
    assert_eq!(certificate["friendly_name"], placeholder["friendly_name"]);
    assert_eq!(certificate["machine_keyset"], scope == "machine");
    assert!(windows.entries(scope, "REQUEST").is_empty(), "the placeholder stayed");
    let issuers = windows.entries(scope, "CA");
    assert!(issuers.iter().any(|issuer| issuer["subject"] == certificate["issuer"]), "{issuers:?}");
    let hive = if scope == "machine" { "system.reg" } else { "user.reg" };
    assert_eq!(windows.registry_file_with("Wine\\\\Crypto\\\\RSA\\\\PTC Enroll"), hive);

    // The key signs for the certificate, cannot be exported, and authenticates to the service by SChannel.
    let signed = windows.probe(["sign", scope, thumbprint]);
    assert_eq!((&signed["signed"], &signed["exportable"]), (&Value::from(true), &Value::from(false)), "{signed}");
    let secure = format!("127.0.0.1:{}", site.ports.1);
    let answer = windows.probe(["tls", scope, thumbprint, &secure, "127.0.0.1", "/api/v1/test"]);
    assert_eq!(answer["status"], 200, "{answer}");
    assert!(answer["body"].as_str().unwrap().contains("PC-7"), "{answer}");

    let test = windows.run(["--output=json", "test"]).exits(0).json();
    assert_eq!(test["result"]["organisation"], "J1CFRA", "{test}");
    assert!(test["result"]["location"].as_str().unwrap().ends_with(thumbprint), "{test}");
    assert_eq!(site.requests()[0]["state"], "installed");
    for (format, subject) in [
        ("windows", "CN=PC-7, OU=Workstation, O=J1CFRA - FRANCE LA POSTE, L=Paris, C=FR"),
        ("rfc4514", "CN=PC-7,OU=Workstation,O=J1CFRA - FRANCE LA POSTE,L=Paris,C=FR"),
    ] {
        let run = windows.run(["--output=json", "subject", "--format", format]).exits(0).json();
        assert_eq!(run["result"]["subject"], subject);
    }
    let status = windows.run(["status"]).exits(0);
    assert!(status.stdout.contains("Installed") && status.stdout.contains("PC-7"), "{}", status.stdout);
}

#[test]
fn an_external_server_gets_its_certificate_in_a_file() {
    let site = Site::start();
    let windows = Windows::workstation(&site, "machine");
    let csr = external_csr(site.folder(), "api.poste.example", &[]);
    let file = crate::wine::windows_path(&csr);
    windows.run(["submit-external", &file, FIELDS[0]]).exits(0);
    site.approve(1);
    let run = windows.run(["fetch"]).exits(0);
    assert!(run.stdout.contains("request-1-api.poste.example.pem"), "{}", run.stdout);
    let downloaded = windows.home.join("config/test/request-1-api.poste.example.pem");
    assert!(fs::read_to_string(downloaded).unwrap().contains("BEGIN CERTIFICATE"));
    assert!(windows.containers("machine").is_empty());
}

#[test]
fn a_newer_certificate_replaces_the_older_one_as_told() {
    // Wine cannot mark a certificate as archived; that is said, and is no reason to do without the new one.
    for (way, left, warned) in [("keep", 2, false), ("archive", 2, true), ("remove", 1, false)] {
        let site = Site::builder().serve(&["--auto-approve"]).start();
        let windows = Windows::workstation(&site, "machine");
        windows.submit();
        windows.run(["fetch"]).exits(0);
        windows.submit();
        let run = windows.run(["fetch", "--replaced", way]).exits(0);
        assert_eq!(run.stderr.contains("The replaced certificate stays as it is"), warned, "{}", run.stderr);
        let entries = windows.entries("machine", "My");
        assert_eq!(entries.len(), left, "{way}: {entries:?}");
        assert_eq!(windows.containers("machine").len(), left, "{way}");
        windows.run(["test"]).exits(0);
    }
}

#[test]
fn a_crowded_store_is_no_hindrance() {
    let site = Site::builder().serve(&["--auto-approve"]).start();
    let windows = Windows::workstation(&site, "user");
    windows.probe(["fill", "user", "300"]);
    windows.submit();
    windows.run(["fetch"]).exits(0);
    windows.run(["test"]).exits(0);
    let list = windows.probe(["list", "user", "My"]);
    assert_eq!(list["certificates"].as_array().unwrap().len(), 301, "a foreign certificate is gone");
}

#[test]
fn other_accounts_may_use_the_key_where_they_are_named() {
    let site = Site::builder().serve(&["--auto-approve"]).start();
    let windows = Windows::workstation(&site, "machine");
    windows.run(["submit", "--grant-read", "NETWORK SERVICE"].iter().chain(&FIELDS)).exits(0);
    windows.run(["fetch"]).exits(0);
    let [container] = &windows.containers("machine")[..] else { panic!("one container") };
    let readers = windows.probe(["readers", "machine", container]);
    let names = readers["readers"].to_string().to_uppercase();
    assert!(names.contains("NETWORK SERVICE") || names.contains("S-1-5-20"), "{readers}");
    windows.run(["test"]).exits(0);
}
