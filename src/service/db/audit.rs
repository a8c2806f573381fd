//! The rows of the audit record. What a hash covers is decided in `service::audit`.

use futures_util::TryStreamExt;
use sqlx::FromRow;

use super::{Connection, DatabaseError, Engine, Moment, Statement, on, row_groups, row_number};

/// An entry as it is stored.
#[derive(Debug, Clone, FromRow)]
pub struct AuditRow {
    /// Position, from 1, without gaps.
    pub sequence: i64,
    /// When.
    pub time: Moment,
    /// By whom.
    pub actor: String,
    /// What.
    pub action: String,
    /// On what.
    pub object: String,
    /// Code of the organisation concerned.
    pub organisation: Option<String>,
    /// More, as JSON text.
    pub detail: String,
    /// The hash of the entry before.
    pub previous: String,
    /// The hash over `previous` and this entry.
    pub hash: String,
}

/// Whether there is an entry with this action.
pub async fn holds(connection: &mut Connection, action: &str) -> Result<bool, DatabaseError> {
    let statement = "SELECT EXISTS (SELECT 1 FROM audit WHERE action = $1)";
    Ok(on!(connection, sqlx::query_scalar(statement).bind(action).fetch_one(connection).await?))
}

/// Position and hash of the last entry.
pub async fn last(connection: &mut Connection) -> Result<Option<(i64, String)>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")
            .fetch_optional(connection)
            .await?
    ))
}

/// The statements that add entries, in order.
pub(super) fn insertions(engine: Engine, rows: &[AuditRow]) -> impl Iterator<Item = Statement<'_>> {
    row_groups(engine, rows).map(|rows| {
        let mut statement = Statement::new(
            "INSERT INTO audit (sequence, time, actor, action, object, organisation, detail, previous, hash) ",
        );
        statement.push_rows(rows.iter().map(|row| {
            [
                row.sequence.into(),
                row.time.into(),
                (&row.actor).into(),
                (&row.action).into(),
                (&row.object).into(),
                row.organisation.as_deref().into(),
                (&row.detail).into(),
                (&row.previous).into(),
                (&row.hash).into(),
            ]
        }));
        statement
    })
}

/// Entries above a position, in order.
pub async fn list(connection: &mut Connection, after: u64, limit: u32) -> Result<Vec<AuditRow>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as("SELECT * FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2 + 0")
            .bind(row_number(after))
            .bind(i64::from(limit))
            .fetch_all(connection)
            .await?
    ))
}

/// The newest entries on one object, newest first; without attempts that were refused, which are not its history.
pub async fn list_of(connection: &mut Connection, object: &str, limit: u32) -> Result<Vec<AuditRow>, DatabaseError> {
    Ok(on!(
        connection,
        // As `service::audit` writes the detail of a refusal.
        sqlx::query_as(
            r#"SELECT * FROM audit WHERE object = $1 AND detail NOT LIKE '{"refused":%' ORDER BY sequence DESC LIMIT $2 + 0"#
        )
        .bind(object)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?
    ))
}

/// Which entries to look for.
#[derive(Debug, Default)]
pub struct AuditFilter<'a> {
    /// Only what concerns this organisation.
    pub organisation: Option<&'a str>,
    /// Only what was done to this object: `request:34`.
    pub object: Option<&'a str>,
    /// Only actions that start with this: `request.` or `request.approve`.
    pub action: Option<&'a str>,
    /// Only actors whose name holds this.
    pub actor: Option<&'a str>,
    /// Only entries before this position.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// The most entries that are looked at for one page.
const LOOK_LIMIT: u32 = 5_000;

/// The entries that a filter lets through, newest first, and before which one the next part starts. At most
/// [`LOOK_LIMIT`] are looked at.
pub async fn search(
    connection: &mut Connection,
    filter: &AuditFilter<'_>,
) -> Result<(Vec<AuditRow>, Option<u64>), DatabaseError> {
    let mut query = Statement::new("SELECT * FROM audit WHERE sequence < ");
    query.push_bind(filter.before.map_or(i64::MAX, row_number));
    if let Some(organisation) = filter.organisation {
        query.push(" AND organisation = ").push_bind(organisation);
    }
    if let Some(object) = filter.object {
        query.push(" AND object = ").push_bind(object);
    }
    query.push(format_args!(" ORDER BY sequence DESC LIMIT {LOOK_LIMIT}"));
    let mut rows = on!(connection, query.query_as::<_, AuditRow>()?.fetch(connection));
    let mut found = Vec::new();
    let (mut looked, mut last) = (0, None);
    while let Some(row) = rows.try_next().await? {
        if found.len() == filter.limit as usize {
            return Ok((found, last));
        }
        looked += 1;
        last = Some(row.sequence.unsigned_abs());
        let passes = filter.action.is_none_or(|action| row.action.starts_with(action))
            && filter.actor.is_none_or(|actor| row.actor.to_lowercase().contains(actor));
        if passes {
            found.push(row);
        }
    }
    Ok((found, last.filter(|_| looked == LOOK_LIMIT)))
}
