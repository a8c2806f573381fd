//! Lists of requests: by any filter, in any order, at a cost that does not grow with their number.
//!
//! A query narrows the choice by an index that is in the list's order; what it lets through is looked at row by row, up
//! to a limit.

use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

use super::{Connection, DatabaseError, Moment, Statement, on, row_number};
use crate::protocol::messages::{Contact, Page, RequestSummary};
use crate::protocol::request::{Kind, RequestNumber, State};

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

/// The most rows that are looked at for one page. What is rare among a million costs more pages, never a slow one.
const LOOK_LIMIT: u32 = 1_000;

/// The most words of a search, and the most characters of one that the index is asked for. The index compares the lists
/// of all trigrams of a word for each row that has them, so that long words are dear; the rest is compared afterwards.
const WORDS_LIMIT: usize = 8;
const PHRASE_LIMIT: usize = 24;

/// A word shorter than a trigram is in no index.
pub(super) const TRIGRAM: usize = 3;

/// The rows that a filter lets through. At most [`LOOK_LIMIT`] rows are looked at; the next part goes on there.
pub async fn list(connection: &mut Connection, filter: &Filter<'_>) -> Result<Page<RequestSummary>, DatabaseError> {
    let words = words(filter.search.unwrap_or_default());
    let mut items = Vec::new();
    let numbered = filter.search.and_then(|search| search.trim().parse().ok()).map(RequestNumber);
    if let Some(number) = numbered.filter(|_| filter.after.is_none()) {
        let mut query = Statement::new(format!("SELECT {CANDIDATE} FROM requests WHERE number = "));
        query.push_bind(row_number(number.0));
        let row = on!(connection, query.query_as::<_, Candidate>().fetch_optional(connection).await?);
        items.extend(row.filter(|row| row.passes(filter, &[])).map(Candidate::summary).transpose()?);
    }

    // The one with that number comes beside the others.
    let limit = filter.limit as usize + items.len();
    let query = candidates(filter, &words);
    let mut rows = on!(connection, query.query_as::<_, Candidate>().fetch(connection));
    let mut looked = 0;
    let mut last = None;
    while let Some(row) = rows.try_next().await? {
        if items.len() == limit {
            return Ok(Page { items, next: last });
        }
        looked += 1;
        last = Some(row.number.0);
        if Some(row.number) != numbered && row.passes(filter, &words) {
            items.push(row.summary()?);
        }
    }
    Ok(Page { items, next: last.filter(|_| looked == LOOK_LIMIT) })
}

/// Adds a query for the newest requests that a search finds, at most [`LOOK_LIMIT`]; adds nothing where it has no word
/// that is long enough.
pub(super) fn push_hits(query: &mut Statement, before: &str, search: &str, organisation: Option<&str>) -> bool {
    let found = push_phrases(query, before, words(search).into_iter(), organisation);
    if found {
        query.push(format!(" ORDER BY rowid DESC LIMIT {LOOK_LIMIT}"));
    }
    found
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

/// The rows among which those that the filter lets through are, in its order, at most [`LOOK_LIMIT`].
///
/// The indexes are named, because without statistics of the tables SQLite would guess.
fn candidates(filter: &Filter<'_>, words: &[&str]) -> Statement {
    let mut query = Statement::new(format!("SELECT {CANDIDATE} FROM requests "));
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
        query.push(" AND organisation = ").push_bind(organisation);
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
                    query.push(" AND organisation = ").push_bind(organisation);
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
    query: &mut Statement,
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
        query.push_bind(organisation).push(")");
    }
    true
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
