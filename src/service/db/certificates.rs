//! The certificates, from before they are signed until after they are revoked.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

use super::request_index::SHORT;
use super::{Connection, DatabaseError, Engine, Moment, Statement, on, request_list, row_number};
use crate::protocol::messages::{CertificateSummary, Der, Revocation, RevocationCode};
use crate::protocol::request::{Kind, RequestNumber};

/// Whom a certificate was issued to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The machine of a request, and what the certificate is for.
    Request(RequestNumber, Kind),
    /// A manager.
    Manager(u64),
    /// This service, for its listeners.
    Service,
    /// This service, to sign install packages with.
    PackageSigner,
}

impl Holder {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Request(..) => "request",
            Self::Manager(_) => "manager",
            Self::Service => "service",
            Self::PackageSigner => "package-signer",
        }
    }
}

/// A certificate.
#[derive(Debug, FromRow)]
pub struct CertificateRow {
    /// Position in the list of all.
    pub id: i64,
    /// Serial number.
    pub serial: String,
    /// The request it answers.
    pub request: Option<RequestNumber>,
    /// What it is for, where it answers a request.
    pub kind: Option<Kind>,
    /// The manager it was issued to.
    pub manager: Option<i64>,
    /// Code of the holder's organisation.
    pub organisation: Option<String>,
    /// The subject (RFC 4514).
    pub subject: String,
    /// The certificate; none between record and signature.
    pub der: Option<Vec<u8>>,
    /// When it starts.
    pub not_before: Moment,
    /// When it ends.
    pub not_after: Moment,
    /// When it was revoked.
    pub revoked_at: Option<Moment>,
    /// By whom.
    pub revoked_by: Option<String>,
    revocation_code: Option<RevocationCode>,
    revocation_reason: Option<String>,
}

impl From<CertificateRow> for CertificateSummary {
    fn from(row: CertificateRow) -> Self {
        Self {
            serial: row.serial,
            request: row.request,
            organisation: row.organisation,
            subject: row.subject,
            not_before: row.not_before.0,
            not_after: row.not_after.0,
            revoked_at: row.revoked_at.map(|moment| moment.0),
            revocation: row
                .revocation_code
                .map(|code| Revocation { code, reason: row.revocation_reason.unwrap_or_default() }),
            certificate: row.der.map(Der),
        }
    }
}

/// A certificate that is about to be signed.
#[derive(Debug)]
pub struct NewCertificate<'a> {
    /// Serial number.
    pub serial: &'a str,
    /// Whom it is for.
    pub holder: Holder,
    /// Code of the holder's organisation.
    pub organisation: Option<&'a str>,
    /// The subject (RFC 4514).
    pub subject: &'a str,
    /// Exactly the bytes that will be signed.
    pub tbs: &'a [u8],
    /// When it starts.
    pub not_before: Moment,
    /// When it ends.
    pub not_after: Moment,
}

/// Records one before it is signed; `false` where its serial number is taken. An error would end the transaction.
pub async fn insert(connection: &mut Connection, certificate: &NewCertificate<'_>) -> Result<bool, DatabaseError> {
    let (request, kind, manager) = match certificate.holder {
        Holder::Request(number, kind) => (Some(number), Some(kind.as_str()), None),
        Holder::Manager(id) => (None, None, Some(row_number(id))),
        Holder::Service | Holder::PackageSigner => (None, None, None),
    };
    let inserted = on!(
        connection,
        sqlx::query(
            "INSERT INTO certificates (serial, holder, request, kind, manager, organisation, subject, search, tbs,
                                       not_before, not_after)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (serial) DO NOTHING",
        )
        .bind(certificate.serial)
        .bind(certificate.holder.as_str())
        .bind(request)
        .bind(kind)
        .bind(manager)
        .bind(certificate.organisation)
        .bind(certificate.subject)
        .bind(certificate.subject.to_lowercase())
        .bind(certificate.tbs)
        .bind(certificate.not_before)
        .bind(certificate.not_after)
        .execute(connection)
        .await?
        .rows_affected()
    );
    Ok(inserted == 1)
}

/// The serial numbers and to-be-signed bytes of all that were recorded and not signed; one that was revoked in the
/// meantime is not signed any more.
pub async fn unsigned(connection: &mut Connection) -> Result<Vec<(String, Vec<u8>)>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as("SELECT serial, tbs FROM certificates WHERE der IS NULL AND revoked_at IS NULL ORDER BY id")
            .fetch_all(connection)
            .await?
    ))
}

/// Adds the signed certificate; one that is there stays.
pub async fn complete(connection: &mut Connection, serial: &str, der: &[u8]) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query("UPDATE certificates SET der = $1 WHERE serial = $2 AND der IS NULL")
            .bind(der)
            .bind(serial)
            .execute(connection)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// The certificate with a serial number.
pub async fn find(connection: &mut Connection, serial: &str) -> Result<Option<CertificateRow>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as("SELECT * FROM certificates WHERE serial = $1").bind(serial).fetch_optional(connection).await?
    ))
}

/// The certificate that answers a request.
pub async fn find_by_request(
    connection: &mut Connection,
    number: RequestNumber,
) -> Result<Option<CertificateRow>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as("SELECT * FROM certificates WHERE request = $1").bind(number).fetch_optional(connection).await?
    ))
}

