//! Many decisions at once: each on its own, so that one that fails does not stop the others.
//!
//! A few are decided on while the caller waits. Many are a job: it is on disk before anything is decided, and
//! [`bulk_work`](super::bulk_work) works it off.

use std::collections::HashSet;

use serde_json::{Value, json};
use time::Duration;

use super::decision::{Asked, Verdict};
use super::identification::{Maker, holder};
use super::reading::{limit, page};
use super::submission::check_idempotency_key;
use super::{as_json, found, record, request_object};
use crate::kill_point;
use crate::locales::{Language, Text};
use crate::protocol::bulk::{
    BULK_LIMIT, BulkDecision, BulkOutcome, BulkResult, BulkState, BulkStatus, BulkVerdict, ShownRequest,
};
use crate::protocol::messages::Page;
use crate::protocol::problem::Problem;
use crate::protocol::request::RequestNumber;
use crate::protocol::secret::{is_sha256_hex, sha256_hex};
use crate::service::app::App;
use crate::service::auth::{Action, Actor, Object, authorize};
use crate::service::db::bulk::{self, BulkRow, NewBulk, NewItem, ResultRow, Share};
use crate::service::db::{Connection, Moment, Transaction, certificates};
use crate::service::error::{Failure, Refusal};
use crate::service::metrics::Limit;

/// How many are decided on in one transaction: two statements' rows in SQLite, without a rest.
pub const PART: usize = 512;

/// How long a draft can be started.
pub const DRAFT_LIFETIME: Duration = Duration::hours(1);

/// How many drafts a manager has at most: each holds thousands of rows.
const DRAFTS: u32 = 5;

/// How long what became of each request is kept. The decisions stand in the audit record.
const KEPT: Duration = Duration::days(30);

/// Of how many of an organisation's requests it is kept at most, the last ones: each may take a kilobyte.
const KEPT_REQUESTS: u32 = 250_000;

/// How many an organisation's managers have running at once. They are worked off one after the other, everybody's.
const RUNNING: u32 = 5;

/// When to come again where as many run, or one is being selected: most often the first is over by then.
pub(super) const COME_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// What became of one of many requests.
#[derive(Debug)]
pub struct Decided {
    /// The request.
    pub number: RequestNumber,
    /// Whether it is decided as wanted, or why not.
    pub outcome: Result<(), Failure>,
}

impl App {
    /// Decides on a few requests, each named with the SHA-256 of the CSR that was shown, while the caller waits.
    pub async fn decide_all(
        &self,
        actor: &Actor,
        verdict: &Verdict,
        requests: &[(RequestNumber, String)],
    ) -> Vec<Decided> {
        let mut decided = Vec::with_capacity(requests.len());
        for part in requests.chunks(PART) {
            let asked: Vec<Asked> =
                part.iter().map(|(number, csr_sha256)| (*number, Some(csr_sha256.clone()))).collect();
            let outcomes = self.decide(actor, verdict, &asked).await.unwrap_or_else(|failure| {
                log::error!(decisions = part.len(), cause:% = failure; "decisions not made");
                part.iter().map(|_| Err(failure.refusal().into())).collect()
            });
            decided
                .extend(part.iter().zip(outcomes).map(|((number, _), outcome)| Decided { number: *number, outcome }));
        }
        decided
    }

