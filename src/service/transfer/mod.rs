//! An installation as a whole: backup, restore, and the move of its database to a server.
//!
//! Each way ends with a comparison of all that was written with all that was read, before anybody is told that it is done.

mod backup;
mod checks;
mod manifest;
mod relocation;
mod restore;
mod settings_text;
mod tables;

use std::path::PathBuf;

pub use backup::backup;
pub use manifest::{CaKeys, Contents, Manifest};
pub use relocation::{Destination, Relocated, look, relocate};
pub use restore::{Restored, Target, restore};

use super::config::SettingsError;
use super::credential::CredentialError;
use super::db::DatabaseError;
use super::files::{self, FileError};
use crate::locales::Text;

/// Told how many records are done, and of how many.
pub type Watch<'a> = &'a dyn Fn(u64, u64);

/// Why an installation was not carried.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum TransferError {
    /// A file cannot be read or made, or something is in the way.
    File(#[from] FileError),
    /// The settings.
    Settings(#[from] SettingsError),
    /// A database.
    Database(#[from] DatabaseError),
    /// The certificate of the CA.
    Credential(#[from] CredentialError),
    /// The runtime for the database.
    Runtime(std::io::Error),
    /// There is no room for what is written.
    DiskFull(std::io::Error),
    /// There is no backup.
    NoBackup {
        /// Where one was looked for.
        path: PathBuf,
    },
    /// A later version of the program made the backup.
    Newer {
        /// The backup.
        path: PathBuf,
        /// The version of that program.
        program: String,
    },
    /// A file of the backup is missing, or not as it was written.
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The audit record does not fit together.
    AuditBroken {
        /// The first entry that does not.
        sequence: u64,
    },
    /// The database tells of another CA than the one beside it.
    Foreign {
        /// The database or backup.
        place: String,
    },
    /// The database is on a server already.
    OnServer {
        /// The server.
        place: String,
    },
    /// The database was moved to another server than the one that is named now.
    Elsewhere {
        /// That server.
        place: String,
    },
    /// It was moved, and the settings do not name the server, because their file cannot be written.
    Unnamed {
        /// The settings' file.
        path: PathBuf,
        /// What it has to say.
        lines: String,
        /// Why it cannot be written.
        cause: Box<TransferError>,
    },
    /// What was written is not what was read.
    Differs {
        /// The table.
        table: String,
    },
    /// The settings file is written in a way that a program cannot change one setting of.
    SettingsText {
        /// The file.
        path: PathBuf,
    },
}

impl TransferError {
    /// The error with its fix, for a person.
    pub fn text(&self) -> Text {
        match self {
            Self::File(error) => error.text(),
            Self::Settings(error) => error.text(),
            Self::Database(error) => error.text(),
            Self::Credential(error) => error.text(),
            Self::Runtime(error) => Text::new("system-refused").with("cause", error),
            Self::DiskFull(error) => Text::new("disk-full").with("cause", error),
            Self::NoBackup { path } => Text::new("backup-none").with("path", path.display()),
            Self::Newer { path, program } => {
                Text::new("backup-newer").with("path", path.display()).with("program", program)
            }
            Self::Damaged { path } => Text::new("backup-damaged").with("path", path.display()),
            Self::AuditBroken { sequence } => Text::new("audit-broken").with("sequence", sequence),
            Self::Foreign { place } => Text::new("database-foreign").with("path", place),
            Self::OnServer { place } => Text::new("move-on-server").with("path", place),
            Self::Elsewhere { place } => Text::new("move-elsewhere").with("path", place),
            Self::Unnamed { path, lines, cause } => {
                let lines = lines.lines().collect::<Vec<_>>().join(", ");
                Text::new("move-unnamed").with("path", path.display()).with("lines", lines).with("cause", cause)
            }
            Self::Differs { table } => Text::new("transfer-differs").with("table", table),
            Self::SettingsText { path } => Text::new("transfer-settings-text").with("path", path.display()),
        }
    }
}

impl From<std::io::Error> for TransferError {
    fn from(error: std::io::Error) -> Self {
        if files::is_disk_full(&error) { Self::DiskFull(error) } else { Self::Runtime(error) }
    }
}

impl From<sqlx::Error> for TransferError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}
