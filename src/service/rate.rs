//! How fast tokens come back into a bucket, as the generic cell rate algorithm (ITU-T I.371) counts them: of a bucket, only
//! the moment is kept at which it is full again.

use std::time::{Duration, Instant};

/// So many tokens in a period, all at once or spread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// How long one token takes to come back.
    interval: Duration,
    /// In this time an empty bucket fills up.
    period: Duration,
}

impl Rate {
    /// None where nothing is limited, which 0 stands for.
    pub(super) fn new(tokens: u32, period: Duration) -> Option<Self> {
        Some(Self { interval: period.checked_div(tokens)?, period })
    }

    /// When a bucket is full again after tokens were taken out of it, or how long it takes until they are there. It was never
    /// used, or is full at the moment given. More than it holds are there when it is full. What comes back within `reserve`
    /// is left in it.
    pub(super) fn take(
        self,
        full_at: Option<Instant>,
        tokens: u32,
        reserve: Duration,
        now: Instant,
    ) -> Result<Instant, Duration> {
        let cost = self.interval.saturating_mul(tokens).min(self.period);
        let full_at = full_at.map_or(now, |full_at| full_at.max(now)) + cost;
        match (full_at + reserve - now).checked_sub(self.period) {
            None | Some(Duration::ZERO) => Ok(full_at),
            Some(wait) => Err(wait),
        }
    }
}
