//! The index that is written behind the requests: any part of their texts, and what two of them have in common.
//!
//! An index over random values costs more than the request itself, and an acknowledgement would wait for it. So it is
//! written in large parts, by whoever finds it behind. It only narrows the choice: who asks it compares the rows.

use std::collections::HashSet;

use serde_json::{Value, json};
use sqlx::FromRow;

use super::statement::{Statement, json_text};
use super::{Connection, DatabaseError, Engine, on};
use crate::protocol::request::RequestNumber;
use crate::protocol::secret::sha256_hex;

/// The lengths of the parts that the index knows, in characters. What a search asks for by the longer ones is rare even
/// among a million; by the shorter ones it finds what has no more.
pub(super) const SHORT: usize = 3;
const LONG: usize = 5;

/// The most parts of one word that the index is asked for; the rest is compared in the row.
const PARTS_LIMIT: usize = 12;

/// What two requests can have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trait {
    /// The public key.
    Key,
    /// The MAC address.
    MacAddress,
    /// The host name that the machine gives.
    HostName,
    /// The identity: the common name in the form in which names are compared.
    Identity,
}

impl Trait {
    const ALL: [Self; 4] = [Self::Key, Self::MacAddress, Self::HostName, Self::Identity];

    /// The number under which the index has a value; none for one that is empty.
    fn number(self, value: &str) -> Option<i64> {
        let tag = match self {
            Self::Key => "key",
            Self::MacAddress => "mac-address",
            Self::HostName => "host-name",
            Self::Identity => "identity",
        };
        let digest = sha256_hex(format!("{tag}:{value}").as_bytes());
        // As many digits as fit.
        digest.get(..15).filter(|_| !value.is_empty()).and_then(|digits| i64::from_str_radix(digits, 16).ok())
    }
}

/// The values that a request may have in common with others.
#[derive(Debug, FromRow)]
pub struct Traits {
    /// The request.
    pub number: RequestNumber,
    /// Code of its organisation.
    pub organisation: String,
    /// SHA-256 of the public key.
    pub key_sha256: String,
    /// Hexadecimal digits of the MAC address.
    pub mac_address: String,
    /// The host name in lower case.
    pub host_name: Option<String>,
    /// The identity.
    pub identity: String,
}

impl Traits {
    /// The columns that make one.
    pub const COLUMNS: &str = "number, organisation, key_sha256, mac_address, host_name, identity";

    /// One of the values.
    pub fn value(&self, of: Trait) -> &str {
        match of {
            Trait::Key => &self.key_sha256,
            Trait::MacAddress => &self.mac_address,
            Trait::HostName => self.host_name.as_deref().unwrap_or_default(),
            Trait::Identity => &self.identity,
        }
    }
}

/// How many requests are not in the index.
pub async fn behind(connection: &mut Connection) -> Result<i64, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_scalar("SELECT coalesce((SELECT max(number) FROM requests), 0) - indexed FROM request_index")
            .fetch_one(connection)
            .await?
    ))
}

/// Adds the next requests to the index, at most so many, and says how many they were.
pub async fn extend(transaction: &mut Connection, limit: usize) -> Result<usize, DatabaseError> {
    #[derive(FromRow)]
    struct Row {
        #[sqlx(flatten)]
        traits: Traits,
        search: String,
    }
    let rows: Vec<Row> = on!(
        transaction,
        sqlx::query_as(
            "SELECT number, organisation, key_sha256, mac_address, host_name, identity, search FROM requests
             WHERE number > (SELECT indexed FROM request_index) ORDER BY number LIMIT $1",
        )
        .bind(limit as i64)
        .fetch_all(transaction)
        .await?
    );
    let Some(last) = rows.last().map(|row| row.traits.number) else { return Ok(0) };
    let mut traits: Vec<(i64, RequestNumber)> = rows
        .iter()
        .flat_map(|row| Trait::ALL.map(|of| (of.number(row.traits.value(of)), row.traits.number)))
        .filter_map(|(value, number)| value.map(|value| (value, number)))
        .collect();
    // In the order of the table, so that no page of it is fetched twice.
    traits.sort_unstable();
    let engine = transaction.engine();
    let texts: Vec<Value> = rows
        .iter()
        .map(|Row { traits: Traits { number, organisation, .. }, search }| match engine {
            Engine::Sqlite => json!([number, words_of(search, organisation)]),
            // It makes the parts by itself (postgresql.org/docs/current/pgtrgm.html).
            Engine::Postgres => json!([number, organisation, search]),
        })
        .collect();
    let [add_texts, add_traits] = match engine {
        Engine::Sqlite => [
            "INSERT INTO requests_search (rowid, parts) SELECT value ->> 0, value ->> 1 FROM json_each($1)",
            "INSERT INTO request_traits SELECT value ->> 0, value ->> 1 FROM json_each($1)",
        ],
        Engine::Postgres => [
            "INSERT INTO requests_search SELECT (value ->> 0)::bigint, value ->> 1, value ->> 2
             FROM json_array_elements($1::json) AS item (value)",
            "INSERT INTO request_traits SELECT (value ->> 0)::bigint, (value ->> 1)::bigint
             FROM json_array_elements($1::json) AS item (value)",
        ],
    };
    for (statement, rows) in [(add_texts, json_text(&texts)?), (add_traits, json_text(&traits)?)] {
        on!(transaction, sqlx::query(statement).bind(&rows).execute(transaction).await?.rows_affected());
    }
    on!(
        transaction,
        sqlx::query("UPDATE request_index SET indexed = $1").bind(last).execute(transaction).await?.rows_affected()
    );
    Ok(rows.len())
}

/// What the index is asked for.
pub(super) struct Question<'a> {
    words: Vec<&'a str>,
    organisation: Option<&'a str>,
}

