//! What the service keeps: rows and the queries on them.
//!
//! Rows and SQL only. Which change is allowed, and in what order, is decided in `registration`; every function here
//! takes the connection or transaction that its caller holds. Times are stored as whole seconds since 1970.

pub mod audit;
pub mod bulk;
pub mod certificates;
pub mod changes;
mod columns;
mod connection;
pub mod crls;
mod database;
mod error;
mod file;
pub mod filling;
mod heads;
pub mod managers;
pub mod organisations;
pub mod outbox;
pub mod packages;
mod pool;
mod postgres;
mod postings;
pub mod records;
pub mod request_index;
pub mod request_list;
pub mod requests;
pub mod revocations;
mod session;
mod sqlite;
mod statement;

pub use columns::Moment;
pub use connection::{Connection, Engine, Hold, Reading, Transaction};
pub use database::{Database, FilePools, Place, ServerPools, close_for_good, size};
pub use error::DatabaseError;
pub use file::{FileConnection, FilePool, FileTransaction};
pub use heads::Heads;
pub use postgres::{Server, ServerError};
pub use session::{ServerConnection, ServerPool, ServerTransaction, Session};
pub use sqlite::{CONNECTION_THREAD, newest_schema};

use columns::row_number;
use connection::{on, run};
use statement::{Statement, row_groups};
