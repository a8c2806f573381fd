//! The organisations.

use super::{Connection, DatabaseError, Moment};
use crate::protocol::messages::Organisation;

/// Adds one; a code that is taken is a duplicate.
pub async fn insert(
    connection: &mut Connection,
    organisation: &Organisation,
    now: Moment,
) -> Result<(), DatabaseError> {
    sqlx::query("INSERT INTO organisations (code, name, country, created_at) VALUES (?, ?, ?, ?)")
        .bind(&organisation.code)
        .bind(&organisation.name)
        .bind(&organisation.country)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// The organisation with a code.
pub async fn find(connection: &mut Connection, code: &str) -> Result<Option<Organisation>, DatabaseError> {
    let row: Option<(String, String, String)> =
        sqlx::query_as("SELECT code, name, country FROM organisations WHERE code = ?")
            .bind(code)
            .fetch_optional(connection)
            .await?;
    Ok(row.map(organisation))
}

/// All of them, by code.
pub async fn all(connection: &mut Connection) -> Result<Vec<Organisation>, DatabaseError> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("SELECT code, name, country FROM organisations ORDER BY code").fetch_all(connection).await?;
    Ok(rows.into_iter().map(organisation).collect())
}

fn organisation((code, name, country): (String, String, String)) -> Organisation {
    Organisation { code, name, country }
}
