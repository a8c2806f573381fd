//! The requests.

use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, FromRow, QueryBuilder, Sqlite};
use utoipa::ToSchema;

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

/// In which order requests are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Lowest number first: who waits longest.
    #[default]
    Oldest,
    /// Highest number first.
    Newest,
    /// By common name.
    Name,
    /// By organisation, and in each the lowest number first.
    Organisation,
}

/// What a list shows.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    /// Only requests in this state.
    pub state: Option<State>,
    /// Only requests of this organisation.
    pub organisation: Option<&'a str>,
    /// Only requests of these kinds; of all where none is named.
    pub kinds: &'a [Kind],
    /// Only requests that hold every word of this text in lower case, or have it as their number.
    pub search: Option<&'a str>,
    /// The order; a search comes by number.
    pub order: Order,
    /// Only what comes after the request with this number.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// A part of a list.
#[derive(Debug)]
pub struct Listed {
    /// The rows.
    pub items: Vec<RequestSummary>,
    /// After which request the next part starts; absent at the end.
    pub next: Option<u64>,
}

/// The most rows that are looked at for one page. What is rare among a million costs more pages, never a slow one.
const LOOK_LIMIT: u32 = 1_000;

/// The most words of a search, and the most characters of one that the index is asked for. The index compares the lists
/// of all trigrams of a word for each row that has them, so that long words are dear; the rest is compared afterwards.
const WORDS_LIMIT: usize = 8;
const PHRASE_LIMIT: usize = 24;

/// A word shorter than a trigram is in no index.
pub(super) const TRIGRAM: usize = 3;

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

/// Another request that shares something with this one: the newest, one of the same organisation before others.
pub async fn find_sharing(
    connection: &mut Connection,
    shared: Shared,
    number: RequestNumber,
) -> Result<Option<Sharing>, DatabaseError> {
    let condition = sharing(shared);
    let statement = format!(
        "SELECT other.number, other.organisation FROM requests AS this JOIN requests AS other ON {condition}
         WHERE this.number = ? ORDER BY other.organisation <> this.organisation, other.number DESC LIMIT 1"
    );
    Ok(sqlx::query_as(AssertSqlSafe(statement)).bind(number).fetch_optional(connection).await?)
}

/// A `+` keeps SQLite from walking through all of an organisation instead of the index of what is shared.
const fn sharing(shared: Shared) -> &'static str {
    match shared {
        Shared::Key => "other.key_sha256 = this.key_sha256 AND other.number <> this.number",
        Shared::MacAddress => {
            "other.mac_address = this.mac_address AND other.mac_address <> ''
             AND +other.organisation = this.organisation AND +other.identity <> this.identity"
        }
        Shared::HostName => {
            "other.host_name = this.host_name AND other.host_name <> ''
             AND +other.organisation = this.organisation AND +other.identity <> this.identity"
        }
        Shared::CommonName => "other.identity = this.identity AND +other.organisation <> this.organisation",
    }
}

/// The request before this one of the same machine that was approved.
pub async fn find_predecessor(
    connection: &mut Connection,
    request: &RequestRow,
) -> Result<Option<RequestRow>, DatabaseError> {
    Ok(sqlx::query_as(
        "SELECT * FROM requests WHERE identity = (SELECT identity FROM requests WHERE number = ?1)
             AND organisation = ?2 AND kind = ?3 AND number < ?1
             AND state IN ('approved', 'installed', 'downloaded', 'revoked')
         ORDER BY number DESC LIMIT 1",
    )
    .bind(request.number)
    .bind(&request.organisation)
    .bind(request.kind.as_str())
    .fetch_optional(connection)
    .await?)
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
    Ok(sqlx::query_as(
        "SELECT kind, state, sum(requests) AS requests FROM request_counts
         WHERE ?1 IS NULL OR organisation = ?1 GROUP BY kind, state HAVING sum(requests) > 0",
    )
    .bind(organisation)
    .fetch_all(connection)
    .await?)
}

/// The words of a search, each once. Control characters stand in no text, and end what SQLite reads.
pub(super) fn words(search: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in search.split(|character: char| character.is_whitespace() || character.is_control()) {
        if !word.is_empty() && !words.contains(&word) && words.len() < WORDS_LIMIT {
            words.push(word);
        }
    }
    words
}

