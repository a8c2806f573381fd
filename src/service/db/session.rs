//! The connections to a PostgreSQL server, on which nothing is waited for without end.
//!
//! The server ends what takes too long by itself (`statement_timeout` and the like); a server that vanished, or that waits for
//! its standby with a commit, does not (postgresql.org/docs/current/runtime-config-client.html). Whatever is in doubt after that
//! is closed without another word, and the server takes back what was not committed.

use std::io;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgQueryResult, PgRow, PgSeverity, PgStatement, PgTypeInfo};
use sqlx::{ConnectOptions, Connection as _, Describe, Either, Execute, Executor, PgConnection, Postgres, SqlStr};
use tokio::time::timeout;

use super::heads::{self, Heads};
use super::pool::{Kept, Leased, Pool};
use super::postgres::{LOCK_TIMEOUT, STATEMENT_TIMEOUT, TAKE_THE_RIGHT_TO_WRITE};
use super::{DatabaseError, Statement};

/// How long a new connection may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer is waited for: the server would have ended a statement before.
const ANSWER_TIMEOUT: Duration = STATEMENT_TIMEOUT.saturating_add(Duration::from_secs(10));
/// The same for the right to write: the server would have ended the wait for it before.
const BEGIN_TIMEOUT: Duration = LOCK_TIMEOUT.saturating_add(Duration::from_secs(5));
/// The same for what takes the server no time; less than who looks whether all is well waits.
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection may lie unused before it is tried before its next use. A round trip before each would tell no more:
/// it can also break a moment later.
const TRUSTED: Duration = Duration::from_secs(1);

/// Waits for the server for so long.
pub(super) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let silent =
        || io::Error::new(io::ErrorKind::TimedOut, format!("the server said nothing for {} s", limit.as_secs()));
    timeout(limit, answer).await.unwrap_or_else(|_| Err(silent().into()))
}

/// A connection to the server, and what is known of it.
#[derive(Debug)]
pub struct Session {
    connection: PgConnection,
    condition: Condition,
    /// Whether a transaction was begun and not ended.
    open: bool,
    /// When it was last given to somebody.
    used: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// All that was asked was answered.
    Answered,
    /// Something was asked, and whoever did has left.
    Asked,
    /// It broke, or the server says nothing.
    Broken,
}

impl Condition {
    /// What it is after an answer.
    fn after<T>(answer: &Result<T, sqlx::Error>) -> Self {
        let is_answered = match answer {
            // Nothing was sent.
            Ok(_) | Err(sqlx::Error::Encode(_)) => true,
            // After any other refusal it takes the next statement.
            Err(sqlx::Error::Database(error)) => {
                let severity = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
                !matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
            }
            Err(_) => false,
        };
        if is_answered { Self::Answered } else { Self::Broken }
    }
}

impl Session {
    /// Has one question answered.
    async fn ask<'c, T, A: Future<Output = Result<T, sqlx::Error>>>(
        &'c mut self,
        question: impl FnOnce(&'c mut PgConnection) -> A,
    ) -> Result<T, sqlx::Error> {
        self.condition = Condition::Asked;
        let answer = within(ANSWER_TIMEOUT, question(&mut self.connection)).await;
        self.condition = Condition::after(&answer);
        answer
    }
}

impl Kept for Session {
    type Options = PgConnectOptions;

    async fn open(options: &PgConnectOptions) -> Result<Self, sqlx::Error> {
        let connection = within(CONNECT_TIMEOUT, options.connect()).await?;
        Ok(Self { connection, condition: Condition::Answered, open: false, used: Instant::now() })
    }

    async fn is_fit(&mut self) -> bool {
        if self.condition == Condition::Broken {
            return false;
        }
        // Where an answer is still to come, it comes first, and may be a refusal.
        let is_fit = if self.open {
            within(PING_TIMEOUT, sqlx::raw_sql("ROLLBACK").execute(&mut self.connection)).await.is_ok()
        } else if self.condition == Condition::Asked || self.used.elapsed() > TRUSTED {
            // Whoever leaves meanwhile has this ended by somebody else: else nobody who is in a hurry would ever find out.
            self.condition = Condition::Asked;
            within(PING_TIMEOUT, self.connection.ping()).await.is_ok()
        } else {
            true
        };
        (self.open, self.condition, self.used) = (false, Condition::Answered, Instant::now());
        is_fit
    }

