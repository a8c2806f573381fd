//! The connections to the database file, kept open with their pages and their prepared statements.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection as _, SqliteConnection};

use super::heads::{self, Heads};
use super::pool::{Kept, Leased, Pool};
use super::{DatabaseError, Statement};

const ROLLBACK: &str = "ROLLBACK";

/// How long everybody who writes waits for those who read, so that the log begins anew.
const PATIENCE_FOR_READERS: Duration = Duration::from_millis(200);

/// A connection, and what is known of it.
#[derive(Debug)]
struct OpenFile {
    connection: SqliteConnection,
    /// Whether a transaction was begun and not ended.
    open: bool,
}

impl Kept for OpenFile {
    type Options = SqliteConnectOptions;

    async fn open(options: &SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        Ok(Self { connection: options.connect().await?, open: false })
    }

    async fn is_fit(&mut self) -> bool {
        if self.open {
            // Where the disk was full or failed, SQLite itself ended it (sqlite.org/lang_transaction.html). What else may fail
            // shows as the next one begins.
            let _ = sqlx::query(ROLLBACK).execute(&mut self.connection).await;
            self.open = false;
        }
        true
    }

    fn is_pressing(&self) -> bool {
        // Whoever leaves a transaction has its end begun by the connection's thread.
        false
    }

    async fn close(self) {
        // What was committed is on disk.
        let _ = self.connection.close().await;
    }
}

/// The connections of one process for one purpose.
#[derive(Debug)]
pub struct FilePool(Pool<OpenFile>);

impl FilePool {
    /// A pool of so many, of which one may be open already.
    pub(super) fn new(options: SqliteConnectOptions, count: u32, first: Option<SqliteConnection>) -> Self {
        Self(Pool::new(options, count, first.map(|connection| OpenFile { connection, open: false })))
    }

    /// A connection as soon as there is one.
    pub(super) async fn acquire(&self) -> Result<FileConnection, sqlx::Error> {
        self.0.acquire().await.map(FileConnection)
    }

    /// Begins a transaction that sees the database as it is at its first read.
    pub(super) async fn begin(&self) -> Result<FileTransaction, sqlx::Error> {
        let mut transaction = FileTransaction::of(self.acquire().await?);
        sqlx::query("BEGIN").execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// Begins a transaction that holds the right to write; fails where others hold it for too long.
    pub(super) async fn begin_to_write(&self) -> Result<(FileTransaction, Heads), sqlx::Error> {
        let mut transaction = FileTransaction::of(self.acquire().await?);
        let heads = sqlx::query_as(heads::BEGIN_WITH_THOSE_OF_FILE).fetch_one(&mut *transaction).await?;
        Ok((transaction, heads))
    }

    /// Has what is written next begin the log anew where it is longer than so many bytes; nobody of this pool writes meanwhile.
    /// `false` where somebody reads from it all the time.
    ///
    /// What was moved into the file stays in the log as long as there is always somebody who began to read before it was
    /// (sqlite.org/wal.html §6).
    pub(super) async fn limit_log(&self, limit: u64) -> Result<bool, sqlx::Error> {
        let mut log = self.0.options().get_filename().to_owned().into_os_string();
        log.push("-wal");
        if !fs::metadata(log).is_ok_and(|log| log.len() > limit) {
            return Ok(true);
        }
        let _nobody_writes = self.acquire().await?;
        let mut connection = self.0.options().clone().busy_timeout(PATIENCE_FOR_READERS).connect().await?;
        let checkpoint = "PRAGMA wal_checkpoint(RESTART)";
        let (is_busy, _, _): (i64, i64, i64) = sqlx::query_as(checkpoint).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(is_busy == 0)
    }

    /// How many are in use.
    pub(super) fn busy(&self) -> i64 {
        self.0.busy()
    }

    /// Closes the connections, as soon as nobody uses them.
    pub(super) async fn close(&self) {
        self.0.close().await;
    }
}

/// A connection, until it is dropped.
#[derive(Debug)]
pub struct FileConnection(Leased<OpenFile>);

/// A transaction; it ends without effect where it is dropped.
#[derive(Debug)]
pub struct FileTransaction(FileConnection);

impl FileTransaction {
    /// Before it begins: whoever leaves in the middle of that does not know whether it did.
    fn of(mut connection: FileConnection) -> Self {
        connection.0.open = true;
        Self(connection)
    }

