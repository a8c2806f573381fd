//! The requests.

use std::collections::HashMap;

use sqlx::FromRow;

use super::request_index::{self, Trait, Traits};
use super::{Connection, DatabaseError, Moment, Statement, on, row_number};
use crate::protocol::messages::{Contact, MachineDetails};
use crate::protocol::request::{Kind, RequestNumber, State};
use crate::protocol::secret::SecretHash;
use crate::protocol::subject::identity;

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

/// Adds a pending request and returns its number.
pub async fn insert(connection: &mut Connection, request: &NewRequest<'_>) -> Result<RequestNumber, DatabaseError> {
    Ok(on!(connection, sqlx::query_scalar(
        "INSERT INTO requests (organisation, package, kind, common_name, identity, state, csr, csr_sha256, key_sha256,
                               token_sha256, idempotency_key, body_sha256, machine, contact, mac_address, search,
                               submitted_at, replaces)
         VALUES ($1, $2, $3, $4, $5, 'pending', $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         RETURNING number",
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
    .await?))
}

/// The request with a number.
pub async fn find(connection: &mut Connection, number: RequestNumber) -> Result<Option<RequestRow>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as("SELECT * FROM requests WHERE number = $1").bind(number).fetch_optional(connection).await?
    ))
}

/// The request that was submitted with a package under an idempotency key.
pub async fn find_by_idempotency_key(
    connection: &mut Connection,
    package: i64,
    key: &str,
) -> Result<Option<RequestRow>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as("SELECT * FROM requests WHERE package = $1 AND idempotency_key = $2")
            .bind(package)
            .bind(key)
            .fetch_optional(connection)
            .await?
    ))
}

/// The pending request of an identity.
pub async fn find_pending(
    connection: &mut Connection,
    organisation: &str,
    kind: Kind,
    identity: &str,
) -> Result<Option<RequestNumber>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_scalar(
            "SELECT number FROM requests WHERE organisation = $1 AND kind = $2 AND identity = $3 AND state = 'pending'",
        )
        .bind(organisation)
        .bind(kind.as_str())
        .bind(identity)
        .fetch_optional(connection)
        .await?
    ))
}

/// A request that shares something with another one.
#[derive(Debug, FromRow)]
pub struct Sharing {
    /// The other request.
    pub number: RequestNumber,
    /// Code of its organisation.
    pub organisation: String,
}

/// What two requests can share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// The public key, whoever asks.
    Key,
    /// The MAC address, on another machine of the same organisation.
    MacAddress,
    /// The host name that the machine gives, on another machine of the same organisation.
    HostName,
    /// The common name, in another organisation.
    CommonName,
}

impl Shared {
    const ALL: [Self; 4] = [Self::Key, Self::MacAddress, Self::HostName, Self::CommonName];

    const fn common(self) -> Trait {
        match self {
            Self::Key => Trait::Key,
            Self::MacAddress => Trait::MacAddress,
            Self::HostName => Trait::HostName,
            Self::CommonName => Trait::Identity,
        }
    }

    fn between(self, one: &Traits, other: &Traits) -> bool {
        let common = self.common();
        let at_home = one.organisation == other.organisation;
        one.number != other.number
            && one.value(common) == other.value(common)
            && match self {
                Self::Key => true,
                Self::MacAddress | Self::HostName => at_home && one.identity != other.identity,
                Self::CommonName => !at_home,
            }
    }
}

/// The most requests with a value in common that are looked at, newest first.
const SHARING_LIMIT: u32 = 100;

/// What each of these requests shares with another one, and with which: the newest, one of the same organisation before
/// others.
pub async fn find_sharing(
    connection: &mut Connection,
    numbers: &[RequestNumber],
) -> Result<Vec<(RequestNumber, Shared, Sharing)>, DatabaseError> {
    let these = traits(connection, numbers).await?;
    let asked: Vec<(&Traits, Shared)> =
        these.iter().flat_map(|this| Shared::ALL.map(|shared| (this, shared))).collect();
    let values: Vec<(Trait, &str)> =
        asked.iter().map(|(this, shared)| (shared.common(), this.value(shared.common()))).collect();
    let having = request_index::having(connection, &values, SHARING_LIMIT).await?;
    let mut others: Vec<RequestNumber> = having.iter().filter(|alike| alike.len() > 1).flatten().copied().collect();
    others.sort_unstable();
    others.dedup();
    let others: HashMap<RequestNumber, Traits> =
        traits(connection, &others).await?.into_iter().map(|other| (other.number, other)).collect();
    let mut found = Vec::new();
    for ((this, shared), alike) in asked.into_iter().zip(having) {
        let sharing = alike.iter().filter_map(|number| others.get(number)).filter(|other| shared.between(this, other));
        if let Some(other) = sharing.max_by_key(|other| (other.organisation == this.organisation, other.number)) {
            let sharing = Sharing { number: other.number, organisation: other.organisation.clone() };
            found.push((this.number, shared, sharing));
        }
    }
    Ok(found)
}

