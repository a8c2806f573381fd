//! Killed at random moments under load, the service keeps its promises: clients submit, managers approve and revoke, all of
//! them ask again until they are answered, and the process dies and comes back, hundreds of times.
//!
//! `PTC_KILL_SEED` repeats the moments of a run (not what the threads do in them), `PTC_KILL_ROUNDS` says how many rounds
//! there are.

use std::collections::{BTreeSet, VecDeque};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ptc_enroll::protocol::messages::{RequestStatus, Revocation, RevocationCode};
use ptc_enroll::protocol::request::State;
use ptc_enroll::protocol::secret::Secret;
use serde_json::json;

use super::promises::{Record, Told, is_on};
use crate::support::chance::{Chance, seed};
use crate::support::service::{A, Client, Draft, Enrolled, Identity, Service};
use crate::support::serving::{PROGRAM, Serving, serve};
use crate::support::site::{Machine, Run, free_port};

/// Rounds in all, unless the environment says otherwise; on a server, where each costs more, a fifth of them.
const ROUNDS: usize = 500;
/// Sites at the same time, which share the rounds.
const SITES: usize = 4;
/// After so many rounds everything is looked at, and not merely what was told.
const THOROUGH: usize = 25;
/// In one of so many rounds the process dies before it listens.
const EARLY: usize = 10;
/// In one of so many rounds the real client runs, and dies too.
const WITH_CLIENT: usize = 12;
/// Who asks at the same time.
const CALLERS: usize = 3;

/// The machine of the real client.
const FIELDS: [&str; 5] =
    ["submit", "--email=admin@poste.example", "--locality=Paris", "--key=ec-p256", "--common-name=PC-REAL"];

/// What happened in all sites.
#[derive(Default)]
struct Figures {
    under_load: AtomicUsize,
    early: AtomicUsize,
    clients: AtomicUsize,
    answered: AtomicUsize,
    unanswered: AtomicUsize,
}

/// A request on its way, and what is asked for next. Whoever gets no answer asks for the same again.
enum Errand {
    Submit(Draft),
    Approve(Enrolled),
    Report(Enrolled),
    Revoke(Enrolled),
}

/// A service with those who ask it for something.
struct Site<'a> {
    service: Service,
    secret: Secret,
    manager: Identity,
    machine: Machine,
    told: Mutex<Told>,
    errands: Mutex<VecDeque<Errand>>,
    figures: &'a Figures,
}

#[test]
fn hundreds_of_kills_at_random_moments_take_nothing_back() {
    let seed = seed("PTC_KILL_SEED");
    println!("PTC_KILL_SEED={seed}");
    let (start, figures) = (Instant::now(), Figures::default());
    let rounds: usize = thread::scope(|scope| {
        let site = |number| {
            let (chance, figures) = (Chance(seed.wrapping_add(number)), &figures);
            scope.spawn(move || Site::start(figures).survives(chance))
        };
        let sites: Vec<_> = (0..SITES as u64).map(site).collect();
        sites.into_iter().map(|site| site.join().unwrap()).sum()
    });
    let [under_load, early, clients, answered, unanswered] =
        [&figures.under_load, &figures.early, &figures.clients, &figures.answered, &figures.unanswered]
            .map(|figure| figure.load(Ordering::SeqCst));
    println!(
        "{rounds} rounds survived in {:.0?}: killed {under_load} times under load, {early} times before it listened, the \
         client {clients} times; {answered} calls were answered and {unanswered} not",
        start.elapsed()
    );
    assert!(answered > rounds / 2 && unanswered > rounds, "the kills met no calls");
}

impl<'a> Site<'a> {
    fn start(figures: &'a Figures) -> Self {
        let port = free_port();
        let mut service = Service::with_settings(|settings| {
            settings.public_url = format!("https://127.0.0.1:{port}");
            settings.public_listen.set_port(port);
        });
        let (secret, manager) = (service.package(A), service.manager(A));
        service.stop();
        let home = service.folder().join("machine");
        let mut create = Command::new(PROGRAM);
        create.arg("--home").arg(service.home()).args(["package", "create", "--organisation", A]);
        Run::of(create.args(["--kind=workstation", "--store=machine", "--out"]).arg(&home)).exits(0);
        let machine = Machine::at(home);
        let (told, errands) = Default::default();
        Self { service, secret, manager, machine, told, errands, figures }
    }

