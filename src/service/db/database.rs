//! The open database: connections to read with, and the one right to write.

use std::path::Path;

use prometheus_client::metrics::histogram::Histogram;
use sqlx::{Pool, Postgres, Sqlite};

use super::connection::{Connection, Hold, Reading, Transaction, on};
use super::{DatabaseError, sqlite};
use crate::service::metrics::seconds;

/// The open database.
#[derive(Debug)]
pub enum Database {
    /// One file.
    Sqlite(Pools<Sqlite>),
    /// A server.
    Postgres(Pools<Postgres>),
}

/// The connections of this process.
#[derive(Debug)]
pub struct Pools<DB: sqlx::Database> {
    /// One connection: within this process, writes queue here.
    pub(super) writer: Pool<DB>,
    pub(super) readers: Pool<DB>,
    /// How long the right to write is held, in seconds.
    write_seconds: Histogram,
}

impl Database {
    /// Makes a new, empty database.
    pub async fn create(path: &Path) -> Result<Self, DatabaseError> {
        sqlite::connect(path, true).await.map(Self::Sqlite)
    }

    /// Opens an existing database and brings its schema up to date.
    ///
    /// # Errors
    /// [`DatabaseError::Missing`], [`DatabaseError::Empty`], [`DatabaseError::Newer`] or [`DatabaseError::Unusable`].
    pub async fn open(path: &Path) -> Result<Self, DatabaseError> {
        if path.exists() {
            sqlite::connect(path, false).await.map(Self::Sqlite)
        } else {
            Err(DatabaseError::Missing { path: path.to_owned() })
        }
    }

    /// A connection to read with.
    pub async fn read(&self) -> Result<Reading, DatabaseError> {
        Ok(Reading(match self {
            Self::Sqlite(pools) => Connection::Sqlite(Hold::Plain(pools.readers.acquire().await?)),
            Self::Postgres(pools) => Connection::Postgres(Hold::Plain(pools.readers.acquire().await?)),
        }))
    }

    /// A transaction that holds the right to write from its start, so that what it reads stays true until it ends.
    pub async fn write(&self) -> Result<Transaction, DatabaseError> {
        let connection = match self {
            Self::Sqlite(pools) => Connection::Sqlite(Hold::Transaction(pools.writer.begin_with(sqlite::BEGIN).await?)),
            Self::Postgres(pools) => Connection::Postgres(Hold::Transaction(pools.writer.begin().await?)),
        };
        Ok(Transaction::new(connection, self.write_seconds().clone()))
    }

    /// Whether something could be written now; nothing is.
    pub async fn check_writable(&self) -> Result<(), DatabaseError> {
        let mut transaction = self.write().await?;
        let connection = &mut *transaction;
        let nothing = "UPDATE managers SET language = language WHERE id < 0";
        on!(connection, sqlx::query(nothing).execute(connection).await?.rows_affected());
        Ok(())
    }

    /// How long the right to write is held, in seconds.
    pub const fn write_seconds(&self) -> &Histogram {
        match self {
            Self::Sqlite(pools) => &pools.write_seconds,
            Self::Postgres(pools) => &pools.write_seconds,
        }
    }

    /// How many connections of each pool are in use.
    pub fn busy_connections(&self) -> [(&'static str, i64); 2] {
        match self {
            Self::Sqlite(pools) => pools.busy(),
            Self::Postgres(pools) => pools.busy(),
        }
    }

    /// Closes the connections; of a file, what was committed moves from the log into it.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(pools) => pools.close().await,
            Self::Postgres(pools) => pools.close().await,
        }
    }
}

impl<DB: sqlx::Database> Pools<DB> {
    /// With nothing measured yet.
    pub(super) fn new(writer: Pool<DB>, readers: Pool<DB>) -> Self {
        Self { writer, readers, write_seconds: seconds() }
    }

    fn busy(&self) -> [(&'static str, i64); 2] {
        let busy = |pool: &Pool<DB>| i64::from(pool.size()) - i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
        [("writer", busy(&self.writer)), ("reader", busy(&self.readers))]
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
