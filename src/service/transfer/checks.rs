//! What a database must be to be carried: this CA's, with a record that fits together.

use std::path::Path;

use super::TransferError;
use crate::protocol::secret::sha256_hex;
use crate::service::audit::{self, Verdict};
use crate::service::ca;
use crate::service::db::Connection;

/// Compares the CA that a database tells of with the one in a folder. Returns the SHA-256 of its root certificate.
pub(super) async fn check_root(
    connection: &mut Connection,
    folder: &Path,
    place: &str,
) -> Result<String, TransferError> {
    let root = sha256_hex(&ca::root_certificate(folder)?);
    match audit::installed_root(connection).await? {
        Some(installed) if installed == root => Ok(root),
        _ => Err(TransferError::Foreign { place: place.to_owned() }),
    }
}

/// Walks along the audit record. Returns how many entries it has, and the last one's hash.
pub(super) async fn check_record(connection: &mut Connection) -> Result<(u64, String), TransferError> {
    intact(audit::verify_on(connection).await?)
}

/// The same for what was added to a record.
pub(super) async fn check_record_after(
    connection: &mut Connection,
    (entries, head): (u64, String),
) -> Result<(u64, String), TransferError> {
    intact(audit::verify_after(connection, entries, head).await?)
}

fn intact(verdict: Verdict) -> Result<(u64, String), TransferError> {
    match verdict {
        Verdict::Intact { entries, head } => Ok((entries, head)),
        Verdict::Broken { sequence } => Err(TransferError::AuditBroken { sequence }),
    }
}
