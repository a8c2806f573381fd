//! What the holder of an install package does: submit; and what time does to a request that nobody decides on.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::intake::{Accepted, Arrival, New, check_same_body};
use super::issuing::{Recorded, Signed};
use super::submitters::Submitter;
use super::{as_json, check_stored, days_from, record_all, request_object};
use crate::kill_point;
use crate::locales::Text;
use crate::protocol::batch::KeyedSubmission;
use crate::protocol::messages::{
    Contact, DESCRIPTION_LIMIT, IDEMPOTENCY_KEY, Issued, MACHINE_FIELD_LIMIT, MachineDetails, Organisation,
    RequestStatus, Submission, TELEPHONE_LIMIT,
};
use crate::protocol::request::{Kind, RequestNumber, State};
use crate::protocol::rules::{CheckedCsr, Expectation, check_csr};
use crate::protocol::secret::sha256_hex;
use crate::protocol::subject::{check_email, identity};
use crate::service::app::App;
use crate::service::audit::Event;
use crate::service::auth::{Action, Actor, Object};
use crate::service::db::certificates::Holder;
use crate::service::db::packages::PackageRow;
use crate::service::db::requests::{self, Decision, Waiting};
use crate::service::db::{Moment, Transaction};
use crate::service::error::{Failure, Refusal};
use crate::service::metrics::Limit;

/// How many submissions of a batch are one task's.
const TOGETHER: usize = 64;

/// The answer to a submission.
#[derive(Debug)]
pub struct Submitted {
    /// The request as it stands now.
    pub status: RequestStatus,
    /// Whether this submission made it, rather than an earlier one with the same idempotency key.
    pub created: bool,
}

