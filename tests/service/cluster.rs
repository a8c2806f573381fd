//! Several processes on one PostgreSQL database: what happens once happens once among all of them, and neither the end of
//! a process nor that of the server takes anything back that was acknowledged.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ptc_enroll::protocol::bulk::{BulkState, BulkStatus};
use ptc_enroll::protocol::messages::{RequestStatus, Revocation, RevocationCode};
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::request::{RequestNumber, State};
use ptc_enroll::protocol::secret::Secret;
use ptc_enroll::service::audit::{Verdict, verify};
use ptc_enroll::service::config::Settings;
use ptc_enroll::service::db::DatabaseError;
use ptc_enroll::service::notices::{Mail, Security};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use time::Duration;

use super::bulk;
use crate::support::database::TestDatabase;
use crate::support::postgres::{PostgresServer, psql};
use crate::support::receivers::{Receiver, eventually, mail_server};
use crate::support::service::{A, Client, Draft, Enrolled, Identity, Reply, Service, operator};
use crate::support::serving::Serving;

/// The service in this process, and others beside it.
struct Cluster {
    others: Vec<Serving>,
    service: Service,
    server: PostgresServer,
}

impl Cluster {
    fn start(others: usize, configure: impl FnOnce(&mut Settings)) -> Self {
        let server = PostgresServer::start();
        let service = Service::on(TestDatabase::on(&server.url("postgres")), configure);
        let log = |number| service.folder().join(format!("log-{number}"));
        let others = (0..others).map(|number| Serving::start(&service.home(), &[], &log(number))).collect();
        Self { others, service, server }
    }

    /// Somebody at the public listener of each process.
    fn public(&self) -> Vec<Client> {
        let others = self.others.iter().map(|other| self.service.client(other.public, None));
        [self.service.public()].into_iter().chain(others).collect()
    }

    /// Somebody at the secure listener of each process, with a connection that stands.
    fn secure(&self, identity: &Identity) -> Vec<Client> {
        let others = self.others.iter().map(|other| self.service.client(other.secure, Some(identity)));
        let clients: Vec<Client> = [self.service.secure(Some(identity))].into_iter().chain(others).collect();
        for client in &clients {
            assert_eq!(client.get("/test").status, 200);
        }
        clients
    }

    /// A new request, through the process here.
    fn submit(&self, secret: &Secret) -> Reply {
        let name = self.service.fresh("PC-");
        self.service.public().submit(secret, None, &Draft::workstation(A, &name))
    }

    fn sql(&self, statement: &str) -> String {
        psql(&self.server.url("enroll"), statement)
    }

    #[track_caller]
    fn audit_is_intact(&self) {
        // The first connection may be one to a server that was stopped meanwhile.
        eventually("a connection", || match self.service.run(verify(self.service.app.database())) {
            Err(DatabaseError::Unavailable { .. }) => false,
            verdict => matches!(verdict.unwrap(), Verdict::Intact { .. }),
        });
    }
}

fn with_mail(server: &Receiver<crate::support::receivers::Received>) -> impl FnOnce(&mut Settings) {
    let port = server.port;
    move |settings| {
        settings.mail = Some(Mail {
            server: "127.0.0.1".to_owned(),
            port: Some(port),
            security: Security::None,
            user: None,
            password_file: None,
            from: "PTC Enroll <enroll@ptc.example>".parse().unwrap(),
            language: ptc_enroll::locales::Language::English,
            reminder_days: 3,
        });
    }
}

