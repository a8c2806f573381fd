//! The open database: connections to read with, and the one right to write.

use std::path::Path;

use sqlx::{Pool, Postgres, Sqlite};

use super::connection::{Connection, Hold, Reading, Transaction};
use super::{DatabaseError, sqlite};

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
        Ok(Transaction(match self {
            Self::Sqlite(pools) => Connection::Sqlite(Hold::Transaction(pools.writer.begin_with(sqlite::BEGIN).await?)),
            Self::Postgres(pools) => Connection::Postgres(Hold::Transaction(pools.writer.begin().await?)),
        }))
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
    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
