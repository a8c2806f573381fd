//! The power fails at every sync of the service: what was answered before is there, and everything else is as if it had
//! never come.
//!
//! On PostgreSQL this is the server's part: `cluster.rs` stops one at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ptc_enroll::protocol::messages::{RequestStatus, Revocation, RevocationCode};
use ptc_enroll::protocol::request::State;
use ptc_enroll::service::app::{App, Clock};
use ptc_enroll::service::config::Home;
use ptc_enroll::service::db::{Connection, Database, Place};
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

use super::promises::{Record, Told};
use crate::support::chance::{Chance, SEED};
use crate::support::disk::{Kept, Recording};
use crate::support::service::{A, Draft, Service};
use crate::support::serving::{PROGRAM, Serving, serve};
use crate::support::site::Run;
use crate::support::strace::recorded;

/// How many requests go through their life in each of two runs of the process.
const REQUESTS: usize = 3;

/// Something that somebody was told, and how far the recording was then.
type Answer = (usize, Box<dyn Fn(&mut Told)>);

#[test]
fn what_was_answered_survives_a_power_failure_at_every_sync() {
    let mut service = Service::start();
    if service.on_a_server() {
        return;
    }
    let (secret, manager) = (service.package(A), service.manager(A));
    service.stop();
    // Nobody else has the file open, so that the process moves its log into it when it ends.
    service.run(service.app.database().close());
    let mut recording = Recording::of(&service.home());
    let mut answers: Vec<Answer> = Vec::new();
    for run in 0..2 {
        let trace = service.folder().join(format!("trace-{run}"));
        let serving =
            Serving::of(recorded(&serve(&service.home(), &[]), &trace), &service.folder().join("serving.log"));
        let (public, secure) = (service.client(serving.public, None), service.client(serving.secure, Some(&manager)));
        for _ in 0..REQUESTS {
            let draft = Draft::workstation(A, &service.fresh("PC-"));
            let csr_sha256 = draft.submission.csr.sha256();
            let mut told = |status: RequestStatus| {
                let csr_sha256 = csr_sha256.clone();
                answers.push((recording.position(&trace), Box::new(move |told| told.status(&csr_sha256, &status))));
            };
            let reply = public.submit(&secret, None, &draft);
            assert_eq!(reply.status, 201, "{}", reply.text());
            let number = reply.json::<RequestStatus>().number;
            told(reply.json());
            let approval = json!({ "csr_sha256": csr_sha256 });
            assert_eq!(secure.post(&format!("/manager/requests/{number}/approve"), &approval).status, 200);
            let status: RequestStatus = public.get_as(&draft.token, &format!("/requests/{number}")).json();
            let serial = status.issued.as_ref().unwrap().serial.clone();
            told(status);
            let revocation = Revocation { code: RevocationCode::KeyCompromise, reason: String::new() };
            let path = format!("/manager/certificates/{serial}/revoke");
            assert_eq!(secure.post(&path, &json!(revocation)).status, 200);
            let list = public.get("/ca/crl").body;
            let position = recording.position(&trace);
            answers.push((
                position,
                Box::new(move |told| {
                    told.decided(&csr_sha256, number, State::Revoked);
                    told.list(&list);
                }),
            ));
        }
        // The first one moves its log into the file, the second one has no time to.
        if run == 0 {
            assert_eq!(serving.stop(), 0)
        } else {
            serving.kill()
        }
        recording.read(&trace);
    }
    let mut moments = recording.moments();
    moments.extend(answers.iter().map(|(position, _)| *position));
    moments.sort_unstable();
    moments.dedup();
    let mut chance = Chance(SEED);
    let mut survived = 0;
    for (at, moment) in moments.iter().enumerate() {
        for kept in [Kept::Nothing, Kept::Names, Kept::Some] {
            let folder = tempfile::tempdir().unwrap();
            let home = folder.path().join("home");
            recording.restore(*moment, kept, &mut chance, &home);
            let mut told = Told::default();
            answers.iter().filter(|(position, _)| position <= moment).for_each(|(_, tell)| tell(&mut told));
            opens(&service, &home, &told);
            // And so says the real program, now and then.
            if at % 10 == 0 {
                Run::of(Command::new(PROGRAM).arg("--home").arg(&home).args(["audit", "verify"])).exits(0);
            }
            survived += 1;
        }
    }
    println!("{survived} power failures survived at {} moments, {} answers", moments.len(), answers.len());
    assert!(survived > 200, "{survived}");
}