impl App {
    /// Lets an organisation submit so many requests now, all of them or none.
    pub fn admit(&self, organisation: &Organisation, count: usize) -> Result<(), Failure> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.admission.submit(&organisation.code, count).map_err(|wait| {
            self.metrics.limited(Limit::Submissions);
            Refusal::too_many_requests(wait).into()
        })
    }

    /// Takes a request into the queue. When this returns, the request is on disk.
    ///
    /// The same submission with the same key gives the same request, however often and at the same time it comes.
    pub async fn submit(
        self: &Arc<Self>,
        submitter: &Submitter,
        idempotency_key: Option<&str>,
        submission: Submission,
    ) -> Result<Submitted, Failure> {
        let (package, organisation) = &**submitter;
        let actor = Actor::Package { id: package.id, organisation: package.organisation.clone() };
        self.allow(&actor, Action::Submit, &Object::Organisation(&package.organisation)).await?;
        check_idempotency_key(idempotency_key)?;
        // The body as it was understood: the order of its members and white space do not make another one.
        let body_sha256 = sha256_hex(as_json(&submission)?.as_bytes());
        let arrival = match self.check_submission(package, organisation, &submission) {
            Ok(csr) => self.arrival(submitter, actor, idempotency_key, body_sha256, submission, &csr)?,
            Err(refusal) => {
                // What was accepted once is answered for, however late the repetition and whatever the rules are now.
                let Some(key) = idempotency_key else { return Err(refusal.into()) };
                let before = self.submitted_before(package.id, key, &body_sha256);
                return Box::pin(before).await?.ok_or_else(|| refusal.into());
            }
        };
        let held = self.signing.hold(arrival.planned.iter().map(|planned| planned.serial().to_string()));
        let (kind, common_name) = (arrival.submission.kind, arrival.common_name.clone());
        let new = match self.accept(arrival).await? {
            Accepted::New(new) => new,
            Accepted::Before(row) => {
                let status = self.status(&mut *self.database.read().await?, &row).await?;
                return Ok(Submitted { status, created: false });
            }
        };
        let New { number, submitted_at, replaces, planned } = *new;
        log::info!(number = number.0, organisation = organisation.code.as_str(), kind = kind.as_str(); "request accepted");
        let approved = planned.is_some();
        let issued = match planned {
            Some(planned) => {
                log::warn!(number = number.0; "request approved automatically");
                self.sign_now((planned, Holder::Request(number, kind), Some(&organisation.code))).await
            }
            None => None,
        };
        drop(held);
        let status = RequestStatus {
            number,
            kind,
            common_name,
            state: if approved { State::Approved } else { State::Pending },
            approver: kind.approver(),
            submitted_at: submitted_at.0,
            decided_at: approved.then_some(submitted_at.0),
            reason: None,
            replaces,
            replaced_by: None,
            issued,
        };
        Ok(Submitted { status, created: true })
    }

    /// The same for many: those that come together are checked on all processors and wait for few commits.
    pub async fn submit_all(
        self: &Arc<Self>,
        submitter: Submitter,
        submissions: Vec<KeyedSubmission>,
    ) -> Vec<Result<Submitted, Failure>> {
        let mut submissions = submissions.into_iter().peekable();
        let mut tasks = Vec::new();
        while submissions.peek().is_some() {
            let share: Vec<KeyedSubmission> = submissions.by_ref().take(TOGETHER).collect();
            let (app, submitter) = (self.clone(), submitter.clone());
            tasks.push((
                share.len(),
                tokio::spawn(async move {
                    let submitted = share.into_iter().map(|KeyedSubmission { idempotency_key, submission }| {
                        let (app, submitter) = (&app, &submitter);
                        async move { app.submit(submitter, Some(&idempotency_key), submission).await }
                    });
                    join_all(submitted).await
                }),
            ));
        }
        let mut outcomes = Vec::new();
        for (count, task) in tasks {
            // A panic is said by the task itself.
            outcomes.extend(task.await.unwrap_or_else(|_| {
                (0..count).map(|_| Err(Failure::Inconsistent { what: "the outcome of a submission" })).collect()
            }));
        }
        outcomes
    }

    /// Signs what was just recorded. What does not succeed is done by the next round.
    async fn sign_now(self: &Arc<Self>, recorded: Recorded<'_>) -> Option<Issued> {
        let sign = async {
            kill_point::pass("auto-approve.before-sign");
            let signed = Signed::new(&self.ca, &recorded)?;
            kill_point::pass("auto-approve.after-sign");
            let Signed { serial, der, .. } = self.complete(signed).await?;
            kill_point::pass("auto-approve.after-store");
            Ok::<_, Failure>(self.issued_as(serial, der))
        };
        sign.await
            .inspect_err(|error| {
                log::error!(serial:% = recorded.0.serial(), cause:% = error; "certificate not signed yet");
            })
            .ok()
    }

    /// The request of an earlier submission with the same key.
    async fn submitted_before(&self, package: i64, key: &str, body_sha256: &str) -> Result<Option<Submitted>, Failure> {
        let mut connection = self.database.read().await?;
        let Some(row) = requests::find_by_idempotency_key(&mut connection, package, key).await? else {
            return Ok(None);
        };
        check_same_body(&row, body_sha256)?;
        Ok(Some(Submitted { status: self.status(&mut connection, &row).await?, created: false }))
    }

    /// All that can be worked out before a submission's turn comes.
    fn arrival(
        &self,
        (package, organisation): &(PackageRow, Organisation),
        actor: Actor,
        idempotency_key: Option<&str>,
        body_sha256: String,
        submission: Submission,
        csr: &CheckedCsr,
    ) -> Result<Box<Arrival>, Failure> {
        let planned = self.auto_approve.then(|| self.issuer().plan(self.template(submission.kind, csr)));
        // A request whose certificate cannot be built waits for a person.
        let planned = planned.transpose().unwrap_or_else(|error| {
            log::error!(cause:% = error; "request not approved automatically");
            None
        });
        let common_name = csr.subject().common_name.clone();
        // Thousands wait at a time: what each needs meanwhile stays where it is.
        Ok(Box::new(Arrival {
            package: package.id,
            actor,
            idempotency_key: idempotency_key.map(str::to_owned),
            body_sha256,
            waiting: Waiting {
                organisation: organisation.code.clone(),
                kind: submission.kind,
                identity: identity(&common_name),
            },
            csr_sha256: submission.csr.sha256(),
            key_sha256: sha256_hex(csr.public_key()),
            machine: as_json(&submission.machine)?,
            contact: as_json(&submission.contact)?,
            mac_address: hexadecimal_digits(&submission.machine.mac_address),
            search: search_text(&common_name, csr, &submission.machine, &submission.contact),
            common_name,
            submission,
            planned,
        }))
    }

    /// Everything about a submission that can be checked before its turn comes.
    fn check_submission(
        &self,
        package: &PackageRow,
        organisation: &Organisation,
        submission: &Submission,
    ) -> Result<CheckedCsr, Refusal> {
        check_in_use(package, self.now())?;
        check_kind(package, submission.kind)?;
        check_details(&submission.machine, &submission.contact)?;
        let expectation = Expectation {
            kind: submission.kind,
            organisation: &organisation.subject_name(),
            country: &organisation.country,
        };
        check_csr(&submission.csr.0, &expectation).map_err(Refusal::csr_refused)
    }

    /// Ends the requests that nobody decided on in time.
    pub async fn expire(&self) -> Result<(), Failure> {
        // Most often there are none, and readers do not wait for writers.
        if requests::overdue(&mut *self.database.read().await?, self.oldest_alive()).await?.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.write().await?;
        self.expire_overdue(&mut transaction).await?;
        kill_point::pass("expire.before-commit");
        transaction.commit().await?;
        kill_point::pass("expire.after-commit");
        Ok(())
    }

    /// The same in a transaction of the caller's.
    pub(super) async fn expire_overdue(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        // Most often none waits for so long; a server has to be asked.
        if transaction.heads.oldest_pending.is_none_or(|oldest| oldest >= self.oldest_alive()) {
            return Ok(());
        }
        let overdue = requests::overdue(transaction, self.oldest_alive()).await?;
        if overdue.is_empty() {
            return Ok(());
        }
        let by = Actor::Service.to_string();
        let expired = Decision { state: State::Expired, at: self.now(), by: &by, reason: None };
        let numbers: Vec<RequestNumber> = overdue.iter().map(|(number, ..)| *number).collect();
        requests::decide(transaction, &numbers, &expired).await?;
        let events = overdue.iter().map(|(number, organisation, kind)| Event {
            actor: &Actor::Service,
            action: Action::Expire,
            object: request_object(*number, organisation, *kind),
            detail: json!({}),
        });
        record_all(self, transaction, events.collect());
        Ok(())
    }

    pub(super) fn oldest_alive(&self) -> Moment {
        days_from(self.now(), -i64::from(self.settings.request_lifetime_days))
    }
}

