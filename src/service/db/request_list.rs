//! Lists of requests: by any filter, in any order, at a cost that does not grow with their number.
//!
//! An index narrows the choice, in the list's order; what it lets through is looked at row by row, up to a limit.

use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

use super::request_index::{self, Question};
use super::{Connection, DatabaseError, Engine, Moment, Statement, on, row_number};
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
    /// By common name; only for what is pending.
    Name,
    /// By organisation, and in each the lowest number first.
    Organisation,
}

/// What a list shows.
#[derive(Debug, Default, Clone, Copy)]
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
const LOOK_LIMIT: usize = 1_000;

/// A search looks at so many rows first, because most often they fill the page.
const FIRST_LOOK: usize = 100;

/// The most words of a search.
const WORDS_LIMIT: usize = 8;

/// The rows that a filter lets through. At most [`LOOK_LIMIT`] rows are looked at; the next part goes on there.
pub async fn list(connection: &mut Connection, filter: &Filter<'_>) -> Result<Page<RequestSummary>, DatabaseError> {
    let words = words(filter.search.unwrap_or_default());
    let mut part = Part { filter, words: &words, items: Vec::new(), limit: filter.limit as usize, last: None };
    let numbered = filter.search.and_then(|search| search.trim().parse().ok()).map(RequestNumber);
    if let Some(number) = numbered.filter(|_| filter.after.is_none()) {
        let mut query = Statement::new(format!("SELECT {CANDIDATE} FROM requests WHERE number = "));
        query.push_bind(row_number(number.0));
        let row = on!(connection, query.query_as::<_, Candidate>().fetch_optional(connection).await?);
        part.items.extend(row.filter(|row| row.passes(filter, &[])).map(Candidate::summary).transpose()?);
        // The one with that number comes beside the others.
        part.limit += part.items.len();
    }
    let Some(question) = Question::new(&words, filter.organisation) else {
        let query = candidates(filter, connection.engine());
        let mut rows = on!(connection, query.query_as::<_, Candidate>().fetch(connection));
        let mut looked = 0;
        while let Some(row) = rows.try_next().await? {
            looked += 1;
            if !part.take(row, numbered)? {
                return Ok(part.page());
            }
        }
        return Ok(if looked == LOOK_LIMIT { part.page() } else { part.last_page() });
    };

    let descending = filter.order == Order::Newest;
    let mut after = filter.after.map(RequestNumber);
    for look in [FIRST_LOOK, LOOK_LIMIT - FIRST_LOOK] {
        let hits = request_index::hits(connection, &question, descending, after, look).await?;
        let mut query = Statement::new(format!("SELECT {CANDIDATE} FROM requests "));
        query.push("WHERE number IN ").push_numbers(connection.engine(), &hits)?;
        push_condition(&mut query, filter);
        query.push(" ORDER BY number").push(if descending { " DESC" } else { "" });
        let mut rows = on!(connection, query.query_as::<_, Candidate>().fetch(connection));
        while let Some(row) = rows.try_next().await? {
            if !part.take(row, numbered)? {
                return Ok(part.page());
            }
        }
        if hits.len() < look {
            return Ok(part.last_page());
        }
        after = hits.last().copied();
        part.last = after.map(|number| number.0);
    }
    Ok(part.page())
}

/// The newest requests that a search finds, among the [`LOOK_LIMIT`] that the index has for it.
pub(super) async fn newest(
    connection: &mut Connection,
    search: &str,
    organisation: Option<&str>,
) -> Result<Vec<RequestNumber>, DatabaseError> {
    let words = words(search);
    let Some(question) = Question::new(&words, organisation) else { return Ok(Vec::new()) };
    let hits = request_index::hits(connection, &question, true, None, LOOK_LIMIT).await?;
    let mut query = Statement::new("SELECT number FROM requests WHERE number IN ");
    query.push_numbers(connection.engine(), &hits)?;
    for word in words {
        query.push(" AND ").push_contains("search", word);
    }
    let found: Vec<(RequestNumber,)> = on!(connection, query.query_as().fetch_all(connection).await?);
    Ok(found.into_iter().map(|(number,)| number).collect())
}

/// A page that is being filled.
struct Part<'a> {
    filter: &'a Filter<'a>,
    words: &'a [&'a str],
    items: Vec<RequestSummary>,
    limit: usize,
    /// The last row that was looked at.
    last: Option<u64>,
}

