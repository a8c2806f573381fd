//! The index that is written behind the requests: any part of their texts, and what two of them have in common.
//!
//! An index over random values costs more than the request itself, and an acknowledgement would wait for it. So it is
//! written in large parts. It only narrows the choice: who asks it compares the rows. What is not in it yet is looked at
//! row by row, so that nothing is ever missed.

use std::collections::{BTreeSet, HashMap};

use aws_lc_rs::digest::{SHA256, digest};
use sqlx::FromRow;

use super::postings::{self, BLOCK, Block, Chosen, Part};
use super::statement::{Statement, json_text, read_array};
use super::{Connection, DatabaseError, Engine, on, row_groups, row_number};
use crate::protocol::request::RequestNumber;

/// The most parts that the index is asked for; the rest is compared in the row.
const PARTS_LIMIT: usize = 16;

/// How many blocks are looked into at once, at most, and how many times more than before.
const BLOCKS_AT_ONCE: usize = 16;
const MORE_AT_ONCE: usize = 4;

/// How many parts a block is asked for first, the rarest ones: most often they leave nothing of it.
const FIRST_PARTS: usize = 3;

/// So few requests of a block are looked at faster than the other parts' lists.
const FEW: u32 = 4;

/// How often a search begins anew because blocks became one meanwhile: they do after every 2,048 requests.
const ATTEMPTS: usize = 10;

/// The values of the last requests lie apart, in a table that is small enough to be written anywhere. After so many
/// requests, one slice of them moves into the large one, where it meets each page once.
const MOVED_AFTER: u64 = 1_024;
const SLICES: i64 = 64;

/// What two requests can have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// The bits of a value's number.
const VALUE: i64 = (1 << 60) - 1;

impl Trait {
    const ALL: [Self; 4] = [Self::Key, Self::MacAddress, Self::HostName, Self::Identity];

    const fn column(self) -> &'static str {
        match self {
            Self::Key => "key_sha256",
            Self::MacAddress => "mac_address",
            Self::HostName => "host_name",
            Self::Identity => "identity",
        }
    }

    /// The number under which the index has a value; none for one that is empty.
    fn number(self, value: &str) -> Option<i64> {
        let tag = match self {
            Self::Key => "key",
            Self::MacAddress => "mac-address",
            Self::HostName => "host-name",
            Self::Identity => "identity",
        };
        let digest = digest(&SHA256, format!("{tag}:{value}").as_bytes());
        let first = digest.as_ref().first_chunk().filter(|_| !value.is_empty());
        // As many bits as make a positive number in hexadecimal digits.
        first.map(|bytes| i64::from_be_bytes(*bytes) >> 4 & VALUE)
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

/// How far the index goes.
#[derive(Debug, Clone, Copy, FromRow)]
struct Position {
    /// The last request whose traits it has.
    indexed: RequestNumber,
    /// The last request whose parts it has, at the end of a block.
    parts_indexed: RequestNumber,
    /// The last request.
    last: RequestNumber,
}

async fn position(connection: &mut Connection) -> Result<Position, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as(
            "SELECT indexed, parts_indexed, coalesce((SELECT max(number) FROM requests), 0) AS last FROM request_index",
        )
        .fetch_one(connection)
        .await?
    ))
}

/// How many requests are not in the index, without those that do not fill a block yet.
pub async fn behind(connection: &mut Connection) -> Result<u64, DatabaseError> {
    let Position { parts_indexed, last, .. } = position(connection).await?;
    Ok((last.0 - parts_indexed.0) / BLOCK * BLOCK)
}

/// Adds the next requests to the index, at most so many, and says how many they were.
pub async fn extend(transaction: &mut Connection, limit: u64) -> Result<u64, DatabaseError> {
    #[derive(FromRow)]
    struct Row {
        #[sqlx(flatten)]
        traits: Traits,
        search: String,
    }
    let Position { indexed, parts_indexed: RequestNumber(start), last } = position(transaction).await?;
    let end = last.0.min(start + limit) / BLOCK * BLOCK;
    if end <= start {
        return Ok(0);
    }
    let mut query = Statement::new(format!("SELECT {}, search FROM requests WHERE number > ", Traits::COLUMNS));
    query.push_bind(row_number(start)).push(" AND number <= ").push_bind(row_number(end)).push(" ORDER BY number");
    let rows: Vec<Row> = on!(transaction, query.query_as()?.fetch_all(transaction).await?);
    add_traits(transaction, rows.iter().map(|row| &row.traits).filter(|traits| traits.number > indexed)).await?;
    for moment in start / MOVED_AFTER..end / MOVED_AFTER {
        move_traits(transaction, row_number(moment) % SLICES).await?;
    }
    let mut rows = rows.iter().peekable();
    for start in (start..end).step_by(BLOCK as usize) {
        let block = Block::smallest(start);
        let within = std::iter::from_fn(|| rows.next_if(|row| row.traits.number.0 <= start + BLOCK));
        let parts = |row: &Row| (row.traits.number.0, postings::parts(&row.search, &row.traits.organisation));
        add_block(transaction, block, block.rows(within.map(parts))).await?;
    }
    let mut update = Statement::new("UPDATE request_index SET parts_indexed = ");
    update.push_bind(row_number(end)).push(", indexed = ").push_bind(indexed.max(RequestNumber(end)));
    on!(transaction, update.query()?.execute(transaction).await?.rows_affected());
    Ok(end - start)
}

