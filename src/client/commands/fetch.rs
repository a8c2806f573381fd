//! `fetch`: every request of this machine brought up to date, and what was approved brought home.
//!
//! For each request: ask, note the answer, deliver the certificate, note that, tell the service, note that. Every step
//! may be repeated, so a run that was cut off is simply run again. Many are asked about in one call; this machine's own
//! go on from there one by one, those of servers elsewhere together, over several connections.

mod elsewhere;
mod report;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use self::report::{FetchReport, Line};
use super::pending;
use crate::client::api::{Answers, Api, ApiError};
use crate::client::cli::FetchArguments;
use crate::client::config::{self, Config};
use crate::client::error::{Error, Fault};
use crate::client::exit::Exit;
use crate::client::installation::{Checker, InstallationError};
use crate::client::journal::{Identity, LockedJournal, Record, Step};
use crate::client::report::Progress;
use crate::client::store::{Delivery, Replaced};
use crate::kill_point;
use crate::locales::Text;
use crate::protocol::batch::{HeldRequest, REQUESTS_LIMIT};
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
    let open = records.iter_mut().zip(&mut lines).filter(|(record, _)| record.step != Step::Closed);
    let (mut own, mut elsewhere): (Vec<Open<'_>>, Vec<Open<'_>>) =
        open.map(|(record, line)| Open { record, line }).partition(|open| open.record.store.is_some());
    let progress = Progress::of(own.len() + elsewhere.len(), &Text::new("fetching"), config.language);
    let checker = Checker::new(&config.package.trust_anchor);
    let work = Work { config, journal: &journal, api, replaced, checker, progress, unanswered: OnceLock::new() };
    // These first: where one of this machine's own is not answered, nothing more is asked.
    let pauses = [work.elsewhere(&mut elsewhere), work.own(&mut own, holders)];
    Ok((lines, pauses.into_iter().flatten().min()))
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
    checker: Checker<'a>,
    progress: Progress,
    /// Why nobody answers: asking for a thousand more requests would only take long.
    unanswered: OnceLock<Fault>,
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

/// A request whose status is noted.
struct Found<'a, 'b> {
    open: &'a mut Open<'b>,
    number: RequestNumber,
    next: Next,
    /// The record is worth writing.
    changed: bool,
}