    /// Makes a bulk decision and starts it. When this returns, all of it is on disk and nothing is decided yet.
    ///
    /// The same with the same key gives the same one, however often it comes.
    pub async fn decide_in_bulk(
        &self,
        maker: Maker<'_>,
        idempotency_key: Option<&str>,
        asked: BulkDecision,
        language: Language,
    ) -> Result<BulkStatus, Failure> {
        let organisation = self.scope(maker.actor, Action::DecideInBulk, None).await?;
        check_idempotency_key(idempotency_key)?;
        let verdict = Verdict::of(asked.verdict, asked.reason.as_deref())?;
        check_requests(&asked.requests)?;
        let body_sha256 = sha256_hex(as_json(&asked)?.as_bytes());
        let new = NewBulk {
            idempotency_key: idempotency_key.map(|key| (key, body_sha256.as_str())),
            ..self.new_bulk(maker, organisation.as_deref())
        };
        let item =
            |ShownRequest { number, csr_sha256 }| NewItem { request: number, csr_sha256, warnings: String::new() };
        let items: Vec<NewItem> = asked.requests.into_iter().map(item).collect();
        let mut transaction = self.database.write().await?;
        if let (Some(manager), Some(key)) = (new.manager, idempotency_key)
            && let Some(before) = bulk::find_by_idempotency_key(&mut transaction, manager, key).await?
        {
            return match before.body_sha256.as_deref() == Some(&body_sha256) {
                true => self.bulk_status(before, language),
                false => Err(Refusal::idempotency_mismatch().into()),
            };
        }
        self.make_room(&mut transaction, &maker, organisation.as_deref()).await?;
        let id = bulk::insert(&mut transaction, &new, &items).await?.unsigned_abs();
        let row = self.start_within(&mut transaction, maker, id, &verdict).await?;
        kill_point::pass("bulk.before-start");
        transaction.commit().await?;
        kill_point::pass("bulk.after-start");
        self.bulk_work.send_replace(());
        self.bulk_status(row, language)
    }

    /// Keeps what is shown as a draft, so that a verdict on it binds to exactly that.
    pub(super) async fn keep_draft(&self, maker: Maker<'_>, items: &[NewItem]) -> Result<u64, Failure> {
        let organisation = self.scope(maker.actor, Action::DecideInBulk, None).await?;
        let new = self.new_bulk(maker, organisation.as_deref());
        let mut transaction = self.database.write().await?;
        let id = bulk::insert(&mut transaction, &new, items).await?;
        if let Some(manager) = new.manager {
            bulk::keep_drafts(&mut transaction, manager, DRAFTS).await?;
        }
        transaction.commit().await?;
        Ok(id.unsigned_abs())
    }

    fn new_bulk<'a>(&self, maker: Maker<'a>, organisation: Option<&'a str>) -> NewBulk<'a> {
        let (manager, account) = match maker.actor {
            Actor::Manager(manager) => (Some(manager.id), None),
            Actor::Operator { account } => (None, Some(account.as_str())),
            // No other one may.
            _ => (None, None),
        };
        NewBulk {
            made_by: maker.actor.to_string(),
            manager,
            certificate: maker.certificate,
            account,
            organisation,
            idempotency_key: None,
            created_at: self.now(),
        }
    }

    /// Starts a draft, with or without the requests that were warned of.
    pub async fn start_bulk(
        &self,
        maker: Maker<'_>,
        id: u64,
        verdict: &Verdict,
        without_warned: bool,
    ) -> Result<(), Failure> {
        self.reach_bulk(maker.actor, Action::StartBulk, id).await?;
        verdict.check()?;
        let mut transaction = self.database.write().await?;
        let row = found(bulk::find(&mut transaction, id).await?)?;
        if row.state != BulkState::Draft {
            return Err(Refusal::state_conflict(Text::new("conflict-bulk-started")).into());
        }
        if row.created_at.0 + DRAFT_LIFETIME < self.now().0 {
            return Err(Refusal::state_conflict(Text::new("conflict-bulk-draft-over")).into());
        }
        self.make_room(&mut transaction, &maker, row.organisation.as_deref()).await?;
        if without_warned {
            bulk::leave_out_warned(&mut transaction, row.id).await?;
        }
        let row = self.start_within(&mut transaction, maker, id, verdict).await?;
        if row.requests == 0 {
            return Err(Refusal::invalid_field("requests", Text::new("expected-selection")).into());
        }
        transaction.commit().await?;
        self.bulk_work.send_replace(());
        Ok(())
    }

