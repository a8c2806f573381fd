//! The issuing key in a PKCS #11 token: everything that is signed with it, whatever keeps it from being used, a token that
//! goes and comes back. The token is SoftHSM.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use ptc_enroll::protocol::request::Kind;

use super::commands::Installation;
use crate::support::postgres::{PostgresServer, psql};
use crate::support::receivers::eventually;
use crate::support::service::{A, Draft};
use crate::support::serving::PROGRAM;
use crate::support::site::{FIELDS, Run, Site};
use crate::support::token::{KEY, MODULE, SoftToken, TOKEN};

/// How long a service may take to connect again.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than the pause between two attempts to connect.
const LONGER_THAN_THE_PAUSE: Duration = Duration::from_secs(6);

fn ca(site: &Site, file: &str) -> PathBuf {
    site.folder().join("service/ca").join(file)
}

fn token(site: &Site) -> &SoftToken {
    site.token.as_ref().unwrap()
}

/// OpenSSL verifies certificates (PEM files) up to the root, strictly.
fn verify(site: &Site, certificates: &[PathBuf]) {
    let mut command = Command::new("openssl");
    command.args(["verify", "-x509_strict", "-check_ss_sig", "-CAfile"]).arg(ca(site, "root.crt.pem"));
    let run = Run::of(command.arg("-untrusted").arg(ca(site, "issuing.crt.pem")).args(certificates)).exits(0);
    assert_eq!(run.stdout.matches(": OK").count(), certificates.len(), "{}", run.stdout);
}

/// The certificate of a request, in a file.
fn certificate(site: &Site, number: u64) -> PathBuf {
    let path = site.folder().join(format!("{number}.pem"));
    let der = BASE64_STANDARD.decode(site.certificate(number)).unwrap();
    fs::write(&path, crate::support::verifiers::pem(&der)).unwrap();
    path
}

/// The line of `/readyz` about the CA.
fn health(site: &Site) -> String {
    let url = format!("http://127.0.0.1:{}/readyz?verbose", token(site).operations);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let text = agent.get(url).call().unwrap().body_mut().read_to_string().unwrap();
    text.lines().find(|line| line.contains("]ca ")).unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[track_caller]
fn wait_for_health(site: &Site, word: &str) {
    let end = Instant::now() + PATIENCE;
    while !health(site).contains(word) {
        assert!(Instant::now() < end, "no {word}: {}", site.log());
    }
}

/// The value of a boolean attribute in SoftHSM's own listing of an object.
fn attribute<'a>(listing: &'a str, name: &str) -> &'a str {
    let mut lines = listing.lines().skip_while(|line| !line.ends_with(&format!(" {name}"))).skip(2);
    lines.next().unwrap_or_else(|| panic!("no {name}: {listing}")).split_whitespace().last().unwrap()
}

#[test]
fn everything_is_signed_in_the_token_and_the_key_cannot_leave_it() {
    for algorithm in ["ecdsa-p256", "rsa-3072"] {
        let mut site = Site::builder().in_token(algorithm).start();
        assert!(!ca(&site, "issuing.key.pem").exists() && ca(&site, "root.key.pem").exists());
        let shown = site.admin(["--output=json", "ca", "show"]).exits(0).json()["result"]["issuing"].clone();
        assert_eq!(
            (&shown["file"], &shown["token"]["extractable"], &shown["token"]["made_inside"]),
            (&"absent".into(), &false.into(), &true.into())
        );
        let objects = token(&site).objects();
        let (_, private) = objects.iter().find(|(_, listing)| listing.contains("CKO_PRIVATE_KEY")).unwrap();
        for (name, value) in [
            ("CKA_SENSITIVE", "TRUE"),
            ("CKA_ALWAYS_SENSITIVE", "TRUE"),
            ("CKA_EXTRACTABLE", "FALSE"),
            ("CKA_NEVER_EXTRACTABLE", "TRUE"),
            ("CKA_SIGN", "TRUE"),
            ("CKA_DECRYPT", "FALSE"),
            ("CKA_UNWRAP", "FALSE"),
        ] {
            assert_eq!(attribute(private, name), value, "{algorithm}: {name}");
        }

        let machine = site.workstation("pc");
        let number = machine.submit();
        site.approve(number);
        machine.run(["fetch"]).exits(0);
        machine.run(["test"]).exits(0);
        let enrolled = certificate(&site, number);
        verify(&site, &[enrolled.clone(), site.folder().join("service/tls/service.crt.pem")]);

        let crl = site.folder().join("crl");
        site.admin(["crl", "refresh", "--out", crl.to_str().unwrap()]).exits(0);
        let mut openssl = Command::new("openssl");
        openssl.args(["crl", "-inform", "DER", "-noout", "-in"]).arg(&crl);
        let run = Run::of(openssl.arg("-CAfile").arg(ca(&site, "issuing.crt.pem"))).exits(0);
        assert!(run.stderr.contains("verify OK"), "{}", run.stderr);

        let anchors = site.folder().join("anchors");
        let both = ["root.crt.pem", "issuing.crt.pem"].map(|file| fs::read_to_string(ca(&site, file)).unwrap());
        fs::write(&anchors, both.concat()).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["ocsp", "-url", &format!("http://127.0.0.1:{}/api/v1/ca/ocsp", token(&site).plain), "-issuer"]);
        openssl.arg(ca(&site, "issuing.crt.pem")).arg("-cert").arg(&enrolled).arg("-CAfile").arg(&anchors);
        let run = Run::of(&mut openssl).exits(0);
        assert!(run.stdout.contains(": good") && run.stderr.contains("verify OK"), "{}{}", run.stdout, run.stderr);

        site.restart();
        let other = site.workstation("other");
        let number = other.run(["--output=json", "submit", "--common-name=PC-8"].iter().chain(&FIELDS[..3])).exits(0);
        let number = number.json()["result"]["request"]["number"].as_u64().unwrap();
        site.approve(number);
        other.run(["fetch"]).exits(0);
        verify(&site, &[certificate(&site, number)]);
        assert_eq!(health(&site), "[+]ca ok");
    }
}

