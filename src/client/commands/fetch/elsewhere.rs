//! Servers elsewhere: their certificates are checked on all processors, and written, noted and reported many at a time.

use super::{Next, Open, Work, chain, check, delivered};
use crate::client::error::Error;
use crate::client::external::{self, Download};
use crate::client::journal::Step;
use crate::kill_point;
use crate::parallel;
use crate::protocol::batch::HeldOutcome;
use crate::protocol::messages::Issued;
use crate::protocol::request::RequestNumber;

/// Fewer certificates than this are checked faster than a thread starts.
const LEAST: usize = 16;

/// A request of a server elsewhere whose status is noted.
pub(super) struct Elsewhere<'a, 'b> {
    pub(super) open: &'a mut Open<'b>,
    pub(super) number: RequestNumber,
    pub(super) next: Next,
    /// The record is worth writing.
    pub(super) changed: bool,
}

impl Elsewhere<'_, '_> {
    const fn issued(&self) -> Option<&Issued> {
        match &self.next {
            Next::Deliver(issued) => Some(issued),
            Next::Nothing | Next::Report => None,
        }
    }
}

impl Work<'_> {
    /// Does what is left to do about requests of servers elsewhere, each step on record before the next.
    pub(super) fn finish_elsewhere(&mut self, found: &mut [Elsewhere<'_, '_>]) {
        self.download(found);
        self.write(found);
        self.report(found);
    }

    /// Checks certificates and writes them to their files.
    fn download(&self, found: &mut [Elsewhere<'_, '_>]) {
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
            parallel::map(&jobs, LEAST, |(_, item, issued, chain)| check(config, item.open.record, issued, chain));
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
            let Elsewhere { open, number, next, changed } = &mut found[index];
            match (location, next) {
                (Ok(location), Next::Deliver(issued)) => {
                    delivered(config, open.record, *number, issued, &location);
                    *changed = true;
                }
                (Ok(_), Next::Nothing | Next::Report) => {}
                (Err(error), _) => failed.push((index, error)),
            }
        }
        for (index, error) in failed {
            self.fail(found[index].open, &error.into());
            found[index].changed = false;
        }
    }

    /// Writes the records that changed.
    fn write(&self, found: &mut [Elsewhere<'_, '_>]) {
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
    fn report(&mut self, found: &mut [Elsewhere<'_, '_>]) {
        let mut here: Vec<&mut Elsewhere<'_, '_>> =
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
        let answers = match &self.unanswered {
            None => self.api.report_all(&outcomes),
            Some(_) => Default::default(),
        };
        kill_point::pass("fetch.after-report");
        let mut results = answers.results.into_iter();
        for item in &mut here {
            item.changed = false;
            match (results.next(), &self.unanswered) {
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
