//! What this process has in memory of what the CA publishes: the newest list, the OCSP responses, the key that signs them;
//! and how it learns that another process on the same database has revoked something.
//!
//! What is looked up, and what is signed, is decided in `registration`.

mod budget;
mod responses;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use time::OffsetDateTime;
use tokio::sync::{Mutex, Semaphore};

use super::ca::ocsp::{Issuer, Responder};
use super::ca::{BACKDATED, Ca, CaError};
use super::db::crls::CrlRow;
use super::error::Refusal;
use crate::protocol::secret::sha256_hex;

pub(super) use self::budget::Budget;
pub use self::responses::Response;
pub(super) use self::responses::Responses;

/// For how long nobody asks the database whether something was revoked: what another process revokes is known here no
/// later than this, what this one revokes at once. A database that did not answer is not waited for again until then.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// How many of the database's readers OCSP may have at once, so that some are left to all others.
const LOOKUPS: usize = 2;

/// How many OCSP responses are signed a second at most: a few hundredths of a core.
const SIGNATURES_PER_SECOND: u32 = 2_000;

/// A revocation list as it is published.
#[derive(Debug, Clone)]
pub struct PublishedCrl {
    /// The list.
    pub der: Bytes,
    /// Its number.
    pub number: u64,
    /// Since when it is good: a little before it was made.
    pub this_update: OffsetDateTime,
    /// When the next one is made at the latest.
    pub next_update: OffsetDateTime,
    /// The number of the last revocation that is on it.
    pub(super) revocation: i64,
    /// The digest of the list, in hexadecimal.
    pub sha256: String,
}

impl From<CrlRow> for PublishedCrl {
    fn from(row: CrlRow) -> Self {
        let sha256 = sha256_hex(&row.der);
        Self::new(row, sha256)
    }
}

impl PublishedCrl {
    pub(super) fn new(row: CrlRow, sha256: String) -> Self {
        Self {
            der: row.der.into(),
            number: row.number.unsigned_abs(),
            this_update: row.this_update.0,
            next_update: row.next_update.0,
            revocation: row.revocation,
            sha256,
        }
    }

    /// Whether it is known that no earlier list has the same date: the number of one that is the first of its second is when
    /// it was made, as long as its date is not that of another clock.
    pub(super) fn is_alone_in_its_second(&self) -> bool {
        Some(self.number) == (self.this_update + BACKDATED).unix_timestamp().try_into().ok()
    }
}

/// What is known here of what the CA publishes.
pub(super) struct Publication {
    /// How requests name the CA.
    pub(super) issuer: Issuer,
    pub(super) responses: Responses,
    pub(super) budget: Budget,
    pub(super) lookups: Semaphore,
    /// Held by who makes a list: those who wait for it find what the one before them has made.
    pub(super) making: Mutex<()>,
    /// Held by who has a responder certified.
    pub(super) certifying: Arc<Mutex<()>>,
    /// Held by who looks into the database.
    pub(super) looking: Mutex<()>,
    looked: RwLock<Option<(Instant, Result<(), Refusal>)>>,
    list: RwLock<Option<Arc<PublishedCrl>>>,
    responder: RwLock<Option<Arc<Responder>>>,
    uncertified: RwLock<Option<(Instant, Refusal)>>,
}

impl Publication {
    pub(super) fn new(ca: &Ca) -> Result<Self, CaError> {
        Ok(Self {
            issuer: Issuer::new(ca)?,
            responses: Responses::default(),
            budget: Budget::new(SIGNATURES_PER_SECOND),
            lookups: Semaphore::new(LOOKUPS),
            making: Mutex::default(),
            certifying: Arc::default(),
            looking: Mutex::default(),
            looked: RwLock::default(),
            list: RwLock::default(),
            responder: RwLock::default(),
            uncertified: RwLock::default(),
        })
    }

    /// What became of looking within the last second, if somebody did.
    pub(super) fn looked(&self) -> Option<Result<(), Refusal>> {
        read(&self.looked).filter(|(at, _)| at.elapsed() < LOOK).map(|(_, outcome)| outcome)
    }

    /// Notes what became of looking: what is known is no older than this, or the database did not answer until then.
    pub(super) fn set_looked(&self, at: Instant, outcome: Result<(), Refusal>) {
        write(&self.looked, Some((at, outcome)));
    }

    pub(super) fn list(&self) -> Option<Arc<PublishedCrl>> {
        read(&self.list)
    }

    /// Takes over a list, unless a newer one is there already.
    pub(super) fn set_list(&self, list: Arc<PublishedCrl>) {
        let mut known = self.list.write().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| known.number < list.number) {
            *known = Some(list);
        }
    }

    pub(super) fn responder(&self) -> Option<Arc<Responder>> {
        read(&self.responder)
    }

    pub(super) fn set_responder(&self, responder: Arc<Responder>) {
        write(&self.responder, Some(responder));
        self.clear_uncertified();
    }

    pub(super) fn drop_responder(&self) {
        write(&self.responder, None);
    }

    /// Why there was no responder, where that was found within the last second; or before, where it is still being certified.
    pub(super) fn uncertified(&self, still: bool) -> Option<Refusal> {
        read(&self.uncertified).filter(|(at, _)| still || at.elapsed() < LOOK).map(|(_, refusal)| refusal)
    }

    /// Forgets why there was no responder.
    pub(super) fn clear_uncertified(&self) {
        write(&self.uncertified, None);
    }

    /// Notes why there is no responder.
    pub(super) fn set_uncertified(&self, refusal: Refusal) {
        write(&self.uncertified, Some((Instant::now(), refusal)));
    }
}

/// Nothing panics while it holds one of these locks, and a value is put there whole.
fn read<T: Clone>(lock: &RwLock<Option<T>>) -> Option<T> {
    lock.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn write<T>(lock: &RwLock<Option<T>>, value: Option<T>) {
    *lock.write().unwrap_or_else(PoisonError::into_inner) = value;
}
