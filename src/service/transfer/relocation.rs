//! Moves the database of an installation from its file to a server, while the service runs.
//!
//! First everything is copied as it was at one moment, and the service goes on; what changes meanwhile, the file keeps a log
//! of. What changed follows, again and again, until it is little; then the right to write is taken, and the rest follows.
//! Every row is read again on the other side and compared. Nobody writes into the file any more from the commit on that
//! says so; only after it the settings name the server. At every instant there is one database at most that takes writes,
//! and a run that was interrupted is followed by one with the same command.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Builder;

use super::checks::{check_record, check_record_after, check_root};
use super::settings_text::{lines_of, with_database};
use super::tables::Count;
use super::{TransferError, Watch};
use crate::kill_point;
use crate::service::app::Clock;
use crate::service::audit;
use crate::service::auth::{Action, Actor, Object};
use crate::service::config::{Home, Settings};
use crate::service::db::audit as rows;
use crate::service::db::changes::{self, Changes};
use crate::service::db::filling::{self, Filling, Unfinished};
use crate::service::db::records::{self, Record, Table};
use crate::service::db::{Connection, Database, DatabaseError, Place, Transaction, close_for_good};
use crate::service::files::{self, FileError};
use crate::service::opening;

/// For how long the right to write is asked for, again and again, while the service writes without a pause.
const PATIENCE: Duration = Duration::from_secs(60);

/// So few changes may follow while nobody can write: a fraction of a second.
const FEW: u64 = 1_000;

/// How often changes follow before, where more are made than can follow.
const ROUNDS: usize = 10;

/// Where the database goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// `postgres://…` without a password.
    pub url: String,
    /// The file with the password.
    pub password_file: Option<PathBuf>,
}

/// What was moved.
#[derive(Debug)]
pub struct Relocated {
    /// The server.
    pub place: String,
    /// How many records each table has on both sides; none where an interrupted run had moved them.
    pub tables: BTreeMap<String, u64>,
    /// How many entries the audit record has there, and the last one's hash.
    pub audit: (u64, String),
    /// For how long nobody could write.
    pub held: Duration,
}

/// Says what [`relocate`] would move, and where to, and moves nothing. Blocks; not to be called from within a runtime.
///
/// # Errors
/// As those of [`relocate`].
pub fn look(home: &Home, to: &Destination) -> Result<(String, u64), TransferError> {
    let route = Route::find(home, to)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let source = Database::open_also_moved(&route.file).await?;
        let mut snapshot = source.snapshot().await?;
        check_root(&mut snapshot, &home.ca(), &route.file.to_string()).await?;
        if source.was_moved().await? {
            let found = route.find_moved(&mut snapshot).await?;
            return Ok((found.place, 0));
        }
        if let Place::Server(server) = &route.place {
            match Database::check_new(server).await {
                Err(DatabaseError::Occupied { .. }) => route.open_begun(&mut snapshot).await?.close().await,
                checked => checked?,
            }
        }
        let mut count = 0;
        for table in records::tables(&mut snapshot).await? {
            count += records::count(&mut snapshot, &table).await?;
        }
        Ok((route.place.to_string(), count))
    })
}

/// Moves the database of an installation to a server and has the settings name it. Needs no passphrase. Blocks; not to be
/// called from within a runtime.
///
/// # Errors
/// [`TransferError::OnServer`] where it is on one; [`DatabaseError::Occupied`] where the other one is neither empty nor one
/// that an interrupted run filled; [`TransferError::Differs`] where a row did not arrive as it was.
pub fn relocate(
    home: &Home,
    to: &Destination,
    operator: &Actor,
    clock: &Clock,
    watch: Watch<'_>,
) -> Result<Relocated, TransferError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Settings::load(home)?;
    // Two at once would take the log of changes from each other: the second waits, and finds the database moved.
    let _turn = files::wait_for_turn(&home.settings())?;
    let route = match Route::find(home, to) {
        Err(TransferError::OnServer { place }) => {
            return runtime.block_on(end_interrupted(home, to))?.ok_or(TransferError::OnServer { place });
        }
        route => route?,
    };
    runtime.block_on(route.go(operator, clock, watch))
}

/// From where to where, and which file is to say so.
struct Route<'a> {
    file: Place,
    to: &'a Destination,
    place: Place,
    home: &'a Home,
    settings: PathBuf,
}

