//! Changes that come at the same time, made in one transaction: one durable commit for all of them.
//!
//! Whoever wants a change waits until the commit that holds it. While one group is being written, the next one gathers.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::intake::{Accepted, Arrival};
use super::issuing::Signed;
use crate::service::app::App;
use crate::service::db::DatabaseError;
use crate::service::error::{Failure, Refusal};

/// The most changes in one transaction: nobody waits for more than these.
const GROUP_LIMIT: usize = 500;

/// The most changes that wait. What is beyond is told to come again, before it takes memory.
const WAITING_LIMIT: usize = 10_000;

/// The changes that wait for their turn.
#[derive(Debug, Default)]
pub struct Group(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    changes: Vec<Change>,
    /// Whether somebody is writing, who will take these too.
    writing: bool,
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that can panic happens while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change, and who waits for it.
#[derive(Debug)]
pub(super) enum Change {
    /// A submission into the queue.
    Accept(Box<Arrival>, oneshot::Sender<Result<Accepted, Failure>>),
    /// A signature to the certificate on record.
    Complete(Signed, oneshot::Sender<Result<Signed, Failure>>),
}

/// What became of a change.
enum Outcome {
    Accepted(Result<Accepted, Failure>),
    Completed(Result<Signed, Failure>),
}

impl Change {
    fn answer(self, outcome: Outcome) {
        // Who has left in the meantime finds the change when they come back.
        match (self, outcome) {
            (Self::Accept(_, waiting), Outcome::Accepted(accepted)) => drop(waiting.send(accepted)),
            (Self::Complete(_, waiting), Outcome::Completed(completed)) => drop(waiting.send(completed)),
            (Self::Accept(..), Outcome::Completed(_)) | (Self::Complete(..), Outcome::Accepted(_)) => {}
        }
    }

    fn fail(self, failure: Failure) {
        match self {
            Self::Accept(_, waiting) => drop(waiting.send(Err(failure))),
            Self::Complete(_, waiting) => drop(waiting.send(Err(failure))),
        }
    }
}

impl App {
    /// Takes a submission into the queue. When this returns, it is on disk.
    pub(super) async fn accept(self: &Arc<Self>, arrival: Arrival) -> Result<Accepted, Failure> {
        self.change(|waiting| Change::Accept(Box::new(arrival), waiting)).await
    }

    /// Adds a signature to the record, and gives what the record has now.
    pub(super) async fn complete(self: &Arc<Self>, signed: Signed) -> Result<Signed, Failure> {
        self.change(|waiting| Change::Complete(signed, waiting)).await
    }

    async fn change<T>(
        self: &Arc<Self>,
        change: impl FnOnce(oneshot::Sender<Result<T, Failure>>) -> Change,
    ) -> Result<T, Failure> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = self.group.lock();
            if waiting.changes.len() >= WAITING_LIMIT {
                return Err(Refusal::unavailable().into());
            }
            waiting.changes.push(change(sender));
            if !mem::replace(&mut waiting.writing, true) {
                // A task of its own: who waits may leave, and takes nobody's change along.
                tokio::spawn(write(Writer { app: self.clone(), idle: false }));
            }
        }
        receiver.await.unwrap_or_else(|_| Err(Failure::Inconsistent { what: "the outcome of a change" }))
    }

    /// Makes all changes of a group, or none.
    async fn make(self: &Arc<Self>, changes: &[Change]) -> Result<Vec<Outcome>, Failure> {
        let (mut arrivals, mut signed) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Accept(arrival, _) => arrivals.push(&**arrival),
                Change::Complete(certificate, _) => signed.push(certificate),
            }
        }
        let mut transaction = self.database.write().await?;
        let mut accepted = self.accept_within(&mut transaction, &arrivals).await?.into_iter();
        let mut completed = self.complete_within(&mut transaction, &signed).await?.into_iter();
        transaction.commit().await?;
        let outcomes = changes.iter().map(|change| match change {
            Change::Accept(..) => accepted.next().map(Outcome::Accepted),
            Change::Complete(..) => completed.next().map(|signed| Outcome::Completed(Ok(signed))),
        });
        outcomes.collect::<Option<_>>().ok_or(Failure::Inconsistent { what: "the outcome of a change" })
    }
}

/// Who writes. Where they stop in the middle, others may begin.
struct Writer {
    app: Arc<App>,
    idle: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.idle {
            self.app.group.lock().writing = false;
        }
    }
}

/// Writes group after group until nothing waits.
async fn write(mut writer: Writer) {
    loop {
        let changes = {
            let mut waiting = writer.app.group.lock();
            if waiting.changes.is_empty() {
                // Within the lock: for who comes next, somebody else begins.
                waiting.writing = false;
                writer.idle = true;
                return;
            }
            let group = waiting.changes.len().min(GROUP_LIMIT);
            let rest = waiting.changes.split_off(group);
            mem::replace(&mut waiting.changes, rest)
        };
        match writer.app.make(&changes).await {
            Ok(outcomes) => changes.into_iter().zip(outcomes).for_each(|(change, outcome)| change.answer(outcome)),
            // Where the database does not answer, it answers none of them.
            Err(failure @ Failure::Database(DatabaseError::Unavailable { .. })) => {
                log::error!(changes = changes.len(), cause:% = failure; "changes not made");
                changes.into_iter().for_each(|change| change.fail(Refusal::unavailable().into()));
            }
            Err(_) => one_by_one(&writer.app, changes).await,
        }
    }
}

/// Makes each change in a transaction of its own: one that cannot be made does not hold up the others.
async fn one_by_one(app: &Arc<App>, changes: Vec<Change>) {
    for change in changes {
        match app.make(std::slice::from_ref(&change)).await {
            Ok(mut outcomes) => outcomes.pop().map_or((), |outcome| change.answer(outcome)),
            Err(failure) => change.fail(failure),
        }
    }
}
