//! What the service keeps: rows and the queries on them.
//!
//! Rows and SQL only. Which change is allowed, and in what order, is decided in `registration`; every function here
//! takes the connection or transaction that its caller holds. Times are stored as whole seconds since 1970.

pub mod audit;
pub mod certificates;
mod columns;
mod connection;
pub mod crls;
mod database;
pub mod managers;
pub mod organisations;
pub mod outbox;
pub mod packages;
pub mod request_index;
pub mod request_list;
pub mod requests;
pub mod revocations;
mod sqlite;
mod statement;

use std::path::PathBuf;

use sqlx::error::ErrorKind;

use crate::locales::Text;

pub use columns::Moment;
pub use connection::{Connection, Engine, Hold, Reading, Transaction};
pub use database::{Database, Pools};

use columns::row_number;
use connection::on;
use statement::Statement;

/// How many rows one statement writes. The parameters of the widest stay within what both databases take (32,766).
const ROWS_AT_ONCE: usize = 250;

/// Why the database does not answer.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum DatabaseError {
    /// There is no database.
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file holds nothing of this service.
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A later version of the program made the database.
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The database cannot be opened or brought up to date.
    Unusable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Others hold the database, or the disk is full: later it may work.
    Unavailable {
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
            Self::Missing { path } => Text::new("database-missing").with("path", path.display()),
            Self::Empty { path } => Text::new("database-empty").with("path", path.display()),
            Self::Newer { path } => Text::new("database-newer").with("path", path.display()),
            Self::Unusable { path, cause } => {
                Text::new("database-unusable").with("path", path.display()).with("cause", cause)
            }
            Self::Unavailable { cause } => Text::new("database-unavailable").with("cause", cause),
            Self::Query { cause } => Text::new("database-query").with("cause", cause),
        }
    }

    /// Whether a row with the same unique value is there already.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Query { cause: sqlx::Error::Database(error) } if error.kind() == ErrorKind::UniqueViolation)
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(cause: sqlx::Error) -> Self {
        // The primary result codes SQLITE_BUSY, SQLITE_LOCKED and SQLITE_FULL; extended ones add higher bits.
        let passing = match &cause {
            sqlx::Error::PoolTimedOut => true,
            sqlx::Error::Database(error) => {
                let code = error.code().and_then(|code| code.parse::<i32>().ok());
                matches!(code.map(|code| code & 0xff), Some(5 | 6 | 13))
            }
            _ => false,
        };
        if passing { Self::Unavailable { cause } } else { Self::Query { cause } }
    }
}