impl<'a> Route<'a> {
    /// The way, all of whose ends are there: what cannot be done at the end is not begun.
    fn find(home: &'a Home, to: &'a Destination) -> Result<Self, TransferError> {
        let settings = Settings::load(home)?;
        let file = match settings.place(home)? {
            file @ Place::File(_) => file,
            Place::Server(server) => return Err(TransferError::OnServer { place: server.to_string() }),
        };
        let moved =
            Settings { database: Some(to.url.clone()), database_password_file: to.password_file.clone(), ..settings };
        moved.check()?;
        // A link stays one.
        let path = home.settings();
        let path = fs::canonicalize(&path).map_err(|cause| FileError::new(&path, cause))?;
        let route = Self { file, to, place: moved.place(home)?, home, settings: path };
        route.text()?;
        files::check_replaceable(&route.settings)?;
        Ok(route)
    }

    /// The settings as they stand in their file at this moment, with the server in them.
    fn text(&self) -> Result<String, TransferError> {
        let path = &self.settings;
        let old = String::from_utf8_lossy(&files::read_public(path)?).into_owned();
        let settings = Settings::load(self.home)?;
        let database = Some((self.to.url.as_str(), self.to.password_file.as_deref()));
        with_database(&old, &settings, database).ok_or_else(|| TransferError::SettingsText { path: path.clone() })
    }

    /// Has the settings name the server, whatever else people changed in them meanwhile.
    fn switch(&self) -> Result<(), TransferError> {
        let written = self.text().and_then(|text| Ok(files::write_public(&self.settings, text.as_bytes())?));
        written.map_err(|cause| TransferError::Unnamed {
            path: self.settings.clone(),
            lines: lines_of(&self.to.url, self.to.password_file.as_deref()).unwrap_or_default(),
            cause: Box::new(cause),
        })
    }

    async fn go(&self, operator: &Actor, clock: &Clock, watch: Watch<'_>) -> Result<Relocated, TransferError> {
        let source = Database::open_also_moved(&self.file).await?;
        check_root(&mut *source.read().await?, &self.home.ca(), &self.file.to_string()).await?;
        let relocated = match source.was_moved().await? {
            true => self.find_moved(&mut *source.read().await?).await?,
            false => self.copy(&source, operator, clock, watch).await?,
        };
        kill_point::pass("move-closed");
        self.switch()?;
        kill_point::pass("move-switched");
        source.close().await;
        if let Err(error) = self.unmark().await {
            // All is done. The service takes it away as it starts.
            log::warn!(cause:% = error; "the database stays marked as one that is being filled");
        }
        Ok(relocated)
    }

    async fn unmark(&self) -> Result<(), DatabaseError> {
        let target = Database::open(&self.place).await?;
        filling::unmark(&target).await?;
        target.close().await;
        Ok(())
    }

    /// What an interrupted run moved, before it could change the settings. The record tells whether this server has it, under
    /// whatever name.
    async fn find_moved(&self, source: &mut Connection) -> Result<Relocated, TransferError> {
        let there = match Database::open(&self.place).await {
            Err(DatabaseError::Empty { .. }) => None,
            target => {
                let target = target?;
                let record = check_record(&mut *target.read().await?).await?;
                target.close().await;
                Some(record)
            }
        };
        // Nobody has written there before the settings name it, nor here since.
        if let Some(audit) = there
            && audit == check_record(source).await?
        {
            return Ok(Relocated {
                place: self.place.to_string(),
                tables: BTreeMap::new(),
                audit,
                held: Duration::ZERO,
            });
        }
        let moved = audit::last(source).await?.filter(|entry| entry.action == Action::MoveDatabase.as_str());
        Err(match moved.as_ref().and_then(|entry| entry.detail["to"].as_str()) {
            Some(place) if place != self.place.to_string() => TransferError::Elsewhere { place: place.to_owned() },
            _ => DatabaseError::Occupied { place: self.place.to_string() }.into(),
        })
    }

    /// The database that an interrupted run began to fill from this file, and that nobody uses.
    async fn open_begun(&self, source: &mut Connection) -> Result<Database, TransferError> {
        let occupied = || DatabaseError::Occupied { place: self.place.to_string() };
        if !filling::is_marked(&self.place, Unfinished::Move).await? {
            return Err(occupied().into());
        }
        let target = Database::open(&self.place).await?;
        if is_beginning(&mut *target.read().await?, source).await? {
            return Ok(target);
        }
        // The run that took it into use was interrupted before it could take the mark away.
        target.close().await;
        Err(occupied().into())
    }

