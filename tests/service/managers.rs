//! What a manager is handed, and what they get when it ends: files, PKCS #12, another certificate.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ptc_enroll::protocol::messages::{IssuedManager, Manager, Reissue};
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::request::Role;
use ptc_enroll::service::credential::CredentialError;
use ptc_enroll::service::files::FileError;
use ptc_enroll::service::handover;
use serde_json::json;

use crate::support::service::{A, Identity, Service, operator};
use crate::support::verifiers::openssl;

/// What OpenSSL reads in a folder's PKCS #12 file, with the password beside it.
fn opened(folder: &Path) -> String {
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let files = [("p12", read("manager.p12")), ("password", read("manager.p12.password.txt"))];
    let files = files.each_ref().map(|(name, content)| (*name, content.as_slice()));
    openssl(&["pkcs12", "-in", "p12", "-passin", "file:password", "-info", "-nodes"], &files)
}

#[test]
fn a_manager_is_handed_what_openssl_and_browsers_take() {
    let service = Service::start();
    let folder = service.folder().join("ptc");
    for (name, mode) in [("manager.p12", 0o600), ("manager.p12.password.txt", 0o600), ("manager.key.pem", 0o600)] {
        assert_eq!(fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
    let said = opened(&folder);
    // What every Windows that is supported imports.
    assert!(said.contains("MAC: sha1") && said.contains("pbeWithSHA1And3-KeyTripleDES-CBC"), "{said}");
    for subject in ["CN = Perrine Centrale", "CN = PTC test Issuing CA", "CN = PTC test Root CA"] {
        assert!(said.lines().any(|line| line.starts_with("subject=") && line.ends_with(subject)), "{said}");
    }
    // The key is the folder's own.
    let key = fs::read(folder.join("manager.key.pem")).unwrap();
    let public = |pem: &[u8]| openssl(&["pkey", "-in", "key", "-pubout"], &[("key", pem)]);
    assert_eq!(public(said.as_bytes()), public(&key));
}

#[test]
fn an_interrupted_handover_goes_on_and_nothing_of_others_is_overwritten() {
    let service = Service::start();
    let out = service.folder().join("again");
    let reissue = || {
        let csr = handover::prepare(&out).unwrap();
        service.run(service.app.reissue_manager(&operator(), 1, &Reissue { csr, revoke_older: false })).unwrap()
    };
    handover::complete(&out, &reissue().issued).unwrap();
    let before = opened(&out);
    // Cut off before the certificate was there: what lies there is made anew for the next certificate, with the key.
    fs::remove_file(out.join("manager.crt.pem")).unwrap();
    let issued = reissue();
    handover::complete(&out, &issued.issued).unwrap();
    let after = opened(&out);
    let key = |said: &str| said[said.find("BEGIN PRIVATE KEY").unwrap()..].to_owned();
    assert_eq!(key(&before), key(&after));
    assert_ne!(before, after);
    // A complete folder, and a file without a key beside it, stay as they are.
    let taken = |name: &str| match handover::prepare(&out) {
        Err(CredentialError::File(FileError::Exists { path })) => assert!(path.ends_with(name), "{path:?}"),
        other => panic!("{other:?}"),
    };
    taken("manager.crt.pem");
    for name in ["manager.crt.pem", "manager.key.pem"] {
        fs::remove_file(out.join(name)).unwrap();
    }
    taken("manager.p12");
    fs::remove_file(out.join("manager.p12")).unwrap();
    taken("manager.p12.password.txt");
}

#[test]
fn another_certificate_stands_beside_the_older_ones_or_ends_them() {
    let service = Service::start();
    let ptc = service.secure(Some(&service.ptc_manager()));
    let manager = service.manager(A);
    let path = format!("/manager/managers/{}/reissue", manager.id);
    let reissue = |revoke_older: bool| {
        let csr = handover::prepare(&service.folder().join(service.fresh("reissued"))).unwrap();
        ptc.post(&path, &serde_json::to_value(Reissue { csr, revoke_older }).unwrap())
    };
    let works = |identity: &Identity| service.secure(Some(identity)).get("/manager/requests").status == 200;

    let second: IssuedManager = reissue(false).json();
    assert_eq!(second.manager.id, manager.id);
    assert!(works(&manager));
    let (third, file) = service.run(service.app.reissue_manager_with_key(&operator(), manager.id, false)).unwrap();
    assert_eq!(format!("{file:?}"), "Pkcs12 { .. }");
    let third = Identity::of_pkcs12(&third, &file);
    assert!(works(&third) && works(&manager));

    let reply = reissue(true);
    assert_eq!(reply.status, 201, "{}", reply.text());
    let fourth = reply.json::<IssuedManager>().issued.serial;
    assert!(!works(&manager) && !works(&third));
    let crl = service.public().get("/ca/crl");
    let listed = openssl(&["crl", "-inform", "DER", "-in", "crl", "-noout", "-text"], &[("crl", &crl.body)]);
    for serial in [&manager.serial, &second.issued.serial, &third.serial] {
        assert!(listed.contains(&serial.to_uppercase()), "{serial}: {listed}");
    }
    assert!(listed.contains("Superseded") && !listed.contains(&fourth.to_uppercase()), "{listed}");
    let audited = service.audited(&format!("manager:{}", manager.id));
    let actions: Vec<&str> = audited.iter().map(|(_, action, _)| action.as_str()).collect();
    assert_eq!(actions, ["manager.add", "manager.reissue", "manager.reissue", "manager.reissue"]);
    assert_eq!(audited[3].2, json!({ "serial": fourth, "revoke_older": true }));

    // Out of office, there is none; nor for a number that nobody has, nor for something that is no CSR.
    let disabled: Manager = ptc.post(&format!("/manager/managers/{}/disable", manager.id), &json!({})).json();
    assert!(disabled.disabled);
    reissue(false).is_problem(ProblemCode::StateConflict);
    ptc.post("/manager/managers/1/reissue", &json!({ "csr": "AAAA" })).is_problem(ProblemCode::CsrRefused);
    let csr = handover::prepare(&service.folder().join("nobody")).unwrap();
    let body = serde_json::to_value(Reissue { csr, revoke_older: true }).unwrap();
    ptc.post("/manager/managers/99/reissue", &body).is_problem(ProblemCode::NotFound);
}

#[test]
fn a_manager_with_a_key_made_here_is_in_office_with_it() {
    let service = Service::start();
    let issue = |name, email| {
        service.run(service.app.issue_manager_with_key(&operator(), name, email, Role::RegistrationManager, Some(A)))
    };
    let (added, file) = issue("Léa 🏤 Поштова", "lea@poste.example").unwrap();
    let identity = Identity::of_pkcs12(&added, &file);
    assert_eq!(service.secure(Some(&identity)).get("/manager/requests").status, 200);
    assert_eq!(file.password.expose().len(), 29);
    assert!(issue("Léa", "LEA@poste.example").is_err(), "an address twice");
    assert!(issue("", "other@poste.example").is_err(), "no name");
}