impl Part<'_> {
    /// Looks at a row; `false` where the page is full without it.
    fn take(&mut self, row: Candidate, numbered: Option<RequestNumber>) -> Result<bool, DatabaseError> {
        if self.items.len() == self.limit {
            return Ok(false);
        }
        self.last = Some(row.number.0);
        if Some(row.number) != numbered && row.passes(self.filter, self.words) {
            self.items.push(row.summary()?);
        }
        Ok(true)
    }

    fn page(self) -> Page<RequestSummary> {
        Page { items: self.items, next: self.last }
    }

    fn last_page(self) -> Page<RequestSummary> {
        Page { items: self.items, next: None }
    }
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
fn candidates<'a>(filter: &Filter<'a>, engine: Engine) -> Statement<'a> {
    let mut query = Statement::new(format!("SELECT {CANDIDATE} FROM requests "));
    if filter.order == Order::Name {
        push_pending_by_name(&mut query, filter, engine);
        return query;
    }
    let across = filter.order == Order::Organisation && filter.organisation.is_none();
    query.push(engine.indexed_by(match (filter.organisation, filter.state) {
        _ if across => "INDEXED BY requests_by_organisation",
        (Some(_), Some(_)) => "INDEXED BY requests_of_organisation_in_state",
        (Some(_), None) => "INDEXED BY requests_by_organisation",
        (None, Some(_)) => "INDEXED BY requests_in_state",
        // The table itself is in this order.
        (None, None) => "NOT INDEXED",
    }));
    query.push(" WHERE true");
    if let Some(organisation) = filter.organisation {
        query.push(" AND organisation = ").push_bind(organisation);
    }
    // Where the index does not hold the state, the rows are looked at.
    if let Some(state) = filter.state.filter(|_| !across) {
        query.push(" AND state = ").push_bind(state.as_str());
    }
    if let Some(after) = filter.after.map(row_number) {
        match filter.order {
            _ if across => query
                .push(" AND (organisation, number) > ((SELECT organisation FROM requests WHERE number = ")
                .push_bind(after)
                .push("), ")
                .push_bind(after)
                .push(")"),
            Order::Newest => query.push(" AND number < ").push_bind(after),
            // Of one organisation's there is no other order.
            _ => query.push(" AND number > ").push_bind(after),
        };
    }
    query.push(match filter.order {
        _ if across => " ORDER BY organisation, number",
        Order::Newest => " ORDER BY number DESC",
        _ => " ORDER BY number",
    });
    query.push(format!(" LIMIT {LOOK_LIMIT}"));
    query
}

/// What is pending, by name: put in order from the index that keeps a machine from waiting twice, which has all that this
/// takes; the rows are only those of the page.
fn push_pending_by_name<'a>(query: &mut Statement<'a>, filter: &Filter<'a>, engine: Engine) {
    query.push("JOIN (SELECT number AS chosen, identity AS name FROM requests ");
    query.push(engine.indexed_by("INDEXED BY requests_pending_by_identity"));
    query.push(" WHERE state = 'pending'");
    push_condition(query, &Filter { state: None, ..*filter });
    if let Some(after) = filter.after.map(row_number) {
        query.push(" AND (identity, number) > ((SELECT identity FROM requests WHERE number = ").push_bind(after);
        // From what another organisation has, nothing goes on: where it would stand is theirs to know.
        if let Some(organisation) = filter.organisation {
            query.push(" AND organisation = ").push_bind(organisation);
        }
        query.push("), ").push_bind(after).push(")");
    }
    // One more than the page tells whether there is another one; a word too short for the index is looked for in all.
    let look = if filter.search.is_some() { LOOK_LIMIT } else { filter.limit as usize + 1 };
    query.push(format!(" ORDER BY identity, number LIMIT {look}) AS pending ON number = chosen ORDER BY name, number"));
}

/// The conditions that need no look at the text.
fn push_condition<'a>(query: &mut Statement<'a>, filter: &Filter<'a>) {
    if let Some(organisation) = filter.organisation {
        query.push(" AND organisation = ").push_bind(organisation);
    }
    if let Some(state) = filter.state {
        query.push(" AND state = ").push_bind(state.as_str());
    }
    if !filter.kinds.is_empty() {
        query.push(" AND kind IN (");
        for (position, kind) in filter.kinds.iter().enumerate() {
            query.push(if position == 0 { "" } else { ", " }).push_bind(kind.as_str());
        }
        query.push(")");
    }
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
