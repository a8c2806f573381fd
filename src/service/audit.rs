//! The audit record: every decision, by whom, on what, each entry chained to the one before by its hash.
//!
//! Entries are written in the transaction of the change they tell of. A changed, inserted or removed entry breaks the
//! chain; that the newest ones were cut off shows against a head that was noted down elsewhere.

use serde::Serialize;
use serde_json::{Value, json};

use super::auth::{Action, Actor, Object};
pub use super::db::audit::AuditFilter;
use super::db::audit::{self as rows, AuditRow};
use super::db::{Connection, Database, DatabaseError, Moment, Transaction};
use crate::protocol::messages::{AuditEntry, Page};
use crate::protocol::problem::ProblemCode;
use crate::protocol::secret::sha256_hex;

/// What the first entry is chained to.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Names the CA in the first entry.
const ROOT: &str = "root_sha256";

/// What an entry tells. `detail` holds no secrets.
#[derive(Debug)]
pub struct Event<'a> {
    /// Who did it.
    pub actor: &'a Actor,
    /// What was done.
    pub action: Action,
    /// On what.
    pub object: Object<'a>,
    /// The rest, a JSON object.
    pub detail: Value,
}

/// Adds an entry, as [`record_all`] does.
pub fn record(
    transaction: &mut Transaction,
    now: Moment,
    actor: &Actor,
    action: Action,
    object: &Object<'_>,
    detail: Value,
) {
    record_all(transaction, now, [Event { actor, action, object: *object, detail }]);
}

/// Adds entries, in order, which are written as the transaction is committed.
pub fn record_all<'a>(transaction: &mut Transaction, now: Moment, events: impl IntoIterator<Item = Event<'a>>) {
    let mut sequence = transaction.heads.last_entry;
    let mut previous = transaction.heads.last_hash.clone().unwrap_or_else(|| GENESIS.to_owned());
    let chained = events.into_iter().map(|event| {
        sequence += 1;
        let mut row = AuditRow {
            sequence,
            time: now,
            actor: event.actor.to_string(),
            action: event.action.as_str().to_owned(),
            object: event.object.to_string(),
            organisation: event.object.organisation().map(str::to_owned),
            detail: event.detail.to_string(),
            previous: std::mem::take(&mut previous),
            hash: String::new(),
        };
        row.hash = hash(&row);
        previous.clone_from(&row.hash);
        row
    });
    transaction.enter(chained.collect());
    transaction.heads.last_entry = sequence;
    transaction.heads.last_hash = Some(previous);
}

/// What the installation's own entry, the first one, tells of.
pub fn installation(root: &[u8], environment: &str) -> Value {
    json!({ "environment": environment, ROOT: sha256_hex(root) })
}

/// SHA-256 of the root certificate that the installation's own entry names.
pub async fn installed_root(connection: &mut Connection) -> Result<Option<String>, DatabaseError> {
    let first = list(connection, 0, 1).await?.into_iter().next();
    Ok(first.and_then(|entry| entry.detail[ROOT].as_str().map(str::to_owned)))
}

/// The detail of an entry that tells of a refusal.
pub fn refused(code: ProblemCode) -> Value {
    json!({ "refused": code.as_str() })
}

/// The last entry.
pub async fn last(connection: &mut Connection) -> Result<Option<AuditEntry>, DatabaseError> {
    let Some((sequence, _)) = rows::last(connection).await? else { return Ok(None) };
    Ok(list(connection, sequence.unsigned_abs() - 1, 1).await?.into_iter().next())
}

/// Whether there is an entry of this kind. Looks through the whole record.
pub async fn holds(connection: &mut Connection, action: Action) -> Result<bool, DatabaseError> {
    rows::holds(connection, action.as_str()).await
}

/// A part of the record.
pub async fn list(connection: &mut Connection, after: u64, limit: u32) -> Result<Vec<AuditEntry>, DatabaseError> {
    Ok(rows::list(connection, after, limit).await?.into_iter().map(entry).collect())
}

/// Entries above a filter's position that answer to it, newest first.
pub async fn search(connection: &mut Connection, filter: &AuditFilter<'_>) -> Result<Page<AuditEntry>, DatabaseError> {
    let (rows, next) = rows::search(connection, filter).await?;
    Ok(Page { items: rows.into_iter().map(entry).collect(), next })
}

/// The newest entries on one object, oldest first.
pub async fn list_of(connection: &mut Connection, object: &str, limit: u32) -> Result<Vec<AuditEntry>, DatabaseError> {
    Ok(rows::list_of(connection, object, limit).await?.into_iter().rev().map(entry).collect())
}

/// What a walk along the chain finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// Every entry is there and unchanged.
    Intact {
        /// How many entries.
        entries: u64,
        /// The last entry's hash, to be noted down elsewhere.
        head: String,
    },
    /// The first entry that was changed, or before which entries were removed or inserted.
    Broken {
        /// Its position.
        sequence: u64,
    },
}

/// Walks along the whole chain.
pub async fn verify(database: &Database) -> Result<Verdict, DatabaseError> {
    verify_on(&mut *database.read().await?).await
}

/// The same as one connection sees it, for instance a transaction that is not over yet.
pub async fn verify_on(connection: &mut Connection) -> Result<Verdict, DatabaseError> {
    verify_after(connection, 0, GENESIS.to_owned()).await
}

/// The same from an entry on up to which it was walked along.
pub async fn verify_after(
    connection: &mut Connection,
    mut entries: u64,
    mut head: String,
) -> Result<Verdict, DatabaseError> {
    const AT_ONCE: u32 = 1_000;
    loop {
        let page = rows::list(connection, entries, AT_ONCE).await?;
        if page.is_empty() {
            return Ok(Verdict::Intact { entries, head });
        }
        for row in page {
            entries += 1;
            if row.sequence.unsigned_abs() != entries || row.previous != head || row.hash != hash(&row) {
                return Ok(Verdict::Broken { sequence: entries });
            }
            head = row.hash;
        }
    }
}

/// SHA-256 over the previous hash and the entry as a JSON array, its detail as the text that is stored.
fn hash(row: &AuditRow) -> String {
    let entry = json!([
        row.sequence,
        row.time.0.unix_timestamp(),
        row.actor,
        row.action,
        row.object,
        row.organisation,
        row.detail,
    ]);
    sha256_hex(format!("{}{entry}", row.previous).as_bytes())
}

fn entry(row: AuditRow) -> AuditEntry {
    AuditEntry {
        sequence: row.sequence.unsigned_abs(),
        time: row.time.0,
        actor: row.actor,
        action: row.action,
        object: row.object,
        organisation: row.organisation,
        detail: serde_json::from_str(&row.detail).unwrap_or(Value::String(row.detail)),
        hash: row.hash,
    }
}