    fn is_pressing(&self) -> bool {
        // Others wait for the right to write, and the server for what was begun.
        self.open || self.condition != Condition::Answered
    }

    async fn close(self) {
        // Told or not, the server takes back what was not committed.
        let _ = timeout(PING_TIMEOUT, self.connection.close()).await;
    }
}

impl<'c> Executor<'c> for &'c mut Session {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let Session { connection, condition, .. } = self;
        *condition = Condition::Asked;
        let answers = connection.fetch_many(query);
        stream::try_unfold((answers, condition), |(mut answers, condition)| async move {
            let answer = within(ANSWER_TIMEOUT, answers.try_next()).await;
            if !matches!(answer, Ok(Some(_))) {
                *condition = Condition::after(&answer);
            }
            Ok(answer?.map(|answer| (answer, (answers, condition))))
        })
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(self.ask(|connection| connection.fetch_optional(query)))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(self.ask(|connection| connection.prepare_with(sql, parameters)))
    }

    // For sqlx's macros that look at a database while they compile, whose feature comes with that of `migrate!`.
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(self.ask(|connection| connection.describe(sql)))
    }
}

/// The connections of one process for one purpose.
#[derive(Debug)]
pub struct ServerPool(Pool<Session>);

impl ServerPool {
    /// A pool of so many.
    pub(super) fn new(options: PgConnectOptions, count: u32) -> Self {
        Self(Pool::new(options, count, None))
    }

    /// A connection as soon as there is one.
    pub(super) async fn acquire(&self) -> Result<ServerConnection, sqlx::Error> {
        self.0.acquire().await.map(ServerConnection)
    }

    /// Begins a transaction with this statement.
    pub(super) async fn begin(&self, statement: &'static str) -> Result<ServerTransaction, sqlx::Error> {
        let mut transaction = ServerTransaction(self.acquire().await?);
        // Before it begins: whoever leaves in the middle of that does not know whether it did.
        transaction.open = true;
        sqlx::raw_sql(statement).execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// Begins a transaction that holds the right to write; fails where others hold it for too long.
    pub(super) async fn begin_to_write(&self) -> Result<(ServerTransaction, Heads), sqlx::Error> {
        let mut transaction = ServerTransaction(self.acquire().await?);
        transaction.open = true;
        let begun = async {
            // Not in one with the lock: who gives up waiting for that has a transaction to be rolled back, and a statement sees
            // what was committed before it began to wait.
            sqlx::raw_sql("BEGIN").execute(&mut *transaction).await?;
            sqlx::query(TAKE_THE_RIGHT_TO_WRITE).execute(&mut *transaction).await?;
            sqlx::query_as(heads::ON_SERVER).fetch_one(&mut *transaction).await
        };
        // All who write in this process wait meanwhile.
        let heads = within(BEGIN_TIMEOUT, begun).await?;
        Ok((transaction, heads))
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
pub struct ServerConnection(Leased<Session>);

/// A transaction; it ends without effect where it is dropped.
#[derive(Debug)]
pub struct ServerTransaction(ServerConnection);

impl ServerTransaction {
    /// Makes everything that was done in it last, and what these statements do.
    pub(super) async fn commit(mut self, mut statements: Vec<Statement<'_>>) -> Result<(), DatabaseError> {
        // After any error, COMMIT takes back everything and reports success; any other statement fails
        // (postgresql.org/docs/current/sql-commit.html).
        if statements.is_empty() {
            statements.push(Statement::new("SELECT 1"));
        }
        for statement in statements {
            statement.query()?.execute(&mut *self).await?;
        }
        // Whatever failed before this, nothing lasts.
        sqlx::raw_sql("COMMIT").execute(&mut *self).await.map_err(DatabaseError::of_commit)?;
        self.open = false;
        Ok(())
    }
}

macro_rules! deref_to_session {
    ($($guard:ty),*) => {$(
        impl Deref for $guard {
            type Target = Session;

            fn deref(&self) -> &Session {
                &self.0
            }
        }

        impl DerefMut for $guard {
            fn deref_mut(&mut self) -> &mut Session {
                &mut self.0
            }
        }
    )*};
}

deref_to_session!(ServerConnection, ServerTransaction);
