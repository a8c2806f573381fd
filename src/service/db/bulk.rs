//! Bulk decisions: who decides what, on which requests as they were shown, and what became of each.

use sqlx::FromRow;

use super::{Connection, DatabaseError, Moment, Statement, on, row_groups, row_number};
use crate::protocol::bulk::{BulkOutcome, BulkState, BulkVerdict};
use crate::protocol::request::{Kind, RequestNumber};

/// A bulk decision.
#[derive(Debug, Clone, FromRow)]
pub struct BulkRow {
    /// Its number.
    pub id: i64,
    /// Who made it, as the audit record names them.
    pub made_by: String,
    /// The manager who made it.
    pub manager: Option<i64>,
    /// The serial number of the certificate that they did it with.
    pub certificate: Option<String>,
    /// The account of the service's computer that made it.
    pub account: Option<String>,
    /// Code of the organisation of the registration manager who made it.
    pub organisation: Option<String>,
    /// SHA-256 of what was asked for, where it has an idempotency key.
    pub body_sha256: Option<String>,
    /// Where it stands.
    pub state: BulkState,
    /// What is decided.
    pub verdict: Option<BulkVerdict>,
    /// Why, of a rejection.
    pub reason: Option<String>,
    /// When it was made.
    pub created_at: Moment,
    /// Since when it is decided on.
    pub started_at: Option<Moment>,
    /// When it was finished or stopped.
    pub ended_at: Option<Moment>,
    /// Why somebody else than its maker stopped it, JSON.
    pub problem: Option<String>,
    /// How many requests it is about.
    pub requests: i64,
    /// How many were decided on.
    pub decided: i64,
    /// How many could not be decided on.
    pub refused: i64,
}

impl BulkRow {
    /// How many requests had their turn.
    pub const fn done(&self) -> i64 {
        self.decided + self.refused
    }
}

/// A bulk decision that is not in the database yet.
#[derive(Debug)]
pub struct NewBulk<'a> {
    /// Who makes it.
    pub made_by: String,
    /// The manager who does.
    pub manager: Option<u64>,
    /// The serial number of the certificate that they do it with.
    pub certificate: Option<&'a str>,
    /// The account of the service's computer.
    pub account: Option<&'a str>,
    /// Code of the registration manager's organisation.
    pub organisation: Option<&'a str>,
    /// The key that makes it safe to repeat, and SHA-256 of what is asked for.
    pub idempotency_key: Option<(&'a str, &'a str)>,
    /// When.
    pub created_at: Moment,
}

/// A request that is to be decided on.
#[derive(Debug)]
pub struct NewItem {
    /// The request.
    pub request: RequestNumber,
    /// SHA-256 of the CSR that was shown.
    pub csr_sha256: String,
    /// The rules that were warned of, apart by a space.
    pub warnings: String,
}

/// A request whose turn it is.
#[derive(Debug, Clone, FromRow)]
pub struct ItemRow {
    /// Where it stands among the others.
    pub position: i64,
    /// The request.
    pub request: RequestNumber,
    /// SHA-256 of the CSR that was shown.
    pub csr_sha256: String,
}

/// What became of a request, with what it is.
#[derive(Debug, FromRow)]
pub struct ResultRow {
    /// The place in the list.
    pub place: i64,
    /// The request.
    pub request: RequestNumber,
    /// The rules that were warned of, apart by a space.
    pub warnings: String,
    /// Approved, rejected or refused; absent before its turn.
    pub outcome: Option<BulkOutcome>,
    /// Why it was refused, JSON.
    pub problem: Option<String>,
    /// Code of its organisation, where there is such a request.
    pub organisation: Option<String>,
    /// What its certificate is for.
    pub kind: Option<Kind>,
    /// The name that the certificate would carry.
    pub common_name: Option<String>,
}

/// How many requests of an organisation and kind are in a bulk decision.
#[derive(Debug, FromRow)]
pub struct Share {
    /// Code of the organisation.
    pub organisation: String,
    /// The kind.
    pub kind: Kind,
    /// How many.
    pub requests: i64,
    /// How many of them were warned of.
    pub warned: i64,
}

