//! The open database: connections to read with, and the one right to write.

use std::fmt;
use std::path::{Path, PathBuf};

use prometheus_client::metrics::histogram::Histogram;

use super::connection::{Connection, Engine, Hold, Reading, Transaction, on};
use super::heads::Heads;
use super::postgres::{self, Server};
use super::{DatabaseError, FilePool, ServerPool, sqlite};
use crate::service::metrics::seconds;

/// Where a database is.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a file (SQLite).
    File(PathBuf),
    /// On a server (PostgreSQL).
    Server(Server),
}

/// As an administrator knows it; without a password.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Server(server) => server.fmt(formatter),
        }
    }
}

/// What a database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To use what is there.
    Open,
    /// To make it, with the schema of a certain version or the newest one.
    Create { schema: Option<i64> },
}

/// The open database.
#[derive(Debug)]
pub enum Database {
    /// One file, and how long the right to write is held, in seconds.
    Sqlite(FilePools, Histogram),
    /// A server, and the same.
    Postgres(ServerPools, Histogram),
}

/// The connections of this process to a file.
#[derive(Debug)]
pub struct FilePools {
    /// One: who writes next waits for it.
    pub(super) writer: FilePool,
    pub(super) readers: FilePool,
    /// For what reads much at one moment.
    pub(super) snapshots: FilePool,
}

/// The connections of this process to a server.
#[derive(Debug)]
pub struct ServerPools {
    /// One: within this process, writes queue there.
    pub(super) writer: ServerPool,
    pub(super) readers: ServerPool,
}

impl Database {
    /// Makes a new database: a file, or the tables in an empty one on a server.
    ///
    /// # Errors
    /// [`DatabaseError::Occupied`] where something is there, besides those of [`Database::open`].
    pub async fn create(place: &Place) -> Result<Self, DatabaseError> {
        Self::connect(place, Purpose::Create { schema: None }).await
    }

    /// The same with the schema as it was in a certain version, to be filled with what comes from there and then opened.
    pub async fn create_at(place: &Place, schema: i64) -> Result<Self, DatabaseError> {
        Self::connect(place, Purpose::Create { schema: Some(schema) }).await
    }

    /// Opens an existing database and brings its schema up to date.
    ///
    /// # Errors
    /// [`DatabaseError::Missing`], [`DatabaseError::Empty`], [`DatabaseError::Newer`], [`DatabaseError::Unfit`],
    /// [`DatabaseError::Moved`], [`DatabaseError::Unavailable`] or [`DatabaseError::Unusable`].
    pub async fn open(place: &Place) -> Result<Self, DatabaseError> {
        let database = Self::open_also_moved(place).await?;
        match database.was_moved().await? {
            true => Err(DatabaseError::Moved),
            false => Ok(database),
        }
    }

    /// The same also where the database was moved to a server and nothing is written here any more.
    pub async fn open_also_moved(place: &Place) -> Result<Self, DatabaseError> {
        match place {
            Place::File(path) if !path.exists() => Err(DatabaseError::Missing { place: place.to_string() }),
            place => Self::connect(place, Purpose::Open).await,
        }
    }

    /// Opens the database on a server and leaves its schema as it is: to read what is the same in every version, where it
    /// may be somebody else's. `None` where there is nothing of this service.
    pub async fn open_as_it_is(server: &Server) -> Result<Option<Self>, DatabaseError> {
        match postgres::connect_as_it_is(server).await {
            Err(DatabaseError::Empty { .. }) => Ok(None),
            connected => connected.map(|pools| Some(Self::Postgres(pools, seconds()))),
        }
    }

    /// Makes sure that [`Database::create`] would make one on this server, and makes nothing.
    pub async fn check_new(server: &Server) -> Result<(), DatabaseError> {
        postgres::check_new(server).await
    }

    /// Whether the database was moved to a server.
    pub async fn was_moved(&self) -> Result<bool, DatabaseError> {
        match &mut *self.read().await? {
            Connection::Sqlite(hold) => Ok(sqlite::was_moved(hold).await?),
            Connection::Postgres(_) => Ok(false),
        }
    }

    /// The same of a file that nobody has opened here, which is left as it is.
    pub async fn was_file_moved(path: &Path) -> Result<bool, DatabaseError> {
        Ok(sqlite::was_file_moved(path).await?)
    }

    async fn connect(place: &Place, purpose: Purpose) -> Result<Self, DatabaseError> {
        match place {
            Place::File(path) => Ok(Self::Sqlite(sqlite::connect(path, purpose).await?, seconds())),
            Place::Server(server) => Ok(Self::Postgres(postgres::connect(server, purpose).await?, seconds())),
        }
    }