    /// Makes everything that was done in it last, and what these statements do.
    pub(super) async fn commit(mut self, mut statements: Vec<Statement<'_>>) -> Result<(), DatabaseError> {
        // In one with the last of them: each statement costs a way to the connection's thread and back. That sqlx runs all that
        // a text holds is not for ever (sqlx issue 3108); the test below would tell.
        match statements.last_mut() {
            Some(last) => _ = last.push("; COMMIT"),
            None => statements.push(Statement::new("COMMIT")),
        }
        for statement in statements {
            statement.query()?.execute(&mut *self).await.map_err(DatabaseError::of_commit)?;
        }
        self.0.0.open = false;
        Ok(())
    }
}

impl Drop for FileTransaction {
    fn drop(&mut self) {
        if self.0.0.open {
            // Other processes wait for the right to write: it is handed to the connection's thread as this is polled for the first
            // time. Where it is not, who begins next settles it.
            let _ = sqlx::query(ROLLBACK).execute(&mut self.0.0.connection).now_or_never();
        }
    }
}

macro_rules! deref_to_connection {
    ($($guard:ty: $($path:tt).+),*) => {$(
        impl Deref for $guard {
            type Target = SqliteConnection;

            fn deref(&self) -> &SqliteConnection {
                &self.$($path).+
            }
        }

        impl DerefMut for $guard {
            fn deref_mut(&mut self) -> &mut SqliteConnection {
                &mut self.$($path).+
            }
        }
    )*};
}

deref_to_connection!(FileConnection: 0.connection, FileTransaction: 0.0.connection);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use time::OffsetDateTime;
    use tokio::time::timeout;

    use crate::service::db::audit::{AuditRow, list};
    use crate::service::db::{CONNECTION_THREAD, Connection, Database, Moment, Place, Transaction, run};

    /// Less than who writes elsewhere would wait for it.
    const SOON: Duration = Duration::from_secs(5);

    async fn change(transaction: &mut Transaction) {
        run(transaction, "INSERT INTO organisations (code, name, country, created_at) VALUES ('A', 'A', 'FR', 0)")
            .await
            .expect("what was left was done all the same");
    }

    fn place(folder: &tempfile::TempDir) -> Place {
        Place::File(folder.path().join("enrollment.db"))
    }

    #[tokio::test]
    async fn who_leaves_gives_the_right_to_write_back() {
        let folder = tempfile::tempdir().unwrap();
        let here = Database::create(&place(&folder)).await.unwrap();
        let elsewhere = Database::open(&place(&folder)).await.unwrap();

        let mut left = here.write().await.unwrap();
        change(&mut left).await;
        drop(left);
        let others = timeout(SOON, elsewhere.write()).await.expect("a transaction was left open").unwrap();

        // And where it was left while it began.
        assert!(timeout(Duration::from_millis(50), here.write()).await.is_err());
        others.commit().await.unwrap();
        let others = timeout(SOON, elsewhere.write()).await.expect("a transaction was begun for nobody").unwrap();
        others.commit().await.unwrap();

        change(&mut here.write().await.unwrap()).await;
    }