    /// Leaves room for the other organisations before another one of this one's managers starts: for their turn, and on the
    /// disk.
    async fn make_room(
        &self,
        transaction: &mut Transaction,
        maker: &Maker<'_>,
        organisation: Option<&str>,
    ) -> Result<(), Failure> {
        if !matches!(maker.actor, Actor::Manager(_)) {
            return Ok(());
        }
        if bulk::running_of_managers(transaction, organisation).await? >= RUNNING {
            self.metrics.limited(Limit::BulkDecisions);
            return Err(Refusal::too_many_requests(COME_AGAIN).into());
        }
        Ok(bulk::forget_beyond(transaction, organisation, KEPT_REQUESTS).await?)
    }

    async fn start_within(
        &self,
        transaction: &mut Transaction,
        maker: Maker<'_>,
        id: u64,
        verdict: &Verdict,
    ) -> Result<BulkRow, Failure> {
        bulk::start(transaction, id, verdict.word(), verdict.reason(), maker.certificate, self.now()).await?;
        let row = found(bulk::find(transaction, id).await?)?;
        let detail =
            json!({ "verdict": verdict.word().as_str(), "reason": verdict.reason(), "requests": row.requests });
        record(self, transaction, maker.actor, Action::StartBulk, &object(&row), detail);
        Ok(row)
    }

    /// Forgets a draft.
    pub async fn discard_bulk(&self, actor: &Actor, id: u64) -> Result<(), Failure> {
        let row = self.reach_bulk(actor, Action::StartBulk, id).await?;
        let mut transaction = self.database.write().await?;
        bulk::discard(&mut transaction, row.id).await?;
        Ok(transaction.commit().await?)
    }

    /// Ends a bulk decision before its end. What is decided stays.
    pub async fn stop_bulk(&self, actor: &Actor, id: u64, language: Language) -> Result<BulkStatus, Failure> {
        self.reach_bulk(actor, Action::StopBulk, id).await?;
        let mut transaction = self.database.write().await?;
        let row = found(bulk::find(&mut transaction, id).await?)?;
        if row.state != BulkState::Running {
            return Err(Refusal::state_conflict(Text::new("conflict-bulk-not-running")).into());
        }
        bulk::end(&mut transaction, row.id, BulkState::Stopped, None, self.now()).await?;
        record(self, &mut transaction, actor, Action::StopBulk, &object(&row), counted(&row));
        let row = found(bulk::find(&mut transaction, id).await?)?;
        transaction.commit().await?;
        self.bulk_status(row, language)
    }

    /// Bulk decisions, newest first.
    pub async fn list_bulk(
        &self,
        actor: &Actor,
        after: Option<u64>,
        wanted: Option<u32>,
        language: Language,
    ) -> Result<Page<BulkStatus>, Failure> {
        let organisation = self.scope(actor, Action::ListBulk, None).await?;
        let limit = limit(wanted)?;
        let mut connection = self.database.read().await?;
        let rows = bulk::list(&mut connection, organisation.as_deref(), after, limit + 1).await?;
        let Page { items, next } = page(rows, limit, |row| row.id.unsigned_abs());
        let items = items.into_iter().map(|row| self.bulk_status(row, language)).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }

    /// A bulk decision, and how far it is.
    pub async fn bulk(&self, actor: &Actor, id: u64, language: Language) -> Result<BulkStatus, Failure> {
        let row = self.reach_bulk(actor, Action::ReadBulk, id).await?;
        self.bulk_status(row, language)
    }

    /// Whether an actor may start or stop a bulk decision that they see.
    pub async fn may_change_bulk(&self, actor: &Actor, action: Action, id: u64) -> Result<bool, Failure> {
        let row = self.reach_bulk(actor, Action::ReadBulk, id).await?;
        Ok(authorize(actor, action, &object(&row)).is_ok())
    }

    /// How many requests of each organisation and kind are in a bulk decision.
    pub async fn bulk_shares(&self, actor: &Actor, id: u64) -> Result<Vec<Share>, Failure> {
        let row = self.reach_bulk(actor, Action::ReadBulk, id).await?;
        Ok(bulk::shares(&mut *self.database.read().await?, row.id).await?)
    }

