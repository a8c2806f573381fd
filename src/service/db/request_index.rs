//! The index that is written behind the requests: any part of their texts, and what two of them have in common.
//!
//! An index over random values costs more than the request itself, and an acknowledgement would wait for it. So it is
//! written in large parts. It only narrows the choice: who asks it compares the rows. What is not in it yet is looked at
//! row by row, so that nothing is ever missed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;
use std::ops::{Range, RangeInclusive};

use aws_lc_rs::digest::{SHA256, digest};
use sqlx::FromRow;

use super::postings::{self, BLOCK, Block, Chosen, Parts};
use super::statement::{Statement, json_text, read_array};
use super::{Connection, DatabaseError, Engine, on, row_groups, row_number};
use crate::protocol::request::RequestNumber;

/// About how many parts the index is asked for, at most; the rest is compared in the row.
const PARTS_LIMIT: usize = 16;

/// How many blocks are looked into at once, at most, and how many times more than before.
const BLOCKS_AT_ONCE: usize = 32;
const MORE_AT_ONCE: usize = 4;

/// How many parts a block is asked for at once, at most: most often two rare ones leave nothing of a large one.
const PARTS_AT_ONCE: usize = 2;

/// A part that fewer than one in so many requests have is rare.
const RARE: u64 = 256;

/// So few requests of a block are looked at faster than the other parts' lists.
const FEW: u64 = 8;

/// How often a search begins anew because blocks became one meanwhile: they do after every 512 requests.
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

/// How many requests' parts are not in the index. Up to a block of them stay so until others come.
pub async fn behind(connection: &mut Connection) -> Result<u64, DatabaseError> {
    let Position { parts_indexed, last, .. } = position(connection).await?;
    Ok(last.0 - parts_indexed.0)
}

/// What the index gets next. It is worked out before the right to write is taken: nobody waits while blocks become one.
#[derive(Debug)]
pub struct Step {
    before: Position,
    indexed: RequestNumber,
    parts_indexed: u64,
    traits: Vec<(i64, RequestNumber)>,
    /// Rows of blocks that become part of others.
    gone: Vec<RangeInclusive<i64>>,
    rows: Vec<(i64, Vec<u8>)>,
}

/// Works out what the next requests, at most so many, add to the index, as the database is at one moment; `None` where
/// that is nothing.
pub async fn plan(connection: &mut Connection, limit: u64) -> Result<Option<Step>, DatabaseError> {
    #[derive(FromRow)]
    struct Row {
        #[sqlx(flatten)]
        traits: Traits,
        search: String,
    }
    let before = position(connection).await?;
    let Position { indexed, parts_indexed: RequestNumber(start), last } = before;
    let end = last.0.min(start + limit);
    let parts_indexed = end / BLOCK * BLOCK;
    if end <= indexed.0 && parts_indexed == start {
        return Ok(None);
    }
    let mut query = Statement::new(format!("SELECT {}, search FROM requests WHERE number > ", Traits::COLUMNS));
    query.push_bind(row_number(start)).push(" AND number <= ").push_bind(row_number(end)).push(" ORDER BY number");
    let requests: Vec<Row> = on!(connection, query.query_as()?.fetch_all(connection).await?);
    let traits = requests.iter().map(|row| &row.traits).filter(|traits| traits.number > indexed);
    let values = traits.flat_map(|traits| Trait::ALL.map(|of| Some((of.number(traits.value(of))?, traits.number))));
    let mut traits: Vec<(i64, RequestNumber)> = values.flatten().collect();
    // In the order of the table, so that no page of it is fetched twice.
    traits.sort_unstable();
    let mut requests = requests.iter().peekable();
    let (mut gone, mut rows) = (Vec::new(), BTreeMap::new());
    for start in (start..parts_indexed).step_by(BLOCK as usize) {
        let mut block = Block::smallest(start);
        let within = iter::from_fn(|| requests.next_if(|row| row.traits.number.0 <= start + BLOCK));
        let parts = |row: &Row| (row.traits.number.0, postings::parts(&row.search, &row.traits.organisation));
        let mut made = block.rows(within.map(parts));
        while let Some(larger) = block.completes() {
            rows.extend(made);
            made = Vec::new();
            for sections in block.some_sections() {
                let mut of_children = Vec::new();
                for child in larger.children() {
                    let ids = child.ids(&sections);
                    // On disk, or made by this step.
                    of_children.extend(rows_between(connection, &ids).await?);
                    of_children.extend(rows.extract_if(ids, |_, _| true));
                }
                made.extend(larger.merged(&sections, &of_children).ok_or_else(not_whole)?);
            }
            // They lie together.
            let [first, .., last] = larger.children().map(|child| child.ids(&child.all_sections()));
            gone.push(*first.start()..=*last.end());
            block = larger;
        }
        rows.extend(made);
    }
    let indexed = indexed.max(RequestNumber(end));
    Ok(Some(Step { before, indexed, parts_indexed, traits, gone, rows: rows.into_iter().collect() }))
}