/// Adds a draft with its requests, and returns its number.
pub async fn insert(transaction: &mut Connection, bulk: &NewBulk<'_>, items: &[NewItem]) -> Result<i64, DatabaseError> {
    let id: i64 = on!(
        transaction,
        sqlx::query_scalar(
            "INSERT INTO bulk_decisions (made_by, manager, certificate, account, organisation, idempotency_key,
                                         body_sha256, state, created_at, requests)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'draft', $8, $9) RETURNING id",
        )
        .bind(&bulk.made_by)
        .bind(bulk.manager.map(row_number))
        .bind(bulk.certificate)
        .bind(bulk.account)
        .bind(bulk.organisation)
        .bind(bulk.idempotency_key.map(|(key, _)| key))
        .bind(bulk.idempotency_key.map(|(_, body_sha256)| body_sha256))
        .bind(bulk.created_at)
        .bind(i64::try_from(items.len()).unwrap_or(i64::MAX))
        .fetch_one(transaction)
        .await?
    );
    let mut positions = 1_i64..;
    for items in row_groups(transaction.engine(), items) {
        let mut statement = Statement::new("INSERT INTO bulk_items (bulk, position, request, csr_sha256, warnings) ");
        statement.push_rows(items.iter().zip(&mut positions).map(|(item, position)| {
            [id.into(), position.into(), item.request.into(), (&item.csr_sha256).into(), (&item.warnings).into()]
        }));
        on!(transaction, statement.query()?.execute(transaction).await?.rows_affected());
    }
    Ok(id)
}

/// The bulk decision with a number.
pub async fn find(connection: &mut Connection, id: u64) -> Result<Option<BulkRow>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as("SELECT * FROM bulk_decisions WHERE id = $1")
            .bind(row_number(id))
            .fetch_optional(connection)
            .await?
    ))
}

/// The one that a manager made under an idempotency key.
pub async fn find_by_idempotency_key(
    connection: &mut Connection,
    manager: u64,
    key: &str,
) -> Result<Option<BulkRow>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as("SELECT * FROM bulk_decisions WHERE manager = $1 AND idempotency_key = $2")
            .bind(row_number(manager))
            .bind(key)
            .fetch_optional(connection)
            .await?
    ))
}

/// Those that were started, of an organisation or of all, newest first.
pub async fn list(
    connection: &mut Connection,
    organisation: Option<&str>,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<BulkRow>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as(
            "SELECT * FROM bulk_decisions
             WHERE ($1 IS NULL OR organisation = $1) AND state <> 'draft' AND id < $2 ORDER BY id DESC LIMIT $3 + 0",
        )
        .bind(organisation)
        .bind(before.map_or(i64::MAX, row_number))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?
    ))
}

/// How many requests of each organisation and kind are in one.
pub async fn shares(connection: &mut Connection, id: i64) -> Result<Vec<Share>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as(
            "SELECT organisation, kind, count(*) AS requests, count(CASE WHEN warnings <> '' THEN 1 END) AS warned
             FROM bulk_items JOIN requests ON number = request WHERE bulk = $1
             GROUP BY organisation, kind ORDER BY organisation, kind",
        )
        .bind(id)
        .fetch_all(connection)
        .await?
    ))
}

