//! What the service keeps: rows and the queries on them.
//!
//! Rows and SQL only. Which change is allowed, and in what order, is decided in `registration`; every function here
//! takes the connection or transaction that its caller holds. Times are stored as whole seconds since 1970.

pub mod audit;
pub mod certificates;
pub mod crls;
pub mod managers;
pub mod organisations;
pub mod outbox;
pub mod packages;
pub mod request_list;
pub mod requests;
pub mod revocations;
mod sqlite;

use std::path::PathBuf;

use sqlx::encode::IsNull;
use sqlx::error::{BoxDynError, ErrorKind};
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef};
use sqlx::{Decode, Encode, Sqlite, Type};
use time::OffsetDateTime;

use crate::locales::{Language, Text};
use crate::protocol::messages::{Contact, MachineDetails, RevocationCode};
use crate::protocol::package::Defaults;
use crate::protocol::request::{Kind, RequestNumber, Role, State, StoreScope};
use crate::protocol::secret::SecretHash;

pub use sqlite::Database;

/// A connection that queries run on, inside a transaction or not.
pub type Connection = sqlx::SqliteConnection;

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

/// A point in time as it lies in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub OffsetDateTime);

impl Type<Sqlite> for Moment {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }
}

impl Decode<'_, Sqlite> for Moment {
    fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(OffsetDateTime::from_unix_timestamp(<i64 as Decode<Sqlite>>::decode(value)?)?))
    }
}

impl Encode<'_, Sqlite> for Moment {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<Sqlite>>::encode_by_ref(&self.0.unix_timestamp(), buffer)
    }
}

impl Type<Sqlite> for RequestNumber {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }
}

impl Decode<'_, Sqlite> for RequestNumber {
    fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(u64::try_from(<i64 as Decode<Sqlite>>::decode(value)?)?))
    }
}

impl Encode<'_, Sqlite> for RequestNumber {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<Sqlite>>::encode_by_ref(&row_number(self.0), buffer)
    }
}

/// A number from outside as SQLite counts; one beyond its reach becomes the last, which no row has.
fn row_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Columns that hold a text which `$type` reads with `$read`.
macro_rules! text_columns {
    ($read:expr => $($type:ty),*) => {$(
        impl Type<Sqlite> for $type {
            fn type_info() -> SqliteTypeInfo {
                <String as Type<Sqlite>>::type_info()
            }
        }

        impl<'r> Decode<'r, Sqlite> for $type {
            fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
                let read: fn(&str) -> Result<$type, BoxDynError> = $read;
                read(<&str as Decode<Sqlite>>::decode(value)?)
            }
        }
    )*};
}

text_columns!(|text| Ok(text.parse()?) => Kind, Role, State, StoreScope, RevocationCode, Language);
text_columns!(|text| Ok(serde_json::from_str(text)?) => MachineDetails, Contact, Defaults);
text_columns!(|text| Ok(text.to_owned().try_into()?) => SecretHash);
