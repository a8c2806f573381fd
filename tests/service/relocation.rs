//! The move of a database to a server with the real programs: beside a running service, interrupted, and where it must not go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ptc_enroll::protocol::messages::Rejection;
use ptc_enroll::service::db::{changes, records};
use serde_json::{Value, json};

use super::commands::Installation;
use super::transfer::{backup, digests, files, in_file, killed, program, restore, run};
use crate::support::postgres::{PostgresServer, psql};
use crate::support::receivers::eventually;
use crate::support::service::{A, Draft, Service, operator};
use crate::support::serving::{PROGRAM, Serving};
use crate::support::site::{Run, free_port};

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
        let (public, secure) = (free_port(), free_port());
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

#[test]
fn what_cannot_be_done_at_the_end_is_not_begun() {
    let moving = Relocation::new();
    let home = moving.home();
    // As in a container into which one file is mounted.
    let mounted = |flags: &str| {
        let script = format!(
            "cd {0} && mount --bind enrollment.toml enrollment.toml &&
             exec {PROGRAM} --lang=en --output=json --home {0} database move --to '{1}' {flags}",
            home.display(),
            moving.url()
        );
        Run::of(Command::new("unshare").args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]))
    };
    for flags in ["--dry-run", ""] {
        assert_eq!(mounted(flags).exits(3).json()["error"]["code"], "file-mount-point", "{flags}");
    }
    psql(&moving.url(), "CREATE ROLE guest LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let guest = moving.server.url_of("guest", "enroll");
    for flags in [&["--dry-run"][..], &[]] {
        let refused = run(&home, &[&["database", "move", "--to", &guest], flags].concat()).exits(3);
        assert_eq!(refused.json()["error"]["code"], "database-unfit", "{}", refused.stdout);
    }
    run(&home, &["org", "add", "--code=STILL", "--name=N", "--country=CH"]).exits(0);
    // A link stays one, and what it leads to is changed.
    let real = moving.installation.0.path().join("settings.toml");
    fs::rename(home.join("enrollment.toml"), &real).unwrap();
    symlink(&real, home.join("enrollment.toml")).unwrap();
    moving.relocate(&[]).exits(0);
    assert_eq!(fs::read_link(home.join("enrollment.toml")).unwrap(), real);
    assert!(fs::read_to_string(&real).unwrap().contains("database = "));
}

/// Has somebody change the settings while a move is in its midst.
fn change_in_the_midst(moving: &Relocation, change: impl FnOnce(&str) -> String) -> Run {
    // The file cannot be written to meanwhile.
    let script = "import sqlite3, sys\nfile = sqlite3.connect(sys.argv[1], isolation_level=None)\nfile.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\nsys.stdin.read()";
    let mut holder = Command::new("python3")
        .args(["-c", script])
        .arg(moving.home().join("enrollment.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    holder.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    let moved = thread::scope(|scope| {
        let moved = scope.spawn(|| moving.relocate(&[]));
        eventually("the move to have begun", || psql(&moving.url(), "SELECT to_regclass('audit') IS NOT NULL") == "t");
        let settings = moving.home().join("enrollment.toml");
        let text = fs::read_to_string(&settings).unwrap();
        let changed = change(&text);
        assert_ne!(changed, text);
        fs::write(&settings, changed).unwrap();
        drop(holder.stdin.take());
        moved.join().unwrap()
    });
    holder.wait().unwrap();
    moved
}

#[test]
fn what_people_change_in_the_settings_meanwhile_stays() {
    let moving = Relocation::new();
    let changed = |text: &str| text.replace("crl_days = 7", "# Changed meanwhile.\ncrl_days = 3");
    change_in_the_midst(&moving, changed).exits(0);
    let text = fs::read_to_string(moving.home().join("enrollment.toml")).unwrap();
    assert!(text.contains("# Changed meanwhile.\ncrl_days = 3") && text.contains("database = "), "{text}");
    run(&moving.home(), &["org", "list"]).exits(0);
}

#[test]
fn settings_that_cannot_be_written_at_the_end_are_the_only_thing_that_is_left_to_do() {
    let moving = Relocation::new();
    let (home, settings) = (moving.home(), moving.home().join("enrollment.toml"));
    let before = fs::read_to_string(&settings).unwrap();
    let said = change_in_the_midst(&moving, |text| text.replace("crl_days = 7", "crl_days = seven")).exits(3);
    assert_eq!(said.json()["error"]["code"], "move-unnamed");
    // As it says.
    let line = format!("database = \"{}\"", moving.url());
    assert!(said.stderr.contains(&line), "{}", said.stderr);
    fs::write(&settings, format!("{line}\n{before}")).unwrap();
    run(&home, &["org", "list"]).exits(0);
    // And the command ends what is left.
    moving.relocate(&[]).exits(0);
    moving.relocate(&[]).exits(3);
}

