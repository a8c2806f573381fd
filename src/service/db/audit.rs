//! The rows of the audit record. What a hash covers is decided in `service::audit`.

use sqlx::FromRow;

use super::{Connection, DatabaseError, Moment, row_number};

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

/// Position and hash of the last entry.
pub async fn last(connection: &mut Connection) -> Result<Option<(i64, String)>, DatabaseError> {
    Ok(sqlx::query_as("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")
        .fetch_optional(connection)
        .await?)
}

/// Adds an entry.
pub async fn insert(connection: &mut Connection, row: &AuditRow) -> Result<(), DatabaseError> {
    sqlx::query(
        "INSERT INTO audit (sequence, time, actor, action, object, organisation, detail, previous, hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.sequence)
    .bind(row.time)
    .bind(&row.actor)
    .bind(&row.action)
    .bind(&row.object)
    .bind(&row.organisation)
    .bind(&row.detail)
    .bind(&row.previous)
    .bind(&row.hash)
    .execute(connection)
    .await?;
    Ok(())
}

/// Entries above a position, in order.
pub async fn list(connection: &mut Connection, after: u64, limit: u32) -> Result<Vec<AuditRow>, DatabaseError> {
    Ok(sqlx::query_as("SELECT * FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?")
        .bind(row_number(after))
        .bind(limit)
        .fetch_all(connection)
        .await?)
}