#[test]
fn hundreds_are_signed_at_the_same_time() {
    let site = Site::builder().in_token("ecdsa-p256").serve(&["--auto-approve"]).start();
    let machine = site.workstation("pc");
    let folder = site.folder().join("csrs");
    fs::create_dir(&folder).unwrap();
    for index in 0..300 {
        let draft = Draft::new(A, Kind::ExternalServer, &format!("s{index}.poste.example"));
        fs::write(folder.join(format!("{index}.csr")), draft.submission.csr.0).unwrap();
    }
    machine.run(["submit-external", FIELDS[0], folder.to_str().unwrap()]).exits(0);
    machine.run(["fetch"]).exits(0);
    let downloads = fs::read_dir(machine.home.join("config/test")).unwrap().map(|entry| entry.unwrap().path());
    let downloads: Vec<PathBuf> =
        downloads.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("request-")).collect();
    assert_eq!(downloads.len(), 300);
    verify(&site, &downloads);
}

#[test]
fn what_a_lost_token_could_not_sign_is_signed_when_it_is_back() {
    let site = Site::builder().in_token("ecdsa-p256").serve(&["--auto-approve"]).start();
    let machine = site.workstation("pc");
    token(&site).pull_out();
    let number = machine.submit();
    // Approved, and without a certificate for now.
    machine.run(["fetch"]).exits(5);
    assert!(health(&site).starts_with("[-]ca failed: "), "{}", health(&site));
    let refused = site.admin(["org", "list"]).exits(6);
    assert!(refused.stderr.contains("There is no token ptc"), "{}", refused.stderr);

    // The responder has no certificate yet, and none is recorded for each who asks.
    let list = || site.admin(["--output=json", "certificate", "list"]).exits(0).json();
    let ask = || {
        let url = format!("http://127.0.0.1:{}/api/v1/ca/ocsp", token(&site).plain);
        let service = site.folder().join("service/tls/service.crt.pem");
        let mut openssl = Command::new("openssl");
        openssl.args(["ocsp", "-url", &url, "-issuer"]).arg(ca(&site, "issuing.crt.pem")).arg("-cert").arg(service);
        Run::of(&mut openssl)
    };
    for _ in 0..3 {
        let answer = ask();
        assert!(answer.stdout.contains("trylater") || answer.stderr.contains("trylater"), "{}", answer.stderr);
    }

    token(&site).put_back();
    wait_for_health(&site, "ca ok");
    let recorded = list()["result"]["items"].as_array().unwrap().len();
    assert_eq!(recorded, 4, "the listeners', the signer's, the manager's and the machine's");
    machine.run(["fetch"]).exits(0);
    machine.run(["test"]).exits(0);
    verify(&site, &[certificate(&site, number)]);
    site.admin(["audit", "verify"]).exits(0);
    assert_eq!(site.requests().len(), 1);
    let log = site.log();
    for line in ["token is lost, connecting again", "token is connected again", "certificate signed"] {
        assert!(log.contains(line), "{line}: {log}");
    }
}

