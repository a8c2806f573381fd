//! Backup and restore with the real programs: what is carried, what is refused, and what a kill leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ptc_enroll::protocol::messages::{Rejection, Revocation, RevocationCode};
use ptc_enroll::protocol::secret::sha256_hex;
use ptc_enroll::service::db::{changes, records};
use serde_json::{Value, json};

use super::commands::Installation;
use crate::support::database::TestDatabase;
use crate::support::postgres::{PostgresServer, psql};
use crate::support::receivers::eventually;
use crate::support::service::{A, B, Draft, Service, operator};
use crate::support::serving::{PROGRAM, Serving};
use crate::support::site::Run;

/// The program on a home.
fn program(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--lang=en", "--output=json", "--home"]).arg(home).args(arguments);
    command
}

fn run(home: &Path, arguments: &[&str]) -> Run {
    Run::of(&mut program(home, arguments))
}

fn backup(home: &Path, to: &Path) -> Value {
    run(home, &["backup", "--to", to.to_str().unwrap()]).exits(0).json()["result"].clone()
}

fn restore(home: &Path, from: &Path, target: &[&str]) -> Run {
    run(home, &[&["restore", "--from", from.to_str().unwrap()], target].concat())
}

/// SHA-256 of each table in a backup.
fn digests(backup: &Path) -> BTreeMap<String, String> {
    let manifest: Value = serde_json::from_slice(&fs::read(backup.join("manifest.json")).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    manifest["tables"].as_array().unwrap().iter().map(|table| (text(&table["name"]), text(&table["sha256"]))).collect()
}

/// All files below a folder, by their path within it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Something in every table: requests in several states, a revoked certificate, a bulk decision, other packages.
fn populate(service: &Service) {
    service.manager(A);
    service.pending_many(B, 300);
    let revoked = service.identity(&service.approved(A));
    let revocation = Revocation { code: RevocationCode::KeyCompromise, reason: "lost \u{1f511}".to_owned() };
    service.run(service.app.revoke(&operator(), &revoked.serial, &revocation)).unwrap();
    let rejected = service.pending(A);
    let rejection = Rejection { reason: "no: \"quoted\"\\ é".to_owned() };
    service.run(service.app.reject(&operator(), rejected.number, &rejection)).unwrap();
    let home = service.home();
    run(&home, &["request", "approve", "--all-pending", "--organisation", B]).exits(0);
}

#[test]
fn a_backup_of_either_database_is_restored_into_either() {
    let server = PostgresServer::start();
    let services = [Service::start(), Service::on(TestDatabase::on(&server.url("postgres")), |_| {})];
    for (number, service) in services.iter().enumerate() {
        populate(service);
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        // The service runs.
        let said = backup(&service.home(), &copy);
        assert_eq!(said["records"]["requests"], 302, "{said}");
        assert_eq!(said["ca_keys"], "plain");
        let original = digests(&copy);
        assert!(!original.contains_key("request_counts"), "{original:?}");

        psql(&server.url("postgres"), &format!("CREATE DATABASE restored_{number}"));
        let url = server.url(&format!("restored_{number}"));
        for (name, target) in [("file", &["--database-file"][..]), ("server", &["--database", &url])] {
            let home = folder.path().join(name);
            let restored = restore(&home, &copy, target).exits(0).json()["result"].clone();
            assert_eq!(restored["audit"], said["audit"]);
            let again = folder.path().join(format!("{name}-again"));
            backup(&home, &again);
            let mut carried = digests(&again);
            for changed in ["audit", "crls"] {
                // The restoration is recorded, and the list is to be replaced.
                assert_ne!(carried.insert(changed.to_owned(), original[changed].clone()).unwrap(), original[changed]);
            }
            assert_eq!(carried, original, "{name}");
            goes_on(&home, folder.path());
        }
    }
}

/// Numbers go on, searches find, counts are right, and what is written next is written.
fn goes_on(home: &Path, folder: &Path) {
    let mut serving = Serving::start(home, &[], &folder.join("log"));
    let result = |arguments: &[&str]| run(home, arguments).exits(0).json()["result"].clone();
    let found = result(&["request", "list", "--search", "pc-7", "--limit", "200"]);
    assert!(found["items"].as_array().unwrap().len() >= 11, "{found}");
    let package = folder.join(format!("package-{}", sha256_hex(home.to_str().unwrap().as_bytes())));
    let made = ["package", "create", "--organisation", A, "--kind", "workstation", "--out", package.to_str().unwrap()];
    result(&made);
    result(&["audit", "verify"]);
    let operations = serving.lines.find_map(|line| {
        line.unwrap().strip_prefix("operations listener ready on ").map(|address| format!("{address}/metrics"))
    });
    let metrics = ureq::get(operations.unwrap()).call().unwrap().body_mut().read_to_string().unwrap();
    let counted: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("requests{") || line.starts_with("ptc_enrollment_requests{"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum();
    assert!((counted - 302.0).abs() < 0.5, "{metrics}");
    assert_eq!(serving.stop(), 0);
}

#[test]
fn a_restored_old_backup_publishes_a_list_above_all_that_were() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    backup(&service.home(), &copy);
    for _ in 0..5 {
        let revoked = service.identity(&service.approved(A));
        let revocation = Revocation { code: RevocationCode::Superseded, reason: String::new() };
        service.run(service.app.revoke(&operator(), &revoked.serial, &revocation)).unwrap();
    }
    let published = service.run(service.app.crl()).unwrap().number;
    let home = folder.path().join("home");
    let said = Run::of(
        Command::new(PROGRAM)
            .args(["--lang=en", "restore", "--database-file", "--from"])
            .arg(&copy)
            .arg("--home")
            .arg(&home),
    );
    assert!(said.exits(0).stdout.contains("Revocations since then must be made again"));
    let serving = Serving::start(&home, &[], &folder.path().join("log"));
    let number = run(&home, &["crl", "show"]).exits(0).json()["result"]["number"].as_u64().unwrap();
    assert!(number > published, "{number} does not follow {published}");
    assert_eq!(serving.stop(), 0);
    // Nor do many lists lead to one that comes after another restoration.
    let begun = Instant::now();
    let mut last = number;
    while begun.elapsed() < Duration::from_millis(1_100) {
        last = run(&home, &["crl", "refresh"]).exits(0).json()["result"]["number"].as_u64().unwrap();
    }
    assert!(last > number + 1, "{last}");
    let again = folder.path().join("again");
    restore(&again, &copy, &["--database-file"]).exits(0);
    let number = run(&again, &["crl", "refresh"]).exits(0).json()["result"]["number"].as_u64().unwrap();
    assert!(number > last, "{number} does not follow {last}");
}

#[test]
fn a_backup_that_was_changed_anywhere_makes_nothing() {
    let service = Service::start();
    service.approved(A);
    let folder = tempfile::tempdir().unwrap();
    let (copy, home) = (folder.path().join("copy"), folder.path().join("home"));
    backup(&service.home(), &copy);
    let refused = |what: &str| {
        let run = restore(&home, &copy, &["--database-file"]).exits(3);
        assert!(run.json()["error"]["code"].as_str().unwrap().starts_with("backup-"), "{what}: {}", run.stdout);
        assert!(!home.exists(), "{what}");
    };
    let all = files(&copy);
    assert!(all.len() > 18, "{all:?}");
    for path in all {
        let content = fs::read(&path).unwrap();
        let what = path.display().to_string();
        fs::write(&path, [content.as_slice(), b" "].concat()).unwrap();
        // What follows the seal says nothing.
        if !path.ends_with("manifest.sha256") {
            refused(&what);
        }
        if let Some((_, shorter)) = content.split_last() {
            fs::write(&path, &shorter[..shorter.len() / 2]).unwrap();
            refused(&what);
        }
        fs::remove_file(&path).unwrap();
        refused(&what);
        fs::write(&path, content).unwrap();
    }
    restore(&home, &copy, &["--database-file"]).exits(0);
}

#[test]
fn a_backup_of_a_later_version_is_refused_by_name() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let (copy, home) = (folder.path().join("copy"), folder.path().join("home"));
    backup(&service.home(), &copy);
    let text = fs::read_to_string(copy.join("manifest.json")).unwrap();
    for (old, new) in [("\"format\": 1,", "\"format\": 2,"), ("\"schema\": ", "\"schema\": 9")] {
        let later = text.replace(old, new).replace("\"program\": \"", "\"program\": \"7.");
        fs::write(copy.join("manifest.json"), &later).unwrap();
        fs::write(copy.join("manifest.sha256"), sha256_hex(later.as_bytes())).unwrap();
        let run = restore(&home, &copy, &["--database-file"]).exits(3);
        assert!(run.stderr.contains("7.0.1.0"), "{}", run.stderr);
        assert!(!home.exists());
    }
}