/// Takes the requests out of a draft that were warned of.
pub async fn leave_out_warned(transaction: &mut Connection, id: i64) -> Result<(), DatabaseError> {
    let left_out = on!(
        transaction,
        sqlx::query("DELETE FROM bulk_items WHERE bulk = $1 AND warnings <> ''")
            .bind(id)
            .execute(transaction)
            .await?
            .rows_affected()
    );
    on!(
        transaction,
        sqlx::query("UPDATE bulk_decisions SET requests = requests - $1 WHERE id = $2")
            .bind(row_number(left_out))
            .bind(id)
            .execute(transaction)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// Starts a draft.
pub async fn start(
    transaction: &mut Connection,
    id: u64,
    verdict: BulkVerdict,
    reason: Option<&str>,
    certificate: Option<&str>,
    now: Moment,
) -> Result<(), DatabaseError> {
    on!(
        transaction,
        sqlx::query(
            "UPDATE bulk_decisions SET state = 'running', verdict = $1, reason = $2, certificate = $3, started_at = $4
             WHERE id = $5",
        )
        .bind(verdict.as_str())
        .bind(reason)
        .bind(certificate)
        .bind(now)
        .bind(row_number(id))
        .execute(transaction)
        .await?
        .rows_affected()
    );
    Ok(())
}

/// Ends one that runs.
pub async fn end(
    transaction: &mut Connection,
    id: i64,
    state: BulkState,
    problem: Option<&str>,
    now: Moment,
) -> Result<(), DatabaseError> {
    on!(
        transaction,
        sqlx::query("UPDATE bulk_decisions SET state = $1, problem = $2, ended_at = $3 WHERE id = $4")
            .bind(state.as_str())
            .bind(problem)
            .bind(now)
            .bind(id)
            .execute(transaction)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// Whether there is one for a process to work on.
pub async fn is_waiting(connection: &mut Connection, worker: &str, now: Moment) -> Result<bool, DatabaseError> {
    let found: Option<i64> = on!(
        connection,
        sqlx::query_scalar(
            "SELECT id FROM bulk_decisions
             WHERE state = 'running' AND (worker_until IS NULL OR worker_until <= $1 OR worker = $2) LIMIT 1",
        )
        .bind(now)
        .bind(worker)
        .fetch_optional(connection)
        .await?
    );
    Ok(found.is_some())
}

/// Takes the oldest one that nobody works on: no other process does until then.
pub async fn claim(
    transaction: &mut Connection,
    worker: &str,
    now: Moment,
    until: Moment,
) -> Result<Option<BulkRow>, DatabaseError> {
    Ok(on!(
        transaction,
        sqlx::query_as(
            "UPDATE bulk_decisions SET worker = $1, worker_until = $2 WHERE id = (
                 SELECT id FROM bulk_decisions
                 WHERE state = 'running' AND (worker_until IS NULL OR worker_until <= $3 OR worker = $1)
                 ORDER BY id LIMIT 1
             ) RETURNING *",
        )
        .bind(worker)
        .bind(until)
        .bind(now)
        .fetch_optional(transaction)
        .await?
    ))
}

/// Keeps one for longer; `false` where it does not run any more, or is not as far as this process knows it to be.
pub async fn keep(
    transaction: &mut Connection,
    id: i64,
    worker: &str,
    done: i64,
    until: Moment,
) -> Result<bool, DatabaseError> {
    let kept = on!(
        transaction,
        sqlx::query(
            "UPDATE bulk_decisions SET worker_until = $1
             WHERE id = $2 AND state = 'running' AND worker = $3 AND decided + refused = $4",
        )
        .bind(until)
        .bind(id)
        .bind(worker)
        .bind(done)
        .execute(transaction)
        .await?
        .rows_affected()
    );
    Ok(kept == 1)
}

/// Leaves those that a process has to others.
pub async fn release(connection: &mut Connection, worker: &str) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query("UPDATE bulk_decisions SET worker_until = NULL WHERE worker = $1 AND state = 'running'")
            .bind(worker)
            .execute(connection)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// The next requests after a position that had no turn.
pub async fn next_items(
    connection: &mut Connection,
    id: i64,
    after: i64,
    limit: usize,
) -> Result<Vec<ItemRow>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as(
            "SELECT position, request, csr_sha256 FROM bulk_items
             WHERE bulk = $1 AND position > $2 AND outcome IS NULL ORDER BY position LIMIT $3 + 0",
        )
        .bind(id)
        .bind(after)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?
    ))
}

