//! Makes an installation from a backup, in a new home.
//!
//! The backup is checked before anything is made, and the database before it counts. The home appears whole or not at all;
//! where the database is on a server, an interrupted run has filled it as a whole or not at all, and the next one goes on.

use std::fs::File;
use std::io::{BufRead, BufReader, sink};
use std::path::{Path, PathBuf};

use serde_json::json;
use time::format_description::well_known::Rfc3339;
use tokio::runtime::Builder;
use zeroize::Zeroizing;

use super::checks::{check_record, check_root};
use super::manifest::HOME;
use super::settings_text::with_database;
use super::tables::{Count, read_out};
use super::{Contents, Manifest, TransferError, Watch};
use crate::kill_point;
use crate::service::app::Clock;
use crate::service::audit;
use crate::service::auth::{Action, Actor, Object};
use crate::service::config::{Home, Settings};
use crate::service::db::audit as rows;
use crate::service::db::filling::Filling;
use crate::service::db::records::{self, Table};
use crate::service::db::{Database, DatabaseError, Moment, Place, Server, crls, newest_schema};
use crate::service::files::{self, FileError};
use crate::service::token::{Token, TokenError, TokenSettings};

/// How many records are written at once.
const AT_ONCE: usize = 256;

/// Where the database of the backup goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Where the settings in the backup say.
    AsBefore,
    /// Into a file in the home.
    File,
    /// Into an empty one on a server.
    Server {
        /// `postgres://…` without a password.
        url: String,
        /// The file with the password.
        password_file: Option<PathBuf>,
    },
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// The backup.
    pub manifest: Manifest,
    /// Where the database is.
    pub place: String,
    /// The files that the settings name and that are not there.
    pub missing: Vec<PathBuf>,
    /// The token with the issuing key, where it is in one, and why it is not to be found from here, if so.
    pub token: Option<(TokenSettings, Option<TokenError>)>,
}

/// Makes an installation in a new home. Needs no passphrase. Blocks; not to be called from within a runtime.
///
/// # Errors
/// Those of a backup that is none, damaged or of a later version; [`FileError::Exists`] and [`DatabaseError::Occupied`]
/// where something is there already.
pub fn restore(
    from: &Path,
    home: &Home,
    target: &Target,
    operator: &Actor,
    clock: &Clock,
    watch: Watch<'_>,
) -> Result<Restored, TransferError> {
    let (manifest, sha256) = Manifest::read(from)?;
    if manifest.schema > newest_schema() {
        return Err(TransferError::Newer { path: from.to_owned(), program: manifest.program });
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut place = None;
    files::create_folder(home.folder(), |staging| {
        let staged = Home::new(staging);
        copy_files(from, &manifest, &staged)?;
        let settings = aim(&staged, target)?;
        kill_point::pass("restore-files");
        let found = settings.place(&staged)?;
        let source = Source { from, manifest: &manifest, sha256: &sha256 };
        runtime.block_on(source.fill(&found, &staged, operator, Moment(clock.now()), watch))?;
        kill_point::pass("restore-committed");
        place = Some(match found {
            Place::File(_) => home.database().display().to_string(),
            server @ Place::Server(_) => server.to_string(),
        });
        Ok::<(), TransferError>(())
    })?;
    kill_point::pass("restore-done");
    let settings = Settings::load(home)?;
    let named = settings.secret_files().chain(settings.key_opening_files());
    let missing = named.filter(|file| !home.folder().join(file).exists()).cloned().collect();
    let token = settings.pkcs11.clone().map(|token| {
        let fault = Token::look(&token).err();
        (token, fault)
    });
    Ok(Restored { manifest, place: place.unwrap_or_default(), missing, token })
}

fn copy_files(from: &Path, manifest: &Manifest, home: &Home) -> Result<(), TransferError> {
    for (name, digest) in &manifest.files {
        let (source, copy) = (from.join(HOME).join(name), home.folder().join(name));
        let content = Zeroizing::new(files::read_public(&source)?);
        if content.len() as u64 != digest.bytes {
            return Err(TransferError::Damaged { path: source });
        }
        files::ensure_folder(copy.parent().unwrap_or(home.folder()))?;
        match copy == home.settings() || name.ends_with(".crt.pem") || name.ends_with(".crl") {
            true => files::write_public(&copy, &content)?,
            false => files::write_secret(&copy, &content)?,
        }
    }
    Ok(())
}

/// Has the settings name the database that is to be filled.
fn aim(home: &Home, target: &Target) -> Result<Settings, TransferError> {
    let settings = Settings::load(home)?;
    let database = match target {
        Target::AsBefore => return Ok(settings),
        Target::File => None,
        Target::Server { url, password_file } => Some((url.as_str(), password_file.as_deref())),
    };
    let path = home.settings();
    let text = String::from_utf8_lossy(&files::read_public(&path)?).into_owned();
    let text = with_database(&text, &settings, database).ok_or(TransferError::SettingsText { path: path.clone() })?;
    files::write_public(&path, text.as_bytes())?;
    Ok(Settings::load(home)?)
}

/// The backup that a database is filled from.
struct Source<'a> {
    from: &'a Path,
    manifest: &'a Manifest,
    /// SHA-256 of the manifest.
    sha256: &'a str,
}

