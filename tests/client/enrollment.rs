//! The main job: submit, approve, fetch, test, subject; and what is said when things go another way.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::support::site::{FIELDS, Run, Site};

#[test]
fn a_workstation_is_enrolled() {
    let site = Site::start();
    let machine = site.workstation("pc 7 é");
    let run = machine.run(["submit"].iter().chain(&FIELDS)).exits(0);
    assert!(run.stdout.starts_with("Environment: test\nService:     https://127.0.0.1:"), "{}", run.stdout);
    assert!(run.stdout.contains("Request 1 was submitted. It waits for the approval of the registration manager."));

    let run = machine.run(["fetch"]).exits(5);
    assert!(run.stdout.contains("Request 1 (PC-7) waits for the approval"), "{}", run.stdout);
    machine.run(["test"]).exits(3);

    site.approve(1);
    let run = machine.run(["fetch"]).exits(0);
    assert!(run.stdout.contains("the certificate is installed in"), "{}", run.stdout);
    assert_eq!(site.requests()[0]["state"], "installed");

    let run = machine.run(["--output=json", "test"]).exits(0).json();
    assert_eq!(run["result"]["organisation"], "J1CFRA");
    assert_eq!(run["result"]["kind"], "workstation");
    assert!(run["result"]["days_left"].as_i64().unwrap() > 300);
    assert!(run["result"]["clock_difference_seconds"].as_i64().unwrap().abs() < 5);

    // The three forms, the OpenSSL one against OpenSSL itself.
    let current = machine.store().join("current");
    let openssl = Run::of(
        Command::new("openssl").args(["x509", "-noout", "-subject", "-in"]).arg(current.join("certificate.pem")),
    );
    let subject = |format: &str| {
        let run = machine.run(["--output=json", "subject", "--format", format]).exits(0).json();
        run["result"]["subject"].as_str().unwrap().to_owned()
    };
    assert_eq!(format!("subject={}\n", subject("openssl")), openssl.stdout);
    assert_eq!(subject("windows"), "CN=PC-7, OU=Workstation, O=J1CFRA - FRANCE LA POSTE, L=Paris, C=FR");
    assert_eq!(subject("rfc4514"), "CN=PC-7,OU=Workstation,O=J1CFRA - FRANCE LA POSTE,L=Paris,C=FR");

    // The folder serves OpenSSL, curl and nginx as it is, and only its owner reads the key.
    let verify = ["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile"];
    let verified = Run::of(
        Command::new("openssl")
            .args(verify)
            .arg(current.join("ca.pem"))
            .arg("-untrusted")
            .arg(current.join("fullchain.pem"))
            .arg(current.join("certificate.pem")),
    );
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert_eq!(fs::metadata(current.join("key.pem")).unwrap().mode() & 0o777, 0o600);
    let key = Run::of(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(current.join("key.pem")));
    let certificate = Run::of(
        Command::new("openssl").args(["x509", "-noout", "-pubkey", "-in"]).arg(current.join("certificate.pem")),
    );
    assert_eq!(key.stdout, certificate.stdout);

    let run = machine.run(["status"]).exits(0);
    assert!(run.stdout.contains("Installed") && run.stdout.contains("PC-7"), "{}", run.stdout);
    machine.run(["fetch"]).exits(0);
}

#[test]
fn every_key_is_taken_through() {
    let site = Site::builder().serve(&["--auto-approve"]).start();
    for key in ["rsa-2048", "rsa-3072", "rsa-4096", "ec-p256", "ec-p384"] {
        let machine = site.workstation(key);
        let name = format!("--common-name=PC-{key}");
        let key = format!("--key={key}");
        machine.run(["submit", FIELDS[0], FIELDS[1], &key, &name]).exits(0);
        let csr = site.folder().join("client.csr.der");
        fs::write(&csr, BASE64_STANDARD.decode(machine.records()[0]["submission"]["csr"].as_str().unwrap()).unwrap())
            .unwrap();
        let verified = Run::of(
            Command::new("openssl").args(["req", "-inform", "DER", "-verify", "-noout", "-text", "-in"]).arg(&csr),
        );
        assert_eq!(verified.code, 0, "{}", verified.stderr);
        assert!(verified.stderr.contains("verify OK"), "{}", verified.stderr);
        for part in
            ["OU = Workstation", "email:admin@poste.example", "Digital Signature", "TLS Web Client Authentication"]
        {
            assert!(verified.stdout.contains(part), "{part} is missing in {}", verified.stdout);
        }
        machine.run(["fetch", "--wait=30s"]).exits(0);
        machine.run(["test"]).exits(0);
    }
}