#[test]
fn a_backup_of_an_earlier_version_is_brought_up_to_date() {
    let service = Service::start();
    service.approved(A);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    backup(&service.home(), &copy);
    let text = fs::read_to_string(copy.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let newest = manifest["schema"].as_i64().unwrap();
    let server = PostgresServer::start();
    // The first version that made backups carried the same tables.
    for schema in 9..newest {
        let earlier = text.replace(&format!("\"schema\": {newest}"), &format!("\"schema\": {schema}"));
        assert_ne!(earlier, text);
        fs::write(copy.join("manifest.json"), &earlier).unwrap();
        fs::write(copy.join("manifest.sha256"), sha256_hex(earlier.as_bytes())).unwrap();
        psql(&server.url("postgres"), &format!("CREATE DATABASE earlier_{schema}"));
        let url = server.url(&format!("earlier_{schema}"));
        for (name, target) in [("file", &["--database-file"][..]), ("server", &["--database", &url])] {
            let home = folder.path().join(format!("{name}-{schema}"));
            restore(&home, &copy, target).exits(0);
            let totals = "SELECT state, requests FROM request_totals WHERE requests > 0";
            let found = if name == "file" { in_file(&home, totals) } else { psql(&url, totals) };
            assert_eq!(found.trim(), "approved|1", "{name}, {schema}");
        }
    }
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    backup(&service.home(), &copy);
    let before = fs::read(copy.join("manifest.json")).unwrap();
    run(&service.home(), &["backup", "--to", copy.to_str().unwrap()]).exits(3);
    assert_eq!(fs::read(copy.join("manifest.json")).unwrap(), before);
    let settings = fs::read(service.home().join("enrollment.toml")).unwrap();
    restore(&service.home(), &copy, &["--database-file"]).exits(3);
    assert_eq!(fs::read(service.home().join("enrollment.toml")).unwrap(), settings);
    if service.on_a_server() {
        // The live database is in the settings of the backup.
        restore(&folder.path().join("home"), &copy, &[]).exits(3);
    }
    restore(&folder.path().join("home"), &folder.path().join("nothing"), &[]).exits(3);
}

#[test]
fn a_record_that_was_changed_is_not_taken_for_a_backup() {
    let service = Service::start();
    service.unprotect_audit();
    service.tamper("UPDATE audit SET actor = 'nobody' WHERE sequence = 2");
    let folder = tempfile::tempdir().unwrap();
    let run = run(&service.home(), &["backup", "--to", folder.path().join("copy").to_str().unwrap()]).exits(4);
    assert_eq!(run.json()["error"]["code"], "audit-broken");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// An installation with encrypted keys, and the file with their passphrase, which begins with “correct”.
fn with_passphrase() -> (Installation, PathBuf) {
    let installation = Installation::empty();
    let passphrase = installation.0.path().join("passphrase");
    fs::write(&passphrase, "correct horse battery staple").unwrap();
    fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
    installation.init_with(&["--ca-passphrase-file", passphrase.to_str().unwrap()]).exits(0);
    (installation, passphrase)
}

#[test]
fn keys_stay_encrypted_and_the_passphrase_stays_out() {
    let (installation, passphrase) = with_passphrase();
    let secret = installation.home().join("mail.password");
    fs::write(&secret, "tell nobody").unwrap();
    let settings = installation.home().join("enrollment.toml");
    let mail = "\n[mail]\nserver = \"localhost\"\nsecurity = \"none\"\nuser = \"u\"\npassword_file = \"mail.password\"\nfrom = \"ptc@ptc.example\"\n";
    fs::write(&settings, fs::read_to_string(&settings).unwrap() + mail).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let (copy, home) = (folder.path().join("copy"), folder.path().join("home"));
    let hidden = installation.0.path().join("hidden");
    fs::rename(&passphrase, &hidden).unwrap();
    // Neither way needs it.
    let said = backup(&installation.home(), &copy);
    assert_eq!(said["ca_keys"], "encrypted");
    assert_eq!(said["left_out"][0], passphrase.to_str().unwrap());
    let restored = restore(&home, &copy, &[]).exits(0).json()["result"].clone();
    assert_eq!(restored["missing"][0], passphrase.to_str().unwrap());
    assert_eq!(fs::read(home.join("mail.password")).unwrap(), b"tell nobody");
    for path in files(&copy) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        let content = fs::read(&path).unwrap();
        assert!(!content.windows(7).any(|part| part == b"correct"), "{}", path.display());
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }
    for path in files(&home) {
        let public = path.extension().is_some_and(|end| end == "toml") || path.to_str().unwrap().ends_with(".crt.pem");
        assert_eq!(mode(&path), if public { 0o644 } else { 0o600 }, "{}", path.display());
    }
    let refused = run(&home, &["audit", "list"]).exits(3);
    assert_eq!(refused.json()["error"]["code"], "file-missing");
    fs::rename(&hidden, &passphrase).unwrap();
    run(&home, &["audit", "list"]).exits(0);
}

#[test]
fn a_backup_follows_links_and_no_way_leads_it_to_the_passphrase() {
    let (installation, passphrase) = with_passphrase();
    let home = installation.home();
    // Beside the keys, and named by another way than the one that leads there.
    let settings = home.join("enrollment.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::rename(&passphrase, home.join("ca/opens")).unwrap();
    fs::write(&settings, text.replace(passphrase.to_str().unwrap(), "tls/../ca/opens")).unwrap();
    // A key on another volume.
    let (key, elsewhere) = (home.join("ca/issuing.key.pem"), installation.0.path().join("elsewhere"));
    fs::rename(&key, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &key).unwrap();
    run(&home, &["audit", "verify"]).exits(0);

    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    let said = backup(&home, &copy);
    assert_eq!(said["left_out"][0], "tls/../ca/opens");
    assert_eq!(fs::read(copy.join("home/ca/issuing.key.pem")).unwrap(), fs::read(&elsewhere).unwrap());
    let copied = files(&copy);
    assert!(!copied.iter().any(|path| fs::read(path).unwrap().starts_with(b"correct")), "{copied:?}");
    // A link that leads nowhere is no key that is not there.
    fs::remove_file(&elsewhere).unwrap();
    let refused = run(&home, &["backup", "--to", folder.path().join("other").to_str().unwrap()]);
    assert!(refused.code != 0 && refused.stderr.contains("issuing.key.pem"), "{}", refused.stderr);
}

/// Runs a command that dies at a place.
fn killed(mut command: Command, place: &str) {
    assert_eq!(Run::of(command.env("PTC_ENROLL_KILL_AT", place)).code, -1, "{place}");
}

#[test]
fn a_backup_that_was_killed_is_made_by_the_next_one() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    let of_yesterday = folder.path().join("of-yesterday");
    // What is no backup's stays.
    fs::create_dir_all(folder.path().join(".another.installing/ca")).unwrap();
    for place in ["backup-files", "backup-table", "backup-manifest"] {
        killed(program(&service.home(), &["backup", "--to", of_yesterday.to_str().unwrap()]), place);
        killed(program(&service.home(), &["backup", "--to", copy.to_str().unwrap()]), place);
        assert!(!copy.exists(), "{place}");
        for path in files(folder.path()) {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
        backup(&service.home(), &copy);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "{place}: remains are left over");
        fs::remove_dir_all(&copy).unwrap();
    }
}

#[test]
fn a_restoration_that_was_killed_is_made_by_the_next_one() {
    let service = Service::start();
    populate(&service);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    let said = backup(&service.home(), &copy);
    let server = PostgresServer::start();
    for (number, place) in ["restore-files", "restore-filled", "restore-committed"].into_iter().enumerate() {
        psql(&server.url("postgres"), &format!("CREATE DATABASE there_{number}"));
        let url = server.url(&format!("there_{number}"));
        for (name, target) in [("file", &["--database-file"][..]), ("server", &["--database", &url])] {
            let home = folder.path().join(format!("{name}-{place}"));
            let arguments = [&["restore", "--from", copy.to_str().unwrap()], target].concat();
            killed(program(&home, &arguments), place);
            assert!(!home.exists(), "{place}");
            restore(&home, &copy, target).exits(0);
            let verified = run(&home, &["audit", "verify"]).exits(0).json()["result"].clone();
            assert_eq!(
                verified["entries"].as_u64().unwrap(),
                said["audit"]["entries"].as_u64().unwrap() + 1,
                "{place}"
            );
            let last = run(&home, &["audit", "list", "--after", &said["audit"]["entries"].to_string()]).exits(0);
            assert_eq!(last.stdout.matches("service.restore").count(), 1, "{place}");
        }
        // It is in use now: not even the same backup comes over it.
        run(&folder.path().join(format!("server-{place}")), &["org", "add", "--code=NEW", "--name=N", "--country=CH"])
            .exits(0);
        restore(&folder.path().join("second"), &copy, &["--database", &url]).exits(3);
    }
    // The home is in its place already, and whole.
    let home = folder.path().join("done");
    killed(program(&home, &["restore", "--database-file", "--from", copy.to_str().unwrap()]), "restore-done");
    run(&home, &["audit", "verify"]).exits(0);
    restore(&home, &copy, &["--database-file"]).exits(3);
}

/// An installation in a file, with fixed ports so that the service comes back where it was, and a server beside it.
struct Relocation {
    installation: Installation,
    server: PostgresServer,
    public: u16,
    secret: String,
    root: Vec<u8>,
}

impl Relocation {
    fn new() -> Self {
        let installation = Installation::with_file("test");
        let settings = installation.home().join("enrollment.toml");
        let port = || std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let (public, secure) = (port(), port());
        let text = fs::read_to_string(&settings).unwrap();
        let text = text
            .replace(
                "public_listen = \"127.0.0.1:0\"",
                &format!("# Where clients come.\npublic_listen = \"127.0.0.1:{public}\""),
            )
            .replace("secure_listen = \"127.0.0.1:0\"", &format!("secure_listen = \"127.0.0.1:{secure}\""));
        fs::write(&settings, text).unwrap();
        let home = installation.home();
        run(&home, &["org", "add", "--code", A, "--name=FRANCE LA POSTE", "--country=FR"]).exits(0);
        let package = installation.0.path().join("package");
        let made = ["package", "create", "--organisation", A, "--kind=workstation", "--out", package.to_str().unwrap()];
        run(&home, &made).exits(0);
        let secret = files(&package).into_iter().find(|path| path.ends_with("enrollment-secret"));
        let secret = fs::read_to_string(secret.unwrap()).unwrap().trim().to_owned();
        let root = fs::read(home.join("ca/root.crt.pem")).unwrap();
        let server = PostgresServer::start();
        psql(&server.url("postgres"), "CREATE DATABASE enroll");
        Self { installation, server, public, secret, root }
    }

    fn home(&self) -> PathBuf {
        self.installation.home()
    }

    fn url(&self) -> String {
        self.server.url("enroll")
    }

    fn relocate(&self, flags: &[&str]) -> Run {
        run(&self.home(), &[&["database", "move", "--to", &self.url()], flags].concat())
    }

    fn agent(&self) -> ureq::Agent {
        let root = ureq::tls::Certificate::from_pem(&self.root).unwrap();
        let tls = ureq::tls::TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .root_certs(ureq::tls::RootCerts::new_with_certs(&[root]))
            .build();
        let timeout = Some(std::time::Duration::from_secs(30));
        ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false).timeout_global(timeout).build().into()
    }

    /// Submits a new machine's request. Returns status, number and whether it was told to come again.
    fn submit(&self, agent: &ureq::Agent, name: &str) -> Option<(u16, u64, bool)> {
        let draft = Draft::workstation(A, name);
        let body = serde_json::to_vec(&draft.submission).unwrap();
        let sent = agent
            .post(format!("https://127.0.0.1:{}/api/v1/requests", self.public))
            .header("Authorization", format!("Bearer {}", self.secret))
            .header("Content-Type", "application/json")
            .send(&body);
        let mut reply = sent.ok()?;
        let later = reply.headers().contains_key("retry-after");
        let json: Value = reply.body_mut().read_json().ok()?;
        Some((reply.status().as_u16(), json["number"].as_u64().unwrap_or_default(), later))
    }

    fn numbers(&self) -> BTreeSet<u64> {
        psql(&self.url(), "SELECT number FROM requests").lines().map(|line| line.parse().unwrap()).collect()
    }
}

