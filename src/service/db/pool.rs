//! Connections kept open with their prepared statements, for whoever needs one next.
//!
//! A pool of sqlx's tries each connection after its use (sqlx-core 0.9, `Floating::return_to_pool`). A connection to a file does
//! not break, and to try one wakes two threads, as much as most reads take; of a server that says nothing any more, the try
//! waits for ever.

use std::fmt::Debug;
use std::iter;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedMappedMutexGuard, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a connection is waited for that others of this process use: longer than a write waits for other processes.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that is kept.
pub(super) trait Kept: Debug + Sized + Send + Sync + 'static {
    /// What it is opened with.
    type Options: Debug + Send + Sync;

    /// Opens one.
    fn open(options: &Self::Options) -> impl Future<Output = Result<Self, sqlx::Error>> + Send;

    /// What somebody left is brought to an end, and whether it is still good is found out; `false` where it is not.
    fn is_fit(&mut self) -> impl Future<Output = bool> + Send;

    /// Whether that cannot wait until it is needed again.
    fn is_pressing(&self) -> bool;

    /// Closes it.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// So many connections at most, opened as they are needed. Whoever comes when all are in use waits, and has the one that was
/// in use last: what it has in memory is asked for again.
#[derive(Debug)]
pub(super) struct Pool<C: Kept>(Arc<Places<C>>);

#[derive(Debug)]
struct Places<C: Kept> {
    options: C::Options,
    count: u32,
    /// As many permits as there are slots below.
    free: Arc<Semaphore>,
    slots: Mutex<Vec<Slot<C>>>,
}

/// The place of a connection that may not be open.
type Slot<C> = Arc<tokio::sync::Mutex<Option<C>>>;

impl<C: Kept> Places<C> {
    fn slots(&self) -> MutexGuard<'_, Vec<Slot<C>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Kept> Pool<C> {
    /// A pool of so many, of which one may be open already.
    pub(super) fn new(options: C::Options, count: u32, first: Option<C>) -> Self {
        let kept = iter::once(first).chain(iter::repeat_with(|| None));
        let slots = kept.take(count as usize).map(|kept| Arc::new(tokio::sync::Mutex::new(kept))).collect();
        let free = Arc::new(Semaphore::new(count as usize));
        Self(Arc::new(Places { options, count, free, slots: Mutex::new(slots) }))
    }

    /// A connection as soon as there is one.
    pub(super) async fn acquire(&self) -> Result<Leased<C>, sqlx::Error> {
        let permit = timeout(PATIENCE, self.0.free.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        let slot = self.0.slots().pop().ok_or(sqlx::Error::PoolClosed)?;
        let place = Place { slot: slot.clone(), places: self.0.clone(), _permit: permit };
        let taken = Taken(Some(place));
        let mut kept = slot.lock_owned().await;
        let is_fit = match &mut *kept {
            Some(kept) => kept.is_fit().await,
            None => false,
        };
        if !is_fit {
            // One that is no good is closed before.
            *kept = None;
            *kept = Some(C::open(&self.0.options).await?);
        }
        let connection = OwnedMutexGuard::try_map(kept, Option::as_mut).map_err(|_| sqlx::Error::PoolClosed)?;
        Ok(Leased { connection, _taken: taken })
    }

    /// What they are opened with.
    pub(super) fn options(&self) -> &C::Options {
        &self.0.options
    }

    /// How many are in use.
    pub(super) fn busy(&self) -> i64 {
        i64::from(self.0.count) - i64::try_from(self.0.free.available_permits()).unwrap_or_default()
    }

    /// Closes the connections, as soon as nobody uses them.
    pub(super) async fn close(&self) {
        // Closed before, by whom it may be.
        let Ok(_all) = self.0.free.acquire_many(self.0.count).await else { return };
        self.0.free.close();
        let slots: Vec<Slot<C>> = self.0.slots().drain(..).collect();
        for slot in slots {
            if let Some(kept) = slot.lock().await.take() {
                kept.close().await;
            }
        }
    }
}

/// A connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Leased<C: Kept> {
    connection: OwnedMappedMutexGuard<Option<C>, C>,
    /// Given back after the connection itself.
    _taken: Taken<C>,
}

impl<C: Kept> Deref for Leased<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.connection
    }
}

impl<C: Kept> DerefMut for Leased<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.connection
    }
}

/// A place in use, given back with this value: never lost, whatever becomes of who has it.
#[derive(Debug)]
struct Place<C: Kept> {
    slot: Slot<C>,
    places: Arc<Places<C>>,
    /// Given back after the slot.
    _permit: OwnedSemaphorePermit,
}

impl<C: Kept> Drop for Place<C> {
    fn drop(&mut self) {
        self.places.slots().push(self.slot.clone());
    }
}

impl<C: Kept> Place<C> {
    /// Brings what was left to an end, and gives the place back then.
    async fn tidy_up(self) {
        let mut kept = self.slot.lock().await;
        if let Some(connection) = &mut *kept
            && !connection.is_fit().await
        {
            *kept = None;
        }
    }
}

/// The place of somebody, who may leave at any moment.
#[derive(Debug)]
struct Taken<C: Kept>(Option<Place<C>>);

impl<C: Kept> Drop for Taken<C> {
    fn drop(&mut self) {
        let is_pressing =
            |place: &Place<C>| place.slot.try_lock().is_ok_and(|kept| kept.as_ref().is_some_and(C::is_pressing));
        if let (Some(place), Ok(runtime)) = (self.0.take_if(|place| is_pressing(place)), Handle::try_current()) {
            runtime.spawn(place.tidy_up());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem;

    use super::*;

    /// Tidied up by whoever tries a second time.
    #[derive(Debug)]
    struct Stubborn {
        tried: bool,
    }

    impl Kept for Stubborn {
        type Options = ();

        async fn open((): &()) -> Result<Self, sqlx::Error> {
            Ok(Self { tried: false })
        }

        async fn is_fit(&mut self) -> bool {
            assert!(mem::replace(&mut self.tried, true), "as if something nobody thought of went wrong");
            true
        }

        fn is_pressing(&self) -> bool {
            !self.tried
        }

        async fn close(self) {}
    }

    #[tokio::test]
    async fn a_place_comes_back_although_tidying_it_up_failed() {
        let pool = Pool::<Stubborn>::new((), 1, None);
        drop(pool.acquire().await.unwrap());
        assert!(pool.acquire().await.unwrap().tried);
        assert_eq!(pool.busy(), 0);
    }
}
