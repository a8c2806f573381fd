//! How much anybody can make this process sign.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// So many signatures a second, and as many at once after a quiet second.
#[derive(Debug)]
pub(in crate::service) struct Budget {
    per_second: f64,
    left: Mutex<(f64, Instant)>,
}

impl Budget {
    pub(in crate::service) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, left: Mutex::new((per_second, Instant::now())) }
    }

    /// Takes one signature, which many askers will share.
    pub(in crate::service) fn take(&self) -> bool {
        self.take_above(0.0)
    }

    /// Takes one signature that nobody else can use, such as one over a nonce: half of all is never spent on these.
    pub(in crate::service) fn take_for_one(&self) -> bool {
        self.take_above(self.per_second / 2.0)
    }

    fn take_above(&self, reserve: f64) -> bool {
        let mut state = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, at) = *state;
        let now = Instant::now();
        let left = (left + now.duration_since(at).as_secs_f64() * self.per_second).min(self.per_second);
        let good = left >= reserve + 1.0;
        *state = (if good { left - 1.0 } else { left }, now);
        good
    }
}
