//! Working off bulk decisions, part by part: the decisions of a part and what became of each request are one transaction,
//! so that an end at any moment neither loses nor doubles one.
//!
//! A process takes a bulk decision for a while, and no other one works on it then. That only spares work twice: what makes
//! it happen once is that a part is written only where the bulk decision is as far as its worker knows it to be. While one
//! part is written, the one before it is signed and the one after it made ready; what was signed is added to the record
//! with the decisions of a later part. Signing and making ready stay in the background: everything else waits for who
//! writes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use super::bulk::{counted, kept, maker_of, object};
use super::decision::{Asked, Verdict, Weighed};
use super::issuing::{Held, Signed};
use super::record;
use crate::background;
use crate::kill_point;
use crate::protocol::bulk::{BulkState, BulkVerdict};
use crate::service::app::App;
use crate::service::auth::{Action, Actor};
use crate::service::db::bulk::{self, BulkRow, ItemRow};
use crate::service::db::{Moment, Transaction};
use crate::service::error::{Failure, Refusal};

/// How long a process has a bulk decision without writing a part: longer than a part takes, short enough that nobody waits
/// long for what a process left that died. Where the processors are so busy, or a token so slow, that it takes longer, another
/// process may go on, and the next part was made ready for nothing.
const LEASE: Duration = Duration::from_secs(10);

/// The task itself has said why.
const PANICKED: Failure = Failure::Inconsistent { what: "a part of a bulk decision" };

/// Requests whose turn it is, looked at before the right to write is taken.
struct Part {
    items: Vec<ItemRow>,
    asked: Vec<Asked>,
    /// What was seen of each, or why that could not be.
    weighed: Result<Vec<Result<Weighed, Failure>>, Failure>,
}

/// What is being signed, kept from others until it is in the record.
struct Signing<'a> {
    task: JoinHandle<Vec<Signed>>,
    held: Held<'a>,
}

/// What is signed and not in the record yet, kept from others until it is.
#[derive(Default)]
struct Unrecorded<'a> {
    signed: Vec<Signed>,
    held: Vec<Held<'a>>,
}

/// A bulk decision that this process works on.
struct Work<'a> {
    app: &'a Arc<App>,
    row: BulkRow,
    verdict: Verdict,
    /// How many requests had their turn.
    done: i64,
    signing: Option<Signing<'a>>,
    unrecorded: Unrecorded<'a>,
}

impl App {
    /// Works off the bulk decisions that nobody works on, until none is left or the service stops.
    pub async fn work_off_bulk(self: &Arc<Self>, stopped: &watch::Receiver<bool>) -> Result<(), Failure> {
        let now = || self.now();
        while bulk::is_waiting(&mut *self.database.read().await?, &self.process, now()).await? {
            let mut transaction = self.database.write().await?;
            let row = bulk::claim(&mut transaction, &self.process, now(), self.lease()).await?;
            transaction.commit().await?;
            kill_point::pass("bulk.after-claim");
            let Some(row) = row else { return Ok(()) };
            let verdict = match row.verdict {
                Some(BulkVerdict::Reject) => Verdict::Reject { reason: row.reason.clone().unwrap_or_default() },
                _ => Verdict::Approve,
            };
            let done = row.done();
            let mut work = Work { app: self, row, verdict, done, signing: None, unrecorded: Unrecorded::default() };
            let gone_on = work.go_on(stopped).await;
            let stops = *stopped.borrow();
            // What is signed enters the record even so.
            let left = work.leave(stops).await;
            gone_on.and(left)?;
            if stops {
                return Ok(());
            }
        }
        Ok(())
    }

    fn lease(&self) -> Moment {
        Moment(self.now().0 + LEASE)
    }
}

