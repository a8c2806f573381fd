//! The revocation lists.

use sqlx::FromRow;

use super::{Connection, DatabaseError, Moment, on};

/// A revocation list.
#[derive(Debug, FromRow)]
pub struct CrlRow {
    /// Its number.
    pub number: i64,
    /// The list.
    pub der: Vec<u8>,
    /// Since when it is good.
    pub this_update: Moment,
    /// When the next one is made at the latest.
    pub next_update: Moment,
    /// The number of the last revocation that is on it.
    pub revocation: i64,
}

/// The number of the newest one, without reading it; 0 where there is none.
pub async fn last_number(connection: &mut Connection) -> Result<i64, DatabaseError> {
    let last = "SELECT coalesce(max(number), 0) FROM crls";
    Ok(on!(connection, sqlx::query_scalar(last).fetch_one(connection).await?))
}

/// The newest one.
pub async fn latest(connection: &mut Connection) -> Result<Option<CrlRow>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as("SELECT * FROM crls ORDER BY number DESC LIMIT 1").fetch_optional(connection).await?
    ))
}

/// Number and dates of a revocation list.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct CrlDates {
    /// Its number.
    pub number: i64,
    /// Since when it is good.
    pub this_update: Moment,
    /// When the next one is made at the latest.
    pub next_update: Moment,
}

/// Number and dates of the newest one, without the list, which may be long.
pub async fn dates(connection: &mut Connection) -> Result<Option<CrlDates>, DatabaseError> {
    let statement = "SELECT number, this_update, next_update FROM crls ORDER BY number DESC LIMIT 1";
    Ok(on!(connection, sqlx::query_as(statement).fetch_optional(connection).await?))
}

/// Adds one; older ones, which nobody asks for, make room.
pub async fn insert(connection: &mut Connection, crl: &CrlRow) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query("INSERT INTO crls (number, der, this_update, next_update, revocation) VALUES ($1, $2, $3, $4, $5)")
            .bind(crl.number)
            .bind(&crl.der)
            .bind(crl.this_update)
            .bind(crl.next_update)
            .bind(crl.revocation)
            .execute(connection)
            .await?
            .rows_affected()
    );
    on!(
        connection,
        sqlx::query("DELETE FROM crls WHERE number < $1").bind(crl.number).execute(connection).await?.rows_affected()
    );
    Ok(())
}

/// Has the service make a new one when it starts, as if this one lacked a revocation, and number it above `number`.
pub async fn make_outdated(connection: &mut Connection, number: i64) -> Result<(), DatabaseError> {
    let statement = "UPDATE crls SET revocation = -1, number = CASE WHEN number < $1 THEN $1 ELSE number END";
    on!(connection, sqlx::query(statement).bind(number).execute(connection).await?.rows_affected());
    Ok(())
}
