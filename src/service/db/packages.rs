//! The install packages; of each secret only the hash.

use sqlx::FromRow;

use super::{Connection, DatabaseError, Moment, Statement, on, row_groups};
use crate::protocol::messages::{NewPackage, Organisation, PackageSummary};
use crate::protocol::package::Defaults;
use crate::protocol::request::{Kind, StoreScope};
use crate::protocol::secret::SecretHash;

/// An install package that was given out.
#[derive(Debug, Clone, FromRow)]
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
    /// Since when nothing can be submitted with it, because somebody ended its use.
    pub disabled_at: Option<Moment>,
    /// What the client uses for fields that nobody gave.
    pub defaults: Defaults,
    /// From when on nothing can be submitted with it.
    pub expires_at: Option<Moment>,
    /// The package that takes its place.
    pub replaced_by: Option<i64>,
}

impl From<PackageRow> for PackageSummary {
    fn from(row: PackageRow) -> Self {
        Self {
            id: row.id,
            organisation: row.organisation,
            kind: row.kind,
            store: row.store,
            external_requests: row.external_requests,
            defaults: row.defaults,
            created_at: row.created_at.0,
            expires_at: row.expires_at.map(|moment| moment.0),
            disabled: row.disabled_at.is_some(),
            disabled_at: row.disabled_at.map(|moment| moment.0),
            replaced_by: row.replaced_by,
        }
    }
}

/// Adds one, with its defaults as JSON, and returns its number.
pub async fn insert(
    connection: &mut Connection,
    package: &NewPackage,
    defaults: &str,
    secret: &SecretHash,
    now: Moment,
) -> Result<i64, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_scalar(
            "INSERT INTO packages (organisation, kind, store, external_requests, defaults, secret_sha256, created_at,
                                   expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
        )
        .bind(&package.organisation)
        .bind(package.kind.as_str())
        .bind(package.store.as_str())
        .bind(package.external_requests)
        .bind(defaults)
        .bind(secret.as_str())
        .bind(now)
        .bind(package.expires_at.map(Moment))
        .fetch_one(connection)
        .await?
    ))
}

/// The package that a secret belongs to, and its organisation.
///
/// The look-up by hash leaks at most how much of the hash of 256 random bits agrees, which leads to no secret.
pub async fn find_by_secret(
    connection: &mut Connection,
    secret: &SecretHash,
) -> Result<Option<(PackageRow, Organisation)>, DatabaseError> {
    #[derive(FromRow)]
    struct Row {
        #[sqlx(flatten)]
        package: PackageRow,
        organisation_name: String,
        organisation_country: String,
    }
    let row: Option<Row> = on!(
        connection,
        sqlx::query_as(
            "SELECT packages.*, organisations.name AS organisation_name, organisations.country AS organisation_country
             FROM packages JOIN organisations ON organisations.code = packages.organisation WHERE secret_sha256 = $1"
        )
        .bind(secret.as_str())
        .fetch_optional(connection)
        .await?
    );
    Ok(row.map(|Row { package, organisation_name: name, organisation_country: country }| {
        let organisation = Organisation { code: package.organisation.clone(), name, country };
        (package, organisation)
    }))
}

/// The package with a number.
pub async fn find(connection: &mut Connection, id: i64) -> Result<Option<PackageRow>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as("SELECT * FROM packages WHERE id = $1").bind(id).fetch_optional(connection).await?
    ))
}

/// The packages with these numbers.
pub async fn find_all(connection: &mut Connection, ids: &[i64]) -> Result<Vec<PackageRow>, DatabaseError> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in row_groups(connection.engine(), ids) {
        let mut statement = Statement::new("SELECT * FROM packages WHERE id IN (");
        statement.push_rows(ids.iter().map(|id| [(*id).into()])).push(")");
        let rows: Vec<PackageRow> = on!(connection, statement.query_as()?.fetch_all(connection).await?);
        found.extend(rows);
    }
    Ok(found)
}

/// All of them, oldest first.
pub async fn all(connection: &mut Connection) -> Result<Vec<PackageRow>, DatabaseError> {
    Ok(on!(connection, sqlx::query_as("SELECT * FROM packages ORDER BY id").fetch_all(connection).await?))
}

/// Ends a package's use.
pub async fn disable(connection: &mut Connection, id: i64, now: Moment) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query("UPDATE packages SET disabled_at = $1 WHERE id = $2 AND disabled_at IS NULL")
            .bind(now)
            .bind(id)
            .execute(connection)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// Notes which package takes another one's place, and when the use of that one ends by itself.
pub async fn replace(
    connection: &mut Connection,
    id: i64,
    by: i64,
    expires_at: Option<Moment>,
) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query("UPDATE packages SET replaced_by = $1, expires_at = $2 WHERE id = $3 AND replaced_by IS NULL")
            .bind(by)
            .bind(expires_at)
            .bind(id)
            .execute(connection)
            .await?
            .rows_affected()
    );
    Ok(())
}