impl Step {
    /// Adds this to the index, unless somebody else was first.
    pub async fn take(self, transaction: &mut Connection) -> Result<(), DatabaseError> {
        let now = position(transaction).await?;
        if (now.indexed, now.parts_indexed) != (self.before.indexed, self.before.parts_indexed) {
            return Ok(());
        }
        add_traits(transaction, &self.traits).await?;
        for moment in self.before.indexed.0 / MOVED_AFTER..self.indexed.0 / MOVED_AFTER {
            move_traits(transaction, row_number(moment) % SLICES).await?;
        }
        for ids in self.gone {
            let (first, last) = ids.into_inner();
            let delete = "DELETE FROM request_parts WHERE id BETWEEN $1 AND $2";
            on!(transaction, sqlx::query(delete).bind(first).bind(last).execute(transaction).await?.rows_affected());
        }
        for rows in row_groups(transaction.engine(), &self.rows) {
            let mut insert = Statement::new("INSERT INTO request_parts (id, lists) ");
            insert.push_rows(rows.iter().map(|(id, lists)| [(*id).into(), lists.as_slice().into()]));
            on!(transaction, insert.query()?.execute(transaction).await?.rows_affected());
        }
        let mut update = Statement::new("UPDATE request_index SET parts_indexed = ");
        update.push_bind(row_number(self.parts_indexed)).push(", indexed = ").push_bind(self.indexed);
        on!(transaction, update.query()?.execute(transaction).await?.rows_affected());
        Ok(())
    }
}

async fn rows_between(
    connection: &mut Connection,
    ids: &RangeInclusive<i64>,
) -> Result<Vec<(i64, Vec<u8>)>, DatabaseError> {
    let select = "SELECT id, lists FROM request_parts WHERE id BETWEEN $1 AND $2 ORDER BY id";
    Ok(on!(connection, sqlx::query_as(select).bind(*ids.start()).bind(*ids.end()).fetch_all(connection).await?))
}

async fn add_traits(transaction: &mut Connection, values: &[(i64, RequestNumber)]) -> Result<(), DatabaseError> {
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

fn not_whole() -> DatabaseError {
    sqlx::Error::Decode("a block of the index is not whole".into()).into()
}

/// What the index is asked for.
pub(super) struct Question<'a> {
    words: &'a [&'a str],
    organisation: Option<&'a str>,
    /// In the order in which blocks are asked for them.
    parts: Vec<Parts>,
}

impl<'a> Question<'a> {
    /// All words of a search and the organisation. `None` where no word is long enough.
    pub(super) fn new(words: &'a [&'a str], organisation: Option<&'a str>) -> Option<Self> {
        let most = PARTS_LIMIT / words.len().max(1);
        let of_word = |word: &&str| Parts::of_word(word, most).into_iter().enumerate().collect::<Vec<_>>();
        let mut parts: Vec<(usize, Parts)> = words.iter().flat_map(of_word).collect();
        if parts.is_empty() {
            return None;
        }
        // First that of each word which tells most.
        parts.sort_unstable();
        let mut seen = BTreeSet::new();
        parts.retain(|(_, parts)| seen.insert(*parts));
        let parts = parts.into_iter().map(|(_, parts)| parts).chain(organisation.map(Parts::of_organisation));
        Some(Self { words, organisation, parts: parts.collect() })
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
        query.push(if descending { " ORDER BY number DESC" } else { " ORDER BY number" }).push_limit(limit);
        let found: Vec<(RequestNumber,)> = on!(connection, query.query_as()?.fetch_all(connection).await?);
        Ok(found.into_iter().map(|(number,)| number).collect())
    }
}

