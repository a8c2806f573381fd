//! The organisations.

use super::statement::{Statement, read_array};
use super::{Connection, DatabaseError, Moment, on};
use crate::protocol::messages::Organisation;

/// Adds one; a code that is taken is a duplicate.
pub async fn insert(
    connection: &mut Connection,
    organisation: &Organisation,
    now: Moment,
) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query("INSERT INTO organisations (code, name, country, created_at) VALUES ($1, $2, $3, $4)")
            .bind(&organisation.code)
            .bind(&organisation.name)
            .bind(&organisation.country)
            .bind(now)
            .execute(connection)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// The organisation with a code.
pub async fn find(connection: &mut Connection, code: &str) -> Result<Option<Organisation>, DatabaseError> {
    let row: Option<(String, String, String)> = on!(
        connection,
        sqlx::query_as("SELECT code, name, country FROM organisations WHERE code = $1")
            .bind(code)
            .fetch_optional(connection)
            .await?
    );
    Ok(row.map(organisation))
}

/// All of them, by code.
pub async fn all(connection: &mut Connection) -> Result<Vec<Organisation>, DatabaseError> {
    let rows: Vec<(String, String, String)> = on!(
        connection,
        sqlx::query_as("SELECT code, name, country FROM organisations ORDER BY code").fetch_all(connection).await?
    );
    Ok(rows.into_iter().map(organisation).collect())
}

/// The codes of all of them, in order.
pub async fn codes(connection: &mut Connection) -> Result<Vec<String>, DatabaseError> {
    let array = connection.engine().array_of("code");
    let query = Statement::new(format!("SELECT {array} FROM (SELECT code FROM organisations ORDER BY code) AS codes"));
    on!(connection, read_array(query.query_as()?.fetch_one(connection).await?))
}

fn organisation((code, name, country): (String, String, String)) -> Organisation {
    Organisation { code, name, country }
}
