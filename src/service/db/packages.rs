//! The install packages; of each secret only the hash.

use sqlx::FromRow;

use super::{Connection, DatabaseError, Moment};
use crate::protocol::messages::NewPackage;
use crate::protocol::request::{Kind, StoreScope};
use crate::protocol::secret::{Secret, SecretHash};

/// An install package that was given out.
#[derive(Debug, FromRow)]
pub struct PackageRow {
    /// Its number.
    pub id: i64,
    /// Code of the organisation that got it.
    pub organisation: String,
    /// What it enrols.
    pub kind: Kind,
    /// Where the client installs.
    pub store: StoreScope,
    /// Whether CSRs of external servers may be submitted with it.
    pub external_requests: bool,
    /// When it was made.
    pub created_at: Moment,
    /// Since when nothing can be submitted with it.
    pub disabled_at: Option<Moment>,
}

/// Adds one and returns its number.
pub async fn insert(
    connection: &mut Connection,
    package: &NewPackage,
    secret: &SecretHash,
    now: Moment,
) -> Result<i64, DatabaseError> {
    Ok(sqlx::query_scalar(
        "INSERT INTO packages (organisation, kind, store, external_requests, secret_sha256, created_at)
         VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
    )
    .bind(&package.organisation)
    .bind(package.kind.as_str())
    .bind(package.store.as_str())
    .bind(package.external_requests)
    .bind(secret.as_str())
    .bind(now)
    .fetch_one(connection)
    .await?)
}

/// The package that a secret belongs to.
///
/// The look-up by hash leaks at most how much of the hash of 256 random bits agrees, which leads to no secret.
pub async fn find_by_secret(connection: &mut Connection, secret: &Secret) -> Result<Option<PackageRow>, DatabaseError> {
    Ok(sqlx::query_as("SELECT * FROM packages WHERE secret_sha256 = ?")
        .bind(secret.fingerprint().as_str())
        .fetch_optional(connection)
        .await?)
}

/// The package with a number.
pub async fn find(connection: &mut Connection, id: i64) -> Result<Option<PackageRow>, DatabaseError> {
    Ok(sqlx::query_as("SELECT * FROM packages WHERE id = ?").bind(id).fetch_optional(connection).await?)
}

/// All of them, oldest first.
pub async fn all(connection: &mut Connection) -> Result<Vec<PackageRow>, DatabaseError> {
    Ok(sqlx::query_as("SELECT * FROM packages ORDER BY id").fetch_all(connection).await?)
}

/// Ends a package's use.
pub async fn disable(connection: &mut Connection, id: i64, now: Moment) -> Result<(), DatabaseError> {
    sqlx::query("UPDATE packages SET disabled_at = ? WHERE id = ? AND disabled_at IS NULL")
        .bind(now)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}