impl Source<'_> {
    async fn fill(
        &self,
        place: &Place,
        home: &Home,
        operator: &Actor,
        now: Moment,
        watch: Watch<'_>,
    ) -> Result<(), TransferError> {
        if let Place::File(path) = place {
            // Made with its rights before SQLite opens it; the log beside it gets the same (sqlite.org/wal.html).
            files::write_secret(path, b"")?;
        }
        match (Database::create_at(place, self.manifest.schema).await, place) {
            (Ok(database), _) => {
                self.fill_new(&database, place, home, operator, now, watch).await?;
                database.close().await;
            }
            (Err(occupied @ DatabaseError::Occupied { .. }), Place::Server(server)) => {
                if !self.is_in(server).await? {
                    return Err(occupied.into());
                }
            }
            (Err(error), _) => return Err(error.into()),
        }
        // Brings the schema up to date.
        Database::open(place).await?.close().await;
        Ok(())
    }

    /// Whether an interrupted run has filled a database from this backup, and nothing happened there since.
    async fn is_in(&self, server: &Server) -> Result<bool, TransferError> {
        let Some(database) = Database::open_as_it_is(server).await? else { return Ok(false) };
        let last = audit::last(&mut *database.read().await?).await?;
        database.close().await;
        Ok(last.is_some_and(|entry| {
            entry.action == Action::Restore.as_str() && entry.detail["backup_sha256"] == self.sha256
        }))
    }

    async fn fill_new(
        &self,
        database: &Database,
        place: &Place,
        home: &Home,
        operator: &Actor,
        now: Moment,
        watch: Watch<'_>,
    ) -> Result<(), TransferError> {
        let mut filling = Filling::begin(database.write().await?).await?;
        // Somebody else found it empty, too.
        if rows::last(filling.connection()).await?.is_some() {
            return Err(DatabaseError::Occupied { place: place.to_string() }.into());
        }
        let tables = records::tables(filling.connection()).await?;
        if let Some(table) = tables.iter().find(|table| !self.manifest.tables.iter().any(|it| it.table.is_like(table)))
        {
            return Err(TransferError::Differs { table: table.name.clone() });
        }
        // Each is written, and read again.
        let mut count = Count { watch, done: 0, of: 2 * self.manifest.all_records() };
        for contents in &self.manifest.tables {
            let table = tables.iter().find(|table| table.is_like(&contents.table));
            let differs = || TransferError::Differs { table: contents.table.name.clone() };
            let table = table.ok_or_else(differs)?;
            self.read_in(&mut filling, contents, table, &mut count).await?;
            let found = read_out(filling.connection(), table.clone(), &mut sink(), &mut count).await?;
            if (found.records, &found.sha256) != (contents.records, &contents.sha256) {
                return Err(differs());
            }
        }
        kill_point::pass("restore-filled");
        let place = self.from.display().to_string();
        check_root(filling.connection(), &home.ca(), &place).await?;
        let record = check_record(filling.connection()).await?;
        if record != (self.manifest.audit_entries, self.manifest.audit_head.clone()) {
            return Err(TransferError::AuditBroken { sequence: record.0 });
        }
        let mut transaction = filling.finish(&self.manifest.last_numbers).await?;
        // Lists were published after the backup, and the next one has to have a higher number (RFC 5280 §5.2.3). Numbers are the
        // time in seconds or, after a restoration, that of it in milliseconds and one more for each list: nobody makes a thousand
        // in a second. The list in the backup, which lacks what was revoked since, is not given out any more.
        crls::make_outdated(&mut transaction, now.0.unix_timestamp() * 1_000).await?;
        let taken_at = self.manifest.taken_at.format(&Rfc3339).unwrap_or_default();
        let detail = json!({ "backup_sha256": self.sha256, "taken_at": taken_at });
        audit::record(&mut transaction, now, operator, Action::Restore, &Object::Everything, detail);
        Ok(transaction.commit().await?)
    }

    /// Writes the records of a file.
    async fn read_in(
        &self,
        filling: &mut Filling,
        contents: &Contents,
        table: &Table,
        count: &mut Count<'_>,
    ) -> Result<(), TransferError> {
        let path = contents.path(self.from);
        let file = File::open(&path).map_err(|cause| FileError::new(&path, cause))?;
        let mut records = Vec::with_capacity(AT_ONCE);
        let mut lines = BufReader::with_capacity(1 << 16, file).lines();
        loop {
            let line = lines.next().transpose().map_err(|cause| FileError::new(&path, cause))?;
            if records.len() == AT_ONCE || line.is_none() {
                filling.write(table, &records).await?;
                count.advance(records.len());
                records.clear();
            }
            let Some(line) = line else { return Ok(()) };
            records.push(contents.table.read(&line).ok_or_else(|| TransferError::Damaged { path: path.clone() })?);
        }
    }
}
