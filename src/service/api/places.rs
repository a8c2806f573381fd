//! The places of requests that are under way: as many as the settings say are worked on at a time, on each listener.
//!
//! A place is for work. While a caller takes their time to send a body, the request gives its place away, so that whoever
//! sends slowly holds up nobody. So that memory stays bounded, a large body needs room meanwhile, of which there is as much
//! as there are places: slow senders of large bodies hold up one another, and nobody else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::extract;
use crate::service::app::App;
use crate::service::error::{Failure, Refusal};
use crate::service::metrics::Limit;

/// How long a request waits until others are done.
const QUEUE: Duration = Duration::from_secs(5);

/// How much of a body needs no room: a submission, for each of the connections.
pub(super) const SMALL: usize = 16 * 1024;

/// The places of a listener.
#[derive(Clone)]
pub(in crate::service) struct Places {
    app: Arc<App>,
    places: Arc<Semaphore>,
    rooms: Arc<Semaphore>,
}

impl Places {
    /// As many as the settings say.
    pub(in crate::service) fn new(app: &Arc<App>) -> Self {
        let count = match app.settings().limits.requests_under_way {
            0 => Semaphore::MAX_PERMITS,
            count => count.min(Semaphore::MAX_PERMITS),
        };
        Self { app: app.clone(), places: Arc::new(Semaphore::new(count)), rooms: Arc::new(Semaphore::new(count)) }
    }

    /// One of these as soon as there is one, or the order to come again.
    async fn one_of(&self, permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
        // The semaphores are never closed.
        if let Ok(Ok(permit)) = timeout(QUEUE, permits.clone().acquire_owned()).await {
            return Ok(permit);
        }
        self.app.metrics.limited(Limit::UnderWay);
        Err(Refusal::unavailable())
    }
}

/// Lets so many requests at a time through; the others wait a little, then are asked to come again. A listener has as many
/// waiting ones as connections at most.
pub(in crate::service) async fn one_place(State(places): State<Places>, mut request: Request, next: Next) -> Response {
    let place = Place { places, held: Arc::default() };
    match place.take().await {
        Ok(()) => {
            request.extensions_mut().insert(place.clone());
            let response = next.run(request).await;
            place.leave();
            response
        }
        Err(refusal) => {
            // A connection whose request was read to its end can be used again.
            let _ = extract::read(request, 0).await;
            Failure::from(refusal).into_response()
        }
    }
}

/// The place of one request, in its extensions, held or given away.
#[derive(Clone)]
pub(super) struct Place {
    places: Places,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Place {
    /// Gives the place away, where it is held.
    pub(super) fn leave(&self) {
        self.held().take();
    }

    /// Takes a place, where none is held, or the order to come again where there is none in time.
    pub(super) async fn take(&self) -> Result<(), Refusal> {
        if self.held().is_none() {
            let place = self.places.one_of(&self.places.places).await?;
            *self.held() = Some(place);
        }
        Ok(())
    }

    /// Room for a body that is not small, until it is dropped, or the order to come again. Gives the place away: nobody
    /// waits for room who has what those with room wait for.
    pub(super) async fn room(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.leave();
        self.places.one_of(&self.places.rooms).await
    }

    fn held(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
