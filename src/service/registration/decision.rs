//! What a manager does to a request: approve or reject.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;

use super::issuing::{LEAST, Planned, Recorded};
use super::{check_stored, check_stored_csr, found, record, record_all, row_object};
use crate::locales::{self, Text};
use crate::parallel;
use crate::protocol::messages::{Approval, Organisation, REASON_LIMIT, Rejection};
use crate::protocol::request::{Kind, RequestNumber, State};
use crate::protocol::rules::CheckedCsr;
use crate::service::app::App;
use crate::service::audit::Event;
use crate::service::auth::{Action, Actor, Object};
use crate::service::ca::Template;
use crate::service::db::certificates::Holder;
use crate::service::db::requests::{self, Decision, RequestRow};
use crate::service::db::{Connection, organisations};
use crate::service::error::{Failure, Refusal};

impl App {
    /// Says yes to exactly the CSR that was shown.
    ///
    /// The decision, the serial number and the to-be-signed certificate are recorded together, before anything is
    /// signed. A service that stops in between signs what was recorded when it comes back.
    pub async fn approve(&self, actor: &Actor, number: RequestNumber, approval: &Approval) -> Result<(), Failure> {
        let outcomes = self.approve_all(actor, &[(number, &approval.csr_sha256)]).await?;
        outcomes.into_iter().next().unwrap_or(Err(Failure::Inconsistent { what: "the outcome of a decision" }))
    }

    /// The same for many requests, each named with the SHA-256 of the CSR that was shown: one commit for all of them. What is
    /// refused is an outcome; an error is for all of them.
    pub(super) async fn approve_all(
        &self,
        actor: &Actor,
        asked: &[(RequestNumber, &str)],
    ) -> Result<Vec<Result<(), Failure>>, Failure> {
        self.expire().await?;
        let candidates = self.candidates(actor, asked).await?;
        let planned =
            parallel::map(&candidates, LEAST, |candidate| candidate.as_ref().ok().map(|it| it.plan(self, actor)));
        let planned = candidates.into_iter().zip(planned).map(|(candidate, planned)| match (candidate, planned) {
            (Err(failure), _) => Err(failure),
            (Ok(_), Some(planned)) => planned,
            (Ok(_), None) => Err(Failure::Inconsistent { what: "the outcome of a check" }),
        });

        let mut transaction = self.database.write().await?;
        let numbers: Vec<RequestNumber> = asked.iter().map(|(number, _)| *number).collect();
        let rows = requests::find_all(&mut transaction, &numbers).await?;
        let mut outcomes = Vec::with_capacity(asked.len());
        let mut recorded: Vec<Recorded<'_>> = Vec::new();
        for ((number, csr_sha256), planned) in asked.iter().zip(planned) {
            // What was seen outside the transaction is over.
            let outcome = planned.and_then(|planned| {
                let row = found(rows.get(number))?;
                check_pending(row)?;
                check_csr_shown(row, csr_sha256)?;
                Ok((planned, row))
            });
            outcomes.push(outcome.map(|(planned, row)| {
                recorded.push((planned, Holder::Request(*number, row.kind), Some(&row.organisation)));
            }));
        }
        if recorded.is_empty() {
            return Ok(outcomes);
        }
        self.issuer().record(&mut transaction, &mut recorded).await?;
        let approved: Vec<&RequestRow> =
            recorded.iter().filter_map(|(_, holder, _)| rows.get(&holder.request()?)).collect();
        let decided_by = actor.to_string();
        let decision = Decision { state: State::Approved, at: self.now(), by: &decided_by, reason: None };
        let numbers: Vec<RequestNumber> = approved.iter().map(|row| row.number).collect();
        requests::decide(&mut transaction, &numbers, &decision).await?;
        let events = approved.iter().zip(&recorded).map(|(row, (planned, ..))| Event {
            actor,
            action: Action::Approve,
            object: row_object(row),
            detail: json!({ "csr_sha256": row.csr_sha256, "serial": planned.serial().to_string() }),
        });
        record_all(self, &mut transaction, events.collect()).await?;
        for number in numbers {
            self.tell(&mut transaction, number).await?;
        }
        let held = self.signing.hold(recorded.iter().map(|(planned, ..)| planned.serial().to_string()));
        transaction.commit().await?;

        // From here on the requests are approved, whatever happens; what is not signed now is signed later.
        if let Err(error) = self.sign_all(&recorded).await {
            log::error!(cause:% = error; "certificates not signed yet");
        }
        drop(held);
        Ok(outcomes)
    }