#[test]
fn a_database_that_is_not_complete_is_not_used_although_somebody_names_it() {
    let moving = Relocation::new();
    let (home, settings) = (moving.home(), moving.home().join("enrollment.toml"));
    let before = fs::read_to_string(&settings).unwrap();
    killed(program(&home, &["database", "move", "--to", &moving.url()]), "move-begun");
    let named = before.replace("environment = ", &format!("database = \"{}\"\nenvironment = ", moving.url()));
    assert_ne!(named, before);
    fs::write(&settings, named).unwrap();
    let copy = moving.installation.0.path().join("copy");
    let copy = copy.to_str().unwrap();
    for arguments in [
        &["org", "list"][..],
        &["serve"],
        &["ca", "root-crl"],
        &["backup", "--to", copy],
        &["database", "move", "--to", &moving.url()],
    ] {
        assert_eq!(run(&home, arguments).exits(3).json()["error"]["code"], "database-unfinished", "{arguments:?}");
    }
    // Also where there is no file, as on another machine.
    let file = home.join("enrollment.db");
    fs::rename(&file, home.join("away")).unwrap();
    assert_eq!(run(&home, &["org", "list"]).exits(3).json()["error"]["code"], "database-unfinished");
    fs::rename(home.join("away"), &file).unwrap();
    fs::write(&settings, before).unwrap();
    run(&home, &["org", "add", "--code=STILL", "--name=N", "--country=CH"]).exits(0);
    moving.relocate(&[]).exits(0);
    assert!(run(&home, &["org", "list"]).exits(0).stdout.contains("STILL"));
}

#[test]
fn the_service_takes_a_mark_away_that_a_move_left() {
    let moving = Relocation::new();
    killed(program(&moving.home(), &["database", "move", "--to", &moving.url()]), "move-switched");
    let mark = || psql(&moving.url(), "SELECT obj_description('audit'::regclass, 'pg_class')");
    assert!(mark().contains("database move"), "{}", mark());
    assert_eq!(moving.installation.serve(&[]).stop(), 0);
    assert_eq!(mark(), "");
}

#[test]
fn whoever_names_another_server_after_the_move_is_told_the_one() {
    let moving = Relocation::new();
    let home = moving.home();
    psql(&moving.url(), "CREATE DATABASE other");
    killed(program(&home, &["database", "move", "--to", &moving.url()]), "move-closed");
    for flags in [&[][..], &["--dry-run"]] {
        let other = moving.server.url("other");
        let refused = run(&home, &[&["database", "move", "--to", &other], flags].concat()).exits(3);
        assert_eq!(refused.json()["error"]["code"], "move-elsewhere", "{}", refused.stdout);
        assert!(refused.stderr.contains("/enroll"), "{}", refused.stderr);
    }
    // The settings cannot be written: the command says what they have to name.
    let settings = home.join("enrollment.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace("environment = ", "\"environment\" = ")).unwrap();
    moving.relocate(&[]).exits(3);
    fs::write(&settings, text).unwrap();
    moving.relocate(&[]).exits(0);
    run(&home, &["org", "list"]).exits(0);
}

#[test]
fn two_who_find_a_database_empty_do_not_both_fill_it() {
    let folder = tempfile::tempdir().unwrap();
    for is_moved in [true, false] {
        let moving = Relocation::new();
        let database = moving.url();
        let (copy, home) = (folder.path().join(format!("copy-{is_moved}")), folder.path().join("home"));
        backup(&moving.home(), &copy);
        // Both come as far as the right to write, and have it in the order in which they came.
        let queue = |length: usize| {
            let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1633272445";
            eventually("those who wait", || psql(&database, waiting).parse() == Ok(length));
        };
        let fill = |with_move: bool| match with_move {
            true => moving.relocate(&[]),
            false => restore(&home, &copy, &["--database", &database]),
        };
        thread::scope(|scope| {
            let holder = "SELECT pg_advisory_xact_lock(5928239741), pg_sleep(600)";
            let held = scope.spawn(|| Run::of(Command::new("psql").args([&database, "-c", holder])));
            queue(1);
            let first = scope.spawn(|| fill(is_moved));
            queue(2);
            let second = scope.spawn(|| fill(!is_moved));
            queue(3);
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()";
            psql(&database, end);
            held.join().unwrap();
            first.join().unwrap().exits(0);
            let refused = second.join().unwrap().exits(3);
            assert_eq!(refused.json()["error"]["code"], "database-occupied", "{}", refused.stdout);
        });
    }
}
