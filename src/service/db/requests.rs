//! The requests.

use std::collections::{HashMap, HashSet};

use sqlx::FromRow;

use super::request_index::{self, Trait, Traits};
use super::{Connection, DatabaseError, Moment, Statement, on, row_groups, row_number};
use crate::protocol::messages::{Contact, MachineDetails};
use crate::protocol::request::{Kind, RequestNumber, State};
use crate::protocol::secret::SecretHash;
use crate::protocol::subject::identity;

/// A request.
#[derive(Debug, Clone, FromRow)]
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
    /// The decision, where it comes with the request.
    pub decision: Option<Decision<'a>>,
}

/// Adds requests with their numbers.
pub async fn insert(
    connection: &mut Connection,
    requests: &[(RequestNumber, NewRequest<'_>)],
) -> Result<(), DatabaseError> {
    for requests in row_groups(connection.engine(), requests) {
        let mut statement = Statement::new(
            "INSERT INTO requests (number, organisation, package, kind, common_name, identity, state, csr, csr_sha256,
                                   key_sha256, token_sha256, idempotency_key, body_sha256, machine, contact,
                                   mac_address, search, submitted_at, replaces, decided_at, decided_by) ",
        );
        statement.push_rows(requests.iter().map(|(number, request)| {
            [
                (*number).into(),
                request.organisation.into(),
                request.package.into(),
                request.kind.as_str().into(),
                request.common_name.into(),
                request.identity.into(),
                request.decision.as_ref().map_or(State::Pending, |decision| decision.state).as_str().into(),
                request.csr.into(),
                request.csr_sha256.into(),
                request.key_sha256.into(),
                request.token_sha256.as_str().into(),
                request.idempotency_key.into(),
                request.body_sha256.into(),
                request.machine.into(),
                request.contact.into(),
                request.mac_address.into(),
                request.search.into(),
                request.submitted_at.into(),
                request.replaces.into(),
                request.decision.as_ref().map(|decision| decision.at).into(),
                request.decision.as_ref().map(|decision| decision.by).into(),
            ]
        }));
        on!(connection, statement.query()?.execute(connection).await?.rows_affected());
    }
    Ok(())
}

/// How a query for [`RequestRow`]s begins: without what is only searched, or computed from the machine.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT number, organisation, kind, common_name, state, csr, csr_sha256, key_sha256, token_sha256, body_sha256,
                    machine, mac_address, contact, submitted_at, decided_at, decided_by, reason, replaces, replaced_by
             FROM requests ",
            $rest
        )
    };
}

/// The request with a number.
pub async fn find(connection: &mut Connection, number: RequestNumber) -> Result<Option<RequestRow>, DatabaseError> {
    Ok(on!(connection, sqlx::query_as(select!("WHERE number = $1")).bind(number).fetch_optional(connection).await?))
}

/// The requests with these numbers, by number.
pub async fn find_all(
    connection: &mut Connection,
    numbers: &[RequestNumber],
) -> Result<HashMap<RequestNumber, RequestRow>, DatabaseError> {
    let mut query = Statement::new(select!("WHERE number IN "));
    query.push_numbers(numbers);
    let rows: Vec<RequestRow> = on!(connection, query.query_as()?.fetch_all(connection).await?);
    Ok(rows.into_iter().map(|row| (row.number, row)).collect())
}

/// What may change about a request while somebody thinks about it.
#[derive(Debug, Clone, FromRow)]
pub struct Standing {
    /// Where it stands.
    pub state: State,
    /// SHA-256 of the CSR.
    pub csr_sha256: String,
    /// When the state last changed by a decision.
    pub decided_at: Option<Moment>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// The newer request that cancelled it.
    pub replaced_by: Option<RequestNumber>,
}

/// What a decision on a request looks at.
#[derive(Debug, Clone, FromRow)]
pub struct Decidable {
    /// The number by which everybody knows it.
    pub number: RequestNumber,
    /// Code of the organisation.
    pub organisation: String,
    /// What the certificate is for.
    pub kind: Kind,
    /// The CSR, byte for byte.
    pub csr: Vec<u8>,
    /// Who asks.
    pub contact: Contact,
    /// How it stood when the row was read.
    #[sqlx(flatten)]
    pub standing: Standing,
}

/// What a decision on the requests with these numbers looks at, by number.
pub async fn decidable(
    connection: &mut Connection,
    numbers: &[RequestNumber],
) -> Result<HashMap<RequestNumber, Decidable>, DatabaseError> {
    let mut query = Statement::new(
        "SELECT number, organisation, kind, csr, contact, state, csr_sha256, decided_at, decided_by, replaced_by
         FROM requests WHERE number IN ",
    );
    query.push_numbers(numbers);
    let rows: Vec<Decidable> = on!(connection, query.query_as()?.fetch_all(connection).await?);
    Ok(rows.into_iter().map(|row| (row.number, row)).collect())
}