    /// What became of each request: first those that were refused, then those that had no turn, the ones warned of before
    /// the others, then the rest.
    pub async fn bulk_results(
        &self,
        actor: &Actor,
        id: u64,
        after: Option<u64>,
        wanted: Option<u32>,
        language: Language,
    ) -> Result<Page<BulkResult>, Failure> {
        let bulk = self.reach_bulk(actor, Action::ReadBulk, id).await?;
        let limit = limit(wanted)?;
        let rows =
            bulk::results(&mut *self.database.read().await?, bulk.id, after.unwrap_or_default(), limit + 1).await?;
        let Page { items, next } = page(rows, limit, |row| row.place.unsigned_abs());
        let items = items.into_iter().map(|row| result(actor, &bulk, row, language)).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }

    /// Forgets drafts that nobody started, and what ended long ago.
    pub async fn tidy_up_bulk(&self) -> Result<(), Failure> {
        let now = self.now().0;
        let mut transaction = self.database.write().await?;
        bulk::forget(&mut transaction, Moment(now - DRAFT_LIFETIME), Moment(now - KEPT)).await?;
        Ok(transaction.commit().await?)
    }

    /// A bulk decision that an actor may do something to.
    async fn reach_bulk(&self, actor: &Actor, action: Action, id: u64) -> Result<BulkRow, Failure> {
        let row = bulk::find(&mut *self.database.read().await?, id).await?;
        let nothing = Object::Bulk { id, organisation: None, maker: None };
        self.allow(actor, Action::ReadBulk, &row.as_ref().map_or(nothing, object)).await?;
        let row = found(row)?;
        self.allow(actor, action, &object(&row)).await?;
        Ok(row)
    }

    fn bulk_status(&self, row: BulkRow, language: Language) -> Result<BulkStatus, Failure> {
        let count = |count: i64| count.unsigned_abs();
        let left = row.requests - row.done();
        let (waiting, stopped) = if row.state == BulkState::Stopped { (0, left) } else { (left, 0) };
        let (approved, rejected) = match row.verdict {
            Some(BulkVerdict::Reject) => (0, row.decided),
            _ => (row.decided, 0),
        };
        let seconds = row.started_at.map(|start| (row.ended_at.unwrap_or(self.now()).0 - start.0).whole_seconds());
        Ok(BulkStatus {
            id: count(row.id),
            state: row.state,
            verdict: row.verdict,
            problem: told(row.problem.as_deref(), language)?,
            organisation: row.organisation,
            created_at: row.created_at.0,
            started_at: row.started_at.map(|moment| moment.0),
            ended_at: row.ended_at.map(|moment| moment.0),
            requests: count(row.requests),
            waiting: count(waiting),
            approved: count(approved),
            rejected: count(rejected),
            refused: count(row.refused),
            stopped: count(stopped),
            // Times are whole seconds.
            per_second: count((row.decided + row.refused) / seconds.unwrap_or_default().max(1)),
            reason: row.reason,
            made_by: row.made_by,
        })
    }
}

impl Verdict {
    /// What a message asks for.
    ///
    /// # Errors
    /// [`Refusal::invalid_field`] where a rejection has no good reason, or an approval has one.
    pub fn of(verdict: BulkVerdict, reason: Option<&str>) -> Result<Self, Refusal> {
        let verdict = match (verdict, reason) {
            (BulkVerdict::Approve, None) => Self::Approve,
            // Whoever wrote a reason meant to reject.
            (BulkVerdict::Approve, Some(_)) => {
                return Err(Refusal::invalid_field("reason", Text::new("expected-no-reason")));
            }
            (BulkVerdict::Reject, reason) => Self::Reject { reason: reason.unwrap_or_default().to_owned() },
        };
        verdict.check()?;
        Ok(verdict)
    }