impl<'a> Work<'a> {
    /// Decides part by part until nothing is left, somebody ends it, or the service stops.
    async fn go_on(&mut self, stopped: &watch::Receiver<bool>) -> Result<(), Failure> {
        let part_size = self.app.bulk_part;
        let mut next = self.look_ahead(0, part_size);
        // Up to which position each request is a part of its own, because one of them cannot be written.
        let mut one_by_one = 0;
        while !*stopped.borrow() {
            let part = next.await.unwrap_or(Err(PANICKED))?;
            let ends = part.items.first().zip(part.items.last()).map(|(first, last)| (first.position, last.position));
            let Some((first, last)) = ends else { return self.finish().await };
            next = self.look_ahead(last, if last < one_by_one { 1 } else { part_size });
            match self.decide(part).await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(failure) if failure.is_of_database() => return Err(failure),
                Err(failure) if first == last => self.refuse(first, &failure).await?,
                Err(failure) => {
                    log::error!(bulk = self.row.id, cause:% = failure; "part not decided, trying one by one");
                    one_by_one = last;
                    next = self.look_ahead(first - 1, 1);
                }
            }
        }
        Ok(())
    }

    /// Looks at the requests after a position, in a task of its own.
    fn look_ahead(&self, after: i64, limit: usize) -> JoinHandle<Result<Part, Failure>> {
        let (app, row, verdict) = (self.app.clone(), self.row.clone(), self.verdict.clone());
        tokio::spawn(async move {
            let items = bulk::next_items(&mut *app.database.read().await?, row.id, after, limit).await?;
            let asked: Vec<Asked> = items.iter().map(|item| (item.request, Some(item.csr_sha256.clone()))).collect();
            // One that cannot be looked at holds up neither the others nor anybody else's: it is found one by one.
            let weighed = async {
                let maker = maker_of(&mut *app.database.read().await?, &row, app.now()).await?;
                let actor = maker.map_err(Failure::from)?;
                let candidates = app.candidates(&actor, &verdict, &asked).await?;
                let app = app.clone();
                let plan = move || background::run(|| app.plan(&actor, &verdict, candidates));
                spawn_blocking(plan).await.map_err(|_| PANICKED)
            };
            let weighed = weighed.await;
            Ok(Part { items, asked, weighed })
        })
    }

    /// Decides on a part, and signs what was approved; `false` where it ended meanwhile.
    async fn decide(&mut self, part: Part) -> Result<bool, Failure> {
        let app = self.app;
        let Part { items, asked, weighed } = part;
        let mut transaction = app.database.write().await?;
        let Some(actor) = self.resume(&mut transaction).await? else {
            transaction.commit().await?;
            self.unrecorded = Unrecorded::default();
            return Ok(false);
        };
        let decided = app.decide_within(&mut transaction, &actor, &self.verdict, &asked, weighed?).await?;
        let mut refused = Vec::new();
        for (item, outcome) in items.iter().zip(&decided.outcomes) {
            if let Err(failure) = outcome {
                failure.log();
                refused.push((item.position, kept(&failure.refusal())?));
            }
        }
        if let (Some(first), Some(last)) = (items.first(), items.last()) {
            let range = (first.position, last.position);
            bulk::note(&mut transaction, self.row.id, range, self.verdict.word(), &refused).await?;
        }
        let held = app.hold(&decided.recorded());
        kill_point::pass("bulk.before-part");
        transaction.commit().await?;
        kill_point::pass("bulk.after-part");
        self.done += i64::try_from(items.len()).unwrap_or(i64::MAX);
        self.unrecorded = Unrecorded::default();
        self.gather().await;
        let app = app.clone();
        let task = spawn_blocking(move || background::run(|| app.signed(&decided.recorded())));
        self.signing = Some(Signing { task, held });
        Ok(true)
    }

    /// Waits for what is being signed, which enters the record with the next transaction.
    async fn gather(&mut self) {
        let Some(Signing { task, held }) = self.signing.take() else { return };
        // A panic is said by the task itself; what it left unsigned, another round signs.
        self.unrecorded.signed.extend(task.await.unwrap_or_default());
        self.unrecorded.held.push(held);
        kill_point::pass("bulk.after-sign");
    }

    /// Adds what is left to the record. Where the service stops, others may go on at once.
    async fn leave(mut self, stops: bool) -> Result<(), Failure> {
        self.gather().await;
        if self.unrecorded.signed.is_empty() && !stops {
            return Ok(());
        }
        let mut transaction = self.app.database.write().await?;
        self.record_signed(&mut transaction).await?;
        if stops {
            bulk::release(&mut transaction, &self.app.process).await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn record_signed(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        let signed: Vec<&Signed> = self.unrecorded.signed.iter().collect();
        self.app.complete_within(transaction, &signed).await.map(drop)
    }

    /// Notes that a request could not be decided on for a reason that is nobody's but the service's.
    async fn refuse(&mut self, position: i64, failure: &Failure) -> Result<(), Failure> {
        failure.log();
        let mut transaction = self.app.database.write().await?;
        if self.resume(&mut transaction).await?.is_some() {
            let refused = [(position, kept(&failure.refusal())?)];
            let range = (position, position);
            bulk::note(&mut transaction, self.row.id, range, self.verdict.word(), &refused).await?;
            self.done += 1;
        }
        transaction.commit().await?;
        self.unrecorded = Unrecorded::default();
        Ok(())
    }

    /// Ends what has no request left.
    async fn finish(&mut self) -> Result<(), Failure> {
        self.gather().await;
        let mut transaction = self.app.database.write().await?;
        // Whoever made it: nothing is left to decide on.
        if self.keep(&mut transaction).await? {
            self.end(&mut transaction, BulkState::Finished, None).await?;
        }
        kill_point::pass("bulk.before-finish");
        transaction.commit().await?;
        kill_point::pass("bulk.after-finish");
        self.unrecorded = Unrecorded::default();
        Ok(())
    }

    /// Adds what was signed to the record, and says who decides: nobody where the bulk decision ended meanwhile, or ends
    /// now because its maker may not decide any more.
    async fn resume(&self, transaction: &mut Transaction) -> Result<Option<Actor>, Failure> {
        if !self.keep(transaction).await? {
            return Ok(None);
        }
        match maker_of(transaction, &self.row, self.app.now()).await? {
            Ok(actor) => Ok(Some(actor)),
            Err(refusal) => {
                self.end(transaction, BulkState::Stopped, Some(&refusal)).await?;
                Ok(None)
            }
        }
    }

    /// Adds what was signed to the record; `false` where the bulk decision ended meanwhile, or another process goes on.
    async fn keep(&self, transaction: &mut Transaction) -> Result<bool, Failure> {
        self.record_signed(transaction).await?;
        Ok(bulk::keep(transaction, self.row.id, &self.app.process, self.done, self.app.lease()).await?)
    }

    async fn end(
        &self,
        transaction: &mut Transaction,
        state: BulkState,
        refusal: Option<&Refusal>,
    ) -> Result<(), Failure> {
        let app = self.app;
        let problem = refusal.map(kept).transpose()?;
        bulk::end(transaction, self.row.id, state, problem.as_deref(), app.now()).await?;
        let row = bulk::find(transaction, self.row.id.unsigned_abs()).await?;
        let row = row.ok_or(Failure::Inconsistent { what: "a bulk decision" })?;
        let mut detail = counted(&row);
        let action = match refusal {
            None => Action::FinishBulk,
            Some(refusal) => {
                detail["because"] = refusal.code().as_str().into();
                Action::StopBulk
            }
        };
        log::info!(bulk = row.id, state = state.as_str(), decided = row.decided, refused = row.refused; "bulk decision ended");
        record(app, transaction, &Actor::Service, action, &object(&row), detail);
        Ok(())
    }
}