async fn add_traits(transaction: &mut Connection, traits: impl Iterator<Item = &Traits>) -> Result<(), DatabaseError> {
    let values = traits.flat_map(|traits| Trait::ALL.map(|of| Some((of.number(traits.value(of))?, traits.number))));
    let mut values: Vec<(i64, RequestNumber)> = values.flatten().collect();
    // In the order of the table, so that no page of it is fetched twice.
    values.sort_unstable();
    let statement = match transaction.engine() {
        Engine::Sqlite => "INSERT INTO request_traits_recent SELECT value ->> 0, value ->> 1 FROM json_each($1)",
        Engine::Postgres => {
            "INSERT INTO request_traits_recent SELECT (value ->> 0)::bigint, (value ->> 1)::bigint
             FROM json_array_elements($1::json) AS item (value)"
        }
    };
    let values = json_text(&values)?;
    on!(transaction, sqlx::query(statement).bind(&values).execute(transaction).await?.rows_affected());
    Ok(())
}

/// Moves one slice of the values into the large table.
async fn move_traits(transaction: &mut Connection, slice: i64) -> Result<(), DatabaseError> {
    let width = (VALUE + 1) / SLICES;
    for statement in [
        "INSERT INTO request_traits SELECT trait, number FROM request_traits_recent
         WHERE trait >= $1 AND trait < $2 ORDER BY trait, number",
        "DELETE FROM request_traits_recent WHERE trait >= $1 AND trait < $2",
    ] {
        let (from, to) = (slice * width, (slice + 1) * width);
        on!(transaction, sqlx::query(statement).bind(from).bind(to).execute(transaction).await?.rows_affected());
    }
    Ok(())
}

/// Adds a block, and those that it completes in place of what they are made of.
async fn add_block(
    transaction: &mut Connection,
    mut block: Block,
    mut rows: Vec<(i64, Vec<u8>)>,
) -> Result<(), DatabaseError> {
    loop {
        for rows in row_groups(transaction.engine(), &rows) {
            let mut insert = Statement::new("INSERT INTO request_parts (id, lists) ");
            insert.push_rows(rows.iter().map(|(id, lists)| [(*id).into(), lists.as_slice().into()]));
            on!(transaction, insert.query()?.execute(transaction).await?.rows_affected());
        }
        let Some(larger) = block.completes() else { return Ok(()) };
        let (first, last) = larger.rows_of_children().into_inner();
        let select = "SELECT id, lists FROM request_parts WHERE id BETWEEN $1 AND $2 ORDER BY id";
        let children: Vec<(i64, Vec<u8>)> =
            on!(transaction, sqlx::query_as(select).bind(first).bind(last).fetch_all(transaction).await?);
        rows = larger.merged(&children).ok_or_else(not_whole)?;
        let delete = "DELETE FROM request_parts WHERE id BETWEEN $1 AND $2";
        on!(transaction, sqlx::query(delete).bind(first).bind(last).execute(transaction).await?.rows_affected());
        block = larger;
    }
}

fn not_whole() -> DatabaseError {
    sqlx::Error::Decode("a block of the index is not whole".into()).into()
}

/// What the index is asked for.
pub(super) struct Question<'a> {
    words: &'a [&'a str],
    organisation: Option<&'a str>,
    parts: BTreeSet<Part>,
}