async fn traits(connection: &mut Connection, numbers: &[RequestNumber]) -> Result<Vec<Traits>, DatabaseError> {
    let mut query = Statement::new(format!("SELECT {} FROM requests WHERE number IN ", Traits::COLUMNS));
    query.push_numbers(connection.engine(), &numbers)?;
    Ok(on!(connection, query.query_as().fetch_all(connection).await?))
}

/// The request before this one of the same machine that was approved.
pub async fn find_predecessor(
    connection: &mut Connection,
    request: &RequestRow,
) -> Result<Option<RequestRow>, DatabaseError> {
    let identity = identity(&request.common_name);
    let having = request_index::having(connection, &[(Trait::Identity, &identity)], SHARING_LIMIT).await?.concat();
    let mut query = Statement::new("SELECT * FROM requests WHERE number IN ");
    query.push_numbers(connection.engine(), &having)?;
    query.push(" AND number < ").push_bind(row_number(request.number.0));
    query.push(" AND identity = ").push_bind(identity);
    query.push(" AND organisation = ").push_bind(request.organisation.as_str());
    query.push(" AND kind = ").push_bind(request.kind.as_str());
    query.push(" AND state IN ('approved', 'installed', 'downloaded', 'revoked') ORDER BY number DESC LIMIT 1");
    Ok(on!(connection, query.query_as().fetch_optional(connection).await?))
}

/// How many requests there are of a kind in a state.
#[derive(Debug, Clone, FromRow)]
pub struct Count {
    /// The kind.
    pub kind: Kind,
    /// The state.
    pub state: State,
    /// How many.
    pub requests: i64,
}

/// How many requests of an organisation, or of all, there are of each kind and state.
pub async fn counts(connection: &mut Connection, organisation: Option<&str>) -> Result<Vec<Count>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as(
            "SELECT kind, state, CAST(sum(requests) AS BIGINT) AS requests FROM request_counts
             WHERE $1 IS NULL OR organisation = $1 GROUP BY kind, state HAVING sum(requests) > 0",
        )
        .bind(organisation)
        .fetch_all(connection)
        .await?
    ))
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
    on!(
        connection,
        sqlx::query("UPDATE requests SET state = $1, decided_at = $2, decided_by = $3, reason = $4 WHERE number = $5")
            .bind(decision.state.as_str())
            .bind(decision.at)
            .bind(decision.by)
            .bind(decision.reason)
            .bind(number)
            .execute(connection)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// Writes the client's report into a request; the decision stays as it is.
pub async fn report(connection: &mut Connection, number: RequestNumber, state: State) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query("UPDATE requests SET state = $1 WHERE number = $2")
            .bind(state.as_str())
            .bind(number)
            .execute(connection)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// Writes into a cancelled request which one took its place.
pub async fn link_replacement(
    connection: &mut Connection,
    number: RequestNumber,
    by: RequestNumber,
) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query("UPDATE requests SET replaced_by = $1 WHERE number = $2")
            .bind(by)
            .bind(number)
            .execute(connection)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// The pending requests that came before a time, and that nobody was reminded of since.
pub async fn unattended(connection: &mut Connection, before: Moment) -> Result<Vec<RequestRow>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as(
            "SELECT * FROM requests WHERE state = 'pending' AND coalesce(reminded_at, submitted_at) < $1
             ORDER BY number",
        )
        .bind(before)
        .fetch_all(connection)
        .await?
    ))
}

/// Notes that the managers concerned were reminded of a request.
pub async fn reminded(connection: &mut Connection, number: RequestNumber, now: Moment) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query("UPDATE requests SET reminded_at = $1 WHERE number = $2")
            .bind(now)
            .bind(number)
            .execute(connection)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// The pending requests from before a time, with their organisations and kinds.
pub async fn overdue(
    connection: &mut Connection,
    before: Moment,
) -> Result<Vec<(RequestNumber, String, Kind)>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as(
            "SELECT number, organisation, kind FROM requests WHERE state = 'pending' AND submitted_at < $1
             ORDER BY number",
        )
        .bind(before)
        .fetch_all(connection)
        .await?
    ))
}
