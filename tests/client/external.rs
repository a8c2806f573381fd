//! `submit-external`: CSRs made elsewhere.

use std::fs;
use std::process::Command;

use crate::support::site::{FIELDS, Run, Site, external_csr as csr};

#[test]
fn one_bad_file_does_not_stop_the_others() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let folder = site.folder().join("csrs");
    fs::create_dir(&folder).unwrap();
    csr(&folder, "api.poste.example", &[]);
    csr(&folder, "web.poste.example", &[]);
    csr(
        &folder,
        "bad.poste.example",
        &[
            ("O", "J1CDEU - DEUTSCHE POST"),
            ("C", "DE"),
            ("OU", "Web"),
            ("keyUsage", "digitalSignature"),
            ("extendedKeyUsage", "clientAuth"),
        ],
    );
    let key = fs::read_to_string(folder.join("api.poste.example.key")).unwrap();
    fs::write(folder.join("oops.pem"), &key).unwrap();
    let name = folder.to_str().unwrap();

    let run = machine.run(["submit-external", name, FIELDS[0], "--dry-run"]).exits(3);
    assert!(run.stdout.contains("api.poste.example.csr: good (api.poste.example)"), "{}", run.stdout);
    assert!(site.requests().is_empty(), "a dry run sent something");

    let run = machine.run(["submit-external", name, FIELDS[0]]).exits(3);
    for mismatch in
        ["subject.O", "J1CFRA - FRANCE LA POSTE", "J1CDEU", "subject.C", "subject.OU", "keyUsage", "extendedKeyUsage"]
    {
        assert!(run.stdout.contains(mismatch), "{mismatch} is not reported:\n{}", run.stdout);
    }
    assert!(run.stdout.contains("private key"), "{}", run.stdout);
    let secret = key.lines().nth(1).unwrap();
    let said = format!("{}{}{}", run.stdout, run.stderr, fs::read_to_string(machine.home.join("enroll.log")).unwrap());
    assert!(!said.contains(secret), "a private key was quoted");
    assert_eq!(site.requests().len(), 2);

    // The same folder again sends nothing twice.
    let run = machine.run(["submit-external", name, FIELDS[0]]).exits(3);
    assert!(run.stdout.contains("already submitted as request 1"), "{}", run.stdout);
    assert_eq!(site.requests().len(), 2);
    let run = machine.run(["submit-external", name, FIELDS[0], "--dry-run"]).exits(3);
    assert!(run.stdout.contains("api.poste.example.csr: already submitted as request 1"), "{}", run.stdout);

    site.approve(1);
    let run = machine.run(["fetch"]).exits(5);
    assert!(run.stdout.contains("request-1-api.poste.example.pem"), "{}", run.stdout);
    let certificate = machine.home.join("config/test/request-1-api.poste.example.pem");
    let verified = Run::of(
        Command::new("openssl")
            .args([
                "verify",
                "-x509_strict",
                "-purpose",
                "sslserver",
                "-verify_hostname",
                "api.poste.example",
                "-CAfile",
            ])
            .arg(site.anchor())
            .arg("-untrusted")
            .arg(&certificate)
            .arg(&certificate),
    );
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    let state = site.requests().iter().find(|request| request["number"] == 1).unwrap()["state"].clone();
    assert_eq!(state, "downloaded");
}

#[test]
fn what_is_not_a_good_csr_is_refused_before_anything_is_sent() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let folder = site.folder();
    let good = fs::read(csr(folder, "ok.poste.example", &[])).unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let twice = [good.clone(), good.clone()].concat();
    for (path, words) in [
        (file("empty.csr", b""), "not a certificate signing request"),
        (file("cut.csr", &good[..good.len() / 2]), "the end is missing"),
        (file("twice.csr", &twice), "not a certificate signing request"),
        (file("huge.csr", &vec![b'A'; 1 << 20]), "larger than any real request"),
        (folder.join("nowhere.csr"), "nowhere.csr"),
        (csr(folder, "*.poste.example", &[]), "public host name"),
        (csr(folder, "small.poste.example", &[("key", "rsa:1024")]), "RSA 1024"),
        (csr(folder, "ca.poste.example", &[("keyUsage", "keyCertSign")]), "certification authority"),
    ] {
        let run = machine.run(["submit-external", path.to_str().unwrap(), FIELDS[0]]).exits(3);
        assert!(run.stdout.contains(words), "{}: {}", path.display(), run.stdout);
    }
    assert!(site.requests().is_empty());
}

#[test]
fn a_package_without_external_requests_says_so() {
    let site = Site::start();
    let machine = site.machine("pc", &["--kind=workstation", "--store=machine"]);
    let run = machine.run(["submit-external", "any.csr", FIELDS[0]]).exits(3);
    assert!(run.stderr.contains("does not allow requests for external servers"), "{}", run.stderr);
}
