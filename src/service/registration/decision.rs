//! What a manager does to a request: approve or reject.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;

use super::issuing::{Held, LEAST, Planned, Recorded};
use super::{check_stored, check_stored_csr, found, record_all, request_object};
use crate::kill_point;
use crate::locales::{self, Text};
use crate::parallel;
use crate::protocol::messages::{Approval, Contact, Organisation, REASON_LIMIT, Rejection};
use crate::protocol::request::{Kind, RequestNumber, State};
use crate::protocol::rules::{CheckedCsr, Finding};
use crate::service::app::App;
use crate::service::audit::Event;
use crate::service::auth::{Action, Actor, Object};
use crate::service::ca::Template;
use crate::service::db::certificates::Holder;
use crate::service::db::requests::{self, Decidable, Decision, Standing};
use crate::service::db::{Connection, Transaction, organisations};
use crate::service::error::{Failure, Refusal};

/// What is decided on requests.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No, and why.
    Reject {
        /// The reason, for the clients.
        reason: String,
    },
}

impl Verdict {
    /// What this is for those who ask whether somebody may.
    pub(super) const fn action(&self) -> Action {
        match self {
            Self::Approve => Action::Approve,
            Self::Reject { .. } => Action::Reject,
        }
    }

    /// A rejection says why, in a text that fits.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Approve => Ok(()),
            Self::Reject { reason } if reason.trim().is_empty() => {
                Err(Refusal::invalid_field("reason", Text::new("expected-reason")))
            }
            Self::Reject { reason } => check_stored("reason", reason, REASON_LIMIT),
        }
    }
}

/// A request to be decided on, and the SHA-256 of the CSR that was shown; absent where that makes no difference.
pub(super) type Asked = (RequestNumber, Option<String>);

/// A request that was looked at before the right to write is taken, and may be decided on as far as could be seen.
#[derive(Debug)]
pub(super) struct Weighed {
    row: Decidable,
    /// The certificate, where the verdict is yes.
    planned: Option<Planned>,
}

impl Weighed {
    /// The certificate, on record or to be recorded.
    fn recorded(&self) -> Option<Recorded<'_>> {
        let holder = Holder::Request(self.row.number, self.row.kind);
        self.planned.clone().map(|planned| (planned, holder, Some(self.row.organisation.as_str())))
    }
}

/// What became of each of many requests, and those that were decided on.
#[derive(Debug)]
pub(super) struct DecidedWithin {
    pub(super) outcomes: Vec<Result<(), Failure>>,
    decided: Vec<Weighed>,
}

impl DecidedWithin {
    /// What is to be signed once the decisions are committed.
    pub(super) fn recorded(&self) -> Vec<Recorded<'_>> {
        self.decided.iter().filter_map(Weighed::recorded).collect()
    }
}

impl App {
    /// Says yes to exactly the CSR that was shown.
    ///
    /// The decision, the serial number and the to-be-signed certificate are recorded together, before anything is
    /// signed. A service that stops in between signs what was recorded when it comes back.
    pub async fn approve(&self, actor: &Actor, number: RequestNumber, approval: &Approval) -> Result<(), Failure> {
        self.decide_one(actor, &Verdict::Approve, (number, Some(approval.csr_sha256.clone()))).await
    }

    /// Says no, and why.
    pub async fn reject(&self, actor: &Actor, number: RequestNumber, rejection: &Rejection) -> Result<(), Failure> {
        self.decide_one(actor, &Verdict::Reject { reason: rejection.reason.clone() }, (number, None)).await
    }

    async fn decide_one(&self, actor: &Actor, verdict: &Verdict, asked: Asked) -> Result<(), Failure> {
        let outcomes = self.decide(actor, verdict, &[asked]).await?;
        outcomes.into_iter().next().unwrap_or(Err(Failure::Inconsistent { what: "the outcome of a decision" }))
    }

    /// Decides on requests in one transaction, and signs what was approved. What is refused is an outcome; an error is for
    /// all of them.
    pub(super) async fn decide(
        &self,
        actor: &Actor,
        verdict: &Verdict,
        asked: &[Asked],
    ) -> Result<Vec<Result<(), Failure>>, Failure> {
        let weighed = self.weigh(actor, verdict, asked).await?;
        let mut transaction = self.database.write().await?;
        let decided = self.decide_within(&mut transaction, actor, verdict, asked, weighed).await?;
        let recorded = decided.recorded();
        let held = self.hold(&recorded);
        kill_point::pass("decide.before-commit");
        transaction.commit().await?;
        kill_point::pass("decide.after-commit");

        // From here on it is decided, whatever happens; what is not signed now is signed later.
        if !recorded.is_empty()
            && let Err(error) = self.sign_all(&recorded).await
        {
            log::error!(cause:% = error; "certificates not signed yet");
        }
        drop(held);
        drop(recorded);
        Ok(decided.outcomes)
    }