    #[test]
    fn who_leaves_without_another_word_gives_it_back_too() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (ours, others) = (runtime(), runtime());
        let here = ours.block_on(Database::create(&place(&folder))).unwrap();
        drop(ours.block_on(here.write()).unwrap());
        others.block_on(async {
            let elsewhere = Database::open(&place(&folder)).await.unwrap();
            timeout(SOON, elsewhere.write()).await.expect("a transaction was left open").unwrap();
        });
    }

    #[tokio::test]
    async fn what_was_entered_lasts_with_all_else_once_it_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let here = Database::create(&place(&folder)).await.unwrap();
        let elsewhere = Database::open(&place(&folder)).await.unwrap();
        // As many as one statement takes, and one more.
        for entries in [0, 1, 257] {
            let mut transaction = here.write().await.unwrap();
            let first = transaction.heads.last_entry + 1;
            transaction.enter((first..first + entries).map(entry).collect());
            transaction.commit().await.unwrap();
            let transaction = timeout(SOON, elsewhere.write()).await.expect("it goes on").unwrap();
            assert_eq!(transaction.heads.last_entry, first + entries - 1);
        }
        assert_eq!(list(&mut elsewhere.read().await.unwrap(), 0, 1_000).await.unwrap().len(), 258);
    }

    #[tokio::test]
    async fn a_moment_lasts_until_it_is_left_and_the_next_one_is_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let here = Database::create(&place(&folder)).await.unwrap();
        let entries = async |connection: &mut Connection| list(connection, 0, 10).await.unwrap().len();
        let mut before = here.snapshot().await.unwrap();
        assert_eq!(entries(&mut before).await, 0);
        let mut transaction = here.write().await.unwrap();
        transaction.enter(vec![entry(1)]);
        transaction.commit().await.unwrap();
        assert_eq!(entries(&mut before).await, 0);
        // By the same connection, and by the one that was left as it began.
        drop(before);
        for _ in 0..3 {
            drop(here.snapshot().now_or_never());
            assert_eq!(entries(&mut here.snapshot().await.unwrap()).await, 1);
        }
    }

    #[tokio::test]
    async fn the_log_begins_anew_as_soon_as_nobody_looks_at_a_moment_before() {
        let folder = tempfile::tempdir().unwrap();
        let here = Database::create(&place(&folder)).await.unwrap();
        let Database::Sqlite(pools, _) = &here else { panic!("not a file") };
        let log = folder.path().join("enrollment.db-wal");
        let write = async || {
            let mut transaction = here.write().await.unwrap();
            run(&mut transaction, "UPDATE request_index SET indexed = indexed + 1").await.unwrap();
            transaction.commit().await.unwrap();
            std::fs::metadata(&log).unwrap().len()
        };
        let mut reading = here.snapshot().await.unwrap();
        assert!(list(&mut reading, 0, 1).await.unwrap().is_empty());
        let length = write().await;
        assert!(pools.writer.limit_log(length).await.unwrap());
        assert!(!pools.writer.limit_log(0).await.unwrap());
        assert!(write().await > length, "written over what is being read");
        drop(reading);
        assert!(pools.writer.limit_log(0).await.unwrap());
        let length = write().await;
        assert_eq!(write().await, length, "it grows");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_thread_is_called_as_whoever_watches_it_expects() {
        let folder = tempfile::tempdir().unwrap();
        let here = Database::create(&place(&folder)).await.unwrap();
        let names = std::fs::read_dir("/proc/self/task").unwrap();
        let mut names = names.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
        assert!(names.any(|name| name.starts_with(CONNECTION_THREAD)));
        here.close().await;
    }

    #[tokio::test]
    async fn whoever_comes_when_all_connections_are_in_use_waits_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let here = Database::create(&place(&folder)).await.unwrap();
        let mut reading = Vec::new();
        while let Ok(another) = timeout(Duration::from_millis(200), here.read()).await {
            reading.push(another.unwrap());
        }
        assert_eq!(here.busy_connections(), [("writer", 0), ("reader", reading.len() as i64)]);
        let waiting = here.read();
        reading.pop();
        assert!(list(&mut timeout(SOON, waiting).await.unwrap().unwrap(), 0, 1).await.unwrap().is_empty());
        // Nor is it closed before they are done.
        let (closing, mut last) = (here.close(), reading.pop().unwrap());
        let mut closing = std::pin::pin!(closing);
        drop(reading);
        assert!(timeout(Duration::from_millis(50), &mut closing).await.is_err());
        assert!(list(&mut last, 0, 1).await.unwrap().is_empty());
        drop(last);
        timeout(SOON, closing).await.unwrap();
        assert!(here.read().await.is_err() && here.write().await.is_err());
    }

    fn entry(sequence: i64) -> AuditRow {
        let text = String::new;
        let (time, organisation) = (Moment(OffsetDateTime::UNIX_EPOCH), None);
        AuditRow {
            sequence,
            time,
            actor: text(),
            action: text(),
            object: text(),
            organisation,
            detail: text(),
            previous: text(),
            hash: text(),
        }
    }
}
