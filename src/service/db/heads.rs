//! What every change goes on from: read once, as a transaction begins; of a file, in one with BEGIN.
//!
//! The oldest schema that is ever written to, by a restoration of a backup of version 9, has all that is read here.

use sqlx::FromRow;

use super::Moment;
use crate::protocol::request::RequestNumber;

/// What changes go on from.
#[derive(Debug, Clone, FromRow)]
pub struct Heads {
    /// The highest number that a request has, 0 where there is none; requests are never deleted.
    pub last_request: RequestNumber,
    /// When the oldest of the pending requests was accepted, or earlier: on a server it is not looked up, since there, until they
    /// are cleared away, all that are no longer pending lie before it in the index.
    pub oldest_pending: Option<Moment>,
    /// Position of the audit record's last entry, 0 where there is none.
    pub last_entry: i64,
    /// Its hash.
    pub last_hash: Option<String>,
    /// What stands in the file's header; 0 on a server.
    pub(super) user_version: i64,
}

macro_rules! heads {
    ($oldest_pending:literal, $user_version:literal) => {
        concat!(
            "SELECT coalesce((SELECT max(number) FROM requests), 0) AS last_request, ",
            $oldest_pending,
            " AS oldest_pending,
                    coalesce((SELECT max(sequence) FROM audit), 0) AS last_entry,
                    (SELECT hash FROM audit ORDER BY sequence DESC LIMIT 1) AS last_hash, ",
            $user_version,
            " AS user_version"
        )
    };
}

macro_rules! heads_of_file {
    () => {
        heads!(
            "(SELECT min(submitted_at) FROM requests INDEXED BY requests_pending_by_time WHERE state = 'pending')",
            "(SELECT user_version FROM pragma_user_version)"
        )
    };
}

/// The heads of a file.
pub(super) const OF_FILE: &str = heads_of_file!();

/// Takes the right to write at once (sqlite.org/lang_transaction.html), and then the heads: what is read in the transaction stays
/// true.
pub(super) const BEGIN_WITH_THOSE_OF_FILE: &str = concat!("BEGIN IMMEDIATE; ", heads_of_file!());

/// The heads on a server.
pub(super) const ON_SERVER: &str = heads!("CAST(0 AS BIGINT)", "CAST(0 AS BIGINT)");
