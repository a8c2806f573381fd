//! From checked submissions to requests on record, many in one transaction.

use std::collections::{HashMap, HashSet};
use std::mem;

use serde_json::json;

use super::issuing::{Planned, Recorded};
use super::submission::check_in_use;
use super::{record_all, request_object};
use crate::kill_point;
use crate::protocol::messages::Submission;
use crate::protocol::request::{RequestNumber, State};
use crate::service::app::App;
use crate::service::audit::Event;
use crate::service::auth::{Action, Actor, authorize};
use crate::service::db::certificates::Holder;
use crate::service::db::packages::{self, PackageRow};
use crate::service::db::requests::{self, Decision, NewRequest, RequestRow, Waiting};
use crate::service::db::{Connection, Moment, Transaction};
use crate::service::error::{Failure, Refusal};

/// A checked submission on its way into the queue, with all that can be worked out before.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) package: i64,
    pub(super) actor: Actor,
    pub(super) idempotency_key: Option<String>,
    pub(super) body_sha256: String,
    pub(super) submission: Submission,
    pub(super) waiting: Waiting,
    pub(super) common_name: String,
    pub(super) csr_sha256: String,
    pub(super) key_sha256: String,
    pub(super) machine: String,
    pub(super) contact: String,
    pub(super) mac_address: String,
    pub(super) search: String,
    /// The certificate, where the request is approved as it comes.
    pub(super) planned: Option<Planned>,
}

/// What became of a submission.
#[derive(Debug)]
pub(super) enum Accepted {
    /// It is a new request.
    New(Box<New>),
    /// It came before, as this request.
    Before(Box<RequestRow>),
}

/// A new request.
#[derive(Debug)]
pub(super) struct New {
    pub(super) number: RequestNumber,
    pub(super) submitted_at: Moment,
    pub(super) replaces: Option<RequestNumber>,
    /// The certificate that was recorded with it, to be signed.
    pub(super) planned: Option<Planned>,
}

impl App {
    /// Takes submissions into the queue, in their order, each in the place of an older one of the same identity. What is
    /// refused is an outcome; an error is for all of them.
    pub(super) async fn accept_within(
        &self,
        transaction: &mut Transaction,
        arrivals: &[&Arrival],
    ) -> Result<Vec<Result<Accepted, Failure>>, Failure> {
        let mut outcomes: Vec<Option<Result<Accepted, Failure>>> = arrivals.iter().map(|_| None).collect();
        let mut left: Vec<(usize, &Arrival)> = arrivals.iter().copied().enumerate().collect();
        if left.is_empty() {
            return Ok(Vec::new());
        }
        self.expire_overdue(transaction).await?;
        // The packages as they are now: what was checked before may have ended since.
        let ids: HashSet<i64> = arrivals.iter().map(|arrival| arrival.package).collect();
        let packages = packages::find_all(transaction, &ids.into_iter().collect::<Vec<_>>()).await?;
        let packages: HashMap<i64, PackageRow> = packages.into_iter().map(|package| (package.id, package)).collect();
        while !left.is_empty() {
            let keys = left.iter().filter_map(|(_, it)| it.idempotency_key.as_deref().map(|key| (it.package, key)));
            let before = requests::find_by_idempotency_keys(transaction, keys).await?;
            let (mut wave, mut later) = (Vec::new(), Vec::new());
            let (mut keys, mut identities) = (HashSet::new(), HashSet::new());
            for (position, arrival) in mem::take(&mut left) {
                let key = arrival.idempotency_key.clone().map(|key| (arrival.package, key));
                let outcome = if let Some(row) = key.as_ref().and_then(|key| before.get(key)) {
                    Some(repeated(row, arrival))
                } else {
                    let package = packages.get(&arrival.package);
                    let in_use = package.ok_or(Failure::Inconsistent { what: "an install package" });
                    in_use.and_then(|package| Ok(check_in_use(package, self.now())?)).err().map(Err)
                };
                if outcome.is_some() {
                    if let Some(place) = outcomes.get_mut(position) {
                        *place = outcome;
                    }
                    continue;
                }
                // One of two that are alike comes after the other one.
                if key.as_ref().is_some_and(|key| keys.contains(key)) || identities.contains(&arrival.waiting) {
                    later.push((position, arrival));
                    continue;
                }
                keys.extend(key);
                identities.insert(&arrival.waiting);
                wave.push((position, arrival));
            }
            left = later;
            let new = self.accept_wave(transaction, &wave).await?;
            for ((position, _), new) in wave.into_iter().zip(new) {
                if let Some(place) = outcomes.get_mut(position) {
                    *place = Some(Ok(Accepted::New(Box::new(new))));
                }
            }
        }
        let outcomes: Option<Vec<_>> = outcomes.into_iter().collect();
        outcomes.ok_or(Failure::Inconsistent { what: "the outcome of a submission" })
    }