    /// Goes through its share of the rounds, and says how many these were.
    fn survives(mut self, mut chance: Chance) -> usize {
        let usual = if self.service.on_a_server() { ROUNDS / 5 } else { ROUNDS };
        let rounds = std::env::var("PTC_KILL_ROUNDS").map_or(usual, |rounds| rounds.parse().unwrap()) / SITES;
        let life = if self.service.on_a_server() { 900 } else { 300 };
        for round in 1..=rounds {
            if chance.below(EARLY) == 0 {
                die(serve(&self.service.home(), &[]), up_to(&mut chance, 80));
                self.figures.early.fetch_add(1, Ordering::SeqCst);
            } else {
                let client = (chance.below(WITH_CLIENT) == 0).then(|| up_to(&mut chance, 300));
                self.lives(up_to(&mut chance, life), client);
                self.figures.under_load.fetch_add(1, Ordering::SeqCst);
            }
            let told = self.told.get_mut().unwrap();
            let record = Record::of(&self.service);
            record.has_what_was_told(told);
            if round % THOROUGH == 0 {
                record.keeps(told);
            }
        }
        self.finishes();
        rounds
    }

    fn serving(&self) -> Serving {
        Serving::start(&self.service.home(), &[], &self.service.folder().join("serving.log"))
    }

    fn callers(&self, serving: &Serving) -> (Client, Client) {
        (self.service.client(serving.public, None), self.service.client(serving.secure, Some(&self.manager)))
    }

    /// The process lives for a while in which everybody asks it for something, and so does the real client.
    fn lives(&self, life: Duration, client: Option<Duration>) {
        let serving = self.serving();
        let callers: Vec<_> = (0..CALLERS).map(|_| self.callers(&serving)).collect();
        thread::scope(|scope| {
            for (public, secure) in &callers {
                // Who gets no answer knows that the process is dead.
                scope.spawn(|| while self.go_on(public, secure) {});
            }
            if let Some(life) = client {
                scope.spawn(move || die(self.machine.command(FIELDS), life));
                self.figures.clients.fetch_add(1, Ordering::SeqCst);
            }
            thread::sleep(life);
            serving.kill();
        });
    }

    /// Takes the errand that waits longest one step further, or begins one; `false` where there was no answer.
    fn go_on(&self, public: &Client, secure: &Client) -> bool {
        let waiting = self.errands.lock().unwrap().pop_front();
        let errand = waiting.unwrap_or_else(|| Errand::Submit(Draft::workstation(A, &self.service.fresh("PC-"))));
        let (answered, next) = self.ask(public, secure, errand);
        let figure = if answered { &self.figures.answered } else { &self.figures.unanswered };
        figure.fetch_add(1, Ordering::SeqCst);
        self.errands.lock().unwrap().extend(next);
        answered
    }