/// A database of an earlier version, brought up to date.
#[test]
fn a_migration_survives_a_power_failure_at_every_sync() {
    let mut service = Service::start();
    if service.on_a_server() {
        return;
    }
    service.stop();
    service.run(service.app.database().close());
    let database = service.home().join("enrollment.db");
    fs::remove_file(&database).unwrap();
    service.run(make_old(&database, service.folder()));
    let mut recording = Recording::of(&service.home());
    let trace = service.folder().join("trace");
    let mut open = Command::new(PROGRAM);
    open.arg("--home").arg(service.home()).args(["audit", "verify"]);
    // It is up to date then, and not this installation's: it has no audit record.
    Run::of(&mut recorded(&open, &trace)).exits(3);
    recording.read(&trace);
    let mut chance = Chance(SEED);
    let mut survived = 0;
    for moment in recording.moments() {
        for kept in [Kept::Nothing, Kept::Names, Kept::Some] {
            let folder = tempfile::tempdir().unwrap();
            let home = folder.path().join("home");
            recording.restore(moment, kept, &mut chance, &home);
            service.run(async {
                let path = home.join("enrollment.db");
                let database = Database::open(&Place::File(path)).await.unwrap();
                let mut reading = database.read().await.unwrap();
                let Connection::Sqlite(connection) = &mut *reading else { panic!("not a file") };
                let query =
                    "SELECT (SELECT integrity_check FROM pragma_integrity_check), (SELECT count(*) FROM requests),
                    (SELECT sum(requests) FROM request_counts), (SELECT sum(requests) FROM request_totals),
                    (SELECT count(*) FROM _sqlx_migrations WHERE success)";
                let found: (String, i64, i64, i64, i64) =
                    sqlx::query_as(query).fetch_one(&mut **connection).await.unwrap();
                assert_eq!(
                    found,
                    ("ok".to_owned(), OLD_REQUESTS, OLD_REQUESTS, OLD_REQUESTS, migrations().len() as i64),
                    "at {moment}, {kept:?} kept"
                );
            });
            survived += 1;
        }
    }
    println!("{survived} power failures survived");
    assert!(survived > 20, "{survived}");
}

/// How many requests the old database has.
const OLD_REQUESTS: i64 = 500;

/// The migrations, oldest first.
fn migrations() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/service/db/migrations/sqlite");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A database as the first version left it.
async fn make_old(path: &Path, folder: &Path) {
    let (first, old) = (&migrations()[0], folder.join("migrations"));
    fs::create_dir(&old).unwrap();
    fs::copy(first, old.join(first.file_name().unwrap())).unwrap();
    let options =
        SqliteConnectOptions::new().filename(path).create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::migrate::Migrator::new(old).await.unwrap().run(&pool).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO organisations VALUES ('J1CFRA', 'FRANCE LA POSTE', 'FR', 0);
         INSERT INTO packages VALUES (1, 'J1CFRA', 'workstation', 'machine', 0, 'x', 0, NULL);
         WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 500)
         INSERT INTO requests (organisation, package, kind, common_name, identity, state, csr, csr_sha256, key_sha256,
             token_sha256, body_sha256, machine, contact, mac_address, search, submitted_at)
         SELECT 'J1CFRA', 1, 'workstation', 'PC-' || number, 'pc-' || number, 'pending', zeroblob(800), number, number,
             'x', 'x', '{}', '{}', '', 'pc-' || number, 0 FROM numbers",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
}

/// Opens an installation that lost its power, and insists on what was told.
#[track_caller]
fn opens(service: &Service, home: &Path, told: &Told) {
    let app = service.run(App::open(Home::new(home), Clock::system())).unwrap();
    let record = Record { app: &app, runtime: &service.runtime };
    assert_eq!(record.rows::<(String,)>("PRAGMA integrity_check"), [("ok".to_owned(),)]);
    record.keeps(told);
    service.run(app.database().close());
}
