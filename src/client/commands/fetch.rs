//! `fetch`: every request of this machine brought up to date, and what was approved brought home.
//!
//! For each request: ask, note the answer, deliver the certificate, note that, tell the service, note that. Every step
//! may be repeated, so a run that was cut off is simply run again.

mod report;

use std::collections::HashSet;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use self::report::{FetchReport, Line};
use super::pending;
use crate::client::api::{Api, ApiError};
use crate::client::cli::FetchArguments;
use crate::client::config::{self, Config};
use crate::client::error::{Error, Explanation};
use crate::client::exit::Exit;
use crate::client::journal::{Identity, LockedJournal, Record, Step};
use crate::client::report::Progress;
use crate::client::store::Replaced;
use crate::client::{external, installation, kill_point};
use crate::locales::Text;
use crate::protocol::messages::Issued;
use crate::protocol::request::{RequestNumber, State, StoreScope};

/// How soon to ask again where the service does not say.
const PAUSE: Duration = Duration::from_secs(5);
/// However soon the service wants to be asked again.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) fn run(config: &Config, arguments: &FetchArguments) -> Result<FetchReport, Error> {
    let api = pending::public_api(config);
    let replaced = config::replaced(arguments.replaced)?;
    let deadline = arguments.wait.map(|wait| Instant::now() + wait);
    let mut lines: Vec<Line> = Vec::new();
    let mut progress = None;
    loop {
        let (pass, retry_after) = pass(config, &api, replaced)?;
        let earlier = std::mem::take(&mut lines);
        lines = pass;
        // What happened in an earlier pass of this run is still news.
        for line in &mut lines {
            let before = earlier.iter().find(|before| before.id == line.id);
            line.news |= before.is_some_and(|before| before.news);
        }
        let waiting = lines.iter().any(|line| matches!(line.exit(), Exit::Pending | Exit::Unavailable));
        let left = deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()));
        if !waiting || left.is_zero() {
            return Ok(FetchReport { lines });
        }
        progress.get_or_insert_with(|| Progress::start(&Text::new("waiting"), config.language));
        thread::sleep(retry_after.unwrap_or(PAUSE).max(SHORTEST_PAUSE).min(left));
    }
}

/// Asks for every open request once, under the journal's lock.
fn pass(config: &Config, api: &Api, replaced: Replaced) -> Result<(Vec<Line>, Option<Duration>), Error> {
    let journal = pending::lock(config)?;
    let mut records = journal.records()?;
    records.retain(|record| pending::is_ours(config, record));
    let mut lines = Vec::with_capacity(records.len());
    let mut retry_after: Option<Duration> = None;
    let mut unanswered = None;
    let newest = newest_of_identities(&records);
    let mut work = Work { config, journal: &journal, api, replaced, holders: Vec::new() };
    // Oldest first, so that the newest certificate is the last that becomes the current one.
    for mut record in records {
        let mut line = Line::new(&record, newest.contains(&record.id));
        if record.step != Step::Closed {
            let brought = match &unanswered {
                // The service does not answer: asking for a thousand more requests would only take long.
                Some(before) => Err(Stopped::Before(Clone::clone(before))),
                None => work.bring_up_to_date(&mut record).map_err(Stopped::Now),
            };
            match brought {
                Ok(Some(pause)) => retry_after = Some(retry_after.map_or(pause, |known| known.min(pause))),
                Ok(None) => {}
                Err(Stopped::Now(error)) => {
                    config.events.record("fetch-failed", &[("record", &record.id), ("message", &error)]);
                    line.error_exit = Exit::from(&error);
                    let explanation = error.explain(config.language);
                    if error.is_no_answer() {
                        unanswered = Some((line.error_exit, explanation.clone()));
                    }
                    line.error = Some(explanation);
                }
                Err(Stopped::Before((exit, explanation))) => {
                    line.error_exit = exit;
                    line.error = Some(explanation);
                }
            }
            line.update(&record);
        }
        lines.push(line);
        work.holders.extend(Holder::of(&record));
    }
    Ok((lines, retry_after))
}

/// Why a request was not brought up to date.
enum Stopped {
    /// By a fault of its own.
    Now(Error),
    /// By one that an earlier request met.
    Before((Exit, Explanation)),
}

/// The ids of the records that count for their identities: no newer one asks for the same.
fn newest_of_identities(records: &[Record]) -> HashSet<String> {
    let mut identities = HashSet::new();
    let newest_first = records.iter().rev();
    newest_first.filter(|record| identities.insert(Identity::of(record))).map(|record| record.id.clone()).collect()
}

/// What it takes to bring requests up to date.
struct Work<'a> {
    config: &'a Config,
    journal: &'a LockedJournal,
    api: &'a Api,
    replaced: Replaced,
    /// The certificates that are installed so far, oldest first.
    holders: Vec<Holder>,
}