    async fn copy(
        &self,
        source: &Database,
        operator: &Actor,
        clock: &Clock,
        watch: Watch<'_>,
    ) -> Result<Relocated, TransferError> {
        let target = match Database::create(&self.place).await {
            Err(DatabaseError::Occupied { .. }) => self.open_begun(&mut *source.read().await?).await?,
            target => target?,
        };
        let mut begin = right_to_write(source).await?;
        let found = records::tables(&mut begin).await?;
        let logs = changes::start(&mut begin, &found).await?;
        begin.commit().await?;
        let tables = found.into_iter().zip(logs).map(|(table, changes)| Carried { table, changes, records: 0 });
        let moved = self.carry(source, &target, tables.collect(), operator, clock, watch).await;
        target.close().await;
        if moved.is_err()
            && let Ok(mut end) = source.write().await
        {
            // The next move would begin with it.
            changes::stop(&mut end).await?;
            end.commit().await?;
        }
        moved
    }

    async fn carry(
        &self,
        source: &Database,
        target: &Database,
        mut tables: Vec<Carried>,
        operator: &Actor,
        clock: &Clock,
        watch: Watch<'_>,
    ) -> Result<Relocated, TransferError> {
        let mut snapshot = source.snapshot().await?;
        let mut count = Count { watch, done: 0, of: 0 };
        for Carried { table, .. } in &tables {
            count.of += records::count(&mut snapshot, table).await?;
        }
        let mut filling = Filling::begin(target.write().await?).await?;
        // Somebody else found it empty, too.
        if !is_beginning(filling.connection(), &mut snapshot).await? {
            return Err(DatabaseError::Occupied { place: self.place.to_string() }.into());
        }
        filling::mark(filling.connection(), Unfinished::Move).await?;
        for (carried, like) in alike(&mut tables, &mut filling).await? {
            carried.copy(&mut snapshot, &mut filling, &like, &mut count).await?;
        }
        let mut audit = check_record(filling.connection()).await?;
        kill_point::pass("move-copied");
        filling.finish(&records::last_numbers(&mut snapshot).await?).await?.commit().await?;
        drop(snapshot);
        kill_point::pass("move-begun");

        for _ in 0..ROUNDS {
            let followed = follow(&mut *source.snapshot().await?, target, &mut tables, &mut audit).await?;
            if followed <= FEW {
                break;
            }
        }
        let mut last = right_to_write(source).await?;
        let since = Instant::now();
        let detail = json!({ "to": self.place.to_string() });
        audit::record(&mut last, clock.moment(), operator, Action::MoveDatabase, &Object::Everything, detail);
        last.write_entries().await?;
        follow(&mut last, target, &mut tables, &mut audit).await?;
        kill_point::pass("move-committed");
        changes::stop(&mut last).await?;
        close_for_good(&mut last).await?;
        last.commit().await?;
        let tables = tables.into_iter().map(|carried| (carried.table.name, carried.records)).collect();
        Ok(Relocated { place: self.place.to_string(), tables, audit, held: since.elapsed() })
    }
}

/// Where the settings name the server already: whether an interrupted run changed them, which is all done but its mark.
async fn end_interrupted(home: &Home, to: &Destination) -> Result<Option<Relocated>, TransferError> {
    let settings = Settings::load(home)?;
    if settings.database.as_ref() != Some(&to.url) {
        return Ok(None);
    }
    let place = settings.place(home)?;
    let target = Database::open(&place).await?;
    if !opening::is_just_moved(&target, &place, home).await? {
        return Ok(None);
    }
    let audit = check_record(&mut *target.read().await?).await?;
    filling::unmark(&target).await?;
    target.close().await;
    Ok(Some(Relocated { place: place.to_string(), tables: BTreeMap::new(), audit, held: Duration::ZERO }))
}

/// Whether the record in one database is the beginning of that in the other, but for the entry with which a move ends: each
/// entry's hash covers all before it.
async fn is_beginning(target: &mut Connection, source: &mut Connection) -> Result<bool, DatabaseError> {
    let Some((last, _)) = rows::last(target).await? else { return Ok(true) };
    let mut entries = rows::list(target, last.unsigned_abs().saturating_sub(2), 2).await?;
    entries.pop_if(|entry| entry.action == Action::MoveDatabase.as_str());
    let Some(entry) = entries.pop() else { return Ok(true) };
    let same = rows::list(source, entry.sequence.unsigned_abs() - 1, 1).await?;
    Ok(same.first().is_some_and(|same| (same.sequence, &same.hash) == (entry.sequence, &entry.hash)))
}