#[test]
fn this_machine_names_itself_the_same_way_twice() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let name = || {
        let run = machine.run(["--output=json", "submit", "--dry-run", FIELDS[0], FIELDS[1]]).exits(0).json();
        assert_eq!(run["result"]["dry_run"], true);
        run["result"]["subject"]["common_name"].as_str().unwrap().to_owned()
    };
    let first = name();
    assert_eq!(first, name());
    assert!(first.len() <= 64 && first.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'), "{first}");
    assert!(machine.keys().is_empty() && machine.records().is_empty(), "a dry run left something behind");
}

#[test]
fn a_server_is_named_by_its_public_host_name() {
    let site = Site::start();
    let server = site.machine("server", &["--kind=server", "--store=machine"]);
    server.run(["submit", FIELDS[0], FIELDS[1], FIELDS[2]]).exits(3);
    server.run(["submit", FIELDS[0], FIELDS[1], FIELDS[2], "--common-name=localhost"]).exits(3);
    let name = "--common-name=https://API.Poste.example:8443/path";
    let run = server.run(["submit", FIELDS[0], FIELDS[1], FIELDS[2], name]).exits(0);
    assert!(run.stdout.contains("api.poste.example") && run.stdout.contains("PTC manager"), "{}", run.stdout);
    site.approve(1);
    server.run(["fetch"]).exits(0);
    let text = Run::of(
        Command::new("openssl")
            .args(["x509", "-noout", "-ext", "subjectAltName", "-in"])
            .arg(server.store().join("current/certificate.pem")),
    );
    assert!(
        text.stdout.contains("DNS:api.poste.example") && text.stdout.contains("email:admin@poste.example"),
        "{}",
        text.stdout
    );
    server.run(["test"]).exits(0);
}

#[test]
fn rejection_cancellation_and_revocation_reach_the_client_with_their_reason() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let first = machine.submit();
    site.admin(["request", "reject", &first.to_string(), "--reason=Not our machine: \u{1b}[31mcall us"]).exits(0);
    let run = machine.run(["fetch"]).exits(4);
    assert!(run.stdout.contains("Not our machine"), "{}", run.stdout);
    assert!(!run.stdout.contains('\u{1b}'), "an escape reached the terminal");
    assert!(machine.keys().is_empty(), "a rejected request left its key behind");

    // It counts until a newer request or `forget` takes its place.
    machine.run(["fetch"]).exits(4);
    machine.run(["forget", "99"]).exits(3);
    machine.run(["forget", &first.to_string()]).exits(0);
    machine.run(["fetch"]).exits(0);
    assert!(machine.records().is_empty());

    let second = machine.submit();
    let open = machine.run(["forget", &second.to_string()]).exits(3);
    assert!(open.stderr.contains("can still happen"), "{}", open.stderr);
    let run = machine.run(["submit"].iter().chain(&FIELDS)).exits(0);
    assert!(run.stdout.contains(&format!("It replaces request {second}, which is cancelled.")), "{}", run.stdout);
    let run = machine.run(["fetch"]).exits(5);
    assert!(run.stdout.contains(&format!("because request {} took its place", second + 1)), "{}", run.stdout);
    assert_eq!(machine.keys().len(), 1, "the key of the cancelled request is still there");

    site.approve(second + 1);
    machine.run(["fetch"]).exits(0);
    let serial =
        machine.run(["--output=json", "test"]).exits(0).json()["result"]["serial"].as_str().unwrap().to_owned();
    site.admin(["certificate", "revoke", &serial, "--code=keyCompromise", "--reason=Stolen in Lyon"]).exits(0);
    machine.run(["test"]).exits(4);
    let run = machine.run(["fetch"]).exits(4);
    assert!(run.stdout.contains("Stolen in Lyon"), "{}", run.stdout);
}

#[test]
fn output_is_for_programs_too() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let run = machine
        .run(["--lang=fr", "--output=json", "submit", FIELDS[0], "--locality=Besançon", FIELDS[2], FIELDS[3]])
        .exits(0);
    assert!(run.stdout.is_ascii() && run.stdout.lines().count() == 1, "{}", run.stdout);
    let json = run.json();
    assert_eq!(json["schema"], "ptc-enroll/1");
    assert_eq!(json["environment"], "test");
    assert_eq!(json["result"]["subject"]["locality"], "Besançon");
    machine.submit();
    let run = machine.run(["--output=jsonl", "status"]).exits(0);
    let numbers: Vec<_> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["result"]["request"]["number"].clone())
        .collect();
    assert_eq!(numbers, [1, 2]);
    let run = machine.run(["--lang=fr", "fetch"]).exits(5);
    assert!(run.stdout.starts_with("Environnement : test"), "{}", run.stdout);
    assert!(run.stdout.contains("attend l’approbation du gestionnaire d’enregistrement"), "{}", run.stdout);
}