pub(super) fn check_idempotency_key(key: Option<&str>) -> Result<(), Refusal> {
    let good = key.is_none_or(|key| (1..=64).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
    match good {
        true => Ok(()),
        false => Err(Refusal::invalid_field(IDEMPOTENCY_KEY, Text::new("expected-idempotency-key"))),
    }
}

pub(super) fn check_in_use(package: &PackageRow, now: Moment) -> Result<(), Refusal> {
    let expired = package.expires_at.filter(|end| *end <= now);
    let why = match (package.disabled_at, expired) {
        (None, None) => return Ok(()),
        // Whoever has the old one need only look for the new one.
        _ if package.replaced_by.is_some() => Text::new("forbidden-package-replaced"),
        (Some(_), _) => Text::new("forbidden-package-disabled"),
        (None, Some(end)) => {
            Text::new("forbidden-package-expired").with("at", end.0.format(&Rfc3339).unwrap_or_default())
        }
    };
    Err(Refusal::forbidden(why))
}

fn check_kind(package: &PackageRow, kind: Kind) -> Result<(), Refusal> {
    let allowed = kind == package.kind || kind == Kind::ExternalServer && package.external_requests;
    if allowed { Ok(()) } else { Err(Refusal::kind_not_allowed(kind)) }
}

/// Lengths, and that an e-mail address is one. Everything else is evidence and kept as it came.
fn check_details(machine: &MachineDetails, contact: &Contact) -> Result<(), Refusal> {
    for (field, text) in [
        ("machine.host_name", &machine.host_name),
        ("machine.mac_address", &machine.mac_address),
        ("machine.nic_id", &machine.nic_id),
        ("machine.processor_id", &machine.processor_id),
        ("machine.os_version", &machine.os_version),
        ("machine.os_type", &machine.os_type),
    ] {
        check_stored(field, text, MACHINE_FIELD_LIMIT)?;
    }
    check_stored("contact.telephone", &contact.telephone, TELEPHONE_LIMIT)?;
    check_stored("contact.description", &contact.description, DESCRIPTION_LIMIT)?;
    if !contact.email.is_empty() && check_email(&contact.email).is_err() {
        return Err(Refusal::invalid_field("contact.email", Text::new("expected-email")));
    }
    Ok(())
}

/// One address has many spellings: with colons, hyphens or dots, in either case.
fn hexadecimal_digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_hexdigit).map(|digit| digit.to_ascii_uppercase()).collect()
}

fn search_text(common_name: &str, csr: &CheckedCsr, machine: &MachineDetails, contact: &Contact) -> String {
    let organisation = csr.subject().organisation.as_str();
    let MachineDetails { host_name, mac_address, .. } = machine;
    let Contact { email, telephone, description } = contact;
    [common_name, email, telephone, description, host_name, mac_address, organisation].join("\n").to_lowercase()
}
