//! The managers.

use sqlx::FromRow;

use super::{Connection, DatabaseError, Moment, on, row_number};
use crate::locales::Language;
use crate::protocol::messages::{Manager, NewManager};
use crate::protocol::request::Role;

/// A manager.
#[derive(Debug, FromRow)]
struct ManagerRow {
    id: i64,
    name: String,
    email: String,
    role: Role,
    organisation: Option<String>,
    disabled_at: Option<Moment>,
}

impl From<ManagerRow> for Manager {
    fn from(row: ManagerRow) -> Self {
        Self {
            id: row.id.unsigned_abs(),
            name: row.name,
            email: row.email,
            role: row.role,
            organisation: row.organisation,
            disabled: row.disabled_at.is_some(),
        }
    }
}

/// Adds one and returns its number; an e-mail address of another manager in office is a duplicate.
pub async fn insert(connection: &mut Connection, manager: &NewManager, now: Moment) -> Result<u64, DatabaseError> {
    let id: i64 = on!(
        connection,
        sqlx::query_scalar(
            "INSERT INTO managers (name, email, role, organisation, created_at)
             VALUES ($1, $2, $3, $4, $5) RETURNING id",
        )
        .bind(&manager.name)
        .bind(&manager.email)
        .bind(manager.role.as_str())
        .bind(&manager.organisation)
        .bind(now)
        .fetch_one(connection)
        .await?
    );
    Ok(id.unsigned_abs())
}

/// The manager with a number.
pub async fn find(connection: &mut Connection, id: u64) -> Result<Option<Manager>, DatabaseError> {
    let row: Option<ManagerRow> = on!(
        connection,
        sqlx::query_as("SELECT * FROM managers WHERE id = $1").bind(row_number(id)).fetch_optional(connection).await?
    );
    Ok(row.map(Manager::from))
}

/// All of them, oldest first.
pub async fn all(connection: &mut Connection) -> Result<Vec<Manager>, DatabaseError> {
    let rows: Vec<ManagerRow> =
        on!(connection, sqlx::query_as("SELECT * FROM managers ORDER BY id").fetch_all(connection).await?);
    Ok(rows.into_iter().map(Manager::from).collect())
}

/// Addresses and languages of the managers in office with this role, if they are of this organisation or of none.
pub async fn in_office(
    connection: &mut Connection,
    role: Role,
    organisation: &str,
) -> Result<Vec<(String, Language)>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as(
            "SELECT email, language FROM managers
             WHERE disabled_at IS NULL AND role = $1 AND (organisation IS NULL OR organisation = $2) ORDER BY id",
        )
        .bind(role.as_str())
        .bind(organisation)
        .fetch_all(connection)
        .await?
    ))
}

/// Changes the language in which a manager is written to.
pub async fn speak(connection: &mut Connection, id: u64, language: Language) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query("UPDATE managers SET language = $1 WHERE id = $2")
            .bind(language.as_str())
            .bind(row_number(id))
            .execute(connection)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// Takes a manager out of office.
pub async fn disable(connection: &mut Connection, id: u64, now: Moment) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query("UPDATE managers SET disabled_at = $1 WHERE id = $2 AND disabled_at IS NULL")
            .bind(now)
            .bind(row_number(id))
            .execute(connection)
            .await?
            .rows_affected()
    );
    Ok(())
}
