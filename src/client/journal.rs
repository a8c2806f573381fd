//! What is known here of each request, on disk: one small file a request, or one for those that were submitted together,
//! written before the network is touched.
//!
//! A file is replaced as a whole: written beside, synced, renamed, the folder synced. Whatever instant the power
//! fails at, the next run finds a record as it was before or after the step, never half of it. One run at a time
//! holds the journal's lock.

mod group;
#[cfg(windows)]
mod windows;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::kill_point;
use crate::locales::Text;
use crate::parallel;
use crate::protocol::identifier;
use crate::protocol::messages::{RequestStatus, Submission};
use crate::protocol::request::{Kind, RequestNumber, State, StoreScope};
use crate::protocol::secret::{Secret, hex};
use crate::protocol::subject;

/// The names of files that are not complete start like this.
const UNFINISHED: &str = ".ptc-";
/// The ending of a file that holds one record.
const SINGLE: &str = "json";
/// The one format of a record.
const FORMAT: u32 = 1;

/// How far a request came on this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Everything to submit is on disk; whether the service has it is not known.
    Prepared,
    /// The service has it and gave it a number.
    Accepted,
    /// The certificate lies in the store or in its file; the service was not told yet.
    Delivered,
    /// The service was told.
    Reported,
    /// Nothing more can happen: rejected, cancelled, expired or revoked.
    Closed,
}

/// One request, as this machine knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// Names the record, and the key in the store. Starts with the time, so that names sort by age.
    pub id: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// How far it came.
    pub step: Step,
    /// The name asked for.
    pub common_name: String,
    /// Makes the submission safe to repeat.
    pub idempotency_key: String,
    /// Proves that we are the ones who submitted.
    pub token: Secret,
    /// The exact message.
    pub submission: Submission,
    /// Tells whether a later run asks for the same; empty where nobody compares.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub wish: String,
    /// Which store holds the key; absent for an external server, whose key is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreScope>,
    /// Whose store holds the key, where each account has its own: others leave the record alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The accounts besides administrators that may use the key, once it has its certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<String>,
    /// The file that an external server's CSR came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What the service said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RequestStatus>,
    /// Where the certificate went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The name of the file that it shares with others.
    #[serde(skip)]
    group: Option<String>,
}

impl Record {
    /// A record of a submission that nobody has seen yet.
    ///
    /// # Errors
    /// Fails only where the system has no random numbers.
    pub fn new(
        submission: Submission,
        token: Secret,
        common_name: String,
        now: OffsetDateTime,
    ) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let idempotency_key = hex(&identifier::fresh(now)?);
        let time = now
            .format(format_description!("[year][month][day]T[hour][minute][second].[subsecond digits:6]Z"))
            .unwrap_or_default();
        Ok(Self {
            format: FORMAT,
            // What chance made of it: the time stands before.
            id: format!("{time}-{}", &idempotency_key[20..]),
            created_at: now,
            step: Step::Prepared,
            common_name,
            idempotency_key,
            token,
            submission,
            wish: String::new(),
            store: None,
            account: None,
            readers: Vec::new(),
            source: None,
            status: None,
            location: None,
            group: None,
        })
    }

    /// The number, once the service gave one.
    pub fn number(&self) -> Option<RequestNumber> {
        self.status.as_ref().map(|status| status.number)
    }

    /// The state as far as it is known here; a request that may not have arrived yet has none.
    pub fn state(&self) -> Option<State> {
        self.status.as_ref().map(|status| status.state)
    }
}

/// What a request asks a certificate for: of several requests for the same, the newest counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity(Kind, String);