/// Does the same at the same time, once for each of these.
fn at_once<T: Sync, R: Send>(these: &[T], what: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let together = Barrier::new(these.len());
    std::thread::scope(|scope| {
        let start = |this| {
            let (together, what) = (&together, &what);
            scope.spawn(move || {
                together.wait();
                what(this)
            })
        };
        let threads: Vec<_> = these.iter().map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn approve(client: &Client, number: RequestNumber, csr_sha256: &str) -> Reply {
    client.post(&format!("/manager/requests/{number}/approve"), &json!({ "csr_sha256": csr_sha256 }))
}

#[test]
fn three_processes_do_everything_once() {
    let mail = mail_server();
    let cluster = Cluster::start(2, with_mail(&mail));
    let service = &cluster.service;
    let secret = service.package(A);
    let public = cluster.public();

    // One key is one request, wherever its repetitions arrive.
    let draft = Draft::workstation(A, "PC-1");
    let everywhere: Vec<&Client> = (0..4).flat_map(|_| &public).collect();
    let replies = at_once(&everywhere, |client| client.submit(&secret, Some("key"), &draft));
    let first: RequestStatus = replies[0].json();
    assert!(replies.iter().all(|reply| reply.json::<RequestStatus>().number == first.number));
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);

    // One identity waits once: each newer request takes the place of the older one, and only of that.
    let drafts: Vec<(usize, Draft)> = (0..9).map(|at| (at, Draft::workstation(A, "PC-2"))).collect();
    let replies = at_once(&drafts, |(at, draft)| public[at % 3].submit(&secret, Some(&format!("key-{at}")), draft));
    assert!(replies.iter().all(|reply| reply.status == 201), "{replies:?}");
    let mut statuses: Vec<RequestStatus> = replies.iter().map(Reply::json).collect();
    statuses.sort_by_key(|status| status.number.0);
    assert!(statuses.windows(2).all(|pair| pair[1].replaces == Some(pair[0].number)), "{statuses:?}");
    let waiting = cluster.sql("SELECT count(*) FROM requests WHERE common_name = 'PC-2' AND state = 'pending'");
    assert_eq!(waiting, "1");

    // Of three approvals one wins, and the others learn who.
    let number = statuses[8].number;
    let csr_sha256 = service.detail(number).csr_sha256;
    let managers = [service.manager(A), service.manager(A), service.manager(A)];
    let clients: Vec<Client> = (0..3).map(|at| cluster.secure(&managers[at]).remove(at)).collect();
    let replies = at_once(&clients, |client| approve(client, number, &csr_sha256));
    let winner = replies.iter().position(|reply| reply.status == 200).unwrap();
    for (at, reply) in replies.iter().enumerate().filter(|(at, _)| *at != winner) {
        let problem = reply.is_problem(ProblemCode::StateConflict);
        let who = format!("manager {}", managers[winner].id);
        assert!(problem.detail.as_ref().unwrap().contains(&who), "{at}: {problem:?}");
    }
    assert_eq!(cluster.sql(&format!("SELECT count(*) FROM certificates WHERE request = {number}")), "1");

    // Many different ones at once: each is signed once.
    let numbers: Vec<(usize, RequestNumber)> = (0..12).map(|at| (at, service.pending(A).number)).collect();
    let clients = cluster.secure(&managers[0]);
    let replies = at_once(&numbers, |(at, number)| {
        let client = &clients[at % 3];
        approve(client, *number, &service.detail(*number).csr_sha256)
    });
    assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    let signed = "SELECT count(*) FROM certificates WHERE request IS NOT NULL AND der IS NOT NULL";
    assert_eq!(cluster.sql(signed), "13");
    let issued = "SELECT count(*) || ' ' || count(DISTINCT object) FROM audit WHERE action = 'certificate.issue'";
    let issued = cluster.sql(issued);
    let (entries, certificates) = issued.split_once(' ').unwrap();
    assert_eq!(entries, certificates, "a certificate was signed twice");

    // Revocations on all of them: every list has a higher number than the one before, and the last one holds them all.
    let serials: Vec<(usize, String)> =
        numbers.iter().map(|(at, number)| (*at, service.detail(*number).status.issued.unwrap().serial)).collect();
    let revocation = Revocation { code: RevocationCode::Superseded, reason: String::new() };
    let replies = at_once(&serials, |(at, serial)| {
        clients[at % 3].post(&format!("/manager/certificates/{serial}/revoke"), &json!(revocation))
    });
    assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    let lists = cluster.sql("SELECT substr(object, 5) FROM audit WHERE action = 'crl.publish' ORDER BY sequence");
    let lists: Vec<u64> = lists.lines().map(|number| number.parse().unwrap()).collect();
    assert!(lists.len() > 1 && lists.windows(2).all(|pair| pair[0] < pair[1]), "{lists:?}");
    assert_eq!(cluster.sql("SELECT max(revocation) FROM crls"), "12");
    assert_eq!(cluster.sql("SELECT count(DISTINCT revocation) FROM certificates"), "12");

    // Every letter once, whoever sent it.
    eventually("the last letter", || service.run(service.app.outbox_state()).unwrap().waiting == 0);
    let letters = mail.received();
    let ids: BTreeSet<String> = letters.iter().map(|letter| letter.header("Message-ID")).collect();
    assert_eq!(ids.len(), letters.len());
    assert_eq!(letters.len().to_string(), cluster.sql("SELECT count(*) FROM outbox"));
    cluster.audit_is_intact();

    let codes: Vec<i32> = cluster.others.into_iter().map(Serving::stop).collect();
    assert_eq!(codes, [0, 0]);
}

#[test]
fn what_was_acknowledged_outlives_the_server() {
    let cluster = Cluster::start(1, |_| {});
    let service = &cluster.service;
    let secret = service.package(A);
    let (over, refused) = (AtomicBool::new(false), AtomicBool::new(false));
    let public = cluster.public();
    let acknowledged = std::thread::scope(|scope| {
        let submit = |at: usize| {
            let (secret, over, refused, client) = (&secret, &over, &refused, &public[at % 2]);
            scope.spawn(move || {
                let mut acknowledged = Vec::new();
                while !over.load(Ordering::SeqCst) {
                    let name = format!("PC-{at}-{}", acknowledged.len());
                    let draft = Draft::workstation(A, &name);
                    // As the client does: the same again under the same key, until it is answered. An answer may also be
                    // cut off, where the service has none to give.
                    eventually("an answer", || {
                        let reply = client.submit(secret, Some(&name), &draft);
                        match reply.status {
                            200 | 201 => acknowledged.push((name.clone(), reply.json::<RequestStatus>().number)),
                            0 => refused.store(true, Ordering::SeqCst),
                            _ => {
                                reply.is_problem(ProblemCode::Unavailable);
                                refused.store(true, Ordering::SeqCst);
                            }
                        }
                        matches!(reply.status, 200 | 201)
                    });
                }
                acknowledged
            })
        };
        let threads: Vec<_> = (0..4).map(submit).collect();
        for _ in 0..2 {
            let accepted = || cluster.sql("SELECT count(*) FROM requests").parse::<i64>().unwrap();
            let before = accepted();
            eventually("requests", || accepted() > before + 20);
            cluster.server.restart_at_once();
            let after = accepted();
            // Nobody starts the service again.
            eventually("requests after the restart", || accepted() > after + 20);
        }
        over.store(true, Ordering::SeqCst);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(refused.load(Ordering::SeqCst), "the server was never gone");
    assert!(acknowledged.len() > 80, "{}", acknowledged.len());
    let stored = cluster.sql("SELECT common_name || ' ' || number FROM requests");
    let stored: BTreeSet<&str> = stored.lines().collect();
    let acknowledged: BTreeSet<String> = acknowledged.iter().map(|(name, number)| format!("{name} {number}")).collect();
    // Each of them is there, once, and nothing besides.
    assert_eq!(stored, acknowledged.iter().map(String::as_str).collect());
    cluster.audit_is_intact();
}

#[test]
fn a_server_that_is_gone_is_said_at_once_and_found_again() {
    let cluster = Cluster::start(0, |_| {});
    let service = &cluster.service;
    let secret = service.package(A);
    let submit = || cluster.submit(&secret);
    assert_eq!(submit().status, 201);
    cluster.server.stop();
    for _ in 0..3 {
        let reply = submit();
        reply.is_problem(ProblemCode::Unavailable);
        assert!(reply.header("retry-after").is_some());
    }
    let list = service.run(service.app.list_organisations(&operator()));
    assert!(matches!(&list, Err(ptc_enroll::service::error::Failure::Database(DatabaseError::Unavailable { .. }))));
    cluster.server.start_again();
    assert_eq!(submit().status, 201);
}

#[test]
fn a_server_that_says_nothing_any_more_is_given_up() {
    let cluster = Cluster::start(0, |_| {});
    let service = &cluster.service;
    let secret = service.package(A);
    let (public, draft) = (service.public(), Draft::workstation(A, "PC-1"));
    let submit = || cluster.submit(&secret);
    assert_eq!(submit().status, 201);
    // As behind a firewall that has forgotten the connection: it stands, and nothing comes. What was in use a moment ago is not
    // tried first.
    let writer = "SELECT pid FROM pg_stat_activity WHERE application_name = 'ptc-enrollment' AND query = 'COMMIT'
                      AND state_change < now() - interval '1.1 s'";
    eventually("a connection that was not in use for a while", || !cluster.sql(writer).is_empty());
    let writer = Pid::from_raw(cluster.sql(writer).parse().unwrap()).unwrap();
    kill_process(writer, Signal::STOP).unwrap();
    // Also where everybody is in a hurry.
    let hurry = std::time::Duration::from_millis(500);
    eventually("another connection", || {
        let write = async {
            tokio::time::timeout(hurry, service.app.database().write()).await.is_ok_and(|write| write.is_ok())
        };
        service.run(write)
    });
    assert_eq!(submit().status, 201);
    kill_process(writer, Signal::CONT).unwrap();
    // A commit that waits for a standby, which no limit of the server ends.
    let standby = |name: &str| {
        cluster.sql(&format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'"));
        cluster.sql("SELECT pg_reload_conf()");
        eventually("the setting", || cluster.sql("SHOW synchronous_standby_names") == name);
    };
    standby("gone");
    let reply = public.submit(&secret, Some("key"), &draft);
    assert!(reply.is_problem(ProblemCode::Unavailable).detail.unwrap().contains("did not say"), "{}", reply.text());
    submit().is_problem(ProblemCode::Unavailable);
    standby("");
    // It is on record, and all goes on.
    let again = public.submit(&secret, Some("key"), &draft);
    assert_eq!(again.status, 200, "{}", again.text());
    assert_eq!(submit().status, 201);
    assert_eq!(cluster.sql("SELECT count(*) FROM requests"), "4");
    cluster.audit_is_intact();
}

#[test]
fn whom_the_server_no_longer_lets_in_is_asked_to_come_again() {
    let cluster = Cluster::start(0, |_| {});
    let service = &cluster.service;
    let secret = service.package(A);
    let submit = || cluster.submit(&secret);
    assert_eq!(submit().status, 201);
    let elsewhere = |statement: &str| psql(&cluster.server.url("postgres"), statement);
    elsewhere("ALTER DATABASE enroll ALLOW_CONNECTIONS false");
    elsewhere("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'enroll'");
    for _ in 0..3 {
        submit().is_problem(ProblemCode::Unavailable);
    }
    elsewhere("ALTER DATABASE enroll ALLOW_CONNECTIONS true");
    assert_eq!(submit().status, 201);
}

#[test]
fn who_waited_in_vain_for_the_right_to_write_has_it_the_next_time() {
    let cluster = Cluster::start(0, |_| {});
    let service = &cluster.service;
    let secret = service.package(A);
    let submit = || cluster.submit(&secret);
    // As a process that hangs while it writes.
    let hung = service.run(async {
        let mut connection = PgConnection::connect(&cluster.server.url("enroll")).await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT pg_advisory_xact_lock(5928239741)").execute(&mut connection).await.unwrap();
        connection
    });
    // Given up halfway by one, and by the server for the other.
    assert_eq!(service.operations().send_to("GET", "/readyz", &[], None).status, 503);
    submit().is_problem(ProblemCode::Unavailable);
    service.run(hung.close()).unwrap();
    assert_eq!(submit().status, 201);
    assert_eq!(cluster.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
}

#[test]
fn what_failed_before_its_commit_is_not_told_as_unknown() {
    let cluster = Cluster::start(0, |_| {});
    let database = cluster.service.app.database();
    let writer = cluster.service.run(database.write()).unwrap();
    cluster.sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE state = 'idle in transaction'");
    let outcome = cluster.service.run(writer.commit());
    assert!(matches!(outcome, Err(DatabaseError::Unavailable { .. })), "{outcome:?}");
}

#[test]
fn the_server_ends_what_nobody_waits_for() {
    let cluster = Cluster::start(0, |_| {});
    let left = Instant::now();
    cluster.service.run(async {
        let mut reader = cluster.service.app.database().read().await.unwrap();
        let ptc_enroll::service::db::Connection::Postgres(connection) = &mut *reader else { unreachable!() };
        let statement = sqlx::raw_sql("SELECT pg_sleep(29)").execute(&mut **connection);
        tokio::time::timeout(std::time::Duration::from_millis(200), statement).await.unwrap_err();
    });
    let active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(29)'";
    assert_eq!(cluster.sql(active), "1");
    eventually("the end of the statement", || cluster.sql(active) == "0");
    // By itself it would have ended later.
    assert!(left.elapsed() < std::time::Duration::from_secs(25));
}

#[test]
fn a_process_that_dies_leaves_nothing_undone() {
    let mail = mail_server();
    let mut cluster = Cluster::start(2, with_mail(&mail));
    let victim = cluster.others.pop().unwrap();
    let service = &cluster.service;
    let manager = service.manager(A);
    let enrolled: Vec<Enrolled> = (0..20).map(|_| service.pending(A)).collect();
    let numbers: Vec<RequestNumber> = enrolled.iter().map(|enrolled| enrolled.number).collect();
    let client = service.client(victim.secure, Some(&manager));
    assert_eq!(client.get("/test").status, 200);
    let details: Vec<(RequestNumber, String)> =
        numbers.iter().map(|number| (*number, service.detail(*number).csr_sha256)).collect();
    let approved = "SELECT count(*) FROM requests WHERE state = 'approved'";
    let mut victim = Some(victim);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            for (number, csr_sha256) in &details {
                if approve(&client, *number, csr_sha256).status != 200 {
                    break;
                }
            }
        });
        eventually("the first approvals", || cluster.sql(approved).parse::<u32>().unwrap() >= 5);
        victim.take().unwrap().kill();
        asked.join().unwrap();
    });
    let done: u32 = cluster.sql(approved).parse().unwrap();
    assert!((5..20).contains(&done), "{done}");
    // What it did not decide, others decide; what it recorded and did not sign, they sign when its client asks.
    let survivor = service.client(cluster.others[0].secure, Some(&manager));
    for (number, csr_sha256) in &details {
        let reply = approve(&survivor, *number, csr_sha256);
        assert!(matches!(reply.status, 200 | 409), "{}", reply.text());
    }
    let public = cluster.public();
    for Enrolled { number, draft } in &enrolled {
        let status: RequestStatus = public[1].get_as(&draft.token, &format!("/requests/{number}")).json();
        assert!(status.state == State::Approved && status.issued.is_some(), "{status:?}");
    }
    let unsigned = "SELECT count(*) FROM certificates WHERE der IS NULL";
    assert_eq!(cluster.sql(unsigned), "0");
    cluster.audit_is_intact();
    // A letter that the dead one had taken is due again after a while, here within this process's own time: by that, one that
    // the other one is sending would be due too.
    let waiting = || service.run(service.app.outbox_state()).unwrap().waiting;
    eventually("all other letters", || waiting() <= 1);
    service.advance(Duration::hours(1));
    let last = service.pending(A).number;
    eventually("all letters", || waiting() == 0);
    let letters = mail.received();
    let told: BTreeSet<String> = letters.iter().map(|letter| letter.header("Message-ID")).collect();
    assert_eq!(told.len().to_string(), cluster.sql("SELECT count(*) FROM outbox"), "{last}");
    assert!(letters.len() <= told.len() + 1, "only one letter may have been under way");
}

#[test]
fn bulk_decisions_are_worked_off_once_whichever_process_does_it() {
    let mut cluster = Cluster::start(2, |_| {});
    let victim = cluster.others.pop().unwrap();
    let service = &cluster.service;
    let manager = service.manager(A);
    let shown = service.pending_many(A, 1_600);
    // Three of them at once, on each process one; the second and third want what the first wants too.
    let ports = [cluster.others[0].secure, victim.secure];
    let clients: Vec<Client> = ports.into_iter().map(|port| service.client(port, Some(&manager))).collect();
    let wanted = [&shown[..1_200], &shown[600..], &shown[..600]];
    let ids: Vec<u64> = wanted
        .into_iter()
        .enumerate()
        .map(|(at, shown)| bulk::approve_all(&clients[at % 2], shown).json::<BulkStatus>().id)
        .collect();
    let approved = || cluster.sql("SELECT count(*) FROM requests WHERE state = 'approved'").parse::<u32>().unwrap();
    eventually("the first decisions", || approved() > 0);
    victim.kill();
    let statuses: Vec<BulkStatus> = ids.iter().map(|id| bulk::ended(&clients[0], *id)).collect();
    assert!(statuses.iter().all(|status| status.state == BulkState::Finished), "{statuses:?}");
    assert_eq!(statuses.iter().map(|status| status.approved).sum::<u64>(), 1_600, "{statuses:?}");
    assert_eq!(statuses.iter().map(|status| status.refused).sum::<u64>(), 1_200, "{statuses:?}");
    let certificates = "SELECT count(*) || ' ' || count(DISTINCT request) FROM certificates WHERE request > 0";
    assert_eq!(cluster.sql(certificates), "1600 1600");
    let entries = "SELECT count(*) || ' ' || count(DISTINCT object) FROM audit WHERE action = 'request.approve'";
    assert_eq!(cluster.sql(entries), "1600 1600");
    let unsigned = "SELECT count(*) FROM certificates WHERE der IS NULL";
    eventually("the last signatures", || {
        service.run(service.app.sign_recorded()).unwrap();
        cluster.sql(unsigned) == "0"
    });
    cluster.audit_is_intact();
}
