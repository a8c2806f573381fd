//! OCSP responses that were signed and are handed out again, until they age or their certificate is revoked.

use std::sync::{PoisonError, RwLock};

use axum::body::Bytes;
use quick_cache::sync::Cache;
use time::OffsetDateTime;

use crate::protocol::secret::sha256_hex;
use crate::service::ca::ocsp::{Form, Unsuccessful};
use crate::service::ca::{Serial, middle};

/// About 16 MiB of responses. One that has no place is signed again when somebody asks.
const CAPACITY: usize = 16_384;

/// From so many revocations on, all responses are forgotten rather than each.
const FORGET_ALL: i64 = 4_096;

/// A response, and for how long it is good.
#[derive(Debug, Clone)]
pub struct Response {
    /// The OCSPResponse.
    pub der: Bytes,
    /// What it is like, where it may be kept by whoever gets it.
    pub lasting: Option<Lasting>,
}

/// What HTTP says of a response (RFC 5019 §6).
#[derive(Debug, Clone)]
pub struct Lasting {
    /// A name that no other response has.
    pub tag: String,
    /// Since when it is true.
    pub this_update: OffsetDateTime,
    /// Until when it is good.
    pub next_update: OffsetDateTime,
}

impl Lasting {
    /// When half of its time is over, and another one is signed.
    pub fn renewal(&self) -> OffsetDateTime {
        middle(self.this_update, self.next_update)
    }

    fn is_good(&self, now: OffsetDateTime) -> bool {
        self.this_update <= now && now < self.next_update
    }
}

impl Response {
    /// A response that lasts.
    pub(in crate::service) fn lasting(der: Vec<u8>, this_update: OffsetDateTime, next_update: OffsetDateTime) -> Self {
        let tag = sha256_hex(&der);
        Self { der: der.into(), lasting: Some(Lasting { tag, this_update, next_update }) }
    }

    /// A response for this moment.
    pub(in crate::service) fn passing(der: Vec<u8>) -> Self {
        Self { der: der.into(), lasting: None }
    }

    /// Whether half of its time is over.
    pub(in crate::service) fn is_ageing(&self, now: OffsetDateTime) -> bool {
        self.lasting.as_ref().is_none_or(|lasting| lasting.renewal() <= now)
    }
}

impl From<Unsuccessful> for Response {
    fn from(unsuccessful: Unsuccessful) -> Self {
        Self { der: Bytes::from_static(unsuccessful.der()), lasting: None }
    }
}

/// The responses, each under the form of the question and the serial number.
pub(in crate::service) struct Responses {
    cache: Cache<(Form, Serial), Response>,
    /// The last revocation that is taken account of. Whoever adds a response holds it, so that none of before stays.
    revocation: RwLock<Option<i64>>,
}

impl Default for Responses {
    fn default() -> Self {
        Self { cache: Cache::new(CAPACITY), revocation: RwLock::default() }
    }
}

impl Responses {
    /// The last revocation that is taken account of, to be asked for before a state is looked up.
    pub(in crate::service) fn revocation(&self) -> Option<i64> {
        *self.revocation.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A response that is good now.
    pub(in crate::service) fn find(&self, form: Form, serial: Serial, now: OffsetDateTime) -> Option<Response> {
        let good = |response: &Response| response.lasting.as_ref().is_some_and(|lasting| lasting.is_good(now));
        self.cache.get(&(form, serial)).filter(good)
    }

    /// Keeps a response, unless something was revoked since its state was looked up.
    pub(in crate::service) fn keep(&self, form: Form, serial: Serial, response: &Response, revocation: Option<i64>) {
        let held = self.revocation.read().unwrap_or_else(PoisonError::into_inner);
        if *held == revocation {
            self.cache.insert((form, serial), response.clone());
        }
    }

    /// Whether what was revoked since is so much that all is forgotten, or so little that each is.
    pub(in crate::service) fn is_far_behind(&self, revocation: i64) -> bool {
        self.revocation().is_none_or(|known| !(0..FORGET_ALL).contains(&(revocation - known)))
    }

    /// Takes account of all up to a revocation: forgets what was said of these serial numbers, or everything.
    pub(in crate::service) fn advance(&self, revocation: i64, revoked: Option<&[Serial]>) {
        let mut held = self.revocation.write().unwrap_or_else(PoisonError::into_inner);
        match revoked {
            Some(revoked) => {
                for serial in revoked {
                    for form in Form::ALL {
                        self.cache.remove(&(form, *serial));
                    }
                }
            }
            None => self.cache.clear(),
        }
        *held = Some(revocation);
    }
}
