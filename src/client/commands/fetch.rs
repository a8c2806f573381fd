//! `fetch`: every request of this machine brought up to date, and what was approved brought home.
//!
//! For each request: ask, note the answer, deliver the certificate, note that, tell the service, note that. Every step
//! may be repeated, so a run that was cut off is simply run again. Many are asked about in one call; this machine's own
//! go on from there one by one, those of servers elsewhere together.

mod elsewhere;
mod report;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use self::elsewhere::Elsewhere;
use self::report::{FetchReport, Line};
use super::pending;
use crate::client::api::{Answers, Api, ApiError};
use crate::client::cli::FetchArguments;
use crate::client::config::{self, Config};
use crate::client::error::{Error, Fault};
use crate::client::exit::Exit;
use crate::client::installation::{self, InstallationError};
use crate::client::journal::{Identity, LockedJournal, Record, Step};
use crate::client::report::Progress;
use crate::client::store::{Delivery, Replaced};
use crate::kill_point;
use crate::locales::Text;
use crate::protocol::batch::{HeldRequest, REQUESTS_LIMIT, SUBMISSIONS_LIMIT};
use crate::protocol::messages::{Issued, RequestStatus};
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
    loop {
        let (pass, retry_after) = pass(config, &api, replaced)?;
        // What happened in an earlier pass of this run is still news.
        let news: HashSet<String> = lines.into_iter().filter(|line| line.news).map(|line| line.id).collect();
        lines = pass;
        for line in &mut lines {
            line.news |= news.contains(&line.id);
        }
        let waiting = lines.iter().any(|line| matches!(line.exit(), Exit::Pending | Exit::Unavailable));
        let left = deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()));
        if !waiting || left.is_zero() {
            return Ok(FetchReport { lines });
        }
        let _progress = Progress::start(&Text::new("waiting"), config.language);
        thread::sleep(retry_after.unwrap_or(PAUSE).max(SHORTEST_PAUSE).min(left));
    }
}

/// Asks for every open request once, under the journal's lock.
fn pass(config: &Config, api: &Api, replaced: Replaced) -> Result<(Vec<Line>, Option<Duration>), Error> {
    let journal = pending::lock(config)?;
    let mut records = journal.read().records()?;
    records.retain(|record| pending::is_ours(config, record));
    let newest = newest_of_identities(&records);
    let mut lines: Vec<Line> = records.iter().map(|record| Line::new(record, newest.contains(&record.id))).collect();
    // Also what was revoked and closed since: it still lies in the store.
    let holders = records.iter().filter_map(Holder::of).collect();
    // Oldest first, so that the newest certificate is the last that becomes the current one.
    let mut open: Vec<Open<'_>> = records
        .iter_mut()
        .zip(&mut lines)
        .filter(|(record, _)| record.step != Step::Closed)
        .map(|(record, line)| Open { record, line })
        .collect();
    let progress = Progress::of(open.len(), &Text::new("fetching"), config.language);
    let mut work =
        Work { config, journal: &journal, api, replaced, holders, progress, unanswered: None, retry_after: None };
    for part in open.chunks_mut(SUBMISSIONS_LIMIT) {
        work.submit(part);
    }
    for part in open.chunks_mut(REQUESTS_LIMIT) {
        work.follow(part);
    }
    let retry_after = work.retry_after;
    Ok((lines, retry_after))
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
    /// The certificates that are installed so far.
    holders: Vec<Holder>,
    progress: Progress,
    /// Why nobody answers: asking for a thousand more requests would only take long.
    unanswered: Option<Fault>,
    /// How soon what is pending wants to be asked about again.
    retry_after: Option<Duration>,
}

/// A request to which something can still happen, and what will be said of it.
struct Open<'a> {
    record: &'a mut Record,
    line: &'a mut Line,
}

impl Open<'_> {
    /// Whether nothing more can be done about it in this pass.
    fn failed(&self) -> bool {
        self.line.fault.is_some()
    }

    fn held(&self, number: RequestNumber) -> HeldRequest {
        HeldRequest { number, token: self.record.token.clone() }
    }
}