#[test]
fn a_running_service_is_moved_and_loses_nothing_that_it_acknowledged() {
    let moving = Relocation::new();
    let mut serving = Serving::start(&moving.home(), &[], &moving.installation.0.path().join("log"));
    let (stop, moved) = (AtomicBool::new(false), AtomicBool::new(false));
    let load = |worker: usize| {
        let (mut agent, mut known, mut after) = (moving.agent(), Vec::new(), 0);
        for round in 0.. {
            if stop.load(Ordering::SeqCst) && after >= 5 {
                break;
            }
            let late = moved.load(Ordering::SeqCst);
            match moving.submit(&agent, &format!("PC-{worker}-{round}")) {
                Some((201, number, _)) => {
                    known.push(number);
                    after += usize::from(late);
                }
                Some((503, _, later)) => assert!(later, "without Retry-After"),
                Some(other) => panic!("{other:?}"),
                // The listener is between two lives.
                None => agent = moving.agent(),
            }
        }
        known
    };
    let known: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|worker| scope.spawn(move || load(worker))).collect();
        eventually("a request", || !moving_numbers_in_file(&moving.home()).is_empty());
        let said = moving.relocate(&[]).exits(0).json()["result"].clone();
        assert_eq!(said["moved"], true, "{said}");
        moved.store(true, Ordering::SeqCst);
        stop.store(true, Ordering::SeqCst);
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let there = moving.numbers();
    let acknowledged: BTreeSet<u64> = known.iter().copied().collect();
    assert_eq!(acknowledged.len(), known.len(), "a number was given out twice");
    assert!(acknowledged.is_subset(&there), "{:?} are lost", acknowledged.difference(&there).collect::<Vec<_>>());
    assert!(there.len() > moving_numbers_in_file(&moving.home()).len(), "nothing came after the move");
    let settings = fs::read_to_string(moving.home().join("enrollment.toml")).unwrap();
    assert!(settings.contains("# Where clients come.\n") && settings.contains(&moving.url()), "{settings}");
    run(&moving.home(), &["audit", "verify"]).exits(0);
    assert_eq!(psql(&moving.url(), "SELECT coalesce(obj_description('audit'::regclass), 'none')"), "none");
    assert_eq!(psql(&moving.url(), "SELECT sum(requests) FROM request_counts"), there.len().to_string());
    assert_eq!(psql(&moving.url(), "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated"), "0");
    assert!(serving.lines.next().is_none_or(|line| line.is_ok()));
    assert_eq!(serving.stop(), 0);
    // Not by accident either.
    let text = settings.lines().filter(|line| !line.starts_with("database")).collect::<Vec<_>>().join("\n");
    fs::write(moving.home().join("enrollment.toml"), text).unwrap();
    let refused = run(&moving.home(), &["org", "list"]).exits(6);
    assert_eq!(refused.json()["error"]["code"], "database-moved");
}