/// A certificate in a store that a newer one may replace.
struct Holder {
    id: String,
    identity: Identity,
    scope: StoreScope,
}

impl Holder {
    fn of(record: &Record) -> Option<Self> {
        record.location.as_ref()?;
        Some(Self { id: record.id.clone(), identity: Identity::of(record), scope: record.store? })
    }
}

impl Work<'_> {
    /// Brings one request up to date; says how long to wait where it is still pending.
    fn bring_up_to_date(&self, record: &mut Record) -> Result<Option<Duration>, Error> {
        let Self { config, journal, api, .. } = *self;
        if record.step == Step::Prepared {
            if !pending::still_whole(config, journal, record)? {
                return Ok(None);
            }
            pending::send(config, journal, api, record)?;
        }
        let Some(number) = record.number() else { return Ok(None) };
        let answer = api.status(number, &record.token)?;
        let mut status = answer.body;
        if status.number != number || status.kind != record.submission.kind {
            let found = format!("request {}, {}", status.number, status.kind);
            return Err(ApiError::NotTheService { url: config.package.settings.service_url.clone(), found }.into());
        }
        let issued = status.issued.take();
        if record.state() != Some(status.state) {
            config.events.record("state", &[("request", &number), ("state", &status.state)]);
        }
        let before = record.status.replace(status.clone());
        match status.state {
            State::Pending => {
                if before.as_ref() != Some(&status) {
                    journal.write(record)?;
                }
                return Ok(Some(answer.retry_after.unwrap_or(PAUSE)));
            }
            State::Approved | State::Installed | State::Downloaded => {
                if record.step == Step::Accepted {
                    // Approved a moment ago, and not signed yet.
                    let Some(issued) = issued else { return Ok(Some(answer.retry_after.unwrap_or(PAUSE))) };
                    let location = self.deliver(record, number, &issued)?;
                    config.events.record(
                        "delivered",
                        &[("request", &number), ("serial", &issued.serial), ("location", &location.display())],
                    );
                    record.location = Some(location.display().to_string());
                    record.step = Step::Delivered;
                    kill_point::pass("fetch.before-delivered");
                    journal.write(record)?;
                }
                if record.step == Step::Delivered {
                    kill_point::pass("fetch.before-report");
                    let mut status = api.report(number, &record.token, record.submission.kind.outcome())?;
                    status.issued = None;
                    kill_point::pass("fetch.after-report");
                    record.status = Some(status);
                    record.step = Step::Reported;
                    journal.write(record)?;
                } else if before.as_ref() != Some(&status) {
                    journal.write(record)?;
                }
            }
            State::Rejected | State::Cancelled | State::Expired => {
                if let Some(scope) = record.store {
                    pending::store_of(config, scope).discard(&record.id)?;
                }
                kill_point::pass("fetch.before-closed");
                record.step = Step::Closed;
                journal.write(record)?;
            }
            State::Revoked => {
                // The certificate stays where it is: taking it away would not make it less revoked, and hides the reason
                // for what no longer works.
                record.step = Step::Closed;
                journal.write(record)?;
            }
        }
        Ok(None)
    }

    /// Checks the certificate and puts it where it belongs: the store, or a file for an external server.
    fn deliver(&self, record: &Record, number: RequestNumber, issued: &Issued) -> Result<PathBuf, Error> {
        let config = self.config;
        let chain: Vec<Vec<u8>> = issued.chain.iter().map(|issuer| issuer.0.clone()).collect();
        let kind = record.submission.kind;
        let delivery = installation::check(
            issued,
            &chain,
            &record.submission.csr.0,
            kind,
            &record.common_name,
            &config.package.trust_anchor,
            OffsetDateTime::now_utc(),
        )?;
        kill_point::pass("fetch.before-delivery");
        let Some(scope) = record.store else {
            return Ok(external::write(&config.package.folder, number, &record.common_name, &delivery)?);
        };
        let location = pending::store_of(config, scope).install(&record.id, &delivery, &record.readers)?;
        let ours = Identity::of(record);
        for older in self.holders.iter().filter(|holder| holder.identity == ours && holder.id < record.id) {
            kill_point::pass("fetch.before-retired");
            // The certificate that came is what counts: an older one that stays is no reason to do without.
            match pending::store_of(config, older.scope).retire(&older.id, self.replaced) {
                Ok(()) => config.events.record("retired", &[("record", &older.id), ("how", &self.replaced.as_str())]),
                Err(error) => {
                    config.events.record("retiring-failed", &[("record", &older.id), ("message", &error)]);
                    log::warn!("{}: {error}", Text::new("retiring-failed").in_language(config.language));
                }
            }
        }
        Ok(location)
    }
}