#[test]
fn a_pin_that_was_refused_is_not_tried_again() {
    let site = Site::builder().in_token("ecdsa-p256").start();
    assert_eq!(health(&site), "[+]ca ok");
    token(&site).pull_out();
    token(&site).add("never printed: another PIN");
    wait_for_health(&site, "does not take the PIN");
    token(&site).put_back();
    let end = Instant::now() + LONGER_THAN_THE_PAUSE;
    while Instant::now() < end {
        assert!(health(&site).contains("does not take the PIN"), "{}", site.log());
    }
    assert_eq!(site.log().matches("token is not connected").count(), 1, "{}", site.log());
}

/// Has the site reach its token through a library that fails when it is told to.
fn with_faults(site: &mut Site) {
    let module = token(site).faulty_module();
    let settings = site.folder().join("service/enrollment.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace(MODULE, module.to_str().unwrap())).unwrap();
    site.restart();
}

#[test]
fn what_a_token_answers_is_told_and_signing_goes_on_when_it_is_well_again() {
    let mut site = Site::builder().in_token("ecdsa-p256").serve(&["--auto-approve"]).start();
    with_faults(&mut site);
    for (number, (faults, said)) in [
        // CKR_SESSION_HANDLE_INVALID, CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_ERROR.
        ("C_Sign b3", "SessionHandleInvalid"),
        ("C_Sign 32", "DeviceRemoved"),
        ("C_FindObjectsInit b3\nC_OpenSession 32", "DeviceRemoved"),
        ("C_OpenSession e0", "TokenNotPresent"),
        ("C_Login 30", "DeviceError"),
    ]
    .into_iter()
    .enumerate()
    {
        // A login is needed where the sessions are gone.
        let faults = if faults.starts_with("C_Login") { format!("C_Sign b3\n{faults}") } else { faults.to_owned() };
        let machine = site.workstation(&format!("pc-{number}"));
        wait_for_health(&site, "ca ok");
        token(&site).fail(&faults);
        let name = format!("--common-name=PC-{number}");
        machine.run(["submit", &name].iter().chain(&FIELDS[..3])).exits(0);
        if number < 2 {
            machine.run(["fetch"]).exits(5);
        }
        wait_for_health(&site, said);
        token(&site).fail("");
        wait_for_health(&site, "ca ok");
        machine.run(["fetch"]).exits(0);
        machine.run(["test"]).exits(0);
    }
    site.admin(["audit", "verify"]).exits(0);
}

#[test]
fn a_token_that_locks_its_pin_is_not_asked_again() {
    let mut site = Site::builder().in_token("ecdsa-p256").start();
    with_faults(&mut site);
    wait_for_health(&site, "ca ok");
    token(&site).fail("C_FindObjectsInit b3\nC_Login a4");
    wait_for_health(&site, "it is locked");
    // Also where the token would take the PIN again: somebody has to look at it first.
    token(&site).fail("C_Login a4");
    let end = Instant::now() + LONGER_THAN_THE_PAUSE;
    while Instant::now() < end {
        assert!(health(&site).contains("it is locked"), "{}", site.log());
    }
    assert_eq!(site.log().matches("token is not connected").count(), 1, "{}", site.log());
    let refused = site.admin(["serve"]).exits(8);
    assert!(refused.stderr.contains("is locked") && refused.stderr.contains("security officer"), "{}", refused.stderr);
    token(&site).fail("");
    site.restart();
    wait_for_health(&site, "ca ok");
}

#[test]
fn a_library_that_is_replaced_while_it_serves_is_used_as_it_was_loaded() {
    let mut site = Site::builder().in_token("ecdsa-p256").serve(&["--auto-approve"]).start();
    with_faults(&mut site);
    let machine = site.workstation("pc");
    fs::remove_file(token(&site).folder().join("faulty.so")).unwrap();
    machine.submit();
    machine.run(["fetch"]).exits(0);
    assert_eq!(health(&site), "[+]ca ok");
    let refused = site.admin(["ca", "show"]).exits(3);
    assert!(refused.stderr.contains("cannot be loaded"), "{}", refused.stderr);
}

#[test]
fn an_installation_with_a_token_is_carried_without_its_key_and_says_so() {
    let mut site = Site::builder().in_token("ecdsa-p256").start();
    let machine = site.workstation("pc");
    let number = machine.submit();
    site.approve(number);
    let copy = site.folder().join("copy");
    // Nothing of it needs the key.
    token(&site).pull_out();
    let said = site.admin(["backup", "--to", copy.to_str().unwrap()]).exits(0);
    let key = format!("{KEY} in {TOKEN}");
    let pin_file = token(&site).pin_file();
    for words in [&key, MODULE, pin_file.to_str().unwrap()] {
        assert!(said.stdout.contains(words), "{words}: {}", said.stdout);
    }
    let folders = fs::read_dir(copy.join("home/ca")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(folders.into_iter().all(|name| name != "issuing.key.pem"));

    let restore = |home: &str, format: &str| {
        let mut command = Command::new(PROGRAM);
        command.envs([token(&site).variable()]).args(["--lang=en", format, "--home"]).arg(site.folder().join(home));
        Run::of(command.args(["restore", "--from"]).arg(&copy)).exits(0)
    };
    let away = restore("away", "--output=text").stdout;
    assert!(away.contains(&key) && away.contains("does not start without it"), "{away}");
    assert!(away.contains(&format!("There is no token {TOKEN}")), "{away}");
    token(&site).put_back();
    let here = restore("here", "--output=json").json()["result"]["token"].clone();
    assert_eq!((&here["key"], here["fault"].is_null()), (&key.as_str().into(), true), "{here}");

    let server = PostgresServer::start();
    psql(&server.url("postgres"), "CREATE DATABASE enroll");
    wait_for_health(&site, "ca ok");
    // Whoever moves needs no token either: it is nowhere to be found for them.
    let mut command = Command::new(PROGRAM);
    command.env("SOFTHSM2_CONF", "/nowhere").args(["database", "move", "--to", &server.url("enroll"), "--home"]);
    Run::of(command.arg(site.folder().join("service"))).exits(0);
    eventually("the service on the server", || site.log().matches("service started").count() >= 2);
    wait_for_health(&site, "ca ok");
    let other = site.workstation("other");
    let after = other.run(["--output=json", "submit", "--common-name=PC-8"].iter().chain(&FIELDS[..3])).exits(0);
    let after = after.json()["result"]["request"]["number"].as_u64().unwrap();
    site.approve(after);
    verify(&site, &[certificate(&site, number), certificate(&site, after)]);
    site.restart();
    wait_for_health(&site, "ca ok");
}

#[test]
fn whatever_keeps_the_key_from_being_used_stops_the_start_with_its_fix() {
    let site = Site::builder().in_token("ecdsa-p256").start().stopped();
    let token = token(&site);
    let settings = site.folder().join("service/enrollment.toml");
    let written = fs::read_to_string(&settings).unwrap();
    let pin = fs::read_to_string(token.pin_file()).unwrap();
    let set = |from: &str, to: &str| {
        assert!(written.contains(from), "{from}: {written}");
        fs::write(&settings, written.replace(from, to)).unwrap();
    };
    let no_module = site.folder().join("module.so");
    fs::write(&no_module, "not a library").unwrap();
    let quoted = |value: &str| format!("{value:?}");
    let pin_line = format!("pin_file = {:?}\n", token.pin_file().display().to_string());
    let cases: [(&dyn Fn(), i32, &str); 11] = [
        (&|| token.set_pin("never printed: wrong"), 8, "pin_file"),
        (&|| fs::set_permissions(token.pin_file(), Permissions::from_mode(0o644)).unwrap(), 3, "chmod 600"),
        (&|| fs::remove_file(token.pin_file()).unwrap(), 3, "softhsm/pin"),
        (&|| token.set_pin(""), 3, "secret as text"),
        (&|| set(&pin_line, ""), 3, "ca-pin"),
        (&|| set(MODULE, "/usr/lib/nothing.so"), 3, "/usr/lib/nothing.so cannot be loaded"),
        (&|| set(MODULE, no_module.to_str().unwrap()), 3, "module.so cannot be loaded"),
        (&|| set(MODULE, "libsofthsm2.so"), 3, "pkcs11.module"),
        (&|| set(&quoted(TOKEN), &quoted("other")), 6, "There are: ptc ("),
        (&|| set(&quoted(KEY), &quoted("Other CA")), 8, "no private key Other CA"),
        (&|| set("key =", "key_id = \"xyz\"\nkey ="), 3, "pkcs11.key_id"),
    ];
    for (number, (spoil, code, word)) in cases.into_iter().enumerate() {
        spoil();
        let run = site.admin(["serve"]).exits(code);
        assert!(run.stderr.contains(word), "{number}: {}", run.stderr);
        fs::write(&settings, &written).unwrap();
        token.set_pin(pin.trim_end());
    }
    let refused = |code: i32, word: &str| {
        let run = site.admin(["serve"]).exits(code);
        assert!(run.stderr.contains(word), "{}", run.stderr);
    };
    site.admin(["ca", "show"]).exits(0);
    token.add("never printed: another");
    refused(3, "token_serial");
    token.pull_out();
    refused(6, "There is no token ptc");
    let mut french = Command::new(PROGRAM);
    french.envs([token.variable()]).args(["--lang=fr", "--home"]).arg(site.folder().join("service")).arg("serve");
    assert!(Run::of(&mut french).exits(6).stderr.contains("Il n’y a pas de jeton ptc"));
}

#[test]
fn another_key_under_the_label_is_not_taken_for_the_cas() {
    let site = Site::builder().in_token("ecdsa-p256").start().stopped();
    let refused = |word: &str| {
        let run = site.admin(["serve"]).exits(8);
        assert!(run.stderr.contains(word), "{}", run.stderr);
    };
    let delete = |objects: Vec<(PathBuf, String)>| objects.iter().for_each(|(path, _)| fs::remove_file(path).unwrap());
    let of_the_ca = token(&site).objects();
    token(&site).import(&other_key(site.folder()), KEY, "0b");
    refused("key_id");
    delete(of_the_ca);
    refused("is not that of issuing.crt.pem");
    delete(token(&site).objects());
    refused("restore the token from its backup");
}

fn other_key(folder: &Path) -> PathBuf {
    let path = folder.join("other.pem");
    let mut openssl = Command::new("openssl");
    openssl.args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"]).arg(&path);
    Run::of(&mut openssl).exits(0);
    path
}

#[test]
fn a_key_from_a_file_goes_on_in_a_token() {
    let mut site = Site::start();
    let machine = site.workstation("pc");
    let before = machine.submit();
    site.approve(before);
    let soft = SoftToken::new(site.folder());
    let file = ca(&site, "issuing.key.pem");
    soft.import(&file, "from a file", "a1b2");
    let settings = site.folder().join("service/enrollment.toml");
    let lines = format!(
        "\n[pkcs11]\nmodule = {MODULE:?}\ntoken = {TOKEN:?}\nkey_id = \"A1B2\"\npin_file = {:?}\n",
        soft.pin_file().display().to_string()
    );
    fs::write(&settings, fs::read_to_string(&settings).unwrap() + &lines).unwrap();
    site.token = Some(soft);
    site.restart();
    assert!(site.log().contains("is in a token, and still in a file"), "{}", site.log());
    fs::remove_file(file).unwrap();
    site.restart();
    let shown = site.admin(["--output=json", "ca", "show"]).exits(0).json()["result"]["issuing"].clone();
    assert_eq!((&shown["file"], &shown["token"]["made_inside"]), (&"absent".into(), &false.into()), "{shown}");
    let other = site.workstation("other");
    let after = other.run(["--output=json", "submit", "--common-name=PC-8"].iter().chain(&FIELDS[..3])).exits(0);
    let after = after.json()["result"]["request"]["number"].as_u64().unwrap();
    site.approve(after);
    verify(&site, &[certificate(&site, before), certificate(&site, after)]);
}

#[test]
fn an_init_that_fails_leaves_no_key_and_takes_none_that_is_there() {
    let installation = Installation::empty();
    let soft = SoftToken::new(installation.0.path());
    let init = |more: &[&str]| {
        let out = format!("--manager-out={}", installation.0.path().join("manager").display());
        let mut command = installation.command();
        command.args([
            "init",
            "--environment=test",
            "--public-url=https://127.0.0.1",
            "--secure-url=https://127.0.0.1",
        ]);
        command.args(["--manager-name=Perrine Centrale", "--manager-email=perrine@ptc.example", &out]);
        Run::of(command.args(soft.init_flags()).args(more).envs([soft.variable()]))
    };
    init(&["--database=postgres:///nothing?host=/nowhere"]).exits(6);
    assert!(soft.objects().is_empty() && !installation.home().exists());

    init(&[]).exits(0);
    assert_eq!(soft.objects().len(), 2, "a private and a public key");
    fs::remove_dir_all(installation.home()).unwrap();
    fs::remove_dir_all(installation.0.path().join("manager")).unwrap();
    let refused = init(&[]).exits(3);
    assert!(refused.stderr.contains("--pkcs11-key"), "{}", refused.stderr);
    assert_eq!(soft.objects().len(), 2, "the key of another CA is gone");
    assert!(!installation.home().exists());
    init(&["--pkcs11-key=Another CA"]).exits(0);
    // Options that mean nothing alone.
    init_alone(&installation, "--pkcs11-module=/usr/lib/softhsm/libsofthsm2.so", "--pkcs11-token");
    init_alone(&installation, "--pkcs11-pin-file=pin", "--pkcs11-module");
}

fn init_alone(installation: &Installation, flag: &str, missing: &str) {
    let run = installation.init_with(&[flag]).exits(2);
    assert!(run.stderr.contains(missing), "{}", run.stderr);
}