#[derive(FromRow)]
struct Candidate {
    number: RequestNumber,
    organisation: String,
    kind: Kind,
    state: State,
    common_name: String,
    contact: String,
    submitted_at: Moment,
    search: String,
}

const CANDIDATE: &str = "number, organisation, kind, state, common_name, contact, submitted_at, search";

impl Candidate {
    /// Whether it is one that the filter asks for. The query has narrowed the choice, no more.
    fn passes(&self, filter: &Filter<'_>, words: &[&str]) -> bool {
        filter.state.is_none_or(|state| state == self.state)
            && filter.organisation.is_none_or(|organisation| organisation == self.organisation)
            && (filter.kinds.is_empty() || filter.kinds.contains(&self.kind))
            && words.iter().all(|word| self.search.contains(word))
    }

    fn summary(self) -> Result<RequestSummary, DatabaseError> {
        let contact: Contact =
            serde_json::from_str(&self.contact).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(RequestSummary {
            number: self.number,
            organisation: self.organisation,
            kind: self.kind,
            state: self.state,
            common_name: self.common_name,
            email: contact.email,
            description: contact.description,
            submitted_at: self.submitted_at.0,
            warnings: Vec::new(),
        })
    }
}

/// The rows that a filter lets through. At most [`LOOK_LIMIT`] rows are looked at; the next part goes on there.
pub async fn list(connection: &mut Connection, filter: &Filter<'_>) -> Result<Listed, DatabaseError> {
    let words = words(filter.search.unwrap_or_default());
    let mut items = Vec::new();
    let numbered = filter.search.and_then(|search| search.trim().parse().ok()).map(RequestNumber);
    if let Some(number) = numbered.filter(|_| filter.after.is_none()) {
        let row: Option<Candidate> =
            sqlx::query_as(AssertSqlSafe(format!("SELECT {CANDIDATE} FROM requests WHERE number = ?")))
                .bind(number)
                .fetch_optional(&mut *connection)
                .await?;
        items.extend(row.filter(|row| row.passes(filter, &[])).map(Candidate::summary).transpose()?);
    }

    // The one with that number comes beside the others.
    let limit = filter.limit as usize + items.len();
    let mut query = candidates(filter, &words);
    let mut rows = query.build_query_as::<Candidate>().fetch(connection);
    let mut looked = 0;
    let mut last = None;
    while let Some(row) = rows.try_next().await? {
        if items.len() == limit {
            return Ok(Listed { items, next: last });
        }
        looked += 1;
        last = Some(row.number.0);
        if Some(row.number) != numbered && row.passes(filter, &words) {
            items.push(row.summary()?);
        }
    }
    Ok(Listed { items, next: last.filter(|_| looked == LOOK_LIMIT) })
}