/// The numbers of the next requests that may hold what is asked for, in this order, at most so many.
pub(super) async fn hits(
    connection: &mut Connection,
    question: &Question<'_>,
    descending: bool,
    mut after: Option<RequestNumber>,
    limit: usize,
) -> Result<Vec<RequestNumber>, DatabaseError> {
    let mut hits = Vec::new();
    let Position { mut parts_indexed, .. } = position(connection).await?;
    if descending {
        // Of a new index this may be all, and take longer than the next blocks: it is looked at once.
        hits = question.unindexed(connection, parts_indexed, descending, after, limit).await?;
        let next = RequestNumber(parts_indexed.0 + 1);
        after = Some(after.map_or(next, |after| after.min(next)));
    }
    for _ in 0..ATTEMPTS {
        let left = limit.saturating_sub(hits.len());
        if left == 0 {
            return Ok(hits);
        }
        let blocks = Block::up_to(parts_indexed.0);
        let Some(found) = hits_in_blocks(connection, question, blocks, descending, after, left).await? else {
            Position { parts_indexed, .. } = position(connection).await?;
            continue;
        };
        hits.extend(found);
        if !descending && hits.len() < limit {
            let left = limit - hits.len();
            hits.extend(question.unindexed(connection, parts_indexed, descending, after, left).await?);
        }
        return Ok(hits);
    }
    Err(not_whole())
}

/// Those in these blocks; `None` where one of them has meanwhile become part of a larger one.
async fn hits_in_blocks(
    connection: &mut Connection,
    question: &Question<'_>,
    mut blocks: Vec<Block>,
    descending: bool,
    after: Option<RequestNumber>,
    limit: usize,
) -> Result<Option<Vec<RequestNumber>>, DatabaseError> {
    let comes = |number: u64| after.is_none_or(|after| if descending { number < after.0 } else { number > after.0 });
    blocks.retain(|block| comes(if descending { block.first() } else { block.last() }));
    if descending {
        blocks.reverse();
    }
    let mut parts: Vec<Asked> = question.parts.iter().map(|parts| Asked { parts: *parts, having: 0, of: 0 }).collect();
    // What is rare is seen in the largest block, the first one of several: the newest may be of machines that are named like
    // no others.
    let Some(largest) = blocks.iter().rev().copied().max_by_key(|block| block.size()) else {
        return Ok(Some(Vec::new()));
    };
    let mut known = Some(largest.all());
    if !narrow(connection, known.as_mut_slice(), &mut parts).await? {
        return Ok(None);
    }
    // What is found often is found in the first one, and what is rare in none of many.
    let is_rare = known.as_ref().is_some_and(|known| known.count() < FEW.max(limit as u64));
    let (mut left, mut most) = (blocks.as_slice(), if is_rare { BLOCKS_AT_ONCE } else { 1 });
    let mut hits = Vec::new();
    while !left.is_empty() && hits.len() < limit {
        let (blocks, rest) = left.split_at(most.min(left.len()));
        let others = blocks.iter().filter(|block| **block != largest);
        let mut chosen: Vec<Chosen> = others.map(|block| block.all()).collect();
        // By how many of a million have it.
        parts.sort_by_key(|asked| asked.share(1_000_000));
        if !narrow(connection, &mut chosen, &mut parts).await? {
            return Ok(None);
        }
        if let Some(place) = blocks.iter().position(|block| *block == largest) {
            chosen.splice(place..place, known.take());
        }
        for chosen in &chosen {
            let numbers = chosen.numbers().filter(|number| comes(*number)).map(RequestNumber);
            let more = limit.saturating_sub(hits.len());
            match descending {
                true => hits.extend(numbers.rev().take(more)),
                false => hits.extend(numbers.take(more)),
            }
        }
        (left, most) = (rest, (most * MORE_AT_ONCE).min(BLOCKS_AT_ONCE));
    }
    Ok(Some(hits))
}

/// A part that blocks were asked for, and how many of their requests have it.
struct Asked {
    parts: Parts,
    having: u64,
    of: u64,
}

impl Asked {
    /// How many of so many have it, as far as is known. What is rare is equally rare, and so is what is not known: that a
    /// block has none is chance.
    fn share(&self, count: u64) -> u64 {
        (count * self.having).checked_div(self.of).unwrap_or_default().max(count / RARE)
    }
}

/// How many of the parts to ask a block for that has so many left: as many as leave few, as far as is known. Where it was
/// asked before, they were more than it seemed.
fn turn(count: u64, parts: &[Asked], before: usize) -> Range<usize> {
    let mut left = count;
    let are_many = |asked: &&Asked| {
        let are_many = left > FEW;
        if before == 0 {
            left = asked.share(left);
        }
        are_many
    };
    before..before + parts[before..].iter().take(PARTS_AT_ONCE).take_while(are_many).count()
}

