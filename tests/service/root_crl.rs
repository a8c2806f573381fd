//! The root's list: whether the issuing CA is revoked, for whoever checks every certificate of a chain.

use std::fs;
use std::path::Path;
use std::process::Command;

use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::secret::sha256_hex;
use serde_json::Value;

use super::transfer::{backup, restore, run};
use crate::support::service::{A, Service};
use crate::support::site::Run;
use crate::support::verifiers::{openssl_extensions, pem, pkilint_crl};

/// OpenSSL on a workstation's certificate and all above it, with what the service publishes.
fn check_all(service: &Service) -> Run {
    let issued = service.detail(service.approved(A).number).status.issued.unwrap();
    let ca = service.app.ca();
    let folder = tempfile::tempdir().unwrap();
    let published = |path: &str| {
        let reply = service.public().get(path);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.body
    };
    for (name, content) in [
        ("root", pem(ca.root()).into_bytes()),
        ("issuing", ca.issuing().to_vec()),
        ("certificate", issued.certificate.0),
        ("list", published("/ca/crl")),
        ("root-list", published("/ca/root-crl")),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let arguments = ["verify", "-crl_check_all", "-x509_strict", "-CAfile", "root", "-untrusted", "issuing"];
    let lists = ["-CRLfile", "list", "-CRLfile", "root-list", "certificate"];
    Run::of(Command::new("openssl").args(arguments).args(lists).current_dir(folder.path()))
}

fn sign(home: &Path, flags: &[&str]) -> Run {
    run(home, &[&["ca", "root-crl"], flags].concat())
}

fn result(run: Run) -> Value {
    run.exits(0).json()["result"].clone()
}

#[test]
fn every_certificate_of_a_chain_can_be_checked() {
    let service = Service::with_plain_listener();
    check_all(&service).exits(0);
    let reply = service.plain().get("/ca/root-crl");
    pkilint_crl("root list", &reply.body);
    let tag = reply.header("etag").unwrap();
    assert_eq!(tag.trim_matches('"'), sha256_hex(&reply.body));
    assert_eq!(service.public().send("GET", "/ca/root-crl", &[("If-None-Match", tag)], None).status, 304);
    let said = openssl_extensions(service.app.ca().issuing(), "crlDistributionPoints");
    assert!(said.contains("/api/v1/ca/root-crl"), "{said}");
    // A backup has it, too.
    let folder = tempfile::tempdir().unwrap();
    let (copy, home) = (folder.path().join("copy"), folder.path().join("home"));
    backup(&service.home(), &copy);
    restore(&home, &copy, &["--database-file"]).exits(0);
    assert_eq!(fs::read(home.join("ca/root.crl")).unwrap(), reply.body);
}

#[test]
fn the_root_signs_its_list_anew_wherever_its_key_is() {
    let service = Service::start();
    let (home, folder) = (service.home(), tempfile::tempdir().unwrap());
    let (inside, outside) = (home.join("ca/root.key.pem"), folder.path().join("root.key.pem"));
    let outside_text = outside.to_str().unwrap();
    let made_with_the_ca = result(run(&home, &["ca", "show"]))["root"]["crl"].clone();
    fs::rename(&inside, &outside).unwrap();
    let refused = sign(&home, &[]).exits(8);
    assert!(refused.stderr.contains("root.key.pem"), "{}", refused.stderr);
    let issuing = home.join("ca/issuing.key.pem");
    let other = sign(&home, &["--root-key", issuing.to_str().unwrap()]).exits(8);
    assert_eq!(other.json()["error"]["code"], "credential-mismatch");
    assert_eq!(result(run(&home, &["ca", "show"]))["root"]["crl"], made_with_the_ca);

    let second = result(sign(&home, &["--root-key", outside_text, "--days=30"]));
    let number = |list: &Value| list["number"].as_u64().unwrap();
    assert!(number(&second) > number(&made_with_the_ca));
    assert_eq!(second["issuing_revoked_at"], Value::Null);
    assert!(second["next_update"].as_str() < made_with_the_ca["next_update"].as_str());
    // Beside the running service, which gives it out at once.
    check_all(&service).exits(0);
    assert_eq!(sha256_hex(&service.public().get("/ca/root-crl").body), second["sha256"]);

    // Once and for all.
    let third = result(sign(&home, &["--root-key", outside_text, "--revoke-issuing"]));
    let refused = check_all(&service);
    assert!(refused.code != 0 && refused.stderr.contains("certificate revoked"), "{}", refused.stderr);
    let fourth = result(sign(&home, &["--root-key", outside_text]));
    assert!(third["issuing_revoked_at"].is_string());
    assert_eq!(fourth["issuing_revoked_at"], third["issuing_revoked_at"]);
    assert!(number(&fourth) > number(&third));
    let record = result(run(&home, &["audit", "list", "--limit", "200"]));
    let signed = record["items"].as_array().unwrap().iter().filter(|entry| entry["detail"]["issuer"] == "root");
    assert_eq!(signed.count(), 3);

    // An installation of before such lists.
    fs::remove_file(home.join("ca/root.crl")).unwrap();
    service.public().get("/ca/root-crl").is_problem(ProblemCode::NotFound);
    result(run(&home, &["ca", "show"]));
    result(sign(&home, &["--root-key", outside_text]));
}