/// The rows among which those that the filter lets through are, in its order, at most [`LOOK_LIMIT`].
///
/// The indexes are named, because without statistics of the tables SQLite would guess.
fn candidates(filter: &Filter<'_>, words: &[&str]) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(format!("SELECT {CANDIDATE} FROM requests "));
    let descending = filter.order == Order::Newest;
    if push_phrases(&mut query, "JOIN (", words.iter().copied(), filter.organisation) {
        if let Some(after) = filter.after {
            query.push(if descending { " AND rowid < " } else { " AND rowid > " }).push_bind(row_number(after));
        }
        query.push(" ORDER BY rowid").push(if descending { " DESC" } else { "" });
        query.push(format!(" LIMIT {LOOK_LIMIT}) ON number = hit"));
        query.push(" ORDER BY number").push(if descending { " DESC" } else { "" });
        return query;
    }
    let by_name = filter.order == Order::Name;
    query.push(match (filter.organisation, filter.state, by_name) {
        (None, _, false) if filter.order == Order::Organisation => "INDEXED BY requests_by_organisation",
        (Some(_), _, true) => "INDEXED BY requests_of_organisation_by_name",
        (None, Some(_), true) => "INDEXED BY requests_in_state_by_name",
        (None, None, true) => "INDEXED BY requests_by_name",
        (Some(_), Some(_), false) => "INDEXED BY requests_of_organisation_in_state",
        (Some(_), None, false) => "INDEXED BY requests_by_organisation",
        (None, Some(_), false) => "INDEXED BY requests_in_state",
        // The table itself is in this order.
        (None, None, false) => "NOT INDEXED",
    });
    query.push(" WHERE true");
    if let Some(organisation) = filter.organisation {
        query.push(" AND organisation = ").push_bind(organisation.to_owned());
    }
    // Where the index does not hold the state, the rows are looked at.
    let held = !matches!((filter.order, filter.organisation), (Order::Name, Some(_)) | (Order::Organisation, None));
    if let Some(state) = filter.state.filter(|_| held) {
        query.push(" AND state = ").push_bind(state.as_str());
    }
    if let Some(after) = filter.after.map(row_number) {
        match filter.order {
            Order::Oldest => query.push(" AND number > ").push_bind(after),
            // Of one organisation's there is no other order.
            Order::Organisation if filter.organisation.is_some() => query.push(" AND number > ").push_bind(after),
            Order::Organisation => query
                .push(" AND (organisation, number) > ((SELECT organisation FROM requests WHERE number = ")
                .push_bind(after)
                .push("), ")
                .push_bind(after)
                .push(")"),
            Order::Newest => query.push(" AND number < ").push_bind(after),
            Order::Name => {
                query.push(" AND (common_name, number) > ((SELECT common_name FROM requests WHERE number = ");
                query.push_bind(after);
                // From what another organisation has, nothing goes on: where it would stand is theirs to know.
                if let Some(organisation) = filter.organisation {
                    query.push(" AND organisation = ").push_bind(organisation.to_owned());
                }
                query.push("), ").push_bind(after).push(")")
            }
        };
    }
    query.push(match filter.order {
        Order::Oldest => " ORDER BY number",
        Order::Newest => " ORDER BY number DESC",
        Order::Name => " ORDER BY common_name, number",
        Order::Organisation => " ORDER BY organisation, number",
    });
    query.push(format!(" LIMIT {LOOK_LIMIT}"));
    query
}

/// Adds a query for the requests that hold the words of a text, as far as they are long enough to be in the index;
/// adds nothing where none is.
fn push_phrases<'a>(
    query: &mut QueryBuilder<Sqlite>,
    before: &str,
    words: impl Iterator<Item = &'a str>,
    organisation: Option<&str>,
) -> bool {
    let phrases: Vec<String> = words
        .filter(|word| word.chars().count() >= TRIGRAM)
        .map(|word| word.chars().take(PHRASE_LIMIT).collect::<String>())
        .map(|word| format!("text : \"{}\"", word.replace('"', "\"\"")))
        .collect();
    if phrases.is_empty() {
        return false;
    }
    query.push(before).push("SELECT rowid AS hit FROM requests_search WHERE requests_search MATCH ");
    query.push_bind(phrases.join(" AND "));
    if let Some(organisation) = organisation {
        query.push(" || (SELECT ' AND mark : \"' || mark || '\"' FROM organisations WHERE code = ");
        query.push_bind(organisation.to_owned()).push(")");
    }
    true
}

/// Adds a query for the newest requests that a search finds, at most [`LOOK_LIMIT`]; adds nothing where it has no word
/// that is long enough.
pub(super) fn push_hits(
    query: &mut QueryBuilder<Sqlite>,
    before: &str,
    search: &str,
    organisation: Option<&str>,
) -> bool {
    let found = push_phrases(query, before, words(search).into_iter(), organisation);
    if found {
        query.push(format!(" ORDER BY rowid DESC LIMIT {LOOK_LIMIT}"));
    }
    found
}

/// Which of these requests share something with others.
pub async fn sharing_among(
    connection: &mut Connection,
    shared: Shared,
    numbers: &[RequestNumber],
) -> Result<Vec<RequestNumber>, DatabaseError> {
    let condition = sharing(shared);
    let statement = format!(
        "SELECT this.number FROM json_each(?) JOIN requests AS this ON this.number = value
         WHERE EXISTS (SELECT 1 FROM requests AS other WHERE {condition})"
    );
    let numbers = serde_json::to_string(numbers).map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok(sqlx::query_scalar(AssertSqlSafe(statement)).bind(numbers).fetch_all(connection).await?)
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
