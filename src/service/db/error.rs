//! Why a database does not answer.

use std::path::PathBuf;

use sqlx::error::ErrorKind;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::sqlite::SqliteError;

use crate::locales::Text;

/// Why the database does not answer.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum DatabaseError {
    /// There is no database.
    Missing {
        /// Where it was looked for.
        place: String,
    },
    /// There is nothing of this service in it.
    Empty {
        /// The database.
        place: String,
    },
    /// There is something in it that is not this installation's.
    Occupied {
        /// The database.
        place: String,
    },
    /// A move has begun to fill it, and is not complete: the file is what counts.
    Unfinished {
        /// The database.
        place: String,
        /// The file.
        file: PathBuf,
    },
    /// A later version of the program made the database.
    Newer {
        /// The database.
        place: String,
    },
    /// The server cannot do what is needed.
    Unfit {
        /// The database.
        place: String,
        /// What it lacks.
        what: Text,
    },
    /// The server does not let this account into this database, or has no such account or database.
    NotAdmitted {
        /// The database.
        place: String,
        /// What the server says.
        said: String,
    },
    /// The database cannot be opened or brought up to date.
    Unusable {
        /// The database.
        place: String,
        /// What went wrong.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It was moved to a server, and nothing is written here any more.
    Moved,
    /// Others hold the database, the disk is full, or the server is down: later it may work. Nothing was changed.
    Unavailable {
        /// What went wrong.
        cause: sqlx::Error,
    },
    /// The connection broke while a change was made to last: nobody knows whether it does.
    Unconfirmed {
        /// What went wrong.
        cause: sqlx::Error,
    },
    /// A query failed.
    Query {
        /// What went wrong.
        cause: sqlx::Error,
    },
}

impl DatabaseError {
    /// The error with its fix, for a person.
    pub fn text(&self) -> Text {
        match self {
            Self::Missing { place } => Text::new("database-missing").with("path", place),
            Self::Empty { place } => Text::new("database-empty").with("path", place),
            Self::Occupied { place } => Text::new("database-occupied").with("path", place),
            Self::Unfinished { place, file } => {
                Text::new("database-unfinished").with("path", place).with("file", file.display())
            }
            Self::Newer { place } => Text::new("database-newer").with("path", place),
            Self::Unfit { place, what } => {
                Text::new("database-unfit").with("path", place).with_text("what", what.clone())
            }
            Self::NotAdmitted { place, said } => {
                Text::new("database-not-admitted").with("path", place).with("said", said)
            }
            Self::Unusable { place, cause } => Text::new("database-unusable").with("path", place).with("cause", cause),
            Self::Moved => Text::new("database-moved"),
            Self::Unavailable { cause } => Text::new("database-unavailable").with("cause", cause),
            Self::Unconfirmed { cause } => Text::new("database-unconfirmed").with("cause", cause),
            Self::Query { cause } => Text::new("database-query").with("cause", cause),
        }
    }

    /// Whether a row with the same unique value is there already.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Query { cause: sqlx::Error::Database(error) } if error.kind() == ErrorKind::UniqueViolation)
    }

    /// The failure of a first connection to a server.
    pub(super) fn of_connecting(place: String, cause: sqlx::Error) -> Self {
        let refused = cause.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        match refused {
            // Class 28: no such account, or not this way; 3D: no such database; 42501: an account without the right to connect
            // (postgresql.org/docs/current/errcodes-appendix.html).
            Some(error) if ["28", "3D", "42501"].iter().any(|code| error.code().starts_with(code)) => {
                Self::NotAdmitted { place, said: error.message().to_owned() }
            }
            _ => match cause.into() {
                Self::Query { cause } => Self::Unusable { place, cause: cause.into() },
                error => error,
            },
        }
    }

    /// The failure of a commit, which may have come about all the same where the connection broke meanwhile, or the disk failed:
    /// what was written and perhaps not synced may be there after a restart.
    pub(super) fn of_commit(cause: sqlx::Error) -> Self {
        let decided = match &cause {
            sqlx::Error::Database(error) => match error.try_downcast_ref() {
                // A server that stops, ends the connection or fails, as where its disk does, may have written it before.
                Some(error) => PgDatabaseError::severity(error) == PgSeverity::Error,
                None => sqlite_code(error.try_downcast_ref()).map(|code| code & 0xff) != Some(SQLITE_IOERR),
            },
            // Nothing was sent.
            sqlx::Error::Encode(_) => true,
            _ => false,
        };
        if decided { cause.into() } else { Self::Unconfirmed { cause } }
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(cause: sqlx::Error) -> Self {
        let passing = match &cause {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
            sqlx::Error::Database(error) => {
                is_sqlite_passing(error.try_downcast_ref()) || is_postgres_passing(error.try_downcast_ref())
            }
            _ => false,
        };
        if passing { Self::Unavailable { cause } } else { Self::Query { cause } }
    }
}

/// The result code: the primary one in the lowest eight bits (sqlite.org/rescode.html).
fn sqlite_code(error: Option<&SqliteError>) -> Option<i32> {
    use sqlx::error::DatabaseError as _;
    error.and_then(|error| error.code()?.parse().ok())
}

const SQLITE_IOERR: i32 = 10;

/// SQLITE_IOERR_SHMSIZE: no room for the index of the log.
const SQLITE_IOERR_SHMSIZE: i32 = SQLITE_IOERR | (19 << 8);

/// SQLITE_BUSY, SQLITE_LOCKED and SQLITE_FULL, and what is another form of the last.
fn is_sqlite_passing(error: Option<&SqliteError>) -> bool {
    sqlite_code(error).is_some_and(|code| matches!(code & 0xff, 5 | 6 | 13) || code == SQLITE_IOERR_SHMSIZE)
}

/// What another moment, another server or its administrator mends (postgresql.org/docs/current/errcodes-appendix.html):
/// connections (08), a standby (25006), transactions that stood still (25P03), an account or a database that is shut (28, 3D,
/// 55000), conflicts (40), resources, a full disk among them (53), locks (55P03), operators (57, with statements that took too
/// long), the system (58).
fn is_postgres_passing(error: Option<&PgDatabaseError>) -> bool {
    error.is_some_and(|error| {
        let code = error.code();
        matches!(code, "25006" | "25P03" | "55000" | "55P03")
            || ["08", "28", "3D", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
    })
}
