//! The certificates, from before they are signed until after they are revoked.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

use super::postings::SHORTEST;
use super::{Connection, DatabaseError, Engine, Moment, Statement, on, request_list, row_groups, row_number};
use crate::protocol::messages::{CertificateSummary, Der, Revocation, RevocationCode};
use crate::protocol::request::{Kind, RequestNumber};

/// Whom a certificate was issued to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The machine of a request, and what the certificate is for.
    Request(RequestNumber, Kind),
    /// A manager.
    Manager(u64),
    /// This service, for its listeners and for its OCSP responses.
    Service,
    /// This service, to sign install packages with.
    PackageSigner,
}

impl Holder {
    /// What the certificate is for, where it answers a request.
    pub const fn kind(self) -> Option<Kind> {
        match self {
            Self::Request(_, kind) => Some(kind),
            Self::Manager(_) | Self::Service | Self::PackageSigner => None,
        }
    }

    /// The request that it answers.
    pub const fn request(self) -> Option<RequestNumber> {
        match self {
            Self::Request(number, _) => Some(number),
            Self::Manager(_) | Self::Service | Self::PackageSigner => None,
        }
    }

    /// Whether it is this service itself.
    pub const fn is_service(self) -> bool {
        matches!(self, Self::Service | Self::PackageSigner)
    }

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

/// How a query for [`CertificateRow`]s begins: without what was signed, which stands in the certificate once more.
macro_rules! select {
    ($($rest:literal)?) => {
        concat!(
            "SELECT id, serial, request, kind, manager, organisation, subject, der, not_before, not_after, revoked_at, revoked_by,
                    revocation_code, revocation_reason FROM certificates ",
            $($rest)?
        )
    };
}

impl CertificateRow {
    /// Whether it was issued to this service itself.
    pub const fn is_own(&self) -> bool {
        self.request.is_none() && self.manager.is_none()
    }
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

/// Records certificates before they are signed, but for those whose serial number is taken; says how many it recorded.
pub async fn insert(connection: &mut Connection, certificates: &[NewCertificate<'_>]) -> Result<u64, DatabaseError> {
    let mut recorded = 0;
    for certificates in row_groups(connection.engine(), certificates) {
        let mut statement = Statement::new(
            "INSERT INTO certificates (serial, holder, request, kind, manager, organisation, subject, search, tbs,
                                       not_before, not_after) ",
        );
        statement.push_rows(certificates.iter().map(|certificate| {
            let (request, kind, manager) = match certificate.holder {
                Holder::Request(number, kind) => (Some(number), Some(kind.as_str()), None),
                Holder::Manager(id) => (None, None, Some(row_number(id))),
                Holder::Service | Holder::PackageSigner => (None, None, None),
            };
            [
                certificate.serial.into(),
                certificate.holder.as_str().into(),
                request.into(),
                kind.into(),
                manager.into(),
                certificate.organisation.into(),
                certificate.subject.into(),
                certificate.subject.to_lowercase().into(),
                certificate.tbs.into(),
                certificate.not_before.into(),
                certificate.not_after.into(),
            ]
        }));
        statement.push(" ON CONFLICT (serial) DO NOTHING");
        recorded += on!(connection, statement.query()?.execute(connection).await?.rows_affected());
    }
    Ok(recorded)
}

/// Which of these bytes to be signed are on record, each with its serial number.
pub async fn on_record(
    connection: &mut Connection,
    certificates: &[(&str, &[u8])],
) -> Result<HashSet<Vec<u8>>, DatabaseError> {
    let mut found = HashSet::new();
    for certificates in row_groups(connection.engine(), certificates) {
        let mut statement = Statement::new("SELECT tbs FROM certificates WHERE (serial, tbs) IN (");
        statement.push_rows(certificates.iter().map(|(serial, tbs)| [(*serial).into(), (*tbs).into()])).push(")");
        let rows: Vec<(Vec<u8>,)> = on!(connection, statement.query_as()?.fetch_all(connection).await?);
        found.extend(rows.into_iter().map(|(tbs,)| tbs));
    }
    Ok(found)
}

/// A certificate that was recorded and not signed.
#[derive(Debug, FromRow)]
pub struct Unsigned {
    /// Position in the list of all.
    pub id: i64,
    /// Serial number.
    pub serial: String,
    /// The bytes to be signed.
    pub tbs: Vec<u8>,
    /// The subject (RFC 4514).
    pub subject: String,
    /// Code of the holder's organisation.
    pub organisation: Option<String>,
    /// What it is for, where it answers a request.
    pub kind: Option<Kind>,
    /// Whether it is for this service itself.
    pub own: bool,
}

/// What there is of an [`Unsigned`]; one that was revoked in the meantime is not signed any more.
const UNSIGNED: &str = "SELECT id, serial, tbs, subject, organisation, kind, request IS NULL AND manager IS NULL AS own
    FROM certificates WHERE der IS NULL AND revoked_at IS NULL";

/// The next that were recorded and not signed, after a position, at most so many.
pub async fn unsigned(connection: &mut Connection, after: i64, limit: usize) -> Result<Vec<Unsigned>, DatabaseError> {
    let mut query = Statement::new(UNSIGNED);
    query.push(" AND id > ").push_bind(after).push(" ORDER BY id").push_limit(limit);
    Ok(on!(connection, query.query_as()?.fetch_all(connection).await?))
}

/// Those of them that answer these requests.
pub async fn unsigned_of(
    connection: &mut Connection,
    requests: &[RequestNumber],
) -> Result<Vec<Unsigned>, DatabaseError> {
    let mut query = Statement::new(UNSIGNED);
    query.push(" AND request IN ").push_numbers(requests);
    Ok(on!(connection, query.query_as()?.fetch_all(connection).await?))
}

/// Adds the signed certificates, by their serial numbers, and says which were not signed before; those that were stay
/// as they are.
pub async fn complete(connection: &mut Connection, signed: &[(&str, &[u8])]) -> Result<HashSet<String>, DatabaseError> {
    let mut completed = HashSet::new();
    for signed in row_groups(connection.engine(), signed) {
        let mut statement = Statement::new(
            "UPDATE certificates SET der = signed.der
             FROM (SELECT column1 AS serial, column2 AS der FROM (",
        );
        statement.push_rows(signed.iter().map(|(serial, der)| [(*serial).into(), (*der).into()]));
        statement.push(") AS pairs) AS signed WHERE certificates.serial = signed.serial AND certificates.der IS NULL");
        statement.push(" RETURNING certificates.serial");
        let rows: Vec<(String,)> = on!(connection, statement.query_as()?.fetch_all(connection).await?);
        completed.extend(rows.into_iter().map(|(serial,)| serial));
    }
    Ok(completed)
}

/// The certificate with a serial number.
pub async fn find(connection: &mut Connection, serial: &str) -> Result<Option<CertificateRow>, DatabaseError> {
    Ok(on!(connection, sqlx::query_as(select!("WHERE serial = $1")).bind(serial).fetch_optional(connection).await?))
}

/// The certificate that answers a request.
pub async fn find_by_request(
    connection: &mut Connection,
    number: RequestNumber,
) -> Result<Option<CertificateRow>, DatabaseError> {
    Ok(on!(connection, sqlx::query_as(select!("WHERE request = $1")).bind(number).fetch_optional(connection).await?))
}

/// The certificates that answer these requests.
pub async fn of_requests(
    connection: &mut Connection,
    numbers: &[RequestNumber],
) -> Result<HashMap<RequestNumber, CertificateRow>, DatabaseError> {
    if numbers.is_empty() {
        return Ok(HashMap::new());
    }
    let mut query = Statement::new(select!("WHERE request IN "));
    query.push_numbers(numbers);
    let rows: Vec<CertificateRow> = on!(connection, query.query_as()?.fetch_all(connection).await?);
    Ok(rows.into_iter().filter_map(|row| Some((row.request?, row))).collect())
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
    let mut query = Statement::new(select!());
    query.push(connection.engine().indexed_by(match (filter.search, filter.view, filter.organisation) {
        (None, View::Ending, Some(_)) => "INDEXED BY certificates_of_organisation_by_end",
        (None, View::Ending, None) => "INDEXED BY certificates_by_end",
        _ => "",
    }));
    query.push(" WHERE true");
    if let Some(search) = filter.search {
        let requests = request_list::newest(connection, search, filter.organisation).await?;
        push_search(&mut query, search, &requests, connection.engine());
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
        (true, _) => " ORDER BY not_after, id",
        (false, true) => " ORDER BY id DESC",
        (false, false) => " ORDER BY id",
    });
    query.push_limit(filter.limit as usize);
    Ok(on!(connection, query.query_as()?.fetch_all(connection).await?))
}

/// How many digits of a serial number are searched for. The first twelve tell the millisecond of its making; with four, all of
/// seven weeks would be found. None has more than 20 octets (RFC 5280 §4.1.2.2).
const SERIAL_DIGITS: RangeInclusive<usize> = 12..=40;

/// A serial number by its start, a request by its number or by what a search for it finds, a manager by the subject.
fn push_search<'a>(query: &mut Statement<'a>, search: &'a str, requests: &[RequestNumber], engine: Engine) {
    query.push(" AND id IN (SELECT id FROM certificates WHERE manager IS NOT NULL AND ");
    // Of a few characters, a number above all, every subject has some.
    query.push_contains(engine, "search", if search.chars().count() < SHORTEST { "\n" } else { search });
    let digits: String = search.chars().filter(|character| !matches!(character, ':' | ' ')).collect();
    if SERIAL_DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        query.push(" UNION SELECT id FROM certificates WHERE serial >= ").push_bind(digits.clone());
        query.push(" AND serial < ").push_bind(format!("{digits}g"));
    }
    if let Ok(number) = search.parse::<u64>() {
        query.push(" UNION SELECT id FROM certificates WHERE request = ").push_bind(row_number(number));
    }
    query.push(" UNION SELECT id FROM certificates WHERE request IN ").push_numbers(requests).push(")");
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
            // Who writes, writes alone; where two ever did, the index would let one of them in.
            "UPDATE certificates SET revoked_at = $1, revoked_by = $2, revocation_code = $3, revocation_reason = $4,
                    revocation = 1 + (SELECT coalesce(max(revocation), 0) FROM certificates WHERE revocation IS NOT NULL)
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
