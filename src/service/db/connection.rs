//! What queries run on: a connection of either database, and the query written once for both.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use sqlx::AssertSqlSafe;

use super::audit::{self, AuditRow};
use super::heads::{self, Heads};
use super::{DatabaseError, FileConnection, FileTransaction, ServerConnection, ServerTransaction};

/// A connection that queries run on, inside a transaction or not: see [`on!`].
#[derive(Debug)]
pub enum Connection {
    /// To the database file.
    Sqlite(Hold<FileConnection, FileTransaction>),
    /// To a server.
    Postgres(Hold<ServerConnection, ServerTransaction>),
}

/// Which database it is, for what cannot be said in one SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// One file.
    Sqlite,
    /// A server.
    Postgres,
}

impl Engine {
    /// Names the index to take, after a table's name: without statistics of the tables SQLite would guess. PostgreSQL has
    /// them.
    pub(super) const fn indexed_by(self, clause: &'static str) -> &'static str {
        match self {
            Self::Sqlite => clause,
            Self::Postgres => "",
        }
    }

    /// All values of a column as one JSON array, in the order of the rows: a row of its own costs more than its value.
    pub(super) fn array_of(self, values: &str) -> String {
        match self {
            Self::Sqlite => format!("json_group_array({values})"),
            Self::Postgres => format!("CAST(coalesce(json_agg({values}), '[]') AS TEXT)"),
        }
    }
}

impl Connection {
    /// Which database it leads to.
    pub const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }
}

/// A connection of one of the two, until it is dropped.
#[derive(Debug)]
pub enum Hold<C, T> {
    /// To read, without a transaction.
    Plain(C),
    /// In a transaction that ends without effect where it is dropped.
    Within(T),
}

impl<C: DerefMut, T: DerefMut<Target = C::Target>> Deref for Hold<C, T> {
    type Target = C::Target;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Plain(connection) => connection,
            Self::Within(transaction) => transaction,
        }
    }
}

impl<C: DerefMut, T: DerefMut<Target = C::Target>> DerefMut for Hold<C, T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Plain(connection) => connection,
            Self::Within(transaction) => transaction,
        }
    }
}

/// Runs one expression on whichever connection it is: within it, `$connection` is the native one.
///
/// The expression is compiled twice, so it is one that means the same on both: parameters are written `$1`.
macro_rules! on {
    ($connection:ident, $query:expr) => {
        match &mut *$connection {
            $crate::service::db::Connection::Sqlite(hold) => {
                let $connection = &mut **hold;
                $query
            }
            $crate::service::db::Connection::Postgres(hold) => {
                let $connection = &mut **hold;
                $query
            }
        }
    };
}
pub(super) use on;

/// Runs a statement of our own that has no parameters.
pub(super) async fn run(connection: &mut Connection, statement: &str) -> Result<(), DatabaseError> {
    on!(connection, sqlx::query(AssertSqlSafe(statement)).execute(connection).await?.rows_affected());
    Ok(())
}

/// A connection to read with, until it is dropped.
#[derive(Debug)]
pub struct Reading(pub(super) Connection);

/// A transaction that holds the right to write from its start; it ends without effect where it is dropped.
#[derive(Debug)]
pub struct Transaction {
    connection: Connection,
    counted: Vec<Counter>,
    /// What it goes on from: nobody else changes that meanwhile. Who adds a request or an entry in it keeps it true.
    pub(in crate::service) heads: Heads,
    /// Entries of the audit record, to be written as it ends.
    entries: Vec<AuditRow>,
    _held: Held,
}

/// Measures how long the right to write is held.
#[derive(Debug)]
struct Held {
    since: Instant,
    seconds: Histogram,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.seconds.observe(self.since.elapsed().as_secs_f64());
    }
}

impl Transaction {
    /// A transaction that just began; how long it takes is measured.
    pub(super) fn new(connection: Connection, heads: Heads, seconds: Histogram) -> Self {
        Self {
            connection,
            counted: Vec::new(),
            heads,
            entries: Vec::new(),
            _held: Held { since: Instant::now(), seconds },
        }
    }

    /// Looks again what it goes on from, after rows came from elsewhere.
    pub(super) async fn look_again(&mut self) -> Result<(), DatabaseError> {
        self.heads = match &mut self.connection {
            Connection::Sqlite(hold) => sqlx::query_as(heads::OF_FILE).fetch_one(&mut **hold).await?,
            Connection::Postgres(hold) => sqlx::query_as(heads::ON_SERVER).fetch_one(&mut **hold).await?,
        };
        Ok(())
    }

    /// Has each of these count one more once everything done in it lasts.
    pub fn count(&mut self, counters: impl IntoIterator<Item = Counter>) {
        self.counted.extend(counters);
    }

    /// Has these entries stand in the audit record once everything done in it lasts. They are written as it ends.
    pub fn enter(&mut self, entries: Vec<AuditRow>) {
        self.entries.extend(entries);
    }

    /// Writes the entries now, for who reads them in it.
    pub async fn write_entries(&mut self) -> Result<(), DatabaseError> {
        let entries = mem::take(&mut self.entries);
        let connection = &mut self.connection;
        for statement in audit::insertions(connection.engine(), &entries) {
            on!(connection, statement.query()?.execute(connection).await?.rows_affected());
        }
        Ok(())
    }

    /// Makes everything that was done in it last. When this returns, it is on disk.
    ///
    /// # Errors
    /// [`DatabaseError::Unconfirmed`] where the connection broke, so that nobody knows.
    pub async fn commit(self) -> Result<(), DatabaseError> {
        let entries = audit::insertions(self.connection.engine(), &self.entries).collect();
        match self.connection {
            Connection::Sqlite(Hold::Within(transaction)) => transaction.commit(entries).await?,
            Connection::Postgres(Hold::Within(transaction)) => transaction.commit(entries).await?,
            Connection::Sqlite(_) | Connection::Postgres(_) => {
                return Err(sqlx::Error::Protocol("not a transaction that writes".to_owned()).into());
            }
        }
        for counter in self.counted {
            counter.inc();
        }
        Ok(())
    }
}

macro_rules! deref_to_connection {
    ($($guard:ty: $connection:tt),*) => {$(
        impl Deref for $guard {
            type Target = Connection;

            fn deref(&self) -> &Connection {
                &self.$connection
            }
        }

        impl DerefMut for $guard {
            fn deref_mut(&mut self) -> &mut Connection {
                &mut self.$connection
            }
        }
    )*};
}

deref_to_connection!(Reading: 0, Transaction: connection);