impl<'a> Question<'a> {
    /// All words of a search and the organisation. `None` where no word is long enough.
    pub(super) fn new(words: &'a [&'a str], organisation: Option<&'a str>) -> Option<Self> {
        let most = PARTS_LIMIT / words.len().max(1);
        let mut parts: BTreeSet<Part> = words.iter().flat_map(|word| postings::parts_of_word(word, most)).collect();
        if parts.is_empty() {
            return None;
        }
        parts.extend(organisation.map(postings::organisation_part));
        Some(Self { words, organisation, parts })
    }

    /// The next of the requests that the index does not have yet.
    async fn unindexed(
        &self,
        connection: &mut Connection,
        indexed: RequestNumber,
        descending: bool,
        after: Option<RequestNumber>,
        limit: usize,
    ) -> Result<Vec<RequestNumber>, DatabaseError> {
        let mut query = Statement::new("SELECT number FROM requests WHERE number > ");
        query.push_bind(indexed);
        if let Some(after) = after {
            query.push(" AND number ").push(if descending { '<' } else { '>' }).push(" ").push_bind(after);
        }
        if let Some(organisation) = self.organisation {
            query.push(" AND organisation = ").push_bind(organisation);
        }
        for word in self.words {
            query.push(" AND ").push_contains(connection.engine(), "search", word);
        }
        query.push(if descending { " ORDER BY number DESC LIMIT " } else { " ORDER BY number LIMIT " });
        query.push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let found: Vec<(RequestNumber,)> = on!(connection, query.query_as()?.fetch_all(connection).await?);
        Ok(found.into_iter().map(|(number,)| number).collect())
    }
}

/// The numbers of the next requests that may hold what is asked for, in this order, at most so many.
pub(super) async fn hits(
    connection: &mut Connection,
    question: &Question<'_>,
    descending: bool,
    after: Option<RequestNumber>,
    limit: usize,
) -> Result<Vec<RequestNumber>, DatabaseError> {
    for _ in 0..ATTEMPTS {
        if let Some(hits) = hits_at_once(connection, question, descending, after, limit).await? {
            return Ok(hits);
        }
    }
    Err(not_whole())
}

/// The same; `None` where a block has meanwhile become part of a larger one.
async fn hits_at_once(
    connection: &mut Connection,
    question: &Question<'_>,
    descending: bool,
    after: Option<RequestNumber>,
    limit: usize,
) -> Result<Option<Vec<RequestNumber>>, DatabaseError> {
    let Position { parts_indexed, .. } = position(connection).await?;
    let comes = |number: u64| after.is_none_or(|after| if descending { number < after.0 } else { number > after.0 });
    let mut blocks = Block::up_to(parts_indexed.0);
    blocks.retain(|block| comes(if descending { block.first() } else { block.last() }));
    let mut hits = Vec::new();
    if descending {
        blocks.reverse();
        hits = question.unindexed(connection, parts_indexed, descending, after, limit).await?;
    }
    let mut parts: Vec<Asked> = question.parts.iter().map(|part| Asked { part: *part, having: 0, of: 0 }).collect();
    // What is found often is found in the first one, which tells what is rare.
    let (mut left, mut most, mut first) = (blocks.as_slice(), 1, parts.len());
    while !left.is_empty() && hits.len() < limit {
        let (blocks, rest) = left.split_at(most.min(left.len()));
        let mut chosen: Vec<Chosen> = blocks.iter().map(|block| block.all()).collect();
        let (rare, others) = parts.split_at_mut(first);
        let whole = narrow(connection, chosen.iter_mut(), rare).await?;
        let many = chosen.iter_mut().filter(|chosen| chosen.count() > FEW);
        if !(whole && narrow(connection, many, others).await?) {
            return Ok(None);
        }
        for chosen in &chosen {
            let mut numbers: Vec<u64> = chosen.numbers().filter(|number| comes(*number)).collect();
            if descending {
                numbers.reverse();
            }
            hits.extend(numbers.into_iter().map(RequestNumber));
        }
        parts.sort_by_key(Asked::share);
        (left, most, first) = (rest, (most * MORE_AT_ONCE).min(BLOCKS_AT_ONCE), parts.len().min(FIRST_PARTS));
    }
    if !descending && hits.len() < limit {
        let limit = limit - hits.len();
        hits.extend(question.unindexed(connection, parts_indexed, descending, after, limit).await?);
    }
    hits.truncate(limit);
    Ok(Some(hits))
}

/// A part that blocks were asked for, and how many of their requests have it.
struct Asked {
    part: Part,
    having: u64,
    of: u64,
}

impl Asked {
    /// How many in a million have it.
    fn share(&self) -> u64 {
        self.having * 1_000_000 / self.of.max(1)
    }
}

