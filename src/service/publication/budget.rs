//! How much anybody can make this process sign.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::service::rate::Rate;

const SECOND: Duration = Duration::from_secs(1);

/// So many signatures a second, and as many at once after a quiet second.
#[derive(Debug)]
pub(in crate::service) struct Budget {
    rate: Option<Rate>,
    full_at: Mutex<Option<Instant>>,
}

impl Budget {
    pub(in crate::service) fn new(per_second: u32) -> Self {
        Self { rate: Rate::new(per_second, SECOND), full_at: Mutex::default() }
    }

    /// Takes one signature, which many askers will share.
    pub(in crate::service) fn take(&self) -> bool {
        self.take_leaving(1, Duration::ZERO)
    }

    /// Takes what nobody else can use, such as a signature over a nonce, for so many certificates: half of all is never
    /// spent on these.
    pub(in crate::service) fn take_for_one(&self, certificates: usize) -> bool {
        self.take_leaving(u32::try_from(certificates).unwrap_or(u32::MAX), SECOND / 2)
    }

    fn take_leaving(&self, count: u32, reserve: Duration) -> bool {
        let Some(rate) = self.rate else { return true };
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = rate.take(*full_at, count, reserve, Instant::now());
        *full_at = taken.ok().or(*full_at);
        taken.is_ok()
    }
}
