//! Who has which request open.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use time::{Duration, OffsetDateTime};

use crate::protocol::request::RequestNumber;
use crate::service::auth::Actor;

/// How long somebody who opened a request counts as looking at it; an open page asks again every ten seconds.
const LOOKING: Duration = Duration::minutes(2);

/// Who has which request open, as far as this process knows: a hint between colleagues, not a lock.
#[derive(Debug, Default)]
pub struct Watchers(Mutex<HashMap<(RequestNumber, u64), (String, OffsetDateTime)>>);

impl Watchers {
    /// Notes that a manager looks at a request, and tells who else does.
    pub(super) fn look(&self, actor: &Actor, number: RequestNumber, now: OffsetDateTime) -> Vec<String> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, (_, since)| now - *since < LOOKING);
        let mut others: Vec<String> = Vec::new();
        if let Actor::Manager(manager) = actor {
            open.insert((number, manager.id), (manager.name.clone(), now));
            others.extend(
                open.iter()
                    .filter(|((other, id), _)| *other == number && *id != manager.id)
                    .map(|(_, (name, _))| name.clone()),
            );
            others.sort();
        }
        others
    }
}
