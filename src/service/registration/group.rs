//! Changes that come at the same time, made in one transaction: one durable commit for all of them.
//!
//! Whoever wants a change waits until the commit that holds it. While one group is being written, the next one gathers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{iter, mem};

use tokio::sync::oneshot;

use super::intake::{Accepted, Arrival};
use super::issuing::Signed;
use super::writer_thread::WriterThread;
use crate::kill_point;
use crate::service::app::App;
use crate::service::db::Database;
use crate::service::error::{Failure, Refusal};
use crate::service::metrics::Limit;

/// The most changes of a kind in one transaction: nobody waits for more than these.
const GROUP_LIMIT: usize = 500;

/// The most changes of a kind that wait. What is beyond is told to come again, before it takes memory.
const WAITING_LIMIT: usize = 10_000;

/// The most bytes of CSRs that wait: twice what so many take with RSA-4096 and every field filled.
const WAITING_BYTES: usize = 64 * 1024 * 1024;

/// The changes that wait for their turn.
#[derive(Debug, Default)]
pub struct Group {
    state: Mutex<State>,
    /// Where changes are written to a server.
    thread: WriterThread,
}

#[derive(Debug, Default)]
struct State {
    waiting: Changes,
    /// How many bytes of CSRs are among them.
    csr_bytes: usize,
    /// Whether somebody is writing, who will take these too.
    writing: bool,
}

/// Changes to be made together.
#[derive(Debug, Default)]
struct Changes {
    /// Submissions into the queue.
    arrivals: Queue<Box<Arrival>, Accepted>,
    /// Signatures to certificates on record.
    signed: Queue<Signed, Signed>,
}

/// Changes in the order in which they came. Those that have to wait longer stay where they are.
type Queue<T, R> = VecDeque<Wanted<T, R>>;

/// A change, and who waits for what becomes of it.
#[derive(Debug)]
struct Wanted<T, R> {
    change: T,
    waiting: oneshot::Sender<Result<R, Failure>>,
}