impl Identity {
    /// The identity that a record asks for.
    pub fn of(record: &Record) -> Self {
        Self(record.submission.kind, subject::identity(&record.common_name))
    }
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum JournalError {
    /// The folder or a file in it cannot be written or read.
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A record holds something else than a record.
    Damaged {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Another run holds the lock, and did not let go in time.
    Busy {
        /// The lock.
        path: PathBuf,
    },
}

impl JournalError {
    /// What happened and why.
    pub fn text(&self) -> Text {
        match self {
            Self::File { path, source } => {
                Text::new("error-journal-file").with("path", path.display()).with("reason", source)
            }
            Self::Damaged { path, source } => {
                Text::new("error-journal-damaged").with("path", path.display()).with("reason", source)
            }
            Self::Busy { path } => Text::new("error-journal-busy").with("path", path.display()),
        }
    }

    /// Whether it is only that another run is at work.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

/// The records of one environment, for reading. [`LockedJournal`] also writes.
#[derive(Debug, Clone)]
pub struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// The journal in a folder, which need not exist yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Every record, oldest first.
    pub fn records(&self) -> Result<Vec<Record>, JournalError> {
        let mut records = self.select(Some)?;
        // What has no number yet was made last.
        let age = |record: &Record| (record.number().is_none(), record.number());
        records.sort_by(|left, right| age(left).cmp(&age(right)).then_with(|| left.id.cmp(&right.id)));
        Ok(records)
    }

    /// What is wanted of every record, in no particular order; of many thousands, little is kept in memory.
    pub fn select<T: Send>(&self, wanted: impl Fn(Record) -> Option<T> + Sync) -> Result<Vec<T>, JournalError> {
        /// Fewer small files than this are read faster than a thread starts.
        const FILES: usize = 128;
        let paths = self.files()?;
        let least = if paths.iter().any(|path| is_group(path)) { 1 } else { FILES };
        let mut selected = Vec::with_capacity(paths.len());
        for part in parallel::map(&paths, least, |path| read(path, &wanted)) {
            selected.append(&mut part?);
        }
        Ok(selected)
    }

    /// Every file with records.
    fn files(&self) -> Result<Vec<PathBuf>, JournalError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.file_error(source)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| self.file_error(source))?;
            // A pipe in the place of a record would be waited for.
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file() || kind.is_symlink());
            let path = entry.path();
            if is_file && (is_group(&path) || path.extension().is_some_and(|ending| ending == SINGLE)) {
                paths.push(path);
            }
        }
        Ok(paths)
    }

    /// Makes the folder and takes the lock; waits up to `patience` where another run holds it, saying so once.
    pub fn lock(&self, patience: Duration, waiting: impl FnOnce()) -> Result<LockedJournal, JournalError> {
        create_private_folder(&self.folder).map_err(|source| self.file_error(source))?;
        let path = self.folder.join("lock");
        let error = |source| JournalError::File { path: path.clone(), source };
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(error)?;
        let mut waiting = Some(waiting);
        let start = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => {
                    remove_unfinished(&self.folder);
                    return Ok(LockedJournal { journal: self.clone(), turn: Mutex::new(()), _lock: lock });
                }
                Err(TryLockError::WouldBlock) if start.elapsed() < patience => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    thread::sleep(Duration::from_millis(50));
                }
                Err(TryLockError::WouldBlock) => return Err(JournalError::Busy { path }),
                Err(TryLockError::Error(source)) => return Err(error(source)),
            }
        }
    }

    fn file_error(&self, source: io::Error) -> JournalError {
        JournalError::File { path: self.folder.clone(), source }
    }
}

/// Takes away what a run that was killed had not yet put in its place; in the journal, it holds a token.
pub(in crate::client) fn remove_unfinished(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED)) {
        // One that cannot be removed disturbs nobody, and is met again by the next run.
        let _ = fs::remove_file(entry.path());
    }
}

fn is_group(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == group::ENDING)
}