    /// Asks, and says whether there was an answer and what is to be asked next.
    fn ask(&self, public: &Client, secure: &Client, errand: Errand) -> (bool, Option<Errand>) {
        match errand {
            Errand::Submit(draft) => {
                let reply = public.submit(&self.secret, Some(&draft.submission.csr.sha256()), &draft);
                match reply.status {
                    200 | 201 => {
                        let enrolled = Enrolled { number: reply.json::<RequestStatus>().number, draft };
                        self.tell(&enrolled, &reply.json());
                        (true, Some(Errand::Approve(enrolled)))
                    }
                    0 | 503 => (false, Some(Errand::Submit(draft))),
                    _ => panic!("{}", reply.text()),
                }
            }
            Errand::Approve(enrolled) => {
                let body = json!({ "csr_sha256": enrolled.draft.submission.csr.sha256() });
                let reply = secure.post(&format!("/manager/requests/{}/approve", enrolled.number), &body);
                // Who got no answer the first time is told that it was done.
                let decided = match reply.status {
                    200 | 409 => public.get_as(&enrolled.draft.token, &format!("/requests/{}", enrolled.number)),
                    0 | 503 => return (false, Some(Errand::Approve(enrolled))),
                    _ => panic!("{}", reply.text()),
                };
                match decided.status {
                    200 => {
                        let status: RequestStatus = decided.json();
                        assert!(status.state == State::Approved && status.issued.is_some(), "{status:?}");
                        self.tell(&enrolled, &status);
                        (true, Some(Errand::Report(enrolled)))
                    }
                    0 | 503 => (false, Some(Errand::Approve(enrolled))),
                    _ => panic!("{}", decided.text()),
                }
            }
            Errand::Report(enrolled) => {
                let bearer = format!("Bearer {}", enrolled.draft.token.expose());
                let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
                let path = format!("/requests/{}/outcome", enrolled.number);
                let reply = public.send("PUT", &path, &headers, Some(br#"{"state":"installed"}"#));
                match reply.status {
                    200 => {
                        self.tell(&enrolled, &reply.json());
                        // The others keep theirs.
                        (true, enrolled.number.0.is_multiple_of(3).then_some(Errand::Revoke(enrolled)))
                    }
                    0 | 503 => (false, Some(Errand::Report(enrolled))),
                    _ => panic!("{}", reply.text()),
                }
            }
            Errand::Revoke(enrolled) => {
                let serial = self.told.lock().unwrap().serial(enrolled.number);
                let revocation = Revocation { code: RevocationCode::Superseded, reason: String::new() };
                let reply = secure.post(&format!("/manager/certificates/{serial}/revoke"), &json!(revocation));
                let list = match reply.status {
                    200 | 409 => public.get("/ca/crl"),
                    0 | 503 => return (false, Some(Errand::Revoke(enrolled))),
                    _ => panic!("{}", reply.text()),
                };
                match list.status {
                    200 => {
                        assert!(is_on(&list.body, &serial), "{serial} is revoked and not listed");
                        let csr_sha256 = enrolled.draft.submission.csr.sha256();
                        self.told.lock().unwrap().decided(&csr_sha256, enrolled.number, State::Revoked);
                        (true, None)
                    }
                    0 | 503 => (false, Some(Errand::Revoke(enrolled))),
                    _ => panic!("{}", list.text()),
                }
            }
        }
    }

    fn tell(&self, enrolled: &Enrolled, status: &RequestStatus) {
        self.told.lock().unwrap().status(&enrolled.draft.submission.csr.sha256(), status);
    }

    /// Nobody dies any more: all errands come to their end, and so does the real client.
    fn finishes(&self) {
        let serving = self.serving();
        let (public, secure) = self.callers(&serving);
        loop {
            let Some(errand) = self.errands.lock().unwrap().pop_front() else { break };
            let (answered, next) = self.ask(&public, &secure, errand);
            assert!(answered);
            self.errands.lock().unwrap().extend(next);
        }
        self.machine.run(FIELDS).exits(0);
        let waiting = "SELECT number FROM requests WHERE common_name = 'PC-REAL' AND state = 'pending'";
        let record = Record::of(&self.service);
        let waiting: Vec<(i64,)> = record.rows(waiting);
        let [(number,)] = waiting[..] else { panic!("{waiting:?} wait for one machine") };
        let path = format!("/manager/requests/{number}");
        let shown: serde_json::Value = secure.get(&path).json();
        let approval = json!({ "csr_sha256": shown["csr_sha256"] });
        assert_eq!(secure.post(&format!("{path}/approve"), &approval).status, 200);
        self.machine.run(["fetch"]).exits(0);
        assert_eq!(self.machine.keys().len(), 1, "a key too many");
        // Each request of this machine is one that it knows of, and the other way round.
        let known = self.machine.records().iter().map(|known| known["status"]["number"].as_i64().unwrap()).collect();
        let requests: Vec<(i64, String)> =
            record.rows("SELECT number, state FROM requests WHERE common_name = 'PC-REAL' ORDER BY number");
        assert_eq!(requests.iter().map(|(number, _)| *number).collect::<BTreeSet<_>>(), known);
        let last = requests.iter().rev().map(|(number, state)| (*number, state.as_str())).next();
        assert_eq!(last, Some((number, "installed")));
        record.keeps_all(&self.told.lock().unwrap());
    }
}

/// A time up to so many milliseconds.
fn up_to(chance: &mut Chance, milliseconds: usize) -> Duration {
    Duration::from_micros(chance.below(milliseconds * 1_000) as u64)
}

/// Runs a program that is killed after a while.
fn die(mut command: Command, life: Duration) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    thread::sleep(life);
    child.kill().unwrap();
    child.wait().unwrap();
}