    /// The same for submissions that are new and have neither key nor identity in common.
    async fn accept_wave(
        &self,
        transaction: &mut Transaction,
        wave: &[(usize, &Arrival)],
    ) -> Result<Vec<New>, Failure> {
        if wave.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now();
        let identities: Vec<Waiting> = wave.iter().map(|(_, arrival)| arrival.waiting.clone()).collect();
        let older = requests::find_pending(transaction, &identities).await?;
        let mut new: Vec<New> = identities
            .iter()
            .map(|identity| {
                transaction.heads.last_request.0 += 1;
                let replaces = older.get(identity).copied();
                New { number: transaction.heads.last_request, submitted_at: now, replaces, planned: None }
            })
            .collect();
        for ((_, arrival), new) in wave.iter().zip(&new) {
            if let Some(older) = new.replaces {
                let by = arrival.actor.to_string();
                let cancelled = Decision { state: State::Cancelled, at: now, by: &by, reason: None };
                requests::decide(transaction, &[older], &cancelled).await?;
            }
        }
        kill_point::pass("accept.after-cancel");
        let by = Actor::AutoApproval.to_string();
        let rows: Vec<(RequestNumber, NewRequest<'_>)> =
            wave.iter().zip(&new).map(|((_, arrival), new)| (new.number, arrival.row(new, &by))).collect();
        requests::insert(transaction, &rows).await?;
        kill_point::pass("accept.after-insert");
        self.record_planned(transaction, wave, &mut new).await?;

        let mut events = Vec::new();
        for ((_, arrival), new) in wave.iter().zip(&new) {
            let Waiting { organisation, kind, .. } = &arrival.waiting;
            let object = request_object(new.number, organisation, *kind);
            let mut event = |actor, action, object, detail| events.push(Event { actor, action, object, detail });
            event(&arrival.actor, Action::Submit, object, json!({ "csr_sha256": arrival.csr_sha256 }));
            if let Some(older) = new.replaces {
                requests::link_replacement(transaction, older, new.number).await?;
                let object = request_object(older, organisation, *kind);
                event(&arrival.actor, Action::Cancel, object, json!({ "replaced_by": new.number }));
            }
            if let Some(planned) = &new.planned {
                authorize(&Actor::AutoApproval, Action::Approve, &object)?;
                let detail = json!({ "csr_sha256": arrival.csr_sha256, "serial": planned.serial().to_string() });
                event(&Actor::AutoApproval, Action::Approve, object, detail);
            }
        }
        record_all(self, transaction, events);
        for new in &new {
            self.tell(transaction, new.number).await?;
        }
        Ok(new)
    }

    /// Records the certificates of those that are approved as they come.
    async fn record_planned(
        &self,
        transaction: &mut Connection,
        wave: &[(usize, &Arrival)],
        new: &mut [New],
    ) -> Result<(), Failure> {
        let planned =
            wave.iter().zip(new).filter_map(|((_, arrival), new)| Some((arrival.planned.as_ref()?, arrival, new)));
        let (mut recorded, places): (Vec<Recorded<'_>>, Vec<&mut New>) = planned
            .map(|(planned, arrival, new)| {
                let Waiting { organisation, kind, .. } = &arrival.waiting;
                let holder = Holder::Request(new.number, *kind);
                ((planned.clone(), holder, Some(organisation.as_str())), new)
            })
            .unzip();
        if !recorded.is_empty() {
            self.issuer().record(transaction, &mut recorded).await?;
        }
        for (new, (planned, ..)) in places.into_iter().zip(recorded) {
            new.planned = Some(planned);
        }
        Ok(())
    }
}

impl Arrival {
    /// What enters the record; where it is approved as it comes, by whom.
    fn row<'a>(&'a self, new: &New, by: &'a str) -> NewRequest<'a> {
        NewRequest {
            organisation: &self.waiting.organisation,
            package: self.package,
            kind: self.waiting.kind,
            common_name: &self.common_name,
            identity: &self.waiting.identity,
            csr: &self.submission.csr.0,
            csr_sha256: &self.csr_sha256,
            key_sha256: &self.key_sha256,
            token_sha256: &self.submission.token_sha256,
            idempotency_key: self.idempotency_key.as_deref(),
            body_sha256: &self.body_sha256,
            machine: &self.machine,
            contact: &self.contact,
            mac_address: &self.mac_address,
            search: &self.search,
            submitted_at: new.submitted_at,
            replaces: new.replaces,
            decision: self.planned.as_ref().map(|_| Decision {
                state: State::Approved,
                at: new.submitted_at,
                by,
                reason: None,
            }),
        }
    }
}

/// The answer to a submission that came before.
fn repeated(row: &RequestRow, arrival: &Arrival) -> Result<Accepted, Failure> {
    check_same_body(row, &arrival.body_sha256)?;
    Ok(Accepted::Before(Box::new(row.clone())))
}

/// A key is for one body.
pub(super) fn check_same_body(row: &RequestRow, body_sha256: &str) -> Result<(), Refusal> {
    if row.body_sha256 == body_sha256 { Ok(()) } else { Err(Refusal::idempotency_mismatch()) }
}
