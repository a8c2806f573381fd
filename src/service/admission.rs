//! How much one caller may ask for: token buckets, by organisation, by address and by holder of a certificate.
//!
//! Nobody's bucket touches another's, and all buckets together take a bounded amount of memory, whoever comes.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::auth::Actor;
use super::rate::Rate;

/// In this time an empty bucket fills up.
const PERIOD: Duration = Duration::from_secs(60);
/// How many buckets of one sort are remembered: a few megabytes.
const REMEMBERED: usize = 65_536;
/// How often the buckets that are full again are looked for, which is the same as never having been used.
const SWEEP: Duration = Duration::from_secs(1);

/// The settings under `[limits]`; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// How many requests one organisation submits within a minute, all at once or spread.
    pub submissions_per_minute: u32,
    /// How many wrong secrets and tokens one address sends, and how many refused attempts one certificate makes, within
    /// a minute before they are answered by 429 and not recorded.
    pub failures_per_minute: u32,
    /// How many connections one address holds on a listener.
    pub connections_per_address: usize,
    /// How many requests a listener works on at the same time.
    pub requests_under_way: usize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            submissions_per_minute: 60_000,
            failures_per_minute: 60,
            // Fewer than what is under way: one address that slowly sends large bodies must not keep out all others with such.
            connections_per_address: 256,
            requests_under_way: 512,
        }
    }
}

impl LimitSettings {
    /// Whether nothing was set.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a connection comes from, as far as it can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl From<IpAddr> for Source {
    /// Of IPv6 the first 64 bits: whoever has one address of a network has all of them (RFC 6177 §2).
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        })
    }
}

/// The limits of a running service.
#[derive(Debug)]
pub struct Admission {
    submissions: Buckets<String>,
    wrong_credentials: Buckets<Source>,
    refused_attempts: Buckets<String>,
}

impl Admission {
    /// With full buckets.
    pub fn new(settings: &LimitSettings) -> Self {
        Self {
            submissions: Buckets::new(settings.submissions_per_minute),
            wrong_credentials: Buckets::new(settings.failures_per_minute),
            refused_attempts: Buckets::new(settings.failures_per_minute),
        }
    }

    /// Lets an organisation submit so many requests now, or says how long it has to wait.
    pub fn submit(&self, organisation: &str, count: u32) -> Result<(), Duration> {
        self.submissions.take(organisation, count, Instant::now())
    }

    /// Notes wrong secrets or tokens, or says how long to wait until the next ones are told so.
    ///
    /// Good credentials are never asked to wait: nobody finds 256 random bits by trying, and one machine must not shut out
    /// the thousands behind the same address.
    pub fn wrong_credentials(&self, address: IpAddr, count: u32) -> Result<(), Duration> {
        self.wrong_credentials.take(&Source::from(address), count, Instant::now())
    }

    /// Notes that somebody with a certificate reached for what is not theirs, which enters the audit record, or says how
    /// long to wait until the next attempt does.
    pub fn refused_attempt(&self, actor: &Actor) -> Result<(), Duration> {
        self.refused_attempts.take(&actor.to_string(), 1, Instant::now())
    }
}

/// Token buckets by key.
#[derive(Debug)]
pub struct Buckets<K> {
    /// None where nothing is limited.
    rate: Option<Rate>,
    remembered: usize,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    full_at: HashMap<K, Instant>,
    /// The one bucket of all for whom there is no place.
    others_full_at: Option<Instant>,
    swept_at: Option<Instant>,
}

impl<K: Hash + Eq> Buckets<K> {
    /// Full buckets of so many tokens, which come back evenly within a minute.
    pub fn new(per_minute: u32) -> Self {
        Self::remembering(per_minute, REMEMBERED)
    }

    /// The same with another bound on memory.
    pub fn remembering(per_minute: u32, remembered: usize) -> Self {
        let state = State { full_at: HashMap::new(), others_full_at: None, swept_at: None };
        Self { rate: Rate::new(per_minute, PERIOD), remembered, state: Mutex::new(state) }
    }

    /// Takes tokens out of a bucket, or says how long it takes until they are there. More than a bucket holds are there
    /// when it is full.
    pub fn take<Q>(&self, key: &Q, count: u32, now: Instant) -> Result<(), Duration>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let Some(rate) = self.rate else { return Ok(()) };
        let take = |full_at| rate.take(full_at, count, Duration::ZERO, now);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full_at) = state.full_at.get_mut(key) {
            *full_at = take(Some(*full_at))?;
            return Ok(());
        }
        if state.full_at.len() >= self.remembered && state.swept_at.is_none_or(|at| now - at >= SWEEP) {
            state.full_at.retain(|_, full_at| *full_at > now);
            state.swept_at = Some(now);
        }
        if state.full_at.len() < self.remembered {
            state.full_at.insert(key.to_owned(), take(None)?);
        } else {
            state.others_full_at = Some(take(state.others_full_at)?);
        }
        Ok(())
    }

    /// How many buckets are remembered.
    pub fn len(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).full_at.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
