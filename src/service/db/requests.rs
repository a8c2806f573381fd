//! The requests.

use sqlx::FromRow;

use super::{Connection, DatabaseError, Moment, row_number};
use crate::protocol::messages::{Contact, MachineDetails, RequestSummary};
use crate::protocol::request::{Kind, RequestNumber, State};
use crate::protocol::secret::SecretHash;

/// A request.
#[derive(Debug, FromRow)]
pub struct RequestRow {
    /// The number by which everybody knows it.
    pub number: RequestNumber,
    /// Code of the organisation.
    pub organisation: String,
    /// What the certificate is for.
    pub kind: Kind,
    /// The name that the certificate will carry.
    pub common_name: String,
    /// Where it stands.
    pub state: State,
    /// The CSR, byte for byte.
    pub csr: Vec<u8>,
    /// SHA-256 of the CSR.
    pub csr_sha256: String,
    /// SHA-256 of the public key.
    pub key_sha256: String,
    /// SHA-256 of the request's token.
    pub token_sha256: SecretHash,
    /// SHA-256 of what was submitted.
    pub body_sha256: String,
    /// What the machine says of itself.
    pub machine: MachineDetails,
    /// Hexadecimal digits of its MAC address.
    pub mac_address: String,
    /// Who asks.
    pub contact: Contact,
    /// When it was accepted.
    pub submitted_at: Moment,
    /// When the state last changed by a decision.
    pub decided_at: Option<Moment>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// The decision's reason.
    pub reason: Option<String>,
    /// The older request that this one cancelled.
    pub replaces: Option<RequestNumber>,
    /// The newer request that cancelled this one.
    pub replaced_by: Option<RequestNumber>,
}

/// A request that is not in the database yet.
#[derive(Debug)]
pub struct NewRequest<'a> {
    /// Code of the organisation.
    pub organisation: &'a str,
    /// The package it came with.
    pub package: i64,
    /// What the certificate is for.
    pub kind: Kind,
    /// The name that the certificate will carry.
    pub common_name: &'a str,
    /// That name in the form in which names are compared.
    pub identity: &'a str,
    /// The CSR.
    pub csr: &'a [u8],
    /// SHA-256 of the CSR.
    pub csr_sha256: &'a str,
    /// SHA-256 of the public key.
    pub key_sha256: &'a str,
    /// SHA-256 of the request's token.
    pub token_sha256: &'a SecretHash,
    /// The client's idempotency key.
    pub idempotency_key: Option<&'a str>,
    /// SHA-256 of what was submitted.
    pub body_sha256: &'a str,
    /// What the machine says of itself, JSON.
    pub machine: &'a str,
    /// Who asks, JSON.
    pub contact: &'a str,
    /// Hexadecimal digits of the MAC address.
    pub mac_address: &'a str,
    /// What a search looks into.
    pub search: &'a str,
    /// When it was accepted.
    pub submitted_at: Moment,
    /// The older request that it cancels.
    pub replaces: Option<RequestNumber>,
}

/// What a list shows.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    /// Only requests in this state.
    pub state: Option<State>,
    /// Only requests of this organisation.
    pub organisation: Option<&'a str>,
    /// Only requests that hold this text, in lower case.
    pub search: Option<&'a str>,
    /// Only numbers above this one.
    pub after: u64,
    /// At most so many.
    pub limit: u32,
}

/// Adds a pending request and returns its number.
pub async fn insert(connection: &mut Connection, request: &NewRequest<'_>) -> Result<RequestNumber, DatabaseError> {
    Ok(sqlx::query_scalar(
        "INSERT INTO requests (organisation, package, kind, common_name, identity, state, csr, csr_sha256, key_sha256,
                               token_sha256, idempotency_key, body_sha256, machine, contact, mac_address, search,
                               submitted_at, replaces)
         VALUES (?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
    )
    .bind(request.organisation)
    .bind(request.package)
    .bind(request.kind.as_str())
    .bind(request.common_name)
    .bind(request.identity)
    .bind(request.csr)
    .bind(request.csr_sha256)
    .bind(request.key_sha256)
    .bind(request.token_sha256.as_str())
    .bind(request.idempotency_key)
    .bind(request.body_sha256)
    .bind(request.machine)
    .bind(request.contact)
    .bind(request.mac_address)
    .bind(request.search)
    .bind(request.submitted_at)
    .bind(request.replaces)
    .fetch_one(connection)
    .await?)
}

/// The request with a number.
pub async fn find(connection: &mut Connection, number: RequestNumber) -> Result<Option<RequestRow>, DatabaseError> {
    Ok(sqlx::query_as("SELECT * FROM requests WHERE number = ?").bind(number).fetch_optional(connection).await?)
}

/// The request that was submitted with a package under an idempotency key.
pub async fn find_by_idempotency_key(
    connection: &mut Connection,
    package: i64,
    key: &str,
) -> Result<Option<RequestRow>, DatabaseError> {
    Ok(sqlx::query_as("SELECT * FROM requests WHERE package = ? AND idempotency_key = ?")
        .bind(package)
        .bind(key)
        .fetch_optional(connection)
        .await?)
}