/// Leaves those of each block's requests that have all of the parts, or so few that these can be looked at. `false` where a
/// block is not there any more.
async fn narrow(
    connection: &mut Connection,
    chosen: &mut [Chosen],
    parts: &mut [Asked],
) -> Result<bool, DatabaseError> {
    let mut next = vec![0; chosen.len()];
    loop {
        let turns: Vec<Range<usize>> =
            chosen.iter().zip(&next).map(|(chosen, before)| turn(chosen.count(), parts, *before)).collect();
        let row_of = |chosen: &Chosen, asked: &Asked| chosen.block().row_of(asked.parts);
        let wanted: BTreeSet<i64> = chosen
            .iter()
            .zip(&turns)
            .flat_map(|(chosen, turn)| parts[turn.clone()].iter().map(|asked| row_of(chosen, asked)))
            .collect();
        if wanted.is_empty() {
            return Ok(true);
        }
        let mut query = Statement::new("SELECT id, lists FROM request_parts WHERE id IN ");
        query.push_ids(wanted.iter().copied());
        let found: Vec<(i64, Vec<u8>)> = on!(connection, query.query_as()?.fetch_all(connection).await?);
        if found.len() < wanted.len() {
            return Ok(false);
        }
        let found: HashMap<i64, Vec<u8>> = found.into_iter().collect();
        for ((chosen, turn), next) in chosen.iter_mut().zip(turns).zip(&mut next) {
            *next = turn.end;
            for asked in &mut parts[turn] {
                if let Some(row) = found.get(&row_of(chosen, asked)) {
                    asked.having += chosen.keep(asked.parts, row);
                    asked.of += chosen.block().size();
                }
            }
        }
    }
}

/// By each value that one of these has, the numbers of the newest requests that have it, newest first: at most so many from
/// the index and as many of those that it does not have yet, and by a wonder one with another value. Those asked for are
/// among them.
pub(super) async fn alike<'a>(
    connection: &mut Connection,
    these: &[(&'a Traits, Trait)],
    limit: u32,
) -> Result<HashMap<(Trait, &'a str), Vec<RequestNumber>>, DatabaseError> {
    let Position { indexed, last, .. } = position(connection).await?;
    let values = these.iter().map(|(this, of)| (*of, this.value(*of))).filter(|(_, value)| !value.is_empty());
    // Thousands may be copies of one machine: what they have in common is asked for once.
    let mut alike: HashMap<(Trait, &str), Vec<RequestNumber>> = values.map(|value| (value, Vec::new())).collect();
    let asked: HashMap<i64, (Trait, &str)> =
        alike.keys().filter_map(|value| Some((value.0.number(value.1)?, *value))).collect();
    let statement = match connection.engine() {
        Engine::Sqlite => {
            "SELECT * FROM (
                 SELECT value, (SELECT json_group_array(number) FROM (
                     SELECT number FROM request_traits WHERE trait = value
                     UNION ALL
                     SELECT number FROM request_traits_recent WHERE trait = value
                     ORDER BY number DESC LIMIT $1 + 0
                 )) AS numbers FROM json_each($2)
             ) WHERE numbers <> '[]'"
        }
        Engine::Postgres => {
            "SELECT value, numbers::text
             FROM (SELECT item::bigint AS value FROM json_array_elements_text($2::json) AS item) AS asked, LATERAL (
                 SELECT json_agg(number) AS numbers FROM (
                     SELECT number FROM request_traits WHERE trait = value
                     UNION ALL
                     SELECT number FROM request_traits_recent WHERE trait = value
                     ORDER BY number DESC LIMIT $1 + 0
                 ) AS newest
             ) AS found WHERE numbers IS NOT NULL"
        }
    };
    let numbers = json_text(&asked.keys().collect::<Vec<_>>())?;
    let found: Vec<(i64, String)> =
        on!(connection, sqlx::query_as(statement).bind(i64::from(limit)).bind(&numbers).fetch_all(connection).await?);
    for (number, requests) in found {
        if let Some(alike) = asked.get(&number).and_then(|value| alike.get_mut(value)) {
            *alike = read_array((requests,))?;
        }
    }
    if indexed < last {
        let others = unindexed(connection, these, indexed).await?;
        let mut having: HashMap<(Trait, &str), Vec<RequestNumber>> = HashMap::new();
        for (other, of) in others.iter().flat_map(|other| Trait::ALL.map(|of| (other, of))) {
            having.entry((of, other.value(of))).or_default().push(other.number);
        }
        for (value, alike) in &mut alike {
            alike.extend(having.get(value).into_iter().flatten().take(limit as usize));
        }
    }
    alike.values_mut().for_each(|numbers| numbers.sort_unstable_by_key(|number| Reverse(*number)));
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