/// How the requests with these numbers stand, by number.
pub async fn standings(
    connection: &mut Connection,
    numbers: &[RequestNumber],
) -> Result<HashMap<RequestNumber, Standing>, DatabaseError> {
    #[derive(FromRow)]
    struct Row {
        number: RequestNumber,
        #[sqlx(flatten)]
        standing: Standing,
    }
    let mut query = Statement::new(
        "SELECT number, state, csr_sha256, decided_at, decided_by, replaced_by FROM requests WHERE number IN ",
    );
    query.push_numbers(numbers);
    let rows: Vec<Row> = on!(connection, query.query_as()?.fetch_all(connection).await?);
    Ok(rows.into_iter().map(|row| (row.number, row.standing)).collect())
}

/// The request that was submitted with a package under an idempotency key.
pub async fn find_by_idempotency_key(
    connection: &mut Connection,
    package: i64,
    key: &str,
) -> Result<Option<RequestRow>, DatabaseError> {
    Ok(find_by_idempotency_keys(connection, [(package, key)]).await?.remove(&(package, key.to_owned())))
}

/// The requests that were submitted with packages under idempotency keys, by both.
pub async fn find_by_idempotency_keys<'a>(
    connection: &mut Connection,
    keys: impl IntoIterator<Item = (i64, &'a str)>,
) -> Result<HashMap<(i64, String), RequestRow>, DatabaseError> {
    #[derive(FromRow)]
    struct Row {
        package: i64,
        idempotency_key: String,
        #[sqlx(flatten)]
        request: RequestRow,
    }
    let keys: Vec<(i64, &str)> = keys.into_iter().collect();
    let mut found = HashMap::new();
    for keys in row_groups(connection.engine(), &keys) {
        let mut statement = Statement::new("SELECT * FROM requests WHERE (package, idempotency_key) IN (");
        statement.push_rows(keys.iter().map(|(package, key)| [(*package).into(), (*key).into()])).push(")");
        let rows: Vec<Row> = on!(connection, statement.query_as()?.fetch_all(connection).await?);
        found.extend(rows.into_iter().map(|row| ((row.package, row.idempotency_key), row.request)));
    }
    Ok(found)
}

/// Who waits at most once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, FromRow)]
pub struct Waiting {
    /// Code of the organisation.
    pub organisation: String,
    /// What the certificate is for.
    pub kind: Kind,
    /// The common name in the form in which names are compared.
    pub identity: String,
}