#[test]
fn fields_come_from_flags_answers_variables_and_the_package_in_that_order() {
    let site = Site::start();
    let machine =
        site.machine("pc", &["--kind=workstation", "--store=machine", "--locality=Package", "--region=Package"]);
    let answers = site.folder().join("answers.toml");
    let dry_run = |flags: &[&str], variable: Option<&str>| {
        let mut command =
            machine.command(["--output=json", "submit", "--dry-run", "--email=a@poste.example"].iter().chain(flags));
        if let Some(value) = variable {
            command.env("PTC_ENROLL_LOCALITY", value);
        }
        Run::of(&mut command)
    };
    // PowerShell 5.1 writes a byte order mark.
    fs::write(&answers, "\u{feff}locality = \"Answers\"\n").unwrap();
    let answers_flag = format!("--answers={}", answers.display());
    for (flags, variable, expected) in [
        (&["--locality=Flag", &answers_flag][..], Some("Variable"), "Flag"),
        (&[answers_flag.as_str()], Some("Variable"), "Answers"),
        (&[], Some("Variable"), "Variable"),
        (&[], None, "Package"),
    ] {
        let json = dry_run(flags, variable).exits(0).json();
        assert_eq!(json["result"]["subject"]["locality"], expected);
        assert_eq!(json["result"]["subject"]["region"], "Package");
    }
    for (content, words) in [
        ("locality = \"x\"\nlocalty = \"y\"\n", "localty"),
        ("locality = 3", "string"),
        ("locality = \"a\\u0000b\"", "--locality"),
        ("key = \"rsa-1024\"", "rsa-2048"),
        ("[machine", "line 1"),
    ] {
        fs::write(&answers, content).unwrap();
        let run = dry_run(&[&answers_flag], None).exits(3);
        assert!(run.stderr.contains(words), "{content}: {}", run.stderr);
    }
}

#[test]
fn bad_fields_are_named_with_the_form_that_is_expected() {
    let site = Site::start();
    let machine = site.workstation("pc");
    for (flags, words) in [
        (&["--locality=Paris"][..], "--email is needed"),
        (&["--email=admin@poste.example"], "PTC_ENROLL_LOCALITY"),
        (&["--email=admin", "--locality=Paris"], "name@operator.example"),
        (&["--email=admin@poste.example", "--locality=a\tb"], "--locality"),
        (&["--email=admin@poste.example", "--locality=a\u{202e}b"], "invisible"),
        (&["--email=admin@poste.example", "--locality=Paris", "--common-name=é"], "ASCII"),
        (&["--email=admin@poste.example", "--locality=Paris", &*format!("--description={}", "x".repeat(2001))], "2000"),
        (&["--email=admin@poste.example", "--locality=Paris", "--answers=/nowhere.toml"], "/nowhere.toml"),
    ] {
        let run = machine.run(["submit"].iter().chain(flags)).exits(3);
        assert!(run.stderr.contains(words), "{flags:?}: {}", run.stderr);
        assert!(run.stderr.contains("Next:"), "{}", run.stderr);
    }
    assert!(site.requests().is_empty() && machine.keys().is_empty());
}

#[test]
fn a_revoked_certificate_leaves_when_another_one_comes() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let enroll = |number| {
        assert_eq!(machine.submit(), number);
        site.approve(number);
    };
    enroll(1);
    machine.run(["fetch"]).exits(0);
    let serial =
        machine.run(["--output=json", "test"]).exits(0).json()["result"]["serial"].as_str().unwrap().to_owned();
    site.admin(["certificate", "revoke", &serial, "--code=keyCompromise"]).exits(0);
    machine.run(["fetch"]).exits(4);
    let compromised = machine.keys();
    enroll(2);
    machine.run(["fetch", "--replaced=remove"]).exits(0);
    assert_eq!(machine.keys().len(), 1);
    assert_ne!(machine.keys(), compromised);
}

#[test]
fn the_newest_certificate_becomes_the_current_one() {
    let site = Site::start();
    let machine = site.workstation("pc");
    // Both are approved before either is fetched; an approved request is not cancelled by a newer one.
    for number in 1..=2 {
        assert_eq!(machine.submit(), number);
        site.approve(number);
    }
    machine.run(["fetch"]).exits(0);
    let serial = Run::of(
        Command::new("openssl")
            .args(["x509", "-noout", "-serial", "-in"])
            .arg(machine.store().join("current/certificate.pem")),
    );
    let tested = machine.run(["--output=json", "test"]).exits(0).json();
    let tested = tested["result"]["serial"].as_str().unwrap().to_uppercase();
    assert_eq!(serial.stdout.trim(), format!("serial={tested}"));
}
