//! The one connection that writes to the database file.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use futures_util::FutureExt;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};
use tokio::time::timeout;

use super::Statement;
use super::heads::{self, Heads};
use super::sqlite::PATIENCE;

const ROLLBACK: &str = "ROLLBACK";

/// The connection that stays open to write, with its pages and its prepared statements; who writes next waits for it. A pool
/// would try it twice for each transaction, and each time two threads would have to be woken.
#[derive(Debug)]
pub struct FileWriter(Arc<Mutex<Option<Kept>>>);

#[derive(Debug)]
struct Kept {
    connection: SqliteConnection,
    /// Whether a transaction was begun and not ended.
    open: bool,
}

impl Kept {
    /// Ends a transaction that somebody left.
    async fn settle(&mut self) {
        if self.open {
            // Where the disk was full or failed, SQLite itself ended it (sqlite.org/lang_transaction.html). What else may fail
            // shows as the next one begins.
            let _ = sqlx::query(ROLLBACK).execute(&mut self.connection).await;
            self.open = false;
        }
    }
}

impl FileWriter {
    /// Keeps a connection.
    pub(super) fn new(connection: SqliteConnection) -> Self {
        Self(Arc::new(Mutex::new(Some(Kept { connection, open: false }))))
    }

    /// Begins a transaction that holds the right to write; fails where others hold it for too long.
    pub(super) async fn begin(&self) -> Result<(FileTransaction, Heads), sqlx::Error> {
        let kept = timeout(PATIENCE, self.0.clone().lock_owned()).await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let mut kept = OwnedMutexGuard::try_map(kept, Option::as_mut).map_err(|_| sqlx::Error::PoolClosed)?;
        kept.settle().await;
        // Before it begins: who leaves in the middle of it does not know whether it did.
        kept.open = true;
        let mut transaction = FileTransaction { kept };
        let heads = sqlx::query_as(heads::BEGIN_WITH_THOSE_OF_FILE).fetch_one(&mut *transaction).await?;
        Ok((transaction, heads))
    }

    /// Whether somebody is writing.
    pub(super) fn is_busy(&self) -> bool {
        self.0.try_lock().is_err()
    }

    /// Closes the connection, as soon as nobody is writing.
    pub(super) async fn close(&self) {
        if let Some(kept) = self.0.lock().await.take() {
            // What was committed is on disk.
            let _ = kept.connection.close().await;
        }
    }
}

/// A transaction that holds the right to write from its start; it ends without effect where it is dropped.
#[derive(Debug)]
pub struct FileTransaction {
    kept: OwnedMappedMutexGuard<Option<Kept>, Kept>,
}

impl FileTransaction {
    /// Makes everything that was done in it last, and what these statements do.
    pub(super) async fn commit(mut self, mut statements: Vec<Statement<'_>>) -> Result<(), sqlx::Error> {
        // In one with the last of them: each statement costs a way to the connection's thread and back. That sqlx runs all that
        // a text holds is not for ever (sqlx issue 3108); the test below would tell.
        match statements.last_mut() {
            Some(last) => _ = last.push("; COMMIT"),
            None => statements.push(Statement::new("COMMIT")),
        }
        for statement in statements {
            statement.query()?.execute(&mut *self).await?;
        }
        self.kept.open = false;
        Ok(())
    }
}

impl Drop for FileTransaction {
    fn drop(&mut self) {
        if self.kept.open {
            // Other processes wait for the right to write: it is handed to the connection's thread as this is polled for the first
            // time. Where it is not, who begins next settles it.
            let _ = sqlx::query(ROLLBACK).execute(&mut self.kept.connection).now_or_never();
        }
    }
}

impl Deref for FileTransaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.kept.connection
    }
}

impl DerefMut for FileTransaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.kept.connection
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::OffsetDateTime;
    use tokio::time::timeout;

    use crate::service::db::audit::{AuditRow, list};
    use crate::service::db::{Database, Moment, Place, Transaction, run};

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