/// The right to write, which others take again and again.
async fn right_to_write(source: &Database) -> Result<Transaction, DatabaseError> {
    let since = Instant::now();
    loop {
        match source.write().await {
            Err(DatabaseError::Unavailable { .. }) if since.elapsed() < PATIENCE => {}
            taken => return taken,
        }
    }
}

/// Has what changed since the last time follow. Returns how many changes there were.
async fn follow(
    source: &mut Connection,
    target: &Database,
    tables: &mut [Carried],
    audit: &mut (u64, String),
) -> Result<u64, TransferError> {
    let mut filling = Filling::follow(target.write().await?).await?;
    let mut followed = 0;
    for (carried, like) in alike(tables, &mut filling).await? {
        followed += carried.follow(source, &mut filling, &like).await?;
    }
    *audit = check_record_after(filling.connection(), audit.clone()).await?;
    kill_point::pass("move-compared");
    filling.finish(&records::last_numbers(source).await?).await?.commit().await?;
    Ok(followed)
}

/// Each table with the one of the other side that is like it.
async fn alike<'a>(
    tables: &'a mut [Carried],
    filling: &mut Filling,
) -> Result<Vec<(&'a mut Carried, Table)>, TransferError> {
    let others = records::tables(filling.connection()).await?;
    let like = |carried: &Carried| others.iter().find(|other| other.is_like(&carried.table)).cloned();
    tables
        .iter_mut()
        .map(|carried| like(carried).ok_or_else(|| carried.differs()).map(|like| (carried, like)))
        .collect()
}

/// A table that is moved.
struct Carried {
    table: Table,
    /// What changes in it.
    changes: Changes,
    /// How many records the other side has.
    records: u64,
}

impl Carried {
    /// Makes the table of the other side like this one, page by page, and reads each page again that was written to.
    async fn copy(
        &mut self,
        source: &mut Connection,
        filling: &mut Filling,
        like: &Table,
        count: &mut Count<'_>,
    ) -> Result<(), TransferError> {
        let mut after = None;
        loop {
            let page = records::page(source, &self.table, after.as_ref()).await?;
            let (from, until) = (after.as_ref(), page.last());
            let found = records::between(filling.connection(), like, from, until).await?;
            if self.adjust(filling, like, &found, &page).await?
                && records::between(filling.connection(), like, from, until).await? != page
            {
                return Err(self.differs());
            }
            self.records += page.len() as u64;
            count.advance(page.len());
            after = match page.into_iter().next_back() {
                Some(record) => Some(record),
                None => return Ok(()),
            };
        }
    }

    /// The same for the records that changed since the last time. Returns how many.
    async fn follow(
        &mut self,
        source: &mut Connection,
        filling: &mut Filling,
        like: &Table,
    ) -> Result<u64, TransferError> {
        let position = self.changes.last(source).await?;
        let (mut after, mut followed) = (None, 0);
        loop {
            let keys = self.changes.page(source, after.as_ref()).await?;
            if keys.is_empty() {
                self.changes.go_on_after(position);
                return Ok(followed);
            }
            let page = records::with_keys(source, &self.table, &keys).await?;
            let found = records::with_keys(filling.connection(), like, &keys).await?;
            if self.adjust(filling, like, &found, &page).await?
                && records::with_keys(filling.connection(), like, &keys).await? != page
            {
                return Err(self.differs());
            }
            self.records = self.records + page.len() as u64 - found.len() as u64;
            followed += keys.len() as u64;
            after = keys.into_iter().next_back();
        }
    }

    /// Writes and removes so that there is what is wanted instead of what was found. Returns whether anything was.
    async fn adjust(
        &self,
        filling: &mut Filling,
        like: &Table,
        found: &[Record],
        wanted: &[Record],
    ) -> Result<bool, TransferError> {
        if found == wanted {
            return Ok(false);
        }
        let gone: Vec<_> =
            found.iter().filter(|old| !wanted.iter().any(|record| self.table.same_key(record, old))).collect();
        filling.remove(like, &gone).await?;
        let changed: Vec<_> = wanted.iter().filter(|record| !found.contains(record)).cloned().collect();
        filling.write(like, &changed).await?;
        Ok(true)
    }

    fn differs(&self) -> TransferError {
        TransferError::Differs { table: self.table.name.clone() }
    }
}
