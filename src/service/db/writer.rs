//! The one connection that writes to the database file.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, SqliteConnection};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};
use tokio::time::timeout;

use super::Statement;
use super::heads::{self, Heads};

/// The connection that stays open to write, with its pages and its prepared statements; who writes next waits for it. A pool
/// would try it twice for each transaction, and each time two threads would have to be woken.
#[derive(Debug, Clone)]
pub struct Writer(Arc<Mutex<Option<Kept>>>);

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
            // Where the disk is full or fails, SQLite itself ended it (sqlite.org/lang_transaction.html).
            let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
            self.open = false;
        }
    }
}

impl Writer {
    /// Keeps a connection.
    pub(super) fn new(connection: SqliteConnection) -> Self {
        Self(Arc::new(Mutex::new(Some(Kept { connection, open: false }))))
    }

    /// Begins a transaction that holds the right to write; fails where others hold it for longer than this.
    pub(super) async fn begin(&self, patience: Duration) -> Result<(Writing, Heads), sqlx::Error> {
        let kept = timeout(patience, self.0.clone().lock_owned()).await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let mut kept = OwnedMutexGuard::try_map(kept, Option::as_mut).map_err(|_| sqlx::Error::PoolClosed)?;
        kept.settle().await;
        // Before it begins: who leaves in the middle of it does not know whether it did.
        kept.open = true;
        let mut writing = Writing { kept, writer: self.clone() };
        let heads = sqlx::query_as(heads::BEGIN_WITH_THOSE_OF_FILE).fetch_one(&mut *writing).await?;
        Ok((writing, heads))
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
pub struct Writing {
    kept: OwnedMappedMutexGuard<Option<Kept>, Kept>,
    writer: Writer,
}

impl Writing {
    /// Makes everything that was done in it last, and what these statements do.
    pub(super) async fn commit(mut self, mut statements: Vec<Statement<'_>>) -> Result<(), sqlx::Error> {
        // In one with the last of them: each statement costs a way to the connection's thread and back.
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

impl Drop for Writing {
    fn drop(&mut self) {
        // Other processes wait for the right to write.
        if let (true, Ok(runtime)) = (self.kept.open, Handle::try_current()) {
            let writer = self.writer.clone();
            runtime.spawn(async move {
                if let Some(kept) = &mut *writer.0.lock().await {
                    kept.settle().await;
                }
            });
        }
    }
}

impl Deref for Writing {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.kept.connection
    }
}

impl DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.kept.connection
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use crate::service::db::{Database, Place, run};

    #[tokio::test]
    async fn who_leaves_gives_the_right_to_write_back() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::File(folder.path().join("enrollment.db"));
        let here = Database::create(&place).await.unwrap();
        let elsewhere = Database::open(&place).await.unwrap();
        // Less than who writes elsewhere would wait for it.
        let soon = Duration::from_secs(5);

        let mut left = here.write().await.unwrap();
        run(&mut left, "INSERT INTO organisations (code, name, country, created_at) VALUES ('A', 'A', 'FR', 0)")
            .await
            .unwrap();
        drop(left);
        let others = timeout(soon, elsewhere.write()).await.expect("a transaction was left open").unwrap();

        // And where it was left while it began.
        assert!(timeout(Duration::from_millis(50), here.write()).await.is_err());
        others.commit().await.unwrap();
        let others = timeout(soon, elsewhere.write()).await.expect("a transaction was begun for nobody").unwrap();
        others.commit().await.unwrap();

        let mut transaction = here.write().await.unwrap();
        run(&mut transaction, "INSERT INTO organisations (code, name, country, created_at) VALUES ('A', 'A', 'FR', 0)")
            .await
            .expect("what was left was done all the same");
    }
}
