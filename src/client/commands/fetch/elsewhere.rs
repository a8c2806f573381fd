//! Servers elsewhere: their certificates are checked on all processors, and written, noted and reported many at a time,
//! while the service answers about others.

use std::time::Duration;

use super::{Found, Next, Open, Work, chain, delivered};
use crate::client::commands::pending;
use crate::client::error::Error;
use crate::client::external::{self, Download};
use crate::client::journal::{Record, Step};
use crate::kill_point;
use crate::parallel;
use crate::protocol::batch::{HeldOutcome, REQUESTS_LIMIT, SUBMISSIONS_LIMIT};
use crate::protocol::messages::Issued;

/// Fewer certificates than this are checked faster than a thread starts.
const LEAST: usize = 16;

/// While one waits for the service or the disk, others check.
const CONNECTIONS: usize = 4;

impl Found<'_, '_> {
    const fn issued(&self) -> Option<&Issued> {
        match &self.next {
            Next::Deliver(issued) => Some(issued),
            Next::Nothing | Next::Wait | Next::Report => None,
        }
    }
}

impl Work<'_> {
    /// Brings requests of servers elsewhere up to date. Says how soon what is pending wants to be asked about again.
    pub(super) fn elsewhere(&self, open: &mut [Open<'_>]) -> Option<Duration> {
        for part in open.chunks_mut(SUBMISSIONS_LIMIT) {
            self.submit(part);
        }
        let connections = open.len().div_ceil(REQUESTS_LIMIT).min(CONNECTIONS);
        let pauses = parallel::on(connections, open.chunks_mut(REQUESTS_LIMIT), |part| self.follow(part));
        pauses.into_iter().flatten().min()
    }

    /// Sends what is prepared and may not have arrived.
    fn submit(&self, open: &mut [Open<'_>]) {
        let prepared = open.iter_mut().filter(|open| open.record.step == Step::Prepared);
        if let Some(fault) = self.unanswered.get() {
            prepared.for_each(|open| open.line.fail(fault.clone()));
            return;
        }
        let prepared: Vec<&mut Open<'_>> = prepared.collect();
        if prepared.is_empty() {
            return;
        }
        let mut records: Vec<Record> = prepared.iter().map(|open| open.record.clone()).collect();
        let outcomes = pending::send_all(self.config, self.journal, self.api, &mut records);
        for ((open, record), outcome) in prepared.into_iter().zip(records).zip(outcomes) {
            *open.record = record;
            if let Err(fault) = outcome {
                if fault.no_answer {
                    self.unanswered.get_or_init(|| fault.clone());
                }
                open.line.fail(fault);
            }
        }
    }

    /// Brings requests up to date that the service has, each step on record before the next.
    fn follow(&self, open: &mut [Open<'_>]) -> Option<Duration> {
        let (mut found, retry_after) = self.ask(open);
        self.download(&mut found);
        self.write(&mut found);
        self.report(&mut found);
        drop(found);
        self.done(open);
        retry_after
    }

    /// Checks certificates and writes them to their files.
    fn download(&self, found: &mut [Found<'_, '_>]) {
        let config = self.config;
        let chains: Vec<Vec<Vec<u8>>> = found.iter().map(|item| item.issued().map(chain).unwrap_or_default()).collect();
        let jobs: Vec<_> = found
            .iter()
            .zip(&chains)
            .enumerate()
            .filter_map(|(index, (item, chain))| Some((index, item, item.issued()?, chain)))
            .collect();
        if jobs.is_empty() {
            return;
        }
        let checked =
            parallel::map(&jobs, LEAST, |(_, item, issued, chain)| self.check(item.open.record, issued, chain));
        kill_point::pass("fetch.before-delivery");
        let mut failed = Vec::new();
        let mut places = Vec::with_capacity(jobs.len());
        let mut downloads = Vec::with_capacity(jobs.len());
        for ((index, item, ..), checked) in jobs.into_iter().zip(checked) {
            match checked {
                Ok(delivery) => {
                    places.push(index);
                    let common_name = &item.open.record.common_name;
                    downloads.push(Download { number: item.number, common_name, delivery });
                }
                Err(error) => failed.push((index, error)),
            }
        }
        let written = external::write(&config.package.folder, &downloads);
        drop(downloads);
        for (index, location) in places.into_iter().zip(written) {
            let Found { open, number, next, changed } = &mut found[index];
            match (location, next) {
                (Ok(location), Next::Deliver(issued)) => {
                    delivered(config, open.record, *number, issued, &location);
                    *changed = true;
                }
                (Ok(_), _) => {}
                (Err(error), _) => failed.push((index, error)),
            }
        }
        for (index, error) in failed {
            self.fail(found[index].open, &error.into());
            found[index].changed = false;
        }
    }

    /// Writes the records that changed.
    fn write(&self, found: &mut [Found<'_, '_>]) {
        if found.iter().any(|item| item.open.record.step == Step::Delivered) {
            kill_point::pass("fetch.before-delivered");
        }
        let changed = found.iter().filter(|item| item.changed).map(|item| &*item.open.record);
        if let Err(error) = self.journal.write_all(changed) {
            let fault = self.fault(&error.into());
            for item in found.iter_mut().filter(|item| item.changed) {
                item.open.line.fail(fault.clone());
            }
        }
    }

    /// Tells the service which certificates are here.
    fn report(&self, found: &mut [Found<'_, '_>]) {
        let mut here: Vec<&mut Found<'_, '_>> =
            found.iter_mut().filter(|item| item.open.record.step == Step::Delivered && !item.open.failed()).collect();
        if here.is_empty() {
            return;
        }
        let outcomes: Vec<HeldOutcome> = here
            .iter()
            .map(|item| HeldOutcome {
                held: item.open.held(item.number),
                state: item.open.record.submission.kind.outcome(),
            })
            .collect();
        kill_point::pass("fetch.before-report");
        let answers = match self.unanswered.get() {
            None => self.api.report_all(&outcomes),
            Some(_) => Default::default(),
        };
        kill_point::pass("fetch.after-report");
        let mut results = answers.results.into_iter();
        for item in &mut here {
            item.changed = false;
            match (results.next(), self.unanswered.get()) {
                (Some(Ok(mut status)), _) => {
                    status.issued = None;
                    item.open.record.status = Some(status);
                    item.open.record.step = Step::Reported;
                    item.changed = true;
                }
                (Some(Err(error)), _) => {
                    let error = Error::from(error);
                    if answers.unanswered {
                        self.remember(&error);
                    }
                    self.fail(item.open, &error);
                }
                (None, Some(fault)) => item.open.line.fail(fault.clone()),
                (None, None) => {}
            }
        }
        let reported = here.iter().filter(|item| item.changed).map(|item| &*item.open.record);
        if let Err(error) = self.journal.write_all(reported) {
            let fault = self.fault(&error.into());
            here.iter_mut().filter(|item| item.changed).for_each(|item| item.open.line.fail(fault.clone()));
        }
    }
}
