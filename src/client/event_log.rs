//! `enroll.log`: one line an event, the file that support asks for. Never a secret in it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::journal::create_private_folder;
use crate::protocol::text::printable;

/// From this size on the file is put aside as `enroll.log.1`, in bytes.
const LIMIT: u64 = 4 * 1024 * 1024;

/// The event log of a home.
#[derive(Debug, Clone)]
pub struct EventLog {
    path: PathBuf,
}

impl EventLog {
    /// The log at a path; it is opened when the first event comes.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Appends a line: time, process, event, `name=value` pairs. A log that cannot be written never stops a command.
    pub fn record(&self, event: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
        let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let mut line = format!("{now} pid={} event={event}", std::process::id());
        for (name, value) in fields {
            let value = value.to_string();
            let value = printable(&value);
            if value.contains(' ') {
                line.push_str(&format!(" {name}={value:?}"));
            } else {
                line.push_str(&format!(" {name}={value}"));
            }
        }
        // Notepad of Windows Server 2016 and before knows no other line ends.
        line.push_str(if cfg!(windows) { "\r\n" } else { "\n" });
        log::debug!("{}", line.trim_end());
        if let Err(error) = self.append(line.as_bytes()) {
            log::warn!("the event log cannot be written: path={} error={error}", self.path.display());
        }
    }

    fn append(&self, line: &[u8]) -> std::io::Result<()> {
        // One at a time: of two that find it too large, the second would put aside what the first has just begun.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() > LIMIT) {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
        }
        if let Some(folder) = self.path.parent() {
            create_private_folder(folder)?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // One write a line, so that lines of two runs do not mix.
        options.open(&self.path)?.write_all(line)
    }
}