/// Leaves those of each block's requests that have all of the parts. `false` where a block is not there any more.
async fn narrow(
    connection: &mut Connection,
    chosen: impl Iterator<Item = &mut Chosen>,
    parts: &mut [Asked],
) -> Result<bool, DatabaseError> {
    let mut chosen: Vec<&mut Chosen> = chosen.collect();
    let row_of = |chosen: &Chosen, part: Part| chosen.block().row_of(part);
    let wanted: BTreeSet<i64> =
        chosen.iter().flat_map(|chosen| parts.iter().map(|asked| row_of(chosen, asked.part))).collect();
    if wanted.is_empty() {
        return Ok(true);
    }
    let mut query = Statement::new("SELECT id, lists FROM request_parts WHERE id IN ");
    query.push_ids(wanted.iter().copied());
    let found: Vec<(i64, Vec<u8>)> = on!(connection, query.query_as()?.fetch_all(connection).await?);
    let found: HashMap<i64, Vec<u8>> = found.into_iter().collect();
    for chosen in &mut chosen {
        for asked in parts.iter_mut() {
            if let Some(row) = found.get(&row_of(chosen, asked.part)) {
                asked.having += u64::from(chosen.keep(asked.part, row));
                asked.of += chosen.block().size();
            }
        }
    }
    Ok(found.len() == wanted.len())
}

/// The numbers of the newest other requests that have a value in common with these, for each at most so many from the index
/// and as many of those that it does not have yet; by a wonder another one's too.
pub(super) async fn alike(
    connection: &mut Connection,
    these: &[(&Traits, Trait)],
    limit: u32,
) -> Result<Vec<Vec<RequestNumber>>, DatabaseError> {
    let Position { indexed, last, .. } = position(connection).await?;
    let asked: Vec<(Option<i64>, RequestNumber)> =
        these.iter().map(|(traits, of)| (of.number(traits.value(*of)), traits.number)).collect();
    let asked = json_text(&asked)?;
    let statement = match connection.engine() {
        Engine::Sqlite => {
            "SELECT * FROM (
                 SELECT key, (SELECT json_group_array(number) FROM (
                     SELECT number FROM request_traits WHERE trait = value ->> 0 AND number <> value ->> 1
                     UNION ALL
                     SELECT number FROM request_traits_recent WHERE trait = value ->> 0 AND number <> value ->> 1
                     ORDER BY number DESC LIMIT $1
                 )) AS numbers FROM json_each($2)
             ) WHERE numbers <> '[]'"
        }
        Engine::Postgres => {
            "SELECT key - 1, numbers::text
             FROM json_array_elements($2::json) WITH ORDINALITY AS item (value, key), LATERAL (
                 SELECT json_agg(number) AS numbers FROM (
                     SELECT number FROM request_traits
                     WHERE trait = (value ->> 0)::bigint AND number <> (value ->> 1)::bigint
                     UNION ALL
                     SELECT number FROM request_traits_recent
                     WHERE trait = (value ->> 0)::bigint AND number <> (value ->> 1)::bigint
                     ORDER BY number DESC LIMIT $1
                 ) AS newest
             ) AS found WHERE numbers IS NOT NULL"
        }
    };
    let found: Vec<(i64, String)> =
        on!(connection, sqlx::query_as(statement).bind(i64::from(limit)).bind(&asked).fetch_all(connection).await?);
    let mut alike = vec![Vec::new(); these.len()];
    for (position, numbers) in found {
        if let Some(alike) = usize::try_from(position).ok().and_then(|position| alike.get_mut(position)) {
            *alike = read_array((numbers,))?;
        }
    }
    if indexed < last {
        // Thousands may be copies of one machine: no two of them are compared with each other.
        let others = unindexed(connection, these, indexed).await?;
        let mut having: HashMap<(Trait, &str), Vec<RequestNumber>> = HashMap::new();
        for (other, of) in others.iter().flat_map(|other| Trait::ALL.map(|of| (other, of))) {
            having.entry((of, other.value(of))).or_default().push(other.number);
        }
        for ((this, of), alike) in these.iter().zip(&mut alike) {
            let value = this.value(*of);
            let having = having.get(&(*of, value)).filter(|_| !value.is_empty());
            alike.extend(having.into_iter().flatten().filter(|other| **other != this.number).take(limit as usize));
        }
    }
    Ok(alike)
}

/// Those requests after a number that have a value in common with one of these, newest first.
async fn unindexed(
    connection: &mut Connection,
    these: &[(&Traits, Trait)],
    after: RequestNumber,
) -> Result<Vec<Traits>, DatabaseError> {
    let mut query = Statement::new(format!("SELECT {} FROM requests WHERE number > ", Traits::COLUMNS));
    query.push_bind(after).push(" AND (false");
    for of in Trait::ALL {
        let values = these.iter().filter(|(_, it)| *it == of).map(|(this, _)| this.value(of));
        let values: BTreeSet<&str> = values.filter(|value| !value.is_empty()).collect();
        query.push(" OR ").push(of.column()).push(" IN ").push_texts(values);
    }
    query.push(") ORDER BY number DESC");
    Ok(on!(connection, query.query_as()?.fetch_all(connection).await?))
}
