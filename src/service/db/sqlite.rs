//! The one database file: opening, migrating, reading and writing.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::{Duration, Instant};

use prometheus_client::metrics::histogram::Histogram;
use sqlx::migrate::MigrateError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, Sqlite, SqliteConnection, Transaction};

use super::DatabaseError;
use crate::service::metrics::seconds;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/service/db/migrations");

/// How long a write waits for another process (a command beside the running service) to finish its own.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Enough to read while a write goes on; each one costs a thread and a page cache.
const READERS: u32 = 4;

/// The open database.
#[derive(Debug)]
pub struct Database {
    /// One connection: within this process writes queue here, not in SQLite's busy loop.
    writer: SqlitePool,
    readers: SqlitePool,
    /// How long the right to write is held, in seconds.
    write_seconds: Histogram,
}

impl Database {
    /// Makes a new, empty database.
    pub async fn create(path: &Path) -> Result<Self, DatabaseError> {
        Self::connect(path, true).await
    }

    /// Opens an existing database and brings its schema up to date.
    ///
    /// # Errors
    /// [`DatabaseError::Missing`], [`DatabaseError::Empty`], [`DatabaseError::Newer`] or [`DatabaseError::Unusable`].
    pub async fn open(path: &Path) -> Result<Self, DatabaseError> {
        if path.exists() {
            Self::connect(path, false).await
        } else {
            Err(DatabaseError::Missing { path: path.to_owned() })
        }
    }

    async fn connect(path: &Path, create: bool) -> Result<Self, DatabaseError> {
        let unusable = |cause| DatabaseError::Unusable { path: path.to_owned(), cause };
        // FULL, because with NORMAL a power cut may take back what was acknowledged (sqlite.org/pragma.html).
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let pool =
            |connections| SqlitePoolOptions::new().max_connections(connections).acquire_timeout(BUSY_TIMEOUT * 2);
        // Where the disk is full or fails, SQLite itself ends the transaction (sqlite.org/lang_transaction.html) and sqlx
        // goes on counting it: such a connection could never begin one again. The pool has let it finish what it had to
        // do (`test_before_acquire`), so that what is counted here is over, and opens another one in its place.
        let writer = pool(1)
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options.clone())
            .await
            .map_err(|error| unusable(error.into()))?;
        if !create && !has_schema(&writer).await.map_err(|error| unusable(error.into()))? {
            return Err(DatabaseError::Empty { path: path.to_owned() });
        }
        MIGRATIONS.run(&writer).await.map_err(|error| match error {
            MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => {
                DatabaseError::Newer { path: path.to_owned() }
            }
            error => unusable(error.into()),
        })?;
        let readers = pool(READERS).connect_lazy_with(options.read_only(true));
        Ok(Self { writer, readers, write_seconds: seconds() })
    }

    /// A connection to read with.
    pub async fn read(&self) -> Result<PoolConnection<Sqlite>, DatabaseError> {
        Ok(self.readers.acquire().await?)
    }

    /// A transaction that holds the right to write from its start, so that what it reads stays true until it ends.
    pub async fn write(&self) -> Result<WriteTransaction, DatabaseError> {
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(WriteTransaction { transaction, _held: Held { since: Instant::now(), seconds: self.write_seconds.clone() } })
    }

    /// Whether something could be written now; nothing is.
    pub async fn check_writable(&self) -> Result<(), DatabaseError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("UPDATE managers SET language = language WHERE id < 0").execute(&mut *transaction).await?;
        Ok(transaction.rollback().await?)
    }

    /// How long the right to write is held, in seconds.
    pub const fn write_seconds(&self) -> &Histogram {
        &self.write_seconds
    }

    /// How many connections of each pool are in use.
    pub fn busy_connections(&self) -> [(&'static str, i64); 2] {
        let busy = |pool: &SqlitePool| i64::from(pool.size()) - i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
        [("writer", busy(&self.writer)), ("reader", busy(&self.readers))]
    }

    /// Closes the database; what was committed moves from the log into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A transaction that holds the right to write; how long it does is measured. Dropped without a commit, it never was.
#[derive(Debug)]
pub struct WriteTransaction {
    transaction: Transaction<'static, Sqlite>,
    _held: Held,
}

impl WriteTransaction {
    /// Makes everything that was written durable. When this returns, it is on disk.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }
}

impl Deref for WriteTransaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.transaction
    }
}

impl DerefMut for WriteTransaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}

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

/// Whether a migration ever ran: only [`Database::create`] starts from nothing.
async fn has_schema(pool: &SqlitePool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')")
        .fetch_one(pool)
        .await
}