/// The pending requests of those who wait.
pub async fn find_pending(
    connection: &mut Connection,
    waiting: &[Waiting],
) -> Result<HashMap<Waiting, RequestNumber>, DatabaseError> {
    #[derive(FromRow)]
    struct Row {
        number: RequestNumber,
        #[sqlx(flatten)]
        waiting: Waiting,
    }
    let mut found = HashMap::new();
    for waiting in row_groups(connection.engine(), waiting) {
        let mut statement = Statement::new(
            "SELECT number, organisation, kind, identity FROM requests
             WHERE state = 'pending' AND (organisation, kind, identity) IN (",
        );
        let rows = waiting.iter().map(|it| [(&it.organisation).into(), it.kind.as_str().into(), (&it.identity).into()]);
        statement.push_rows(rows).push(")");
        let rows: Vec<Row> = on!(connection, statement.query_as()?.fetch_all(connection).await?);
        found.extend(rows.into_iter().map(|row| (row.waiting, row.number)));
    }
    Ok(found)
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
    these: &[Traits],
) -> Result<Vec<(RequestNumber, Shared, Sharing)>, DatabaseError> {
    let asked: Vec<(&Traits, Trait)> =
        these.iter().flat_map(|this| Shared::ALL.map(|shared| (this, shared.common()))).collect();
    let alike = request_index::alike(connection, &asked, SHARING_LIMIT).await?;
    // A request has its own values, and most have them alone.
    let others: HashSet<RequestNumber> =
        alike.values().filter(|numbers| numbers.len() > 1).flatten().copied().collect();
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let others = traits(connection, &others.into_iter().collect::<Vec<_>>()).await?;
    let others: HashMap<RequestNumber, Traits> = others.into_iter().map(|other| (other.number, other)).collect();
    let mut found = Vec::new();
    for (this, shared) in these.iter().flat_map(|this| Shared::ALL.map(|shared| (this, shared))) {
        let numbers = alike.get(&(shared.common(), this.value(shared.common()))).into_iter().flatten();
        let mut sharing = numbers.filter_map(|number| others.get(number)).filter(|other| shared.between(this, other));
        let at_home = |other: &&Traits| other.organisation == this.organisation;
        let newest = sharing.next();
        if let Some(other) = newest.filter(at_home).or_else(|| sharing.find(at_home)).or(newest) {
            let sharing = Sharing { number: other.number, organisation: other.organisation.clone() };
            found.push((this.number, shared, sharing));
        }
    }
    Ok(found)
}

/// What requests may have in common with others.
pub async fn traits(connection: &mut Connection, numbers: &[RequestNumber]) -> Result<Vec<Traits>, DatabaseError> {
    let mut query = Statement::new(format!("SELECT {} FROM requests WHERE number IN ", Traits::COLUMNS));
    query.push_numbers(numbers);
    Ok(on!(connection, query.query_as()?.fetch_all(connection).await?))
}

/// The request before this one of the same machine that was approved.
pub async fn find_predecessor(
    connection: &mut Connection,
    request: &RequestRow,
) -> Result<Option<RequestRow>, DatabaseError> {
    let identity = identity(&request.common_name);
    let these = traits(connection, &[request.number]).await?;
    let asked: Vec<(&Traits, Trait)> = these.iter().map(|this| (this, Trait::Identity)).collect();
    let alike = request_index::alike(connection, &asked, SHARING_LIMIT).await?;
    let alike: Vec<RequestNumber> = alike.into_values().flatten().collect();
    let mut query = Statement::new(select!("WHERE number IN "));
    query.push_numbers(&alike);
    query.push(" AND number < ").push_bind(row_number(request.number.0));
    query.push(" AND identity = ").push_bind(identity);
    query.push(" AND organisation = ").push_bind(request.organisation.as_str());
    query.push(" AND kind = ").push_bind(request.kind.as_str());
    query.push(" AND state IN ('approved', 'installed', 'downloaded', 'revoked') ORDER BY number DESC LIMIT 1");
    Ok(on!(connection, query.query_as()?.fetch_optional(connection).await?))
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
    let mut query = Statement::new("SELECT kind, state, requests FROM ");
    match organisation {
        None => query.push("request_totals WHERE "),
        Some(organisation) => query.push("request_counts WHERE organisation = ").push_bind(organisation).push(" AND "),
    };
    query.push("requests > 0 ORDER BY kind, state");
    Ok(on!(connection, query.query_as()?.fetch_all(connection).await?))
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

/// Writes a decision into requests.
pub async fn decide(
    connection: &mut Connection,
    numbers: &[RequestNumber],
    decision: &Decision<'_>,
) -> Result<(), DatabaseError> {
    // In groups: what a statement changed is in memory until it ends, and all that wait may expire on one day.
    for numbers in row_groups(connection.engine(), numbers) {
        let mut statement = Statement::new("UPDATE requests SET state = ");
        statement.push_bind(decision.state.as_str()).push(", decided_at = ").push_bind(decision.at);
        statement.push(", decided_by = ").push_bind(decision.by).push(", reason = ").push_bind(decision.reason);
        statement.push(" WHERE number IN ").push_numbers(numbers);
        on!(connection, statement.query()?.execute(connection).await?.rows_affected());
    }
    Ok(())
}

/// Writes the clients' reports into requests; the decisions stay as they are.
pub async fn report(connection: &mut Connection, numbers: &[RequestNumber], state: State) -> Result<(), DatabaseError> {
    let mut statement = Statement::new("UPDATE requests SET state = ");
    statement.push_bind(state.as_str()).push(" WHERE number IN ").push_numbers(numbers);
    on!(connection, statement.query()?.execute(connection).await?.rows_affected());
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

/// Most often nothing that is pending is so old; by the state alone, all that is would be looked at.
const PENDING_BY_TIME: &str = "INDEXED BY requests_pending_by_time";

/// The pending requests that came before a time, and that nobody was reminded of since.
pub async fn unattended(connection: &mut Connection, before: Moment) -> Result<Vec<RequestRow>, DatabaseError> {
    let mut query = Statement::new(select!(""));
    query.push(connection.engine().indexed_by(PENDING_BY_TIME));
    query.push(" WHERE state = 'pending' AND submitted_at < ").push_bind(before);
    query.push(" AND coalesce(reminded_at, submitted_at) < ").push_bind(before).push(" ORDER BY number");
    Ok(on!(connection, query.query_as()?.fetch_all(connection).await?))
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
    let mut query = Statement::new("SELECT number, organisation, kind FROM requests ");
    query.push(connection.engine().indexed_by(PENDING_BY_TIME));
    query.push(" WHERE state = 'pending' AND submitted_at < ").push_bind(before).push(" ORDER BY number");
    Ok(on!(connection, query.query_as()?.fetch_all(connection).await?))
}