impl<'a> Question<'a> {
    /// All words of a search that are long enough, and the organisation. `None` where there is no such word.
    pub(super) fn new(words: &[&'a str], organisation: Option<&'a str>) -> Option<Self> {
        let words: Vec<&str> = words.iter().copied().filter(|word| word.chars().nth(SHORT - 1).is_some()).collect();
        if words.is_empty() { None } else { Some(Self { words, organisation }) }
    }

    /// For SQLite: the parts of all words, and the organisation (sqlite.org/fts5.html#full_text_query_syntax).
    fn parts(&self) -> String {
        let parts = self.words.iter().flat_map(|word| parts_of_question(word));
        parts.chain(self.organisation.map(word_of_organisation)).collect::<Vec<_>>().join(" AND ")
    }

    /// For PostgreSQL: those words of which its index has parts. They are made of letters and digits that stand together.
    fn indexed_words(&self) -> impl Iterator<Item = &str> {
        let has_part = |word: &str| {
            word.split(|character: char| !character.is_alphanumeric()).any(|run| run.chars().nth(SHORT - 1).is_some())
        };
        self.words.iter().copied().filter(move |word| has_part(word))
    }
}

/// The numbers of the next requests that the index has for a question, in this order, at most so many.
pub(super) async fn hits(
    connection: &mut Connection,
    question: &Question<'_>,
    descending: bool,
    after: Option<RequestNumber>,
    limit: usize,
) -> Result<Vec<RequestNumber>, DatabaseError> {
    let number = match connection.engine() {
        Engine::Sqlite => "rowid",
        Engine::Postgres => "number",
    };
    let mut query = Statement::new(format!("SELECT {number} FROM requests_search WHERE "));
    match connection.engine() {
        Engine::Sqlite => {
            query.push("requests_search MATCH ").push_bind(question.parts());
        }
        Engine::Postgres => {
            query.push("true");
            for word in question.indexed_words() {
                query.push(" AND ").push_contains("text", word);
            }
            if let Some(organisation) = question.organisation {
                query.push(" AND organisation = ").push_bind(organisation);
            }
        }
    }
    if let Some(after) = after {
        query.push(format_args!(" AND {number} {} ", if descending { '<' } else { '>' })).push_bind(after);
    }
    query.push(format_args!(" ORDER BY {number} {} LIMIT {limit}", if descending { "DESC" } else { "ASC" }));
    let hits: Vec<(RequestNumber,)> = on!(connection, query.query_as().fetch_all(connection).await?);
    Ok(hits.into_iter().map(|(number,)| number).collect())
}

/// The numbers of the newest requests that have a value in common, at most so many of each; by a wonder another one's too.
pub(super) async fn having(
    connection: &mut Connection,
    values: &[(Trait, &str)],
    limit: u32,
) -> Result<Vec<Vec<RequestNumber>>, DatabaseError> {
    let wanted: Vec<Option<i64>> = values.iter().map(|(of, value)| of.number(value)).collect();
    let wanted = json_text(&wanted)?;
    let statement = match connection.engine() {
        Engine::Sqlite => {
            "SELECT (SELECT json_group_array(number)
                     FROM (SELECT number FROM request_traits WHERE trait = value ORDER BY number DESC LIMIT $1))
             FROM json_each($2) ORDER BY key"
        }
        Engine::Postgres => {
            "SELECT coalesce((SELECT json_agg(number) FROM (
                 SELECT number FROM request_traits WHERE trait = value::bigint ORDER BY number DESC LIMIT $1
             ) AS newest)::text, '[]')
             FROM json_array_elements_text($2::json) WITH ORDINALITY AS item (value, key) ORDER BY key"
        }
    };
    let found: Vec<String> = on!(
        connection,
        sqlx::query_scalar(statement).bind(i64::from(limit)).bind(&wanted).fetch_all(connection).await?
    );
    let numbers = found.iter().map(|numbers| serde_json::from_str(numbers));
    Ok(numbers.collect::<Result<_, _>>().map_err(|error| sqlx::Error::Decode(error.into()))?)
}

/// Every part of a text, and the organisation, as the index has them.
fn words_of(text: &str, organisation: &str) -> String {
    let mut parts = HashSet::new();
    for word in text.split_whitespace() {
        let characters: Vec<char> = word.chars().collect();
        for length in [SHORT, LONG] {
            parts.extend(characters.windows(length).map(hash));
        }
    }
    parts.into_iter().fold(word_of_organisation(organisation), |words, part| words + " " + &word_of_part(part))
}

/// The parts by which a word is looked for: no more than what tells it apart.
fn parts_of_question(word: &str) -> Vec<String> {
    let characters: Vec<char> = word.chars().collect();
    let length = if characters.len() < LONG { SHORT } else { LONG };
    let Some(last) = characters.len().checked_sub(length) else { return Vec::new() };
    // Neighbours overlap: every second one covers the word, with the last.
    let starts = (0..last).step_by(2).chain([last]).take(PARTS_LIMIT);
    starts.filter_map(|start| characters.get(start..start + length).map(hash)).map(word_of_part).collect()
}

/// A part as a number (FNV-1a), whatever characters it holds. It must stay the same from release to release.
fn hash(part: &[char]) -> u32 {
    let mut buffer = [0; 4];
    part.iter().fold(0x811c_9dc5_u32, |hash, character| {
        character
            .encode_utf8(&mut buffer)
            .bytes()
            .fold(hash, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    })
}

/// A part as a word of the index.
fn word_of_part(hash: u32) -> String {
    format!("{hash:08x}")
}

/// An organisation as a word that no part has.
fn word_of_organisation(code: &str) -> String {
    format!("organisation{code}")
}
