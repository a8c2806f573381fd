//! The service against a plain model of it: random sequences of what clients, managers, time and power do, and after each
//! step the same answer, the same states and the same certificates. What fails is shrunk to the shortest sequence.
//!
//! `PTC_FUZZ_SEED` repeats a run, `PTC_MODEL_CASES` says how many sequences there are; what ever failed is kept in
//! `tests/data/model.txt` and comes first.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestRunner};
use ptc_enroll::protocol::batch::{HeldRequest, StatusQuery, StatusResult, StatusResults};
use ptc_enroll::protocol::messages::{Page, RequestDetail, RequestStatus, RequestSummary};
use ptc_enroll::protocol::problem::{Problem, ProblemCode};
use ptc_enroll::protocol::request::{Kind, RequestNumber, State};
use ptc_enroll::protocol::secret::{Secret, hex};
use ptc_enroll::service::audit::{self, Verdict};
use ptc_enroll::service::registration::CertificateQuery;
use serde_json::json;
use time::Duration;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate, X509CertificationRequest};

use crate::support::chance::seed;
use crate::support::service::{A, B, Draft, Identity, Reply, Service, new_package, operator, secret_of};

const ORGANISATIONS: [&str; 2] = [A, B];

/// Who asks: organisation, kind and name. The same names in both organisations are not the same machines.
const MACHINES: [(usize, Kind, &str); 6] = [
    (0, Kind::Workstation, "PC-1"),
    (0, Kind::Workstation, "PC-2"),
    (0, Kind::ExternalServer, "api.poste.example"),
    (1, Kind::Workstation, "PC-1"),
    (1, Kind::Workstation, "PC-3"),
    (1, Kind::ExternalServer, "api.poste.example"),
];

/// Managers by number: the organisations' own, then the PTC manager.
const PTC: usize = 2;

