//! Backup and restore with the real programs: what is carried, what is refused, and what a kill leaves.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ptc_enroll::protocol::messages::{Rejection, Revocation, RevocationCode};
use ptc_enroll::protocol::secret::sha256_hex;
use serde_json::Value;

use super::commands::Installation;
use crate::support::database::TestDatabase;
use crate::support::postgres::{PostgresServer, psql};
use crate::support::receivers::eventually;
use crate::support::service::{A, B, Service, operator};
use crate::support::serving::{PROGRAM, Serving};
use crate::support::site::Run;

/// The program on a home.
pub(super) fn program(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--lang=en", "--output=json", "--home"]).arg(home).args(arguments);
    command
}

pub(super) fn run(home: &Path, arguments: &[&str]) -> Run {
    Run::of(&mut program(home, arguments))
}

pub(super) fn backup(home: &Path, to: &Path) -> Value {
    run(home, &["backup", "--to", to.to_str().unwrap()]).exits(0).json()["result"].clone()
}

pub(super) fn restore(home: &Path, from: &Path, target: &[&str]) -> Run {
    run(home, &[&["restore", "--from", from.to_str().unwrap()], target].concat())
}

/// Runs a statement in the database file, beside whoever uses it. Returns its rows as `psql` shows them.
pub(super) fn in_file(home: &Path, statement: &str) -> String {
    let script = "import sqlite3, sys\nfile = sqlite3.connect(sys.argv[1])\nfor row in file.execute(sys.argv[2]): print(*row, sep='|')\nfile.commit()";
    let file = home.join("enrollment.db");
    Run::of(Command::new("python3").args(["-c", script]).arg(file).arg(statement)).exits(0).stdout
}

/// SHA-256 of each table in a backup.
pub(super) fn digests(backup: &Path) -> BTreeMap<String, String> {
    let manifest: Value = serde_json::from_slice(&fs::read(backup.join("manifest.json")).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    manifest["tables"].as_array().unwrap().iter().map(|table| (text(&table["name"]), text(&table["sha256"]))).collect()
}

/// Puts another manifest into a backup, with its seal.
fn seal(backup: &Path, manifest: &str) {
    fs::write(backup.join("manifest.json"), manifest).unwrap();
    let digest = sha256_hex(manifest.as_bytes());
    fs::write(backup.join("manifest.sha256"), format!("{digest}  manifest.json\n")).unwrap();
}

/// All files below a folder, by their path within it.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
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
        refused(&what);
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
        seal(&copy, &later);
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
        seal(&copy, &earlier);
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
        let public = [".toml", ".crt.pem", ".crl"].iter().any(|end| path.to_str().unwrap().ends_with(end));
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

#[test]
fn a_backup_comes_to_wherever_its_place_leads() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    for name in ["here", "linked", "mounted"] {
        fs::create_dir(place(name)).unwrap();
    }
    symlink(place("linked"), place("link")).unwrap();
    symlink(place("nowhere"), place("dangling")).unwrap();
    // Whoever called would be left in a folder that is no longer there.
    let here = Run::of(program(&service.home(), &["backup", "--to", "."]).current_dir(place("here"))).exits(3);
    assert_eq!(here.json()["error"]["code"], "file-current-folder");
    backup(&service.home(), &place("link"));
    assert!(place("linked").join("manifest.json").exists());
    assert!(place("link").is_symlink());
    let dangling = run(&service.home(), &["backup", "--to", place("dangling").to_str().unwrap()]).exits(3);
    assert_eq!(dangling.json()["error"]["code"], "file-exists");
    // As in a container with a volume there.
    let script = format!(
        "mount --bind {0} {0} && exec {PROGRAM} --output=json --home {1} backup --to {0}",
        place("mounted").display(),
        service.home().display()
    );
    let mounted = Run::of(Command::new("unshare").args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]));
    assert_eq!(mounted.exits(3).json()["error"]["code"], "file-mount-point");
}

#[test]
fn whoever_waits_for_another_command_is_told() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let turn = fs::File::open(folder.path()).unwrap();
    turn.lock().unwrap();
    let stderr = folder.path().join("stderr");
    let mut waiting = program(&service.home(), &["backup", "--to", folder.path().join("copy").to_str().unwrap()]);
    let mut waiting = waiting.stderr(fs::File::create(&stderr).unwrap()).stdout(Stdio::null()).spawn().unwrap();
    eventually("the message", || fs::read_to_string(&stderr).unwrap().contains("waiting for another command"));
    drop(turn);
    assert!(waiting.wait().unwrap().success());
}

/// Runs a command that dies at a place.
pub(super) fn killed(mut command: Command, place: &str) {
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