/// The pending request of an identity.
pub async fn find_pending(
    connection: &mut Connection,
    organisation: &str,
    kind: Kind,
    identity: &str,
) -> Result<Option<RequestNumber>, DatabaseError> {
    Ok(sqlx::query_scalar(
        "SELECT number FROM requests WHERE organisation = ? AND kind = ? AND identity = ? AND state = 'pending'",
    )
    .bind(organisation)
    .bind(kind.as_str())
    .bind(identity)
    .fetch_optional(connection)
    .await?)
}

/// Another request with the same key, and whether it is of another organisation.
pub async fn find_same_key(
    connection: &mut Connection,
    request: &RequestRow,
) -> Result<Option<(RequestNumber, String)>, DatabaseError> {
    Ok(sqlx::query_as(
        "SELECT number, organisation FROM requests WHERE key_sha256 = ? AND number <> ?
         ORDER BY organisation <> ?, number DESC LIMIT 1",
    )
    .bind(&request.key_sha256)
    .bind(request.number)
    .bind(&request.organisation)
    .fetch_optional(connection)
    .await?)
}

/// Another machine's request in the same organisation that names the same MAC address.
pub async fn find_same_mac_address(
    connection: &mut Connection,
    request: &RequestRow,
) -> Result<Option<RequestNumber>, DatabaseError> {
    Ok(sqlx::query_scalar(
        "SELECT number FROM requests WHERE mac_address = ? AND mac_address <> '' AND organisation = ?
             AND identity <> (SELECT identity FROM requests WHERE number = ?)
         ORDER BY number DESC LIMIT 1",
    )
    .bind(&request.mac_address)
    .bind(&request.organisation)
    .bind(request.number)
    .fetch_optional(connection)
    .await?)
}

/// The rows that a filter lets through, lowest number first.
pub async fn list(connection: &mut Connection, filter: &Filter<'_>) -> Result<Vec<RequestSummary>, DatabaseError> {
    type Row = (RequestNumber, String, Kind, State, String, Contact, Moment);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT number, organisation, kind, state, common_name, contact, submitted_at FROM requests
         WHERE number > ?1 AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR organisation = ?3)
             AND (?4 IS NULL OR instr(search, ?4) > 0 OR CAST(number AS TEXT) = ?4)
         ORDER BY number LIMIT ?5",
    )
    .bind(row_number(filter.after))
    .bind(filter.state.map(State::as_str))
    .bind(filter.organisation)
    .bind(filter.search)
    .bind(filter.limit)
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(number, organisation, kind, state, common_name, contact, submitted_at)| RequestSummary {
            number,
            organisation,
            kind,
            state,
            common_name,
            email: contact.email,
            description: contact.description,
            submitted_at: submitted_at.0,
        })
        .collect())
}

/// A change of state and who made it.
#[derive(Debug)]
pub struct Decision<'a> {
    /// The new state.
    pub state: State,
    /// When.
    pub at: Moment,
    /// By whom.
    pub by: &'a str,
    /// Why.
    pub reason: Option<&'a str>,
}

/// Writes a decision into a request.
pub async fn decide(
    connection: &mut Connection,
    number: RequestNumber,
    decision: &Decision<'_>,
) -> Result<(), DatabaseError> {
    sqlx::query("UPDATE requests SET state = ?, decided_at = ?, decided_by = ?, reason = ? WHERE number = ?")
        .bind(decision.state.as_str())
        .bind(decision.at)
        .bind(decision.by)
        .bind(decision.reason)
        .bind(number)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes the client's report into a request; the decision stays as it is.
pub async fn report(connection: &mut Connection, number: RequestNumber, state: State) -> Result<(), DatabaseError> {
    sqlx::query("UPDATE requests SET state = ? WHERE number = ?")
        .bind(state.as_str())
        .bind(number)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes into a cancelled request which one took its place.
pub async fn link_replacement(
    connection: &mut Connection,
    number: RequestNumber,
    by: RequestNumber,
) -> Result<(), DatabaseError> {
    sqlx::query("UPDATE requests SET replaced_by = ? WHERE number = ?")
        .bind(by)
        .bind(number)
        .execute(connection)
        .await?;
    Ok(())
}

/// The pending requests that came before a time, and that nobody was reminded of since.
pub async fn unattended(connection: &mut Connection, before: Moment) -> Result<Vec<RequestRow>, DatabaseError> {
    Ok(sqlx::query_as(
        "SELECT * FROM requests WHERE state = 'pending' AND coalesce(reminded_at, submitted_at) < ? ORDER BY number",
    )
    .bind(before)
    .fetch_all(connection)
    .await?)
}

/// Notes that the managers concerned were reminded of a request.
pub async fn reminded(connection: &mut Connection, number: RequestNumber, now: Moment) -> Result<(), DatabaseError> {
    sqlx::query("UPDATE requests SET reminded_at = ? WHERE number = ?")
        .bind(now)
        .bind(number)
        .execute(connection)
        .await?;
    Ok(())
}

/// The pending requests from before a time, with their organisations and kinds.
pub async fn overdue(
    connection: &mut Connection,
    before: Moment,
) -> Result<Vec<(RequestNumber, String, Kind)>, DatabaseError> {
    Ok(sqlx::query_as(
        "SELECT number, organisation, kind FROM requests WHERE state = 'pending' AND submitted_at < ? ORDER BY number",
    )
    .bind(before)
    .fetch_all(connection)
    .await?)
}