/// What happens. A request is meant by any number; what is left of it by division counts.
#[derive(Debug, Clone)]
enum Step {
    Submit { machine: usize },
    Repeat { request: usize },
    Approve { manager: usize, request: usize },
    Reject { manager: usize, request: usize },
    CollectAnothers { request: usize },
    Report { request: usize },
    Revoke { manager: usize, request: usize },
    DisablePackage { organisation: usize },
    DisableManager { organisation: usize },
    TimePasses,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let request = || 0..60_usize;
    let manager = || 0..=PTC;
    let step = prop_oneof![
        8 => (0..MACHINES.len()).prop_map(|machine| Step::Submit { machine }),
        2 => request().prop_map(|request| Step::Repeat { request }),
        6 => (manager(), request()).prop_map(|(manager, request)| Step::Approve { manager, request }),
        3 => (manager(), request()).prop_map(|(manager, request)| Step::Reject { manager, request }),
        1 => request().prop_map(|request| Step::CollectAnothers { request }),
        3 => request().prop_map(|request| Step::Report { request }),
        3 => (manager(), request()).prop_map(|(manager, request)| Step::Revoke { manager, request }),
        1 => (0..2_usize).prop_map(|organisation| Step::DisablePackage { organisation }),
        1 => (0..2_usize).prop_map(|organisation| Step::DisableManager { organisation }),
        2 => Just(Step::TimePasses),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

/// What is answered: yes, or no and why.
type Answer = Result<(), ProblemCode>;

/// The service, as plainly as it can be said.
#[derive(Default)]
struct Model {
    requests: Vec<Modelled>,
    packages_disabled: [bool; 2],
    managers_disabled: [bool; 2],
}

#[derive(Clone, Copy)]
struct Modelled {
    machine: usize,
    state: State,
    days: i64,
}

impl Modelled {
    fn organisation(self) -> usize {
        MACHINES[self.machine].0
    }

    fn kind(self) -> Kind {
        MACHINES[self.machine].1
    }
}

impl Model {
    fn submit(&mut self, machine: usize) -> Answer {
        if self.packages_disabled[MACHINES[machine].0] {
            return Err(ProblemCode::Forbidden);
        }
        let same = self.requests.iter_mut().filter(|known| known.machine == machine && known.state == State::Pending);
        same.for_each(|known| known.state = State::Cancelled);
        self.requests.push(Modelled { machine, state: State::Pending, days: 0 });
        Ok(())
    }

    /// Whether a manager may decide on a request.
    fn may(&self, manager: usize, request: usize) -> Answer {
        let request = self.requests[request];
        if manager == PTC {
            return Ok(());
        }
        match request.kind() {
            _ if self.managers_disabled[manager] => Err(ProblemCode::CallerRevoked),
            _ if request.organisation() != manager => Err(ProblemCode::NotFound),
            Kind::Workstation => Ok(()),
            _ => Err(ProblemCode::Forbidden),
        }
    }

    fn decide(&mut self, manager: usize, request: usize, verdict: State) -> Answer {
        self.may(manager, request)?;
        match self.requests[request].state {
            State::Pending => self.requests[request].state = verdict,
            State::Cancelled => return Err(ProblemCode::Superseded),
            _ => return Err(ProblemCode::StateConflict),
        }
        Ok(())
    }

    fn report(&mut self, request: usize) -> Answer {
        let known = &mut self.requests[request];
        match known.state {
            State::Approved | State::Installed | State::Downloaded => known.state = known.kind().outcome(),
            _ => return Err(ProblemCode::StateConflict),
        }
        Ok(())
    }

    fn revoke(&mut self, manager: usize, request: usize) -> Answer {
        self.may(manager, request)?;
        match self.requests[request].state {
            State::Approved | State::Installed | State::Downloaded => self.requests[request].state = State::Revoked,
            _ => return Err(ProblemCode::StateConflict),
        }
        Ok(())
    }

    fn days_pass(&mut self, days: i64) {
        for known in &mut self.requests {
            known.days += days;
            if known.state == State::Pending && known.days >= 30 {
                known.state = State::Expired;
            }
        }
    }
}

/// What is known of a request outside of the service.
struct Held {
    number: RequestNumber,
    draft: Draft,
    key: String,
    serial: Option<String>,
}

/// The real service, with everybody who uses it.
struct World {
    service: Service,
    model: Model,
    held: Vec<Held>,
    packages: [(i64, Secret); 2],
    managers: [Identity; 3],
    passed: usize,
}

impl World {
    fn new() -> Self {
        let service = Service::start();
        let packages = ORGANISATIONS.map(|organisation| {
            let new =
                ptc_enroll::protocol::messages::NewPackage { external_requests: true, ..new_package(organisation) };
            let created = service.run(service.app.create_package(&operator(), &new)).unwrap();
            (created.id, secret_of(&created))
        });
        let managers = [service.manager(A), service.manager(B), service.ptc_manager()];
        Self { service, model: Model::default(), held: Vec::new(), packages, managers, passed: 0 }
    }

    fn take(&mut self, step: &Step) {
        let count = self.held.len();
        match *step {
            Step::Submit { machine } => self.submit(machine),
            Step::DisablePackage { organisation } => {
                let path = format!("/manager/packages/{}/disable", self.packages[organisation].0);
                assert_eq!(answer(&self.by(PTC, &path, json!({}))), Ok(()));
                self.model.packages_disabled[organisation] = true;
            }
            Step::DisableManager { organisation } => {
                let path = format!("/manager/managers/{}/disable", self.managers[organisation].id);
                assert_eq!(answer(&self.by(PTC, &path, json!({}))), Ok(()));
                self.model.managers_disabled[organisation] = true;
            }
            // Not for as long as the managers' own certificates last.
            Step::TimePasses if self.passed < 5 => {
                self.passed += 1;
                self.service.advance(Duration::days(16));
                self.model.days_pass(16);
            }
            Step::Restart => self.service.restart(),
            _ if count == 0 => {}
            Step::Repeat { request } => {
                let Held { number, draft, key, .. } = &self.held[request % count];
                let (_, secret) = &self.packages[self.model.requests[request % count].organisation()];
                let reply = self.service.public().submit(secret, Some(key), draft);
                assert_eq!((reply.status, reply.json::<RequestStatus>().number), (200, *number));
            }
            Step::Approve { manager, request } => self.approve(manager, request % count),
            Step::Reject { manager, request } => {
                let path = format!("/manager/requests/{}/reject", self.held[request % count].number);
                let reply = self.by(manager, &path, json!({ "reason": "no" }));
                assert_eq!(answer(&reply), self.model.decide(manager, request % count, State::Rejected));
            }
            Step::CollectAnothers { request } => {
                let other = &self.held[(request + 1) % count];
                let path = format!("/requests/{}", self.held[request % count].number);
                let reply = self.service.public().get_as(&other.draft.token, &path);
                assert_eq!(answer(&reply), if count == 1 { Ok(()) } else { Err(ProblemCode::NotFound) });
            }
            Step::Report { request } => {
                let Held { number, draft, .. } = &self.held[request % count];
                let outcome = json!({ "state": draft.submission.kind.outcome() }).to_string();
                let bearer = format!("Bearer {}", draft.token.expose());
                let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
                let path = format!("/requests/{number}/outcome");
                let reply = self.service.public().send("PUT", &path, &headers, Some(outcome.as_bytes()));
                assert_eq!(answer(&reply), self.model.report(request % count));
            }
            Step::Revoke { manager, request } => {
                let Some(serial) = self.held[request % count].serial.clone() else { return };
                let path = format!("/manager/certificates/{serial}/revoke");
                let reply = self.by(manager, &path, json!({ "code": "superseded" }));
                assert_eq!(answer(&reply), self.model.revoke(manager, request % count));
            }
            Step::TimePasses => {}
        }
    }

    fn submit(&mut self, machine: usize) {
        let (organisation, kind, name) = MACHINES[machine];
        let draft = Draft::new(ORGANISATIONS[organisation], kind, name);
        let key = format!("key-{}", self.service.fresh("submission"));
        let reply = self.service.public().submit(&self.packages[organisation].1, Some(&key), &draft);
        let expected = self.model.submit(machine);
        assert_eq!(answer(&reply), expected);
        if expected.is_ok() {
            self.held.push(Held { number: reply.json::<RequestStatus>().number, draft, key, serial: None });
        }
    }

    fn approve(&mut self, manager: usize, request: usize) {
        let Held { number, draft, .. } = &self.held[request];
        let path = format!("/manager/requests/{number}/approve");
        let reply = self.by(manager, &path, json!({ "csr_sha256": draft.submission.csr.sha256() }));
        let expected = self.model.decide(manager, request, State::Approved);
        assert_eq!(answer(&reply), expected);
        if expected.is_ok() {
            let issued = reply.json::<RequestDetail>().status.issued.unwrap();
            let (_, certificate) = X509Certificate::from_der(&issued.certificate.0).unwrap();
            let (_, csr) = X509CertificationRequest::from_der(&draft.submission.csr.0).unwrap();
            assert_eq!(certificate.public_key().raw, csr.certification_request_info.subject_pki.raw, "another key");
            assert!(self.held[request].serial.replace(issued.serial).is_none(), "a second certificate");
        }
    }

    fn by(&self, manager: usize, path: &str, body: serde_json::Value) -> Reply {
        self.service.secure(Some(&self.managers[manager])).post(path, &body)
    }

    /// Everybody sees what the model says, and nothing else.
    fn look(&self) {
        if self.held.is_empty() {
            return;
        }
        let held = |it: &Held| HeldRequest { number: it.number, token: it.draft.token.clone() };
        let query = StatusQuery { requests: self.held.iter().map(held).collect() };
        let reply = self.service.public().post("/requests/status", &serde_json::to_value(&query).unwrap());
        for (index, result) in reply.json::<StatusResults>().results.into_iter().enumerate() {
            let StatusResult::Known { request } = result else { panic!("{result:?}") };
            let state = self.model.requests[index].state;
            assert_eq!(request.state, state, "request {}", request.number);
            assert_eq!(request.issued.is_some(), state.has_valid_certificate(), "request {}", request.number);
        }
        for (manager, identity) in self.managers.iter().enumerate() {
            let reply = self.service.secure(Some(identity)).get("/manager/requests?limit=200");
            if manager != PTC && self.model.managers_disabled[manager] {
                assert_eq!(answer(&reply), Err(ProblemCode::CallerRevoked));
                continue;
            }
            let sees = |request: &Modelled| manager == PTC || request.organisation() == manager;
            let theirs = self.held.iter().zip(&self.model.requests).filter(|(_, request)| sees(request));
            let theirs: Vec<(RequestNumber, State)> =
                theirs.map(|(held, request)| (held.number, request.state)).collect();
            let listed = reply.json::<Page<RequestSummary>>().items.into_iter().map(|item| (item.number, item.state));
            assert_eq!(listed.collect::<Vec<_>>(), theirs, "manager {manager}");
        }
    }

    /// What has to hold in the end.
    fn finish(&self) {
        let verdict = self.service.run(audit::verify(self.service.app.database())).unwrap();
        assert!(matches!(verdict, Verdict::Intact { .. }), "{verdict:?}");
        let query = CertificateQuery { limit: Some(200), ..CertificateQuery::default() };
        let issued = self.service.run(self.service.app.list_certificates(&operator(), &query)).unwrap();
        let of_requests = issued.items.iter().filter_map(|it| Some((it.request?, it.serial.clone())));
        let known = self.held.iter().filter_map(|held| Some((held.number, held.serial.clone()?)));
        assert_eq!(sorted(of_requests), sorted(known), "certificates without an approval, or the reverse");

        let requests = self.held.iter().zip(&self.model.requests);
        let revoked =
            requests.filter(|(_, request)| request.state == State::Revoked).filter_map(|(held, _)| held.serial.clone());
        let disabled = (0..2).filter(|it| self.model.managers_disabled[*it]).map(|it| self.managers[it].serial.clone());
        let crl = self.service.public().get("/ca/crl").body;
        let (_, crl) = CertificateRevocationList::from_der(&crl).unwrap();
        let listed = crl.iter_revoked_certificates().map(|entry| hex(entry.raw_serial()));
        assert_eq!(listed.collect::<BTreeSet<_>>(), revoked.chain(disabled).collect(), "the revocation list");
    }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items
}

fn answer(reply: &Reply) -> Answer {
    match reply.status {
        200 | 201 => Ok(()),
        _ => Err(reply.json::<Problem>().code().unwrap()),
    }
}

#[test]
fn the_service_does_what_the_model_does() {
    let seed = seed("PTC_FUZZ_SEED");
    println!("PTC_FUZZ_SEED={seed}");
    let config = Config {
        cases: std::env::var("PTC_MODEL_CASES").map_or(24, |cases| cases.parse().unwrap()),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/data/model.txt"))),
        max_shrink_iters: 200,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    let run = TestRunner::new(config).run(&steps(), |steps| {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.look();
        }
        world.finish();
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("PTC_FUZZ_SEED={seed}: {failure}"));
}
