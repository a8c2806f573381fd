//! The one database file: opening and migrating it.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, SqliteConnection};

use super::database::{FilePools, Purpose};
use super::statement::STATEMENTS;
use super::{DatabaseError, FilePool};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/service/db/migrations/sqlite");

/// The newest version of the schema, the same in both databases.
pub fn newest_schema() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Stands in the file's header (`PRAGMA user_version`) from the moment on when the database is on a server instead.
pub(super) const MOVED: i64 = 1;

/// How long a write waits for another process (a command beside the running service) to finish its own.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Enough to read while a write goes on; each one costs a thread and a page cache.
const READERS: u32 = 4;

/// Who reads much at one moment, the index of many requests or a backup, takes no place of those. What one of these threads had
/// in memory it keeps: it is not to be each of them.
const SNAPSHOTS: u32 = 2;

/// 16 MiB, in the unit of sqlite.org/pragma.html: writing goes to a page of every index, and what was dropped from the cache
/// is read again. Each commit looks at all of it, once a balanced tree had a page under its last number for a moment.
const WRITER_CACHE: &str = "-16384";

/// What a statement of many rows changed is kept until it ends, in case it fails, and would else go into a file that every
/// group of writes makes and removes (sqlite.org/tempfiles.html §2.3).
const KEEP_IN_MEMORY: &str = "PRAGMA temp_store = MEMORY";

/// How long the log grows before it is moved into the file, 64 MiB: pages that change again and again move once.
const WAL_PAGES: &str = "16384";

/// From how many bytes on the log is begun anew, which else waits for a moment in which nobody reads, and to which it is cut
/// then.
pub(super) const LONG_LOG: u64 = 256 << 20;

/// How the thread of each connection is called, before its number.
pub const CONNECTION_THREAD: &str = "database-";

/// Opens the file, or makes it, and brings its schema up to date.
pub(super) async fn connect(path: &Path, purpose: Purpose) -> Result<FilePools, DatabaseError> {
    let unusable = |cause| DatabaseError::Unusable { place: path.display().to_string(), cause };
    // By one connection, in one transaction, before anybody else knows the file.
    let restored = matches!(purpose, Purpose::Create { schema: Some(_) });
    // The write-ahead log would hold all that is restored once more, and in memory an index of it (sqlite.org/walformat.html).
    // A rollback journal holds what was there before, which is next to nothing.
    let journal = if restored { SqliteJournalMode::Delete } else { SqliteJournalMode::Wal };
    // FULL, because with NORMAL a power cut may take back what was acknowledged (sqlite.org/pragma.html).
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(purpose != Purpose::Open)
        .journal_mode(journal)
        .synchronous(SqliteSynchronous::Full)
        // What is restored comes in any order, and is checked at the end (`Filling::finish`): while one check waits, SQLite
        // searches all tables for every record that comes.
        .foreign_keys(!restored)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS)
        .thread_name(|number| format!("{CONNECTION_THREAD}{number}"))
        .disable_statement_logging();
    let writing = options
        .clone()
        .pragma("cache_size", WRITER_CACHE)
        .pragma("wal_autocheckpoint", WAL_PAGES)
        .pragma("journal_size_limit", LONG_LOG.to_string());
    let mut writer = writing.connect().await.map_err(|error| unusable(error.into()))?;
    if purpose == Purpose::Open && !has_schema(&mut writer).await.map_err(|error| unusable(error.into()))? {
        return Err(DatabaseError::Empty { place: path.display().to_string() });
    }
    let migrated = match purpose {
        Purpose::Create { schema: Some(version) } => MIGRATIONS.run_to(version, &mut writer).await,
        _ => MIGRATIONS.run(&mut writer).await,
    };
    migrated.map_err(|error| match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => {
            DatabaseError::Newer { place: path.display().to_string() }
        }
        error => unusable(error.into()),
    })?;
    // Only now: what a migration changes in one statement may be all there is, and what is made of all that was restored is
    // sorted.
    if !restored {
        sqlx::query(KEEP_IN_MEMORY).execute(&mut writer).await.map_err(|error| unusable(error.into()))?;
    }
    let reading = |connections| FilePool::new(options.clone().read_only(true), connections, None);
    Ok(FilePools {
        writer: FilePool::new(writing, 1, Some(writer)),
        readers: reading(READERS),
        snapshots: reading(SNAPSHOTS),
    })
}

/// Whether the database was moved to a server.
pub(super) async fn was_moved(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(connection).await?;
    Ok(version == MOVED)
}

/// The same of a file that nobody has opened here, which is left as it is.
pub(super) async fn was_file_moved(path: &Path) -> Result<bool, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    let mut connection = options.disable_statement_logging().connect().await?;
    let moved = was_moved(&mut connection).await?;
    connection.close().await?;
    Ok(moved)
}

/// Has nobody write here any more, from the moment on when the transaction is committed.
pub(super) async fn close_for_good(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let statement = AssertSqlSafe(format!("PRAGMA user_version = {MOVED}"));
    sqlx::query(statement).execute(connection).await.map(|_| ())
}

/// Whether a migration ever ran: only [`Database::create`] starts from nothing.
async fn has_schema(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')")
        .fetch_one(connection)
        .await
}
