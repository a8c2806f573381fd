//! What a backup says of itself: what it holds, and the SHA-256 of every file in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::TransferError;
use crate::protocol::secret::{hex, sha256_hex};
use crate::service::db::records::Table;
use crate::service::files::{self, FileError};

/// The form that is described here. One that cannot be read as it is gets the next number.
pub(super) const FORMAT: u32 = 1;

/// The manifest's own file.
const MANIFEST: &str = "manifest.json";
/// The SHA-256 of that file, as `sha256sum` writes and checks it.
const SEAL: &str = "manifest.sha256";

/// The folder with the files of the home.
pub(super) const HOME: &str = "home";
/// The folder with a file for each table: one line of JSON for each record, in the order of the key.
pub(super) const DATABASE: &str = "database";

/// A backup's contents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the backup.
    pub(super) format: u32,
    /// The version of the program that made it.
    pub program: String,
    /// Since when what happened is not in it.
    #[serde(with = "time::serde::rfc3339")]
    pub taken_at: OffsetDateTime,
    /// The name of the environment.
    pub environment: String,
    /// SHA-256 of the root certificate.
    pub trust_anchor_sha256: String,
    /// How the CA's keys lie in it.
    pub ca_keys: CaKeys,
    /// The version of the database's schema.
    pub schema: i64,
    /// How many entries the audit record has.
    pub audit_entries: u64,
    /// The last entry's hash.
    pub audit_head: String,
    /// The database, table by table.
    pub tables: Vec<Contents>,
    /// The last number that each table has given out.
    pub last_numbers: BTreeMap<String, i64>,
    /// The files of the home, by their path within it.
    pub files: BTreeMap<String, FileDigest>,
    /// What the settings name and the backup does not hold: files elsewhere, and what opens the CA's keys.
    pub left_out: Vec<PathBuf>,
}

/// How the CA's keys lie in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaKeys {
    /// They are not in it.
    Absent,
    /// All of them encrypted.
    Encrypted,
    /// At least one as it is.
    Plain,
}

/// A table's records.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Contents {
    /// The table.
    #[serde(flatten)]
    pub table: Table,
    /// How many there are.
    pub records: u64,
    /// SHA-256 over their lines, each with its line feed.
    pub sha256: String,
}

/// A file as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: String,
}

/// What every backup says of itself, whatever its form.
#[derive(Deserialize)]
struct Header {
    format: u32,
    program: String,
}

impl Manifest {
    /// How many records a table has; 0 where there is no such table.
    pub fn records(&self, table: &str) -> u64 {
        self.tables.iter().filter(|contents| contents.table.name == table).map(|contents| contents.records).sum()
    }

    /// How many records there are.
    pub fn all_records(&self) -> u64 {
        self.tables.iter().map(|contents| contents.records).sum()
    }

    /// Writes it into a backup, with its seal.
    pub(super) fn write(&self, backup: &Path) -> Result<(), TransferError> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::from)? + "\n";
        files::write_secret(&backup.join(MANIFEST), text.as_bytes())?;
        let seal = seal_of(&sha256_hex(text.as_bytes()));
        Ok(files::write_secret(&backup.join(SEAL), seal.as_bytes())?)
    }

    /// Reads that of a backup and compares every file with it. Returns also its own SHA-256.
    ///
    /// # Errors
    /// [`TransferError::NoBackup`], [`TransferError::Newer`] or [`TransferError::Damaged`].
    pub(super) fn read(backup: &Path) -> Result<(Self, String), TransferError> {
        let path = backup.join(MANIFEST);
        let damaged = |path: &Path| TransferError::Damaged { path: path.to_owned() };
        let text = files::read_public(&path).map_err(|error| match error {
            FileError::Missing { .. } => TransferError::NoBackup { path: backup.to_owned() },
            error => error.into(),
        })?;
        let sha256 = sha256_hex(&text);
        let seal = backup.join(SEAL);
        if !files::read_public(&seal).is_ok_and(|seal| seal == seal_of(&sha256).as_bytes()) {
            return Err(damaged(&path));
        }
        let header: Header = serde_json::from_slice(&text).map_err(|_| damaged(&path))?;
        if header.format > FORMAT {
            return Err(TransferError::Newer { path: backup.to_owned(), program: header.program });
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(|_| damaged(&path))?;
        for (name, expected) in &manifest.files {
            let path = backup.join(HOME).join(name);
            // Whoever wrote the manifest does not choose files outside of the home.
            let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
            if !inside || file_digest(&path).ok().as_ref() != Some(expected) {
                return Err(damaged(&path));
            }
        }
        for contents in &manifest.tables {
            let path = contents.path(backup);
            if !file_digest(&path).is_ok_and(|digest| digest.sha256 == contents.sha256) {
                return Err(damaged(&path));
            }
        }
        Ok((manifest, sha256))
    }
}

fn seal_of(sha256: &str) -> String {
    format!("{sha256}  {MANIFEST}\n")
}

impl Contents {
    /// The file in a backup.
    pub(super) fn path(&self, backup: &Path) -> PathBuf {
        path_of(backup, &self.table)
    }
}

/// The file of a table in a backup.
pub(super) fn path_of(backup: &Path, table: &Table) -> PathBuf {
    backup.join(DATABASE).join(format!("{}.jsonl", table.name))
}

/// Reads a whole file, however long it is.
fn file_digest(path: &Path) -> io::Result<FileDigest> {
    let mut file = File::open(path)?;
    let mut digest = Context::new(&SHA256);
    let mut bytes = 0;
    let mut part = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut part)?;
        if length == 0 {
            return Ok(FileDigest { bytes, sha256: hex(digest.finish().as_ref()) });
        }
        digest.update(&part[..length]);
        bytes += length as u64;
    }
}