    pub(super) const fn word(&self) -> BulkVerdict {
        match self {
            Self::Approve => BulkVerdict::Approve,
            Self::Reject { .. } => BulkVerdict::Reject,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Approve => None,
            Self::Reject { reason } => Some(reason),
        }
    }
}

/// The bulk decision as the object of an action.
pub(super) fn object(row: &BulkRow) -> Object<'_> {
    let maker = row.manager.map(i64::unsigned_abs);
    Object::Bulk { id: row.id.unsigned_abs(), organisation: row.organisation.as_deref(), maker }
}

/// How far it came, for the audit record.
pub(super) fn counted(row: &BulkRow) -> Value {
    json!({ "requests": row.requests, "decided": row.decided, "refused": row.refused })
}

/// Who made it, as they stand at this moment, or that they may decide on nothing any more.
pub(super) async fn maker_of(
    connection: &mut Connection,
    row: &BulkRow,
    now: Moment,
) -> Result<Result<Actor, Refusal>, Failure> {
    if let Some(account) = &row.account {
        return Ok(Ok(Actor::Operator { account: account.clone() }));
    }
    let certificate = certificates::find(connection, row.certificate.as_deref().unwrap_or_default()).await?;
    match certificate {
        Some(certificate) => holder(connection, &certificate, now).await,
        None => Ok(Err(Refusal::caller_revoked())),
    }
}

/// A refusal as it is kept for whoever reads it later: its document in every language.
pub(super) fn kept(refusal: &Refusal) -> Result<String, Failure> {
    as_json(&Language::ALL.map(|language| (language, refusal.problem(language, ""))))
}

/// What was kept, in a language.
fn told(kept: Option<&str>, language: Language) -> Result<Option<Box<Problem>>, Failure> {
    let Some(kept) = kept else { return Ok(None) };
    let documents: Vec<(Language, Problem)> =
        serde_json::from_str(kept).map_err(|_| Failure::Inconsistent { what: "the outcome of a decision" })?;
    Ok(documents.into_iter().find(|(known, _)| *known == language).map(|(_, problem)| Box::new(problem)))
}

fn result(actor: &Actor, bulk: &BulkRow, row: ResultRow, language: Language) -> Result<BulkResult, Failure> {
    let without_turn = if bulk.state == BulkState::Stopped { BulkOutcome::Stopped } else { BulkOutcome::Waiting };
    let outcome = row.outcome.unwrap_or(without_turn);
    let why = match outcome {
        BulkOutcome::Stopped => bulk.problem.as_deref(),
        _ => row.problem.as_deref(),
    };
    // A number that was tried may be another organisation's request.
    let readable = row.organisation.as_deref().zip(row.kind).is_some_and(|(organisation, kind)| {
        authorize(actor, Action::ReadRequest, &request_object(row.request, organisation, kind)).is_ok()
    });
    Ok(BulkResult {
        number: row.request,
        outcome,
        problem: told(why, language)?,
        organisation: row.organisation.filter(|_| readable),
        kind: row.kind.filter(|_| readable),
        common_name: row.common_name.filter(|_| readable),
        warnings: row.warnings.split_whitespace().map(str::to_owned).collect(),
    })
}

fn check_requests(requests: &[ShownRequest]) -> Result<(), Refusal> {
    if !(1..=BULK_LIMIT).contains(&requests.len()) {
        return Err(Refusal::invalid_field("requests", Text::new("expected-count").with("limit", BULK_LIMIT)));
    }
    // It is kept as it comes.
    if let Some(other) = requests.iter().find(|request| !is_sha256_hex(&request.csr_sha256)) {
        let expected = Text::new("expected-csr-sha256").with("number", other.number);
        return Err(Refusal::invalid_field("requests", expected));
    }
    let mut numbers = HashSet::new();
    match requests.iter().find(|request| !numbers.insert(request.number)) {
        Some(twice) => {
            let expected = Text::new("expected-each-once").with("number", twice.number);
            Err(Refusal::invalid_field("requests", expected))
        }
        None => Ok(()),
    }
}