/// Notes what became of the requests in a range of positions: some were refused, and why; the others have the outcome of
/// the verdict.
pub async fn note(
    transaction: &mut Connection,
    id: i64,
    (first, last): (i64, i64),
    verdict: BulkVerdict,
    refused: &[(i64, String)],
) -> Result<(), DatabaseError> {
    for refused in row_groups(transaction.engine(), refused) {
        let mut statement = Statement::new("UPDATE bulk_items SET outcome = ");
        statement.push_bind(BulkOutcome::Refused.as_str()).push(
            ", problem = refused.problem
             FROM (SELECT column1 AS position, column2 AS problem FROM (",
        );
        statement.push_rows(refused.iter().map(|(position, problem)| [(*position).into(), problem.into()]));
        statement.push(") AS pairs) AS refused WHERE bulk_items.position = refused.position AND bulk = ").push_bind(id);
        on!(transaction, statement.query()?.execute(transaction).await?.rows_affected());
    }
    let outcome = match verdict {
        BulkVerdict::Approve => BulkOutcome::Approved,
        BulkVerdict::Reject => BulkOutcome::Rejected,
    };
    let decided = on!(
        transaction,
        sqlx::query(
            "UPDATE bulk_items SET outcome = $1
             WHERE bulk = $2 AND position BETWEEN $3 AND $4 AND outcome IS NULL",
        )
        .bind(outcome.as_str())
        .bind(id)
        .bind(first)
        .bind(last)
        .execute(transaction)
        .await?
        .rows_affected()
    );
    on!(
        transaction,
        sqlx::query("UPDATE bulk_decisions SET decided = decided + $1, refused = refused + $2 WHERE id = $3")
            .bind(row_number(decided))
            .bind(i64::try_from(refused.len()).unwrap_or(i64::MAX))
            .bind(id)
            .execute(transaction)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// How the requests are listed: refused, without a turn and warned of, without a turn, the rest.
const CLASSES: [&str; 4] = [
    "outcome = 'refused'",
    "outcome IS NULL AND warnings <> ''",
    "outcome IS NULL AND warnings = ''",
    "outcome <> 'refused'",
];

/// How far apart the places of two classes are: more requests than a bulk decision has.
const CLASS: u64 = 1_000_000;

/// What became of the requests: first those that were refused, then those that had no turn, the ones warned of before the
/// others, then the rest; each in the order in which they were named, which is the order of the table.
pub async fn results(
    connection: &mut Connection,
    id: i64,
    after: u64,
    limit: u32,
) -> Result<Vec<ResultRow>, DatabaseError> {
    let mut results: Vec<ResultRow> = Vec::new();
    let mut position = after % CLASS;
    for (class, condition) in CLASSES.iter().enumerate().skip((after / CLASS) as usize) {
        let left = limit.saturating_sub(u32::try_from(results.len()).unwrap_or(u32::MAX));
        let mut query = Statement::new("SELECT position + ");
        query.push_bind(row_number(class as u64 * CLASS)).push(
            " AS place, request, warnings, outcome, problem, organisation, kind, common_name
             FROM bulk_items LEFT JOIN requests ON number = request WHERE bulk = ",
        );
        query.push_bind(id).push(" AND position > ").push_bind(row_number(position)).push(" AND ").push(condition);
        query.push(" ORDER BY position").push_limit(left as usize);
        let rows: Vec<ResultRow> = on!(connection, query.query_as()?.fetch_all(connection).await?);
        results.extend(rows);
        position = 0;
        if results.len() >= limit as usize {
            break;
        }
    }
    Ok(results)
}

/// Removes drafts from before a time, and what ended before another one, with their requests.
pub async fn forget(transaction: &mut Connection, drafts: Moment, ended: Moment) -> Result<(), DatabaseError> {
    on!(
        transaction,
        sqlx::query("DELETE FROM bulk_decisions WHERE (state = 'draft' AND created_at < $1) OR ended_at < $2")
            .bind(drafts)
            .bind(ended)
            .execute(transaction)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// How many of the managers' of an organisation, or of the PTC's, run.
pub async fn running_of_managers(
    connection: &mut Connection,
    organisation: Option<&str>,
) -> Result<u32, DatabaseError> {
    let running: i64 = on!(
        connection,
        sqlx::query_scalar(
            "SELECT count(*) FROM bulk_decisions
             WHERE state = 'running' AND manager IS NOT NULL AND organisation IS NOT DISTINCT FROM $1",
        )
        .bind(organisation)
        .fetch_one(connection)
        .await?
    );
    Ok(u32::try_from(running).unwrap_or(u32::MAX))
}

/// Removes an organisation's, or the PTC's, that ended, with their requests: those before the last ones, which have so many
/// requests at most.
pub async fn forget_beyond(
    transaction: &mut Connection,
    organisation: Option<&str>,
    requests: u32,
) -> Result<(), DatabaseError> {
    on!(
        transaction,
        sqlx::query(
            "DELETE FROM bulk_decisions WHERE ended_at IS NOT NULL AND id IN (
                 SELECT id FROM (
                     SELECT id, sum(requests) OVER (ORDER BY id DESC) AS up_to_here FROM bulk_decisions
                     WHERE state <> 'draft' AND organisation IS NOT DISTINCT FROM $1
                 ) AS summed WHERE up_to_here > $2
             )",
        )
        .bind(organisation)
        .bind(i64::from(requests))
        .execute(transaction)
        .await?
        .rows_affected()
    );
    Ok(())
}

/// Removes a draft.
pub async fn discard(transaction: &mut Connection, id: i64) -> Result<(), DatabaseError> {
    on!(
        transaction,
        sqlx::query("DELETE FROM bulk_decisions WHERE id = $1 AND state = 'draft'")
            .bind(id)
            .execute(transaction)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// Removes a manager's drafts but for the newest ones.
pub async fn keep_drafts(transaction: &mut Connection, manager: u64, count: u32) -> Result<(), DatabaseError> {
    on!(
        transaction,
        sqlx::query(
            "DELETE FROM bulk_decisions WHERE state = 'draft' AND manager = $1 AND id NOT IN (
                 SELECT id FROM bulk_decisions WHERE state = 'draft' AND manager = $1 ORDER BY id DESC LIMIT $2 + 0
             )",
        )
        .bind(row_number(manager))
        .bind(i64::from(count))
        .execute(transaction)
        .await?
        .rows_affected()
    );
    Ok(())
}