impl<T, R> Wanted<T, R> {
    fn answer(self, outcome: Result<R, Failure>) {
        // Who has left in the meantime finds the change when they come back.
        let _ = self.waiting.send(outcome);
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic happens while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changes {
    /// The next group, without the rest; none where nothing waits.
    fn take(&mut self) -> Option<Self> {
        let group = Self { arrivals: first(&mut self.arrivals), signed: first(&mut self.signed) };
        (!group.arrivals.is_empty() || !group.signed.is_empty()).then_some(group)
    }

    fn len(&self) -> usize {
        self.arrivals.len() + self.signed.len()
    }

    fn csr_bytes(&self) -> usize {
        self.arrivals.iter().map(|wanted| wanted.change.submission.csr.0.len()).sum()
    }

    /// Each change as a group of its own.
    fn split(self) -> impl Iterator<Item = Self> {
        let arrivals = self.arrivals.into_iter().map(|wanted| Self { arrivals: [wanted].into(), ..Self::default() });
        arrivals.chain(self.signed.into_iter().map(|wanted| Self { signed: [wanted].into(), ..Self::default() }))
    }

    /// Tells the first one what happened, to be logged with its request, and the others what they may know of it.
    fn fail(self, failure: Failure) {
        let refusal = failure.refusal();
        let mut failures = iter::once(failure).chain(iter::repeat_with(|| refusal.clone().into()));
        self.arrivals.into_iter().zip(&mut failures).for_each(|(wanted, failure)| wanted.answer(Err(failure)));
        self.signed.into_iter().zip(failures).for_each(|(wanted, failure)| wanted.answer(Err(failure)));
    }
}

/// Whether a change with so many bytes of CSR may wait, where so many of its kind and so many bytes do.
const fn has_room(waiting: usize, waiting_bytes: usize, csr_bytes: usize) -> bool {
    waiting < WAITING_LIMIT && (csr_bytes == 0 || waiting_bytes + csr_bytes <= WAITING_BYTES)
}

fn first<T>(waiting: &mut VecDeque<T>) -> VecDeque<T> {
    waiting.drain(..waiting.len().min(GROUP_LIMIT)).collect()
}

impl App {
    /// Takes a submission into the queue. When this returns, it is on disk.
    pub(super) async fn accept(self: &Arc<Self>, arrival: Box<Arrival>) -> Result<Accepted, Failure> {
        let csr_bytes = arrival.submission.csr.0.len();
        self.change(arrival, csr_bytes, |changes| &mut changes.arrivals).await
    }

    /// Whether changes are being written, or wait for that.
    pub(in crate::service) fn is_writing(&self) -> bool {
        self.group.lock().writing
    }

    /// Adds a signature to the record, and gives what the record has now.
    pub(super) async fn complete(self: &Arc<Self>, signed: Signed) -> Result<Signed, Failure> {
        self.change(signed, 0, |changes| &mut changes.signed).await
    }

    async fn change<T, R>(
        self: &Arc<Self>,
        change: T,
        csr_bytes: usize,
        kind: impl Fn(&mut Changes) -> &mut Queue<T, R>,
    ) -> Result<R, Failure> {
        let (waiting, outcome) = oneshot::channel();
        let others_write = {
            let mut state = self.group.lock();
            if !has_room(kind(&mut state.waiting).len(), state.csr_bytes, csr_bytes) {
                self.metrics.limited(Limit::WaitingChanges);
                return Err(Refusal::unavailable().into());
            }
            kind(&mut state.waiting).push_back(Wanted { change, waiting });
            state.csr_bytes += csr_bytes;
            mem::replace(&mut state.writing, true)
        };
        if !others_write {
            // A task of its own: who waits may leave, and takes nobody's change along.
            let task = write(Writer { app: self.clone(), idle: false });
            match self.database {
                // A file is written by a thread of sqlx's; who begins sooner would write smaller groups.
                Database::Sqlite(..) => _ = tokio::spawn(task),
                Database::Postgres(..) => self.group.thread.spawn(task),
            }
        }
        outcome.await.unwrap_or_else(|_| Err(Failure::Inconsistent { what: "the outcome of a change" }))
    }

    /// Makes all changes of a group, or none: what was not made is given back.
    async fn make(&self, changes: Changes) -> Result<(), (Failure, Changes)> {
        let made = async {
            let arrivals: Vec<&Arrival> = changes.arrivals.iter().map(|wanted| &*wanted.change).collect();
            let signed: Vec<&Signed> = changes.signed.iter().map(|wanted| &wanted.change).collect();
            let mut transaction = self.database.write().await?;
            let accepted = self.accept_within(&mut transaction, &arrivals).await?;
            let completed = self.complete_within(&mut transaction, &signed).await?;
            kill_point::pass("accept.before-commit");
            transaction.commit().await?;
            kill_point::pass("accept.after-commit");
            Ok((accepted, completed))
        };
        match made.await {
            Ok((accepted, completed)) => {
                changes.arrivals.into_iter().zip(accepted).for_each(|(wanted, outcome)| wanted.answer(outcome));
                changes.signed.into_iter().zip(completed).for_each(|(wanted, signed)| wanted.answer(Ok(signed)));
                Ok(())
            }
            Err(failure) => Err((failure, changes)),
        }
    }
}

/// Who writes. Where they stop in the middle, others may begin, and whoever waits is told that nobody knows.
struct Writer {
    app: Arc<App>,
    idle: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.idle {
            // The callers of those that wait come again with the same key.
            *self.app.group.lock() = State::default();
        }
    }
}

/// Writes group after group until nothing waits.
async fn write(mut writer: Writer) {
    loop {
        let group = {
            let mut state = writer.app.group.lock();
            let group = state.waiting.take();
            state.csr_bytes -= group.as_ref().map_or(0, Changes::csr_bytes);
            if group.is_none() {
                // Within the lock: for who comes next, somebody else begins.
                state.writing = false;
            }
            group
        };
        let Some(group) = group else {
            writer.idle = true;
            return;
        };
        let Err((failure, group)) = writer.app.make(group).await else { continue };
        // Where one of them may be at fault, the others are worth another try.
        if group.len() == 1 || failure.is_of_database() {
            group.fail(failure);
            continue;
        }
        for change in group.split() {
            if let Err((failure, change)) = writer.app.make(change).await {
                change.fail(failure);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_in_number_and_in_bytes() {
        for (waiting, waiting_bytes, csr_bytes, expected) in [
            (0, 0, 60_000, true),
            (WAITING_LIMIT - 1, 0, 1_000, true),
            (WAITING_LIMIT, 0, 1_000, false),
            (WAITING_LIMIT, 0, 0, false),
            (1_000, WAITING_BYTES - 60_000, 60_000, true),
            (1_000, WAITING_BYTES - 60_000, 60_001, false),
            // A signature is of a request that is on record: it waits for no room among those that are not.
            (1_000, WAITING_BYTES, 0, true),
        ] {
            assert_eq!(has_room(waiting, waiting_bytes, csr_bytes), expected, "{waiting} {waiting_bytes} {csr_bytes}");
        }
    }
}