    /// Keeps others from signing what was recorded, until what is returned is dropped.
    pub(super) fn hold(&self, recorded: &[Recorded<'_>]) -> Held<'_> {
        self.signing.hold(recorded.iter().map(|(planned, ..)| planned.serial().to_string()))
    }

    /// Looks at requests before the right to write is taken: whether the actor may, and all that a decision takes.
    pub(super) async fn weigh(
        &self,
        actor: &Actor,
        verdict: &Verdict,
        asked: &[Asked],
    ) -> Result<Vec<Result<Weighed, Failure>>, Failure> {
        let candidates = self.candidates(actor, verdict, asked).await?;
        Ok(self.plan(actor, verdict, candidates))
    }

    /// Checks the requests that may be decided on once more, and builds the certificates where they are to be issued.
    pub(super) fn plan(
        &self,
        actor: &Actor,
        verdict: &Verdict,
        candidates: Vec<Result<Candidate, Failure>>,
    ) -> Vec<Result<Weighed, Failure>> {
        let planned = parallel::map(&candidates, LEAST, |candidate| {
            candidate.as_ref().ok().map(|candidate| candidate.plan(self, actor, verdict))
        });
        let weighed = candidates.into_iter().zip(planned).map(|(candidate, planned)| match (candidate, planned) {
            (Err(failure), _) => Err(failure),
            (Ok(candidate), Some(planned)) => planned.map(|planned| Weighed { row: candidate.row, planned }),
            (Ok(_), None) => Err(Failure::Inconsistent { what: "the outcome of a check" }),
        });
        weighed.collect()
    }

    /// Decides within a transaction on what was [`weigh`](Self::weigh)ed: checks what may have changed meanwhile, writes
    /// the decisions and the certificates that are to be signed, and tells those concerned.
    pub(super) async fn decide_within(
        &self,
        transaction: &mut Transaction,
        actor: &Actor,
        verdict: &Verdict,
        asked: &[Asked],
        weighed: Vec<Result<Weighed, Failure>>,
    ) -> Result<DecidedWithin, Failure> {
        let numbers: Vec<RequestNumber> = asked.iter().map(|(number, _)| *number).collect();
        let standings = requests::standings(transaction, &numbers).await?;
        let mut outcomes = Vec::with_capacity(asked.len());
        let mut decided = Vec::with_capacity(asked.len());
        for ((number, csr_sha256), weighed) in asked.iter().zip(weighed) {
            outcomes.push(weighed.and_then(|weighed| {
                // What was seen outside the transaction is over.
                found(standings.get(number))?.check(csr_sha256.as_deref())?;
                decided.push(weighed);
                Ok(())
            }));
        }
        if decided.is_empty() {
            return Ok(DecidedWithin { outcomes, decided });
        }
        let (state, reason) = match verdict {
            Verdict::Approve => {
                let mut recorded: Vec<Recorded<'_>> = decided.iter().filter_map(Weighed::recorded).collect();
                self.issuer().record(transaction, &mut recorded).await?;
                // One whose serial number was taken has another one now.
                let planned: Vec<Planned> = recorded.into_iter().map(|(planned, ..)| planned).collect();
                decided.iter_mut().zip(planned).for_each(|(weighed, planned)| weighed.planned = Some(planned));
                (State::Approved, None)
            }
            Verdict::Reject { reason } => (State::Rejected, Some(reason.as_str())),
        };
        let decided_by = actor.to_string();
        let decision = Decision { state, at: self.now(), by: &decided_by, reason };
        let numbers: Vec<RequestNumber> = decided.iter().map(|weighed| weighed.row.number).collect();
        kill_point::pass("decide.after-record");
        requests::decide(transaction, &numbers, &decision).await?;
        let events = decided.iter().map(|Weighed { row, planned }| Event {
            actor,
            action: verdict.action(),
            object: object(row),
            detail: match planned {
                Some(planned) => {
                    json!({ "csr_sha256": row.standing.csr_sha256, "serial": planned.serial().to_string() })
                }
                None => json!({ "reason": reason }),
            },
        });
        record_all(self, transaction, events.collect());
        if self.tells() {
            let rows = requests::find_all(transaction, &numbers).await?;
            for number in &numbers {
                self.tell_of(transaction, found(rows.get(number))?).await?;
            }
        }
        Ok(DecidedWithin { outcomes, decided })
    }

    /// The requests that an actor may decide on, with what it takes to check them. What waited too long ends before that.
    pub(super) async fn candidates(
        &self,
        actor: &Actor,
        verdict: &Verdict,
        asked: &[Asked],
    ) -> Result<Vec<Result<Candidate, Failure>>, Failure> {
        self.expire().await?;
        let numbers: Vec<RequestNumber> = asked.iter().map(|(number, _)| *number).collect();
        let (mut rows, organisations) = {
            let mut connection = self.database.read().await?;
            let rows = requests::decidable(&mut connection, &numbers).await?;
            let organisations = organisations_of(&mut connection, rows.values()).await?;
            (rows, organisations)
        };
        let mut candidates = Vec::with_capacity(asked.len());
        for (number, csr_sha256) in asked {
            // One that is named twice is decided on once.
            let row = rows.remove(number);
            let nothing = Object::Request { number: *number, organisation: None, kind: None };
            let allowed = self.allow(actor, verdict.action(), &row.as_ref().map_or(nothing, object)).await;
            candidates.push(allowed.and_then(|()| {
                verdict.check()?;
                let row = found(row)?;
                let organisation = organisations.get(&row.organisation).cloned();
                let organisation = organisation.ok_or(Failure::Inconsistent { what: "a request's organisation" })?;
                Ok(Candidate { row, organisation, csr_sha256: csr_sha256.clone() })
            }));
        }
        Ok(candidates)
    }

    /// What the certificate will hold: what the profile provides for, from the checked request.
    pub(super) fn template(&self, kind: Kind, csr: &CheckedCsr) -> Template {
        Template {
            profile: kind.into(),
            subject: csr.subject().clone(),
            dns_names: csr.dns_names().to_vec(),
            ip_addresses: Vec::new(),
            emails: csr.emails().to_vec(),
            public_key: csr.public_key().to_vec(),
            places: Some(self.settings.places()),
        }
    }
}

/// The organisations of requests, by code.
pub(super) async fn organisations_of<'a>(
    connection: &mut Connection,
    rows: impl Iterator<Item = &'a Decidable>,
) -> Result<HashMap<String, Arc<Organisation>>, Failure> {
    let mut organisations = HashMap::new();
    for row in rows {
        if !organisations.contains_key(&row.organisation) {
            let organisation = organisations::find(connection, &row.organisation).await?;
            let organisation = organisation.ok_or(Failure::Inconsistent { what: "a request's organisation" })?;
            organisations.insert(row.organisation.clone(), Arc::new(organisation));
        }
    }
    Ok(organisations)
}

/// A request that may be decided on by whoever asks, before anything else about it was checked.
pub(super) struct Candidate {
    row: Decidable,
    organisation: Arc<Organisation>,
    csr_sha256: Option<String>,
}

impl Candidate {
    /// Checks everything once more, and builds the certificate where one is to be issued.
    fn plan(&self, app: &App, actor: &Actor, verdict: &Verdict) -> Result<Option<Planned>, Failure> {
        self.row.standing.check(self.csr_sha256.as_deref())?;
        let csr = self.row.check_csr(&self.organisation);
        refuse_own_request(actor, &self.row.contact, csr.as_ref().ok())?;
        match verdict {
            Verdict::Approve => {
                let csr = csr.map_err(Refusal::csr_refused)?;
                app.issuer().plan(app.template(self.row.kind, &csr)).map(Some)
            }
            // What breaks the rules by now can still be rejected.
            Verdict::Reject { .. } => Ok(None),
        }
    }
}

impl Decidable {
    /// Checks its CSR again as if it came now; see [`check_stored_csr`].
    pub(super) fn check_csr(&self, organisation: &Organisation) -> Result<CheckedCsr, Vec<Finding>> {
        check_stored_csr(self.kind, &self.csr, &self.standing.csr_sha256, organisation)
    }
}

impl Standing {
    /// Whether the request still waits for a decision, and holds the CSR that was shown; else who was first.
    fn check(&self, csr_sha256: Option<&str>) -> Result<(), Refusal> {
        match (self.state, self.replaced_by) {
            (State::Pending, _) if csr_sha256.is_some_and(|shown| shown != self.csr_sha256) => {
                Err(Refusal::other_csr())
            }
            (State::Pending, _) => Ok(()),
            (State::Cancelled, Some(newer)) => Err(Refusal::replaced(newer)),
            (state, _) => {
                let at = self.decided_at.map(|moment| moment.0);
                Err(Refusal::decided_already(locales::state(state), self.decided_by.as_deref(), at))
            }
        }
    }
}

fn object(row: &Decidable) -> Object<'_> {
    request_object(row.number, &row.organisation, row.kind)
}

/// A manager does not decide on a request of their own, whichever of its fields names them.
pub(super) fn refuse_own_request(actor: &Actor, contact: &Contact, csr: Option<&CheckedCsr>) -> Result<(), Refusal> {
    let Actor::Manager(manager) = actor else { return Ok(()) };
    let mut named = csr.into_iter().flat_map(CheckedCsr::emails).chain([&contact.email]);
    match named.any(|email| email.eq_ignore_ascii_case(&manager.email)) {
        true => Err(Refusal::own_request()),
        false => Ok(()),
    }
}