/// The numbers in the file that the service had before.
fn moving_numbers_in_file(home: &Path) -> BTreeSet<u64> {
    in_file(home, "SELECT number FROM requests").lines().map(|line| line.parse().unwrap()).collect()
}

/// Runs a statement in the database file, beside whoever uses it. Returns its rows as `psql` shows them.
fn in_file(home: &Path, statement: &str) -> String {
    let script = "import sqlite3, sys\nfile = sqlite3.connect(sys.argv[1])\nfor row in file.execute(sys.argv[2]): print(*row, sep='|')\nfile.commit()";
    let file = home.join("enrollment.db");
    Run::of(Command::new("python3").args(["-c", script]).arg(file).arg(statement)).exits(0).stdout
}

#[test]
fn a_table_that_nobody_thought_of_is_carried_or_named() {
    let moving = Relocation::new();
    let home = moving.home();
    let carried = |backup: &Path| digests(backup).into_keys().collect::<BTreeSet<_>>();
    let folder = tempfile::tempdir().unwrap();
    backup(&home, &folder.path().join("before"));
    // All that there are, but those that are made of others and the migrations' own.
    let listed = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
    let tables: BTreeSet<String> = in_file(&home, listed).lines().map(str::to_owned).collect();
    let before = carried(&folder.path().join("before"));
    let left: Vec<&str> = tables.difference(&before).map(String::as_str).collect();
    let made = ["counts", "index", "parts", "totals", "traits", "traits_recent"].map(|made| format!("request_{made}"));
    assert_eq!(left[0], "_sqlx_migrations");
    assert_eq!(left[1..], made);

    // The next version's, with everything that a column can hold, and a key that is not the first column.
    killed(program(&home, &["database", "move", "--to", &moving.url()]), "move-begun");
    in_file(
        &home,
        "CREATE TABLE parcels (note TEXT, weight INTEGER, label BLOB, office TEXT NOT NULL, number INTEGER NOT NULL,
         PRIMARY KEY (office, number)) STRICT",
    );
    in_file(&home, "INSERT INTO parcels VALUES ('a \"b\" é', NULL, x'00ff', 'Bern', 2), (NULL, 7, NULL, 'Aarau', 1)");
    backup(&home, &folder.path().join("after"));
    let added = &carried(&folder.path().join("after")) - &before;
    assert_eq!(added, BTreeSet::from(["parcels".to_owned()]));
    let refused = |run: Run| assert!(run.exits(1).stderr.contains("parcels"));
    refused(moving.relocate(&[]));
    let other = folder.path().join("home");
    refused(restore(&other, &folder.path().join("after"), &["--database-file"]));
    assert!(!other.exists());
    psql(
        &moving.url(),
        "CREATE TABLE parcels (number BIGINT, office TEXT COLLATE \"C\", label BYTEA, note TEXT, weight BIGINT,
         PRIMARY KEY (office, number))",
    );
    let said = moving.relocate(&[]).exits(0).json()["result"].clone();
    assert_eq!(said["tables"]["parcels"]["rows"], 2, "{said}");
    let there =
        psql(&moving.url(), "SELECT office, number, note, weight, encode(label, 'hex') FROM parcels ORDER BY office");
    assert_eq!(there.trim(), "Aarau|1||7|\nBern|2|a \"b\" é||00ff");
    assert_eq!(in_file(&home, "SELECT count(*) FROM sqlite_schema WHERE name GLOB 'moving_*'").trim(), "0");
}