/// The serial numbers of a manager's certificates that are not revoked.
pub async fn of_manager(connection: &mut Connection, id: u64) -> Result<Vec<String>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_scalar("SELECT serial FROM certificates WHERE manager = $1 AND revoked_at IS NULL")
            .bind(row_number(id))
            .fetch_all(connection)
            .await?
    ))
}

/// Which part of the certificates a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// All of them, by issue.
    #[default]
    All,
    /// Those in use that end first, by their end.
    Ending,
    /// Those that were revoked and are not over, by their end.
    Revoked,
}

/// What a list shows.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    /// Only certificates of this organisation.
    pub organisation: Option<&'a str>,
    /// Only certificates whose request, subject or serial number answers to this text in lower case.
    pub search: Option<&'a str>,
    /// The part.
    pub view: View,
    /// The present moment, for what is not over.
    pub now: Option<Moment>,
    /// Newest first, where they come by issue.
    pub newest_first: bool,
    /// Only what comes after the certificate at this position.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// The rows that a filter lets through. A search finds the certificates of the 1,000 newest requests that the index has
/// for it.
pub async fn list(connection: &mut Connection, filter: &Filter<'_>) -> Result<Vec<CertificateRow>, DatabaseError> {
    let mut query = Statement::new("SELECT * FROM certificates ");
    query.push(connection.engine().indexed_by(match (filter.search, filter.view, filter.organisation) {
        (None, View::Ending, Some(_)) => "INDEXED BY certificates_of_organisation_by_end",
        (None, View::Ending, None) => "INDEXED BY certificates_by_end",
        _ => "",
    }));
    query.push(" WHERE true");
    if let Some(search) = filter.search {
        let requests = request_list::newest(connection, search, filter.organisation).await?;
        push_search(&mut query, search, &requests, connection.engine())?;
    }
    if let Some(organisation) = filter.organisation {
        query.push(" AND organisation = ").push_bind(organisation);
    }
    if filter.view != View::All {
        query.push(" AND not_after > ").push_bind(filter.now.map_or(0, |now| now.0.unix_timestamp()));
        query.push(if filter.view == View::Revoked {
            " AND revoked_at IS NOT NULL"
        } else {
            " AND revoked_at IS NULL"
        });
    }
    let by_end = filter.view != View::All;
    if let Some(after) = filter.after.map(row_number) {
        match (by_end, filter.newest_first) {
            (true, _) => {
                query.push(" AND (not_after, id) > ((SELECT not_after FROM certificates WHERE id = ").push_bind(after);
                // As with requests: nothing goes on from what another organisation has.
                if let Some(organisation) = filter.organisation {
                    query.push(" AND organisation = ").push_bind(organisation);
                }
                query.push("), ").push_bind(after).push(")")
            }
            (false, true) => query.push(" AND id < ").push_bind(after),
            (false, false) => query.push(" AND id > ").push_bind(after),
        };
    }
    query.push(match (by_end, filter.newest_first) {
        (true, _) => " ORDER BY not_after, id LIMIT ",
        (false, true) => " ORDER BY id DESC LIMIT ",
        (false, false) => " ORDER BY id LIMIT ",
    });
    query.push_bind(filter.limit);
    Ok(on!(connection, query.query_as().fetch_all(connection).await?))
}

/// A serial number by its start, a request by its number or by what a search for it finds, a manager by the subject.
fn push_search(
    query: &mut Statement,
    search: &str,
    requests: &[RequestNumber],
    engine: Engine,
) -> Result<(), DatabaseError> {
    query.push(" AND id IN (SELECT id FROM certificates WHERE manager IS NOT NULL AND ");
    // Of a few characters, a number above all, every subject has some.
    query.push_contains("search", if search.chars().count() < SHORT { "\n" } else { search });
    let digits: String = search.chars().filter(|character| !matches!(character, ':' | ' ')).collect();
    if (4..=40).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        query.push(" UNION SELECT id FROM certificates WHERE serial >= ").push_bind(digits.clone());
        query.push(" AND serial < ").push_bind(format!("{digits}g"));
    }
    if let Ok(number) = search.parse::<u64>() {
        query.push(" UNION SELECT id FROM certificates WHERE request = ").push_bind(row_number(number));
    }
    query.push(" UNION SELECT id FROM certificates WHERE request IN ").push_numbers(engine, &requests)?.push(")");
    Ok(())
}

/// Marks a certificate as revoked; one that is stays as it is.
pub async fn revoke(
    connection: &mut Connection,
    serial: &str,
    now: Moment,
    by: &str,
    revocation: &Revocation,
) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query(
            "UPDATE certificates SET revoked_at = $1, revoked_by = $2, revocation_code = $3, revocation_reason = $4
             WHERE serial = $5 AND revoked_at IS NULL",
        )
        .bind(now)
        .bind(by)
        .bind(revocation.code.as_str())
        .bind(&revocation.reason)
        .bind(serial)
        .execute(connection)
        .await?
        .rows_affected()
    );
    Ok(())
}

/// The revoked certificates that end after a time.
pub async fn revoked(
    connection: &mut Connection,
    ending_after: Moment,
) -> Result<Vec<(String, Moment, RevocationCode)>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as(
            "SELECT serial, revoked_at, revocation_code FROM certificates
             WHERE revoked_at IS NOT NULL AND not_after > $1 ORDER BY id",
        )
        .bind(ending_after)
        .fetch_all(connection)
        .await?
    ))
}
