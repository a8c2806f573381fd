//! What is to be sent, and what became of it.

use std::str::FromStr;

use sqlx::FromRow;

use super::{Connection, DatabaseError, Moment, Statement, on};
use crate::protocol::request::{UnknownWord, by_word};

/// The way that something is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// E-mail.
    Email,
    /// A POST to another program.
    Webhook,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 2] = [Self::Email, Self::Webhook];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Webhook => "webhook",
        }
    }
}

impl FromStr for Channel {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        by_word(text, &Self::ALL, Self::as_str)
    }
}

/// Something to be sent that is not in the database yet.
#[derive(Debug)]
pub struct NewEntry<'a> {
    /// What it tells of.
    pub event: &'a str,
    /// The way it goes.
    pub channel: Channel,
    /// An e-mail address or a URL.
    pub receiver: &'a str,
    /// What is sent.
    pub payload: &'a str,
    /// When that happened.
    pub created_at: Moment,
}

/// Something that waits to be sent.
#[derive(Debug, Clone, FromRow)]
pub struct EntryRow {
    /// Its number.
    pub id: i64,
    /// What it tells of.
    pub event: String,
    /// An e-mail address or a URL.
    pub receiver: String,
    /// What is sent.
    pub payload: String,
    /// When that happened.
    pub created_at: Moment,
    /// How often it was tried.
    #[sqlx(try_from = "i64")]
    pub attempts: u32,
    /// Until when nobody else takes it.
    pub claimed_until: Moment,
}

/// How much waits on a channel.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct LaneRow {
    /// The channel.
    pub channel: Channel,
    /// How many entries wait.
    pub waiting: i64,
    /// Since when the oldest one waits.
    pub oldest: Moment,
}

/// How much waits, and how much never arrived.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct StateRow {
    /// How many entries wait.
    pub waiting: i64,
    /// How many were given up.
    pub failed: i64,
    /// Since when the oldest one waits.
    pub oldest_waiting: Option<Moment>,
}

/// Adds an entry, due at once; one on the same event to the same receiver stays as it is.
pub async fn insert(connection: &mut Connection, entry: &NewEntry<'_>) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query(
            "INSERT INTO outbox (event, channel, receiver, payload, created_at, next_attempt_at)
             VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (event, receiver) DO NOTHING",
        )
        .bind(entry.event)
        .bind(entry.channel.as_str())
        .bind(entry.receiver)
        .bind(entry.payload)
        .bind(entry.created_at)
        .execute(connection)
        .await?
        .rows_affected()
    );
    Ok(())
}

/// Takes what was due first on a channel, to one receiver or to all: nobody else gets it until then, after which it is
/// due again unless it was noted what became of it.
pub async fn claim(
    transaction: &mut Connection,
    channel: Channel,
    receiver: Option<&str>,
    now: Moment,
    until: Moment,
) -> Result<Option<EntryRow>, DatabaseError> {
    Ok(on!(
        transaction,
        sqlx::query_as(
            "UPDATE outbox SET next_attempt_at = $1 WHERE id = (
                 SELECT id FROM outbox WHERE channel = $2 AND ($3 IS NULL OR receiver = $3) AND next_attempt_at <= $4
                 ORDER BY next_attempt_at, id LIMIT 1
             ) RETURNING id, event, receiver, payload, created_at, attempts, next_attempt_at AS claimed_until",
        )
        .bind(until)
        .bind(channel.as_str())
        .bind(receiver)
        .bind(now)
        .fetch_optional(transaction)
        .await?
    ))
}

/// Notes that an entry was sent, also where another process has taken it since, or given it up.
pub async fn sent(connection: &mut Connection, id: i64, now: Moment) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query(
            "UPDATE outbox SET attempts = attempts + 1, next_attempt_at = NULL, sent_at = $1, failed_at = NULL, last_error = NULL
             WHERE id = $2 AND sent_at IS NULL",
        )
        .bind(now)
        .bind(id)
        .execute(connection)
        .await?
        .rows_affected()
    );
    Ok(())
}

/// Notes that an entry was not sent, and why; without a next attempt it is given up. Where another process has taken it
/// since, what becomes of it is for that one to note.
pub async fn not_sent(
    connection: &mut Connection,
    entry: &EntryRow,
    now: Moment,
    next_attempt_at: Option<Moment>,
    error: &str,
) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query(
            "UPDATE outbox SET attempts = attempts + 1, next_attempt_at = $1, last_error = $2,
                               failed_at = CASE WHEN $1 IS NULL THEN $3 END
             WHERE id = $4 AND next_attempt_at = $5",
        )
        .bind(next_attempt_at)
        .bind(error)
        .bind(now)
        .bind(entry.id)
        .bind(entry.claimed_until)
        .execute(connection)
        .await?
        .rows_affected()
    );
    Ok(())
}

/// Gives up what waits for a webhook that is none of these, or for e-mail where there is none.
pub async fn give_up_others(
    connection: &mut Connection,
    email: bool,
    webhooks: &[&str],
    now: Moment,
) -> Result<(), DatabaseError> {
    let mut query = Statement::new("UPDATE outbox SET next_attempt_at = NULL, failed_at = ");
    query.push_bind(now.0.unix_timestamp()).push(", last_error = 'no longer in the settings'");
    query.push(" WHERE next_attempt_at IS NOT NULL AND (channel = 'webhook'");
    for webhook in webhooks {
        query.push(" AND receiver <> ").push_bind(*webhook);
    }
    query.push(if email { ")" } else { " OR channel = 'email')" });
    on!(connection, query.query()?.execute(connection).await?.rows_affected());
    Ok(())
}

/// Removes what was sent or given up, and happened before a time.
pub async fn forget(connection: &mut Connection, before: Moment) -> Result<(), DatabaseError> {
    on!(
        connection,
        sqlx::query("DELETE FROM outbox WHERE next_attempt_at IS NULL AND created_at < $1")
            .bind(before)
            .execute(connection)
            .await?
            .rows_affected()
    );
    Ok(())
}

/// How much waits on each channel on which something does. Looks at nothing that is over.
pub async fn waiting(connection: &mut Connection) -> Result<Vec<LaneRow>, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as(
            "SELECT channel, count(*) AS waiting, min(created_at) AS oldest FROM outbox
             WHERE next_attempt_at IS NOT NULL GROUP BY channel",
        )
        .fetch_all(connection)
        .await?
    ))
}

/// How much waits, and how much never arrived.
pub async fn state(connection: &mut Connection) -> Result<StateRow, DatabaseError> {
    Ok(on!(
        connection,
        sqlx::query_as(
            "SELECT count(next_attempt_at) AS waiting, count(failed_at) AS failed,
                    min(CASE WHEN next_attempt_at IS NOT NULL THEN created_at END) AS oldest_waiting
             FROM outbox",
        )
        .fetch_one(connection)
        .await?
    ))
}