#[test]
fn what_changes_while_a_file_is_copied_follows_once() {
    let service = Service::start();
    if service.on_a_server() {
        return;
    }
    let pending = service.pending(A);
    service.tamper(
        "CREATE TABLE boxes (depot TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (depot, number)) STRICT;
         CREATE TABLE items (id INTEGER PRIMARY KEY, depot TEXT, number INTEGER,
             FOREIGN KEY (depot, number) REFERENCES boxes ON DELETE CASCADE) STRICT;
         INSERT INTO boxes VALUES ('x', 1), ('x', 2), ('y', 1); INSERT INTO items VALUES (1, 'x', 1), (2, 'y', 1)",
    );
    let (tables, mut logs) = service.run(async {
        let mut transaction = service.app.database().write().await.unwrap();
        let tables = records::tables(&mut transaction).await.unwrap();
        changes::start(&mut transaction, &tables).await.unwrap();
        // What an interrupted move left makes room.
        let logs = changes::start(&mut transaction, &tables).await.unwrap();
        transaction.commit().await.unwrap();
        (tables, logs)
    });
    let mut changed = || {
        service.run(async {
            let mut snapshot = service.app.database().snapshot().await.unwrap();
            let mut found = BTreeMap::new();
            for (table, log) in tables.iter().zip(&mut logs) {
                let last = log.last(&mut snapshot).await.unwrap();
                let keys = log.page(&mut snapshot, None).await.unwrap();
                log.go_on_after(last);
                if !keys.is_empty() {
                    found.insert(table.name.clone(), serde_json::to_value(keys).unwrap());
                }
            }
            found
        })
    };
    let of = |pairs: &[(&str, Value)]| pairs.iter().map(|(name, keys)| ((*name).to_owned(), keys.clone())).collect();
    assert_eq!(changed(), BTreeMap::new());
    service.tamper("UPDATE boxes SET number = 3 WHERE depot = 'x' AND number = 2; DELETE FROM boxes WHERE depot = 'y'");
    let expected = of(&[("boxes", json!([["x", 2], ["x", 3], ["y", 1]])), ("items", json!([[2]]))]);
    assert_eq!(changed(), expected);
    assert_eq!(changed(), BTreeMap::new());
    // Once, however often; and again where it was read before.
    service.tamper("UPDATE boxes SET number = 4 WHERE number = 3; UPDATE boxes SET number = 3 WHERE number = 4");
    assert_eq!(changed(), of(&[("boxes", json!([["x", 3], ["x", 4]]))]));
    let rejection = Rejection { reason: "no".to_owned() };
    service.run(service.app.reject(&operator(), pending.number, &rejection)).unwrap();
    let found = changed();
    assert_eq!(found["requests"], json!([[pending.number]]), "{found:?}");
    assert!(found.contains_key("audit"), "{found:?}");
}

