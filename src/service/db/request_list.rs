//! Lists of requests: by any filter, in any order, at a cost that does not grow with their number.
//!
//! An index narrows the choice, in the list's order; what it lets through is looked at row by row, up to a limit.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

use super::request_index::{self, Question, Traits};
use super::statement::read_array;
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

/// So many rows are looked at first and then, [`LOOK_LIMIT`] in all, because most often the first ones fill the page.
const LOOKS: [usize; 3] = [100, 300, 600];

/// The most words of a search.
const WORDS_LIMIT: usize = 8;

/// The rows that a filter lets through, each with what it may have in common with others. At most [`LOOK_LIMIT`] rows are
/// looked at; the next part goes on there.
pub async fn list(
    connection: &mut Connection,
    filter: &Filter<'_>,
) -> Result<Page<(RequestSummary, Traits)>, DatabaseError> {
    let words = words(filter.search.unwrap_or_default());
    let mut chosen = Vec::new();
    let mut limit = filter.limit as usize;
    let numbered = filter.search.and_then(|search| search.trim().parse().ok()).map(RequestNumber);
    if let Some(number) = numbered.filter(|_| filter.after.is_none()) {
        let looked = look(connection, numbers(&[number]), filter, &[]).await?;
        chosen.extend(looked.into_iter().filter(|row| row.passes));
        // The one with that number comes beside the others.
        limit += chosen.len();
    }
    let mut next = filter.after;
    for most in looks(filter, &words) {
        let filter = Filter { after: next, ..*filter };
        let looked = look_on(connection, &filter, &words, most).await?;
        let ended = looked.len() < most;
        for row in looked {
            if chosen.len() == limit {
                return page(connection, &chosen, next).await;
            }
            next = Some(row.number.0);
            if row.passes && Some(row.number) != numbered {
                chosen.push(row);
            }
        }
        if ended {
            return page(connection, &chosen, None).await;
        }
    }
    page(connection, &chosen, next).await
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
    query.push_numbers(&hits);
    for word in words {
        query.push(" AND ").push_contains(connection.engine(), "search", word);
    }
    let found: Vec<(RequestNumber,)> = on!(connection, query.query_as()?.fetch_all(connection).await?);
    Ok(found.into_iter().map(|(number,)| number).collect())
}

/// How many rows are looked at, first and then.
fn looks(filter: &Filter<'_>, words: &[&str]) -> Vec<usize> {
    match (filter.order, words) {
        // Where the index knows all that is asked for, one more than the page tells whether there is another one.
        (Order::Name, []) => vec![filter.limit as usize + 1],
        // What is put in order first is put in order once.
        (Order::Name, _) => vec![LOOK_LIMIT],
        _ => LOOKS.to_vec(),
    }
}

/// A row that was looked at.
struct Looked {
    number: RequestNumber,
    /// Whether it is one that the filter asks for.
    passes: bool,
}

/// Looks at the next rows among which those that the filter lets through are, in its order.
async fn look_on(
    connection: &mut Connection,
    filter: &Filter<'_>,
    words: &[&str],
    most: usize,
) -> Result<Vec<Looked>, DatabaseError> {
    let Some(question) = Question::new(words, filter.organisation) else {
        let (query, left) = candidates(filter, connection.engine(), most);
        return look(connection, query, &left, words).await;
    };
    let after = filter.after.map(RequestNumber);
    let hits = request_index::hits(connection, &question, filter.order == Order::Newest, after, most).await?;
    look(connection, numbers(&hits), filter, words).await
}

/// What [`look`] looks at, where the numbers are known.
fn numbers<'a>(numbers: &[RequestNumber]) -> Statement<'a> {
    let mut query = Statement::new(LOOKED);
    query.push_numbers(numbers);
    query
}

/// How a statement begins that [`look`] goes on with: a query for numbers in parentheses.
const LOOKED: &str = "WITH looked AS ";

/// Looks at rows in the order of their numbers. Only these come out of the database, in one value; those of rows that do not
/// pass as negative ones.
async fn look(
    connection: &mut Connection,
    mut query: Statement<'_>,
    filter: &Filter<'_>,
    words: &[&str],
) -> Result<Vec<Looked>, DatabaseError> {
    let array = connection.engine().array_of("shown");
    query.push(format_args!(" SELECT {array} FROM (SELECT "));
    if matches!((filter, words), (Filter { state: None, organisation: None, kinds: [], .. }, [])) {
        query.push("number");
    } else {
        query.push("CASE WHEN EXISTS (SELECT 1 FROM requests WHERE requests.number = looked.number");
        push_condition(&mut query, filter);
        for word in words {
            query.push(" AND ").push_contains(connection.engine(), "search", word);
        }
        query.push(") THEN number ELSE -number END");
    }
    query.push(" AS shown FROM looked) AS rows");
    let looked: Vec<i64> = on!(connection, read_array(query.query_as()?.fetch_one(connection).await?)?);
    let looked = looked.into_iter();
    Ok(looked.map(|number| Looked { number: RequestNumber(number.unsigned_abs()), passes: number > 0 }).collect())
}

/// The rows that were chosen, in their order.
async fn page(
    connection: &mut Connection,
    chosen: &[Looked],
    next: Option<u64>,
) -> Result<Page<(RequestSummary, Traits)>, DatabaseError> {
    let numbers: Vec<RequestNumber> = chosen.iter().map(|row| row.number).collect();
    let mut query =
        Statement::new(format!("SELECT {}, kind, state, common_name, contact, submitted_at", Traits::COLUMNS));
    query.push(" FROM requests WHERE number IN ").push_numbers(&numbers);
    let rows: Vec<Row> = on!(connection, query.query_as()?.fetch_all(connection).await?);
    let mut rows: HashMap<RequestNumber, Row> = rows.into_iter().map(|row| (row.traits.number, row)).collect();
    let items = numbers.iter().filter_map(|number| rows.remove(number)).map(Row::item).collect();
    Ok(Page { items, next })
}

#[derive(FromRow)]
struct Row {
    #[sqlx(flatten)]
    traits: Traits,
    kind: Kind,
    state: State,
    common_name: String,
    contact: Contact,
    submitted_at: Moment,
}

impl Row {
    fn item(self) -> (RequestSummary, Traits) {
        let summary = RequestSummary {
            number: self.traits.number,
            organisation: self.traits.organisation.clone(),
            kind: self.kind,
            state: self.state,
            common_name: self.common_name,
            email: self.contact.email,
            description: self.contact.description,
            submitted_at: self.submitted_at.0,
            warnings: Vec::new(),
        };
        (summary, self.traits)
    }
}

/// The rows among which those that the filter lets through are, in its order, at most so many; and the conditions that are
/// left.
///
/// The indexes are named, because without statistics of the tables SQLite would guess.
fn candidates<'a>(filter: &Filter<'a>, engine: Engine, most: usize) -> (Statement<'a>, Filter<'a>) {
    let mut query = Statement::new(LOOKED);
    query.push("(SELECT number FROM requests ");
    if filter.order == Order::Name {
        push_pending_by_name(&mut query, filter, engine);
        query.push(format_args!(" LIMIT {most})"));
        return (query, Filter::default());
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
    let left = Filter { state: filter.state.filter(|_| across), kinds: filter.kinds, ..Filter::default() };
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
    query.push(format_args!(" LIMIT {most})"));
    (query, left)
}

/// What is pending, by name: put in order from the index that keeps a machine from waiting twice, which has all that this
/// takes.
fn push_pending_by_name<'a>(query: &mut Statement<'a>, filter: &Filter<'a>, engine: Engine) {
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
    query.push(" ORDER BY identity, number");
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