    /// A connection to read with.
    // Boxed, here and where a transaction begins: what waits for a pool has 4 KB, which would be moved with each request that
    // may once ask for a connection.
    pub async fn read(&self) -> Result<Reading, DatabaseError> {
        Ok(Reading(match self {
            Self::Sqlite(pools, _) => Connection::Sqlite(Hold::Plain(Box::pin(pools.readers.acquire()).await?)),
            Self::Postgres(pools, _) => Connection::Postgres(Hold::Plain(Box::pin(pools.readers.acquire()).await?)),
        }))
    }

    /// The database as it is at one moment, whatever is written meanwhile, until it is dropped.
    pub async fn snapshot(&self) -> Result<Reading, DatabaseError> {
        Ok(Reading(match self {
            Self::Sqlite(pools, _) => Connection::Sqlite(Hold::Within(Box::pin(pools.snapshots.begin()).await?)),
            Self::Postgres(pools, _) => {
                Connection::Postgres(Hold::Within(Box::pin(pools.readers.begin(postgres::BEGIN_SNAPSHOT)).await?))
            }
        }))
    }

    /// A transaction that holds the right to write from its start, so that what it reads stays true until it ends.
    pub async fn write(&self) -> Result<Transaction, DatabaseError> {
        let (connection, heads) = self.begin().await?;
        Ok(Transaction::new(connection, heads, self.write_seconds().clone()))
    }

    /// Takes the right to write, which goes back when the connection is dropped.
    async fn begin(&self) -> Result<(Connection, Heads), DatabaseError> {
        let (connection, heads) = match self {
            Self::Sqlite(pools, _) => {
                let (transaction, heads) = Box::pin(pools.writer.begin_to_write()).await?;
                (Connection::Sqlite(Hold::Within(transaction)), heads)
            }
            Self::Postgres(pools, _) => {
                let (transaction, heads) = Box::pin(pools.writer.begin_to_write()).await?;
                (Connection::Postgres(Hold::Within(transaction)), heads)
            }
        };
        // Only now it stays true.
        if heads.user_version == sqlite::MOVED { Err(DatabaseError::Moved) } else { Ok((connection, heads)) }
    }

    /// Keeps the log of a file from growing while somebody always reads; `false` where that did not succeed. On a server it does
    /// nothing.
    pub async fn limit_log(&self) -> Result<bool, DatabaseError> {
        match self {
            // Whoever looks at one moment for long, a backup, is not to be waited for.
            Self::Sqlite(FilePools { snapshots, .. }, _) if snapshots.busy() > 0 => Ok(false),
            Self::Sqlite(FilePools { writer, .. }, _) => Ok(writer.limit_log(sqlite::LONG_LOG).await?),
            Self::Postgres(..) => Ok(true),
        }
    }

    /// Whether something could be written now; nothing is, nor is it measured as a write.
    pub async fn check_writable(&self) -> Result<(), DatabaseError> {
        let (connection, _) = &mut self.begin().await?;
        let nothing = "UPDATE managers SET language = language WHERE id < 0";
        on!(connection, sqlx::query(nothing).execute(connection).await?.rows_affected());
        Ok(())
    }

    /// How long the right to write is held, in seconds.
    pub const fn write_seconds(&self) -> &Histogram {
        match self {
            Self::Sqlite(_, seconds) | Self::Postgres(_, seconds) => seconds,
        }
    }

    /// How many connections of each pool are in use.
    pub fn busy_connections(&self) -> [(&'static str, i64); 2] {
        let (writers, readers) = match self {
            Self::Sqlite(FilePools { writer, readers, snapshots }, _) => {
                (writer.busy(), readers.busy() + snapshots.busy())
            }
            Self::Postgres(ServerPools { writer, readers }, _) => (writer.busy(), readers.busy()),
        };
        [("writer", writers), ("reader", readers)]
    }

    /// Closes the connections; of a file, what was committed moves from the log into it.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(FilePools { writer, readers, snapshots }, _) => {
                snapshots.close().await;
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(ServerPools { writer, readers }, _) => {
                readers.close().await;
                writer.close().await;
            }
        }
    }
}

/// Has nobody write into this file any more, from the moment on when the transaction is committed. On a server it does
/// nothing.
pub async fn close_for_good(transaction: &mut Connection) -> Result<(), DatabaseError> {
    if let Connection::Sqlite(hold) = transaction {
        sqlite::close_for_good(hold).await?;
    }
    Ok(())
}

/// The size of the database, in bytes.
pub async fn size(connection: &mut Connection) -> Result<u64, DatabaseError> {
    let statement = match connection.engine() {
        Engine::Sqlite => "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
        Engine::Postgres => "SELECT pg_database_size(current_database())",
    };
    let size: i64 = on!(connection, sqlx::query_scalar(statement).fetch_one(connection).await?);
    Ok(size.unsigned_abs())
}