#[test]
fn a_move_that_was_killed_anywhere_is_ended_by_the_next_one() {
    let places = ["move-copied", "move-begun", "move-compared", "move-committed", "move-closed", "move-switched"];
    for place in places {
        let moving = Relocation::new();
        let home = moving.home();
        let add = |code: &str| run(&home, &["org", "add", "--code", code, "--name=N", "--country=CH"]);
        killed(program(&home, &["database", "move", "--to", &moving.url()]), place);
        // Whoever writes now is either in the file, and is carried, or refused, or on the server.
        let between = add("BETWEEN").code;
        assert_eq!(between, if place == "move-closed" { 6 } else { 0 }, "{place}");
        moving.relocate(&[]).exits(0);
        let listed = run(&home, &["org", "list"]).exits(0).stdout;
        assert_eq!(listed.contains("BETWEEN"), between == 0, "{place}: {listed}");
        add("AFTER").exits(0);
        run(&home, &["audit", "verify"]).exits(0);
        let record = run(&home, &["audit", "list", "--limit", "200"]).exits(0).stdout;
        assert_eq!(record.matches("service.move-database").count(), 1, "{place}");
        moving.relocate(&[]).exits(3);
    }
}

#[test]
fn a_database_of_somebody_else_is_left_alone() {
    let moving = Relocation::new();
    let home = moving.home();
    let before = fs::read(home.join("enrollment.toml")).unwrap();
    let said = moving.relocate(&["--dry-run"]).exits(0).json()["result"].clone();
    assert_eq!(said["moved"], false);
    assert_eq!(psql(&moving.url(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    // Something else, then this installation itself as a backup brought it there.
    psql(&moving.url(), "CREATE TABLE mine (number INT)");
    moving.relocate(&[]).exits(3);
    moving.relocate(&["--dry-run"]).exits(3);
    psql(&moving.url(), "DROP TABLE mine");
    let folder = tempfile::tempdir().unwrap();
    backup(&home, &folder.path().join("copy"));
    restore(&folder.path().join("home"), &folder.path().join("copy"), &["--database", &moving.url()]).exits(0);
    moving.relocate(&[]).exits(3);
    assert_eq!(fs::read(home.join("enrollment.toml")).unwrap(), before);
    run(&home, &["org", "add", "--code=NEW", "--name=N", "--country=CH"]).exits(0);
}

#[test]
fn a_database_that_was_taken_into_use_is_no_begun_one_although_its_mark_is_left() {
    let moving = Relocation::new();
    let (home, folder) = (moving.home(), tempfile::tempdir().unwrap());
    let (copy, old) = (folder.path().join("copy"), folder.path().join("old"));
    backup(&home, &copy);
    killed(program(&home, &["database", "move", "--to", &moving.url()]), "move-switched");
    run(&home, &["org", "add", "--code=USED", "--name=N", "--country=CH"]).exits(0);
    // The same installation as it was before, whose record is a part of that one's.
    restore(&old, &copy, &["--database-file"]).exits(0);
    for arguments in [&["--dry-run"][..], &[]] {
        let refused = run(&old, &[&["database", "move", "--to", &moving.url()], arguments].concat()).exits(3);
        assert!(refused.stderr.contains("holds something already"), "{}", refused.stderr);
    }
    assert!(run(&home, &["org", "list"]).exits(0).stdout.contains("USED"));
    run(&home, &["audit", "verify"]).exits(0);
}
