//! The revocations, in their order, and what lists and OCSP responses say of a certificate.

use sqlx::FromRow;
use time::OffsetDateTime;

use super::{Connection, DatabaseError, Moment, on};
use crate::protocol::messages::RevocationCode;

/// The number of the last revocation; 0 where there is none.
pub async fn last(connection: &mut Connection) -> Result<i64, DatabaseError> {
    let last = "SELECT coalesce(max(revocation), 0) FROM certificates WHERE revocation IS NOT NULL";
    Ok(on!(connection, sqlx::query_scalar(last).fetch_one(connection).await?))
}

/// The serial numbers of what was revoked after a revocation.
pub async fn after(connection: &mut Connection, revocation: i64) -> Result<Vec<String>, DatabaseError> {
    let after = "SELECT serial FROM certificates WHERE revocation > $1 ORDER BY revocation";
    Ok(on!(connection, sqlx::query_scalar(after).bind(revocation).fetch_all(connection).await?))
}

/// What a list says of every certificate that is on it. The database hands it over as three texts, one for each column: row
/// by row, or put together there, 100,000 of them take three times as long.
#[derive(Debug, Default, FromRow)]
pub struct Listed {
    serials: Option<String>,
    moments: Option<String>,
    codes: Option<String>,
}

impl Listed {
    /// Serial number, moment and code of each; `None` where they cannot be read.
    pub fn iter(&self) -> impl Iterator<Item = Option<(&str, Moment, RevocationCode)>> {
        let [serials, moments, codes] = [&self.serials, &self.moments, &self.codes]
            .map(|column| column.as_deref().unwrap_or_default().split_ascii_whitespace());
        serials.zip(moments).zip(codes).map(|((serial, moment), code)| {
            let moment = OffsetDateTime::from_unix_timestamp(moment.parse().ok()?).ok()?;
            Some((serial, Moment(moment), code.parse().ok()?))
        })
    }
}

/// The revoked certificates, but for those that ended and were revoked before a time.
pub async fn listed(connection: &mut Connection, cut_off: Moment) -> Result<Listed, DatabaseError> {
    // The plus signs keep SQLite from the index on the ends alone, beside which it would look up every row.
    Ok(on!(
        connection,
        sqlx::query_as(
            "SELECT string_agg(serial, ' ') AS serials, string_agg(CAST(revoked_at AS TEXT), ' ') AS moments,
                    string_agg(revocation_code, ' ') AS codes
             FROM certificates WHERE revoked_at IS NOT NULL AND (+not_after > $1 OR +revoked_at > $1)",
        )
        .bind(cut_off)
        .fetch_one(connection)
        .await?
    ))
}

/// What is known of a serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has a certificate with it.
    NotIssued,
    /// Its certificate is not revoked.
    Good,
    /// Its certificate is revoked.
    Revoked(Moment, RevocationCode),
}

/// What is known of a serial number. What was recorded and has no signature yet is not issued.
pub async fn standing(connection: &mut Connection, serial: &str) -> Result<Standing, DatabaseError> {
    let row: Option<(bool, Option<Moment>, Option<RevocationCode>)> = on!(
        connection,
        sqlx::query_as("SELECT der IS NOT NULL, revoked_at, revocation_code FROM certificates WHERE serial = $1")
            .bind(serial)
            .fetch_optional(connection)
            .await?
    );
    Ok(match row {
        Some((_, Some(revoked_at), Some(code))) => Standing::Revoked(revoked_at, code),
        Some((true, ..)) => Standing::Good,
        _ => Standing::NotIssued,
    })
}