/// What is left to do about a request once its status is noted.
enum Next {
    /// Nothing, or to wait.
    Nothing,
    /// To bring its certificate home.
    Deliver(Issued),
    /// To tell the service that the certificate is here.
    Report,
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
    /// Sends what is prepared and may not have arrived.
    fn submit(&mut self, open: &mut [Open<'_>]) {
        let Self { config, journal, api, .. } = *self;
        let mut together = Vec::new();
        for open in open.iter_mut().filter(|open| open.record.step == Step::Prepared) {
            if let Some(fault) = &self.unanswered {
                open.line.fail(fault.clone());
            } else if open.record.store.is_none() {
                together.push(open);
            } else {
                let sent = pending::still_whole(config, journal, open.record).and_then(|whole| match whole {
                    true => pending::send(config, journal, api, open.record).map(drop),
                    false => Ok(()),
                });
                if let Err(error) = sent {
                    self.remember(&error);
                    self.fail(open, &error);
                }
            }
        }
        let mut records: Vec<Record> = together.iter().map(|open| open.record.clone()).collect();
        if records.is_empty() {
            return;
        }
        let outcomes = pending::send_all(config, journal, api, &mut records);
        for ((open, record), outcome) in together.into_iter().zip(records).zip(outcomes) {
            *open.record = record;
            if let Err(fault) = outcome {
                self.unanswered = self.unanswered.take().or_else(|| fault.no_answer.then(|| fault.clone()));
                open.line.fail(fault);
            }
        }
    }

    /// Brings requests up to date that the service has.
    fn follow(&mut self, open: &mut [Open<'_>]) {
        let count = open.len();
        let mut asked: Vec<(&mut Open<'_>, HeldRequest)> = open
            .iter_mut()
            .filter(|open| !open.failed())
            .filter_map(|open| open.record.number().map(|number| open.held(number)).map(|held| (open, held)))
            .collect();
        let answers = match (&self.unanswered, asked.is_empty()) {
            (None, false) => {
                let held: Vec<HeldRequest> = asked.iter().map(|(_, held)| held.clone()).collect();
                self.api.follow_all(&held)
            }
            _ => Answers::default(),
        };
        let pause = answers.retry_after.unwrap_or(PAUSE);
        let mut elsewhere = Vec::new();
        let mut results = answers.results.into_iter();
        for (open, held) in asked.drain(..) {
            let status = match (results.next(), &self.unanswered) {
                // What one is told in its place, such as to wait with a wrong token, tells nothing of the others.
                (Some(Err(error)), _) if !answers.unanswered => {
                    self.fail(open, &error.into());
                    continue;
                }
                (Some(answer), _) => answer.map_err(Error::from),
                (None, Some(fault)) => {
                    open.line.fail(fault.clone());
                    continue;
                }
                // There are fewer answers only where nobody answers.
                (None, None) => continue,
            };
            let noted = status.and_then(|status| self.note(open.record, held.number, status, pause));
            let finished = match (noted, open.record.store) {
                (Ok((next, changed)), None) => {
                    elsewhere.push(Elsewhere { open, number: held.number, next, changed });
                    continue;
                }
                (Ok((next, changed)), Some(scope)) => self.finish(open.record, scope, held.number, next, changed),
                (Err(error), _) => Err(error),
            };
            if let Err(error) = finished {
                self.remember(&error);
                self.fail(open, &error);
            }
        }
        self.finish_elsewhere(&mut elsewhere);
        for open in open.iter_mut() {
            open.line.update(open.record);
        }
        self.progress.advance(count);
    }

    /// Says of one request what went wrong with it.
    fn fail(&self, open: &mut Open<'_>, error: &Error) {
        self.config.events.record("fetch-failed", &[("record", &open.record.id), ("message", error)]);
        open.line.fail(self.fault(error));
    }

    fn fault(&self, error: &Error) -> Fault {
        Fault::new(error, self.config.language)
    }

    /// Keeps why nobody answers, for those that are not asked about any more.
    fn remember(&mut self, error: &Error) {
        if error.is_no_answer() && self.unanswered.is_none() {
            self.unanswered = Some(self.fault(error));
        }
    }

    /// Takes a status into the record. Says what is left to do, and whether the record is worth writing.
    fn note(
        &mut self,
        record: &mut Record,
        number: RequestNumber,
        mut status: RequestStatus,
        pause: Duration,
    ) -> Result<(Next, bool), Error> {
        let config = self.config;
        if status.number != number || status.kind != record.submission.kind {
            let found = format!("request {}, {}", status.number, status.kind);
            return Err(ApiError::NotTheService { url: config.package.settings.service_url.clone(), found }.into());
        }
        let issued = status.issued.take();
        if record.state() != Some(status.state) {
            config.events.record("state", &[("request", &number), ("state", &status.state)]);
        }
        let state = status.state;
        let changed = record.status.as_ref() != Some(&status);
        record.status = Some(status);
        let mut wait = || self.retry_after = Some(self.retry_after.map_or(pause, |known| known.min(pause)));
        match (state, record.step) {
            (State::Pending, _) => wait(),
            (State::Approved | State::Installed | State::Downloaded, Step::Accepted) => match issued {
                Some(issued) => return Ok((Next::Deliver(issued), changed)),
                // Approved a moment ago, and not signed yet.
                None => wait(),
            },
            (State::Approved | State::Installed | State::Downloaded, Step::Delivered) => {
                return Ok((Next::Report, changed));
            }
            (State::Approved | State::Installed | State::Downloaded, _) => {}
            (State::Rejected | State::Cancelled | State::Expired, _) => {
                if let Some(scope) = record.store {
                    pending::store_of(config, scope).discard(&record.id)?;
                }
                kill_point::pass("fetch.before-closed");
                record.step = Step::Closed;
                return Ok((Next::Nothing, true));
            }
            (State::Revoked, _) => {
                // The certificate stays where it is: taking it away would not make it less revoked, and hides the reason
                // for what no longer works.
                record.step = Step::Closed;
                return Ok((Next::Nothing, true));
            }
        }
        Ok((Next::Nothing, changed))
    }

    /// Does what is left to do about a request of this machine, each step on record before the next.
    fn finish(
        &mut self,
        record: &mut Record,
        scope: StoreScope,
        number: RequestNumber,
        next: Next,
        changed: bool,
    ) -> Result<(), Error> {
        let Self { config, journal, api, .. } = *self;
        match next {
            Next::Nothing if changed => journal.write(record)?,
            Next::Nothing | Next::Report => {}
            Next::Deliver(issued) => {
                let location = self.install(record, scope, &issued)?;
                delivered(config, record, number, &issued, &location);
                kill_point::pass("fetch.before-delivered");
                journal.write(record)?;
                self.holders.extend(Holder::of(record));
            }
        }
        if record.step == Step::Delivered {
            kill_point::pass("fetch.before-report");
            let mut status = api.report(number, &record.token, record.submission.kind.outcome())?;
            status.issued = None;
            kill_point::pass("fetch.after-report");
            record.status = Some(status);
            record.step = Step::Reported;
            journal.write(record)?;
        }
        Ok(())
    }

    /// Checks the certificate, puts it into its store and retires the one that it replaces.
    fn install(&self, record: &Record, scope: StoreScope, issued: &Issued) -> Result<PathBuf, Error> {
        let config = self.config;
        let chain = chain(issued);
        let delivery = check(config, record, issued, &chain)?;
        kill_point::pass("fetch.before-delivery");
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

/// The issuers above a certificate, DER.
fn chain(issued: &Issued) -> Vec<Vec<u8>> {
    issued.chain.iter().map(|issuer| issuer.0.clone()).collect()
}

/// Whether a certificate is the one that a record asks for.
fn check<'a>(
    config: &Config,
    record: &Record,
    issued: &'a Issued,
    chain: &'a [Vec<u8>],
) -> Result<Delivery<'a>, InstallationError> {
    installation::check(
        issued,
        chain,
        &record.submission.csr.0,
        record.submission.kind,
        &record.common_name,
        &config.package.trust_anchor,
        OffsetDateTime::now_utc(),
    )
}

/// Takes the place of a certificate into its record.
fn delivered(config: &Config, record: &mut Record, number: RequestNumber, issued: &Issued, location: &Path) {
    let location = location.display();
    config.events.record("delivered", &[("request", &number), ("serial", &issued.serial), ("location", &location)]);
    record.location = Some(location.to_string());
    record.step = Step::Delivered;
}