/// What is left to do about a request once its status is noted.
enum Next {
    /// Nothing.
    Nothing,
    /// To ask again later.
    Wait,
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
    /// Brings this machine's requests up to date, one after the other. Says how soon what is pending wants to be asked
    /// about again.
    ///
    /// Oldest first, so that the newest certificate is the last that becomes the current one; `holders` are the
    /// certificates that are installed so far.
    fn own(&self, open: &mut [Open<'_>], mut holders: Vec<Holder>) -> Option<Duration> {
        let Self { config, journal, api, .. } = *self;
        for open in open.iter_mut().filter(|open| open.record.step == Step::Prepared) {
            if let Some(fault) = self.unanswered.get() {
                open.line.fail(fault.clone());
                continue;
            }
            let sent = pending::still_whole(config, journal, open.record).and_then(|whole| match whole {
                true => pending::send(config, journal, api, open.record).map(drop),
                false => Ok(()),
            });
            if let Err(error) = sent {
                self.remember(&error);
                self.fail(open, &error);
            }
        }
        let mut pauses = Vec::new();
        for part in open.chunks_mut(REQUESTS_LIMIT) {
            let (found, pause) = self.ask(part);
            pauses.extend(pause);
            for found in found {
                if let Err(error) =
                    self.finish(found.open.record, found.number, found.next, found.changed, &mut holders)
                {
                    self.remember(&error);
                    self.fail(found.open, &error);
                }
            }
            self.done(part);
        }
        pauses.into_iter().min()
    }

    /// Asks for the statuses of requests that the service has, and notes them; and says how soon what is pending wants
    /// to be asked about again.
    fn ask<'a, 'b>(&self, open: &'a mut [Open<'b>]) -> (Vec<Found<'a, 'b>>, Option<Duration>) {
        let asked: Vec<(&mut Open<'_>, HeldRequest)> = open
            .iter_mut()
            .filter(|open| !open.failed())
            .filter_map(|open| open.record.number().map(|number| open.held(number)).map(|held| (open, held)))
            .collect();
        let answers = match (self.unanswered.get(), asked.is_empty()) {
            (None, false) => {
                let held: Vec<HeldRequest> = asked.iter().map(|(_, held)| held.clone()).collect();
                self.api.follow_all(&held)
            }
            _ => Answers::default(),
        };
        let mut found = Vec::with_capacity(asked.len());
        let mut results = answers.results.into_iter();
        for (open, HeldRequest { number, .. }) in asked {
            let noted = match (results.next(), self.unanswered.get()) {
                // What one is told in its place, such as to wait with a wrong token, tells nothing of the others.
                (Some(Err(error)), _) if !answers.unanswered => {
                    self.fail(open, &error.into());
                    continue;
                }
                (Some(answer), _) => {
                    answer.map_err(Error::from).and_then(|status| self.note(open.record, number, status))
                }
                (None, Some(fault)) => {
                    open.line.fail(fault.clone());
                    continue;
                }
                // There are fewer answers only where nobody answers.
                (None, None) => continue,
            };
            match noted {
                Ok((next, changed)) => found.push(Found { open, number, next, changed }),
                Err(error) => {
                    self.remember(&error);
                    self.fail(open, &error);
                }
            }
        }
        let waiting = found.iter().any(|found| matches!(found.next, Next::Wait));
        (found, waiting.then(|| answers.retry_after.unwrap_or(PAUSE)))
    }

    /// Takes what became of requests into what will be said of them.
    fn done(&self, open: &mut [Open<'_>]) {
        open.iter_mut().for_each(|open| open.line.update(open.record));
        self.progress.advance(open.len());
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
    fn remember(&self, error: &Error) {
        if error.is_no_answer() {
            // The first one says why.
            self.unanswered.get_or_init(|| self.fault(error));
        }
    }

    /// Takes a status into the record. Says what is left to do, and whether the record is worth writing.
    fn note(
        &self,
        record: &mut Record,
        number: RequestNumber,
        mut status: RequestStatus,
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
        let next = match (state, record.step) {
            (State::Pending, _) => Next::Wait,
            // Approved a moment ago, and not signed yet, where there is no certificate.
            (State::Approved | State::Installed | State::Downloaded, Step::Accepted) => {
                issued.map_or(Next::Wait, Next::Deliver)
            }
            (State::Approved | State::Installed | State::Downloaded, Step::Delivered) => Next::Report,
            (State::Approved | State::Installed | State::Downloaded, _) => Next::Nothing,
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
        };
        Ok((next, changed))
    }

    /// Whether a certificate is the one that a record asks for.
    fn check<'b>(
        &self,
        record: &Record,
        issued: &'b Issued,
        chain: &'b [Vec<u8>],
    ) -> Result<Delivery<'b>, InstallationError> {
        let submission = &record.submission;
        let now = OffsetDateTime::now_utc();
        self.checker.check(issued, chain, &submission.csr.0, submission.kind, &record.common_name, now)
    }

    /// Does what is left to do about a request of this machine, each step on record before the next.
    fn finish(
        &self,
        record: &mut Record,
        number: RequestNumber,
        next: Next,
        changed: bool,
        holders: &mut Vec<Holder>,
    ) -> Result<(), Error> {
        let Self { config, journal, api, .. } = *self;
        match (next, record.store) {
            (Next::Deliver(issued), Some(scope)) => {
                let location = self.install(record, scope, &issued, holders)?;
                delivered(config, record, number, &issued, &location);
                kill_point::pass("fetch.before-delivered");
                journal.write(record)?;
                holders.extend(Holder::of(record));
            }
            (Next::Nothing | Next::Wait, _) if changed => journal.write(record)?,
            _ => {}
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
    fn install(
        &self,
        record: &Record,
        scope: StoreScope,
        issued: &Issued,
        holders: &[Holder],
    ) -> Result<PathBuf, Error> {
        let config = self.config;
        let chain = chain(issued);
        let delivery = self.check(record, issued, &chain)?;
        kill_point::pass("fetch.before-delivery");
        let location = pending::store_of(config, scope).install(&record.id, &delivery, &record.readers)?;
        let ours = Identity::of(record);
        for older in holders.iter().filter(|holder| holder.identity == ours && holder.id < record.id) {
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

/// Takes the place of a certificate into its record.
fn delivered(config: &Config, record: &mut Record, number: RequestNumber, issued: &Issued, location: &Path) {
    let location = location.display();
    config.events.record("delivered", &[("request", &number), ("serial", &issued.serial), ("location", &location)]);
    record.location = Some(location.to_string());
    record.step = Step::Delivered;
}