/// What is wanted of the records in a file.
fn read<T>(path: &Path, wanted: impl Fn(Record) -> Option<T>) -> Result<Vec<T>, JournalError> {
    let content = fs::read(path).map_err(|source| JournalError::File { path: path.to_owned(), source })?;
    let damaged = |source| JournalError::Damaged { path: path.to_owned(), source };
    if !is_group(path) {
        return Ok(wanted(serde_json::from_slice(&content).map_err(damaged)?).into_iter().collect());
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let in_group = |record: Result<Record, _>| {
        let record = record.map_err(damaged)?;
        Ok(wanted(Record { group: name.clone(), ..record }))
    };
    group::read(&content).map(in_group).filter_map(Result::transpose).collect()
}

/// The journal while this run alone may change it.
#[derive(Debug)]
pub struct LockedJournal {
    journal: Journal,
    /// Two threads that change records in one file would each undo what the other did.
    turn: Mutex<()>,
    _lock: File,
}

impl LockedJournal {
    /// The records, for reading.
    pub fn read(&self) -> &Journal {
        &self.journal
    }

    /// The folder that the records lie in.
    pub fn folder(&self) -> &Path {
        &self.journal.folder
    }

    /// Writes a record; when this returns, it survives a power cut.
    pub fn write(&self, record: &Record) -> Result<(), JournalError> {
        self.change([record], true)
    }

    /// Writes new records, several into one file.
    pub fn write_new(&self, records: &mut [Record]) -> Result<(), JournalError> {
        if let [first, _, ..] = records {
            let name = format!("{}.{}", first.id, group::ENDING);
            records.iter_mut().for_each(|record| record.group = Some(name.clone()));
        }
        self.change(records.iter(), true)
    }

    /// Writes many records, each where it lies.
    pub fn write_all<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> Result<(), JournalError> {
        self.change(records, true)
    }

    /// Removes records of what never happened, or of what is over.
    pub fn remove<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> Result<(), JournalError> {
        self.change(records, false)
    }

    /// Puts records in or takes them out; the folder is synced once.
    fn change<'a>(&self, records: impl IntoIterator<Item = &'a Record>, keep: bool) -> Result<(), JournalError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files: BTreeMap<PathBuf, Vec<&Record>> = BTreeMap::new();
        for record in records {
            files.entry(self.path(record)).or_default().push(record);
        }
        for (path, records) in &files {
            let error = |source| JournalError::File { path: path.clone(), source };
            let content = match (is_group(path), keep, records.as_slice()) {
                (true, ..) => group::changed(path, records, keep)?,
                // The bytes hold the token, so the buffer is cleared after use.
                (false, true, [record, ..]) => zeroize::Zeroizing::new(
                    serde_json::to_vec(record)
                        .map_err(|source| JournalError::Damaged { path: path.clone(), source })?,
                ),
                (false, ..) => zeroize::Zeroizing::default(),
            };
            if content.is_empty() { fs::remove_file(path) } else { replace(path, &content) }.map_err(error)?;
        }
        match files.is_empty() {
            true => Ok(()),
            false => sync_folder(&self.journal.folder).map_err(|source| self.journal.file_error(source)),
        }
    }

    fn path(&self, record: &Record) -> PathBuf {
        match &record.group {
            Some(name) => self.journal.folder.join(name),
            None => self.journal.folder.join(format!("{}.{SINGLE}", record.id)),
        }
    }
}

/// Makes a folder, and those above it, that only its owner can look into.
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|ancestor| !ancestor.is_dir()).collect();
    for folder in missing.iter().rev().filter(|folder| !folder.as_os_str().is_empty()) {
        create_folder(folder)?;
    }
    // The new names are durable only once the folders that hold them are (fsync(2)).
    let mut holders =
        missing.iter().filter_map(|folder| folder.parent()).filter(|folder| !folder.as_os_str().is_empty());
    holders.try_for_each(sync_folder)
}

#[cfg(unix)]
fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        // Another run made it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        other => other,
    }
}

#[cfg(windows)]
use windows::create_folder;

/// Replaces a file as a whole, owner-only from the moment it exists, and durably.
pub fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content)?;
    sync_folder(path.parent().ok_or(io::ErrorKind::InvalidInput)?)
}

/// Replaces a file as a whole; whether by the old or the new one, is certain once the folder is synced.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    kill_point::pass("journal.before-rename");
    let file = persist(file, path)?;
    // Windows knows no syncing of folders, but writes what it noted of the file's name along with the file.
    if cfg!(windows) { file.sync_all() } else { Ok(()) }
}

/// Puts a file in its place. Windows refuses while anybody, a scanner for one, looks at the file that is there.
fn persist(file: tempfile::NamedTempFile, path: &Path) -> io::Result<File> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let start = Instant::now();
    let mut file = file;
    loop {
        match file.persist(path) {
            Ok(file) => return Ok(file),
            Err(refused) if cfg!(windows) && refused.error.kind() == io::ErrorKind::PermissionDenied => {
                if start.elapsed() > PATIENCE {
                    return Err(refused.error);
                }
                file = refused.file;
                thread::sleep(Duration::from_millis(20));
            }
            Err(refused) => return Err(refused.error),
        }
    }
}

/// Makes the names in a folder durable. Windows has no such call, and orders its metadata itself.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
