//! The places of requests that are under way: as many as the settings say are worked on at a time, on each listener.
//!
//! A place is for work. While a caller takes their time to send a body, the request gives its place away, so that whoever
//! sends slowly holds up nobody. What such bodies take of the memory is bounded: beyond that they keep their places.

use std::sync::{Arc, Mutex, PoisonError};
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

/// How much of bodies that are still to come is kept without a place, in pages: 64 MiB.
const PAGES: usize = 16_384;
const PAGE: usize = 4096;

/// The places of a listener.
#[derive(Clone)]
pub(in crate::service) struct Places {
    app: Arc<App>,
    places: Arc<Semaphore>,
    pages: Arc<Semaphore>,
}

impl Places {
    /// As many as the settings say.
    pub(in crate::service) fn new(app: &Arc<App>) -> Self {
        let count = match app.settings().limits.requests_under_way {
            0 => Semaphore::MAX_PERMITS,
            count => count.min(Semaphore::MAX_PERMITS),
        };
        Self { app: app.clone(), places: Arc::new(Semaphore::new(count)), pages: Arc::new(Semaphore::new(PAGES)) }
    }

    /// A place as soon as there is one, or the order to come again.
    async fn enter(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        // The semaphore is never closed.
        if let Ok(Ok(place)) = timeout(QUEUE, self.places.clone().acquire_owned()).await {
            return Ok(place);
        }
        self.app.metrics.limited(Limit::UnderWay);
        Err(Refusal::unavailable())
    }
}

/// Lets so many requests at a time through; the others wait a little, then are asked to come again. A listener has as many
/// waiting ones as connections at most.
pub(in crate::service) async fn one_place(State(places): State<Places>, mut request: Request, next: Next) -> Response {
    match places.enter().await {
        Ok(place) => {
            // Held here as well: the extensions go when the request has been read.
            let held = Arc::new(Mutex::new(Some(place)));
            request.extensions_mut().insert(Place { places, held: held.clone() });
            let response = next.run(request).await;
            drop(held);
            response
        }
        Err(refusal) => {
            // A connection whose request was read to its end can be used again.
            let _ = extract::read(request, 0).await;
            Failure::from(refusal).into_response()
        }
    }
}

/// The place of one request, in its extensions.
#[derive(Clone)]
pub(super) struct Place {
    places: Places,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Place {
    /// Gives the place away while the rest of a body is to come, of which so many bytes are kept already; not where bodies
    /// keep too much like that.
    pub(super) fn leave(&self, kept: usize) -> Option<Away> {
        let mut away = Away { place: self.clone(), pages: None };
        away.has_room_for(kept).then(|| {
            self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
            away
        })
    }
}

/// A request that gave its place away.
pub(super) struct Away {
    place: Place,
    pages: Option<OwnedSemaphorePermit>,
}

impl Away {
    /// Whether so many bytes may be kept without a place.
    pub(super) fn has_room_for(&mut self, kept: usize) -> bool {
        let held = self.pages.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        // A body of which nothing has come takes a page too: its connection waits like the others.
        let missing = (kept / PAGE + 1).saturating_sub(held);
        let Ok(missing) = u32::try_from(missing) else { return false };
        let Ok(more) = self.place.places.pages.clone().try_acquire_many_owned(missing) else { return false };
        match &mut self.pages {
            Some(pages) => pages.merge(more),
            None => self.pages = Some(more),
        }
        true
    }

    /// Takes a place again, or the order to come again where there is none in time.
    pub(super) async fn come_back(self) -> Result<(), Refusal> {
        let place = self.place.places.enter().await?;
        *self.place.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        Ok(())
    }
}