    /// The requests that an actor may approve, with what it takes to check them.
    async fn candidates<'a>(
        &self,
        actor: &Actor,
        asked: &[(RequestNumber, &'a str)],
    ) -> Result<Vec<Result<Candidate<'a>, Failure>>, Failure> {
        let numbers: Vec<RequestNumber> = asked.iter().map(|(number, _)| *number).collect();
        let (mut rows, organisations) = {
            let mut connection = self.database.read().await?;
            let rows = requests::find_all(&mut connection, &numbers).await?;
            let mut organisations = HashMap::new();
            for row in rows.values() {
                if !organisations.contains_key(&row.organisation) {
                    let organisation = organisations::find(&mut connection, &row.organisation).await?;
                    let organisation =
                        organisation.ok_or(Failure::Inconsistent { what: "a request's organisation" })?;
                    organisations.insert(row.organisation.clone(), Arc::new(organisation));
                }
            }
            (rows, organisations)
        };
        let mut candidates = Vec::with_capacity(asked.len());
        for (number, csr_sha256) in asked {
            // One that is named twice is decided on once.
            let row = rows.remove(number);
            let nothing = Object::Request { number: *number, organisation: None, kind: None };
            let allowed = self.allow(actor, Action::Approve, &row.as_ref().map_or(nothing, row_object)).await;
            candidates.push(allowed.and_then(|()| {
                let row = found(row)?;
                let organisation = organisations.get(&row.organisation).cloned();
                let organisation = organisation.ok_or(Failure::Inconsistent { what: "a request's organisation" })?;
                Ok(Candidate { row, organisation, csr_sha256 })
            }));
        }
        Ok(candidates)
    }

    /// Says no, and why.
    pub async fn reject(&self, actor: &Actor, number: RequestNumber, rejection: &Rejection) -> Result<(), Failure> {
        self.reach_request(actor, Action::Reject, number).await?;
        if rejection.reason.trim().is_empty() {
            return Err(Refusal::invalid_field("reason", Text::new("expected-reason")).into());
        }
        check_stored("reason", &rejection.reason, REASON_LIMIT)?;
        self.expire().await?;

        let mut transaction = self.database.write().await?;
        let row = still_pending(&mut transaction, number).await?;
        let decided_by = actor.to_string();
        let reason = Some(rejection.reason.as_str());
        let rejected = Decision { state: State::Rejected, at: self.now(), by: &decided_by, reason };
        requests::decide(&mut transaction, &[number], &rejected).await?;
        let detail = json!({ "reason": rejection.reason });
        record(self, &mut transaction, actor, Action::Reject, &row_object(&row), detail).await?;
        self.tell(&mut transaction, number).await?;
        Ok(transaction.commit().await?)
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

/// A request that may be approved by whoever asks, before anything else about it was checked.
struct Candidate<'a> {
    row: RequestRow,
    organisation: Arc<Organisation>,
    csr_sha256: &'a str,
}

impl Candidate<'_> {
    /// Checks everything once more, and builds the certificate.
    fn plan(&self, app: &App, actor: &Actor) -> Result<Planned, Failure> {
        check_pending(&self.row)?;
        check_csr_shown(&self.row, self.csr_sha256)?;
        let csr = check_stored_csr(&self.row, &self.organisation).map_err(Refusal::csr_refused)?;
        refuse_own_request(actor, &self.row, &csr)?;
        app.issuer().plan(app.template(self.row.kind, &csr))
    }
}

/// The request, if it still waits for a decision; else who was first.
async fn still_pending(transaction: &mut Connection, number: RequestNumber) -> Result<RequestRow, Failure> {
    let row = found(requests::find(transaction, number).await?)?;
    check_pending(&row)?;
    Ok(row)
}

fn check_pending(row: &RequestRow) -> Result<(), Refusal> {
    match (row.state, row.replaced_by) {
        (State::Pending, _) => Ok(()),
        (State::Cancelled, Some(newer)) => Err(Refusal::replaced(newer)),
        (state, _) => {
            let at = row.decided_at.map(|moment| moment.0);
            Err(Refusal::decided_already(locales::state(state), row.decided_by.as_deref(), at))
        }
    }
}

fn check_csr_shown(row: &RequestRow, csr_sha256: &str) -> Result<(), Refusal> {
    if row.csr_sha256 == csr_sha256 { Ok(()) } else { Err(Refusal::other_csr()) }
}

/// A manager does not decide on a request of their own, whichever of its fields names them.
pub(super) fn refuse_own_request(actor: &Actor, row: &RequestRow, csr: &CheckedCsr) -> Result<(), Refusal> {
    let Actor::Manager(manager) = actor else { return Ok(()) };
    let mut named = csr.emails().iter().chain([&row.contact.email]);
    match named.any(|email| email.eq_ignore_ascii_case(&manager.email)) {
        true => Err(Refusal::own_request()),
        false => Ok(()),
    }
}
