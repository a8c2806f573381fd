//! What is known of the request that the present task answers, for the log: its id, and who asks.

use std::cell::Cell;
use std::future::Future;

use super::auth::Actor;

tokio::task_local! {
    static REQUEST: Scope;
}

/// Before credentials were looked at, or where there are none.
const NOBODY: &str = Actor::Anonymous.sort();

struct Scope {
    id: String,
    actor: Cell<&'static str>,
}

/// Does the work of a request under its id.
pub(in crate::service) async fn within<T>(id: String, work: impl Future<Output = T>) -> T {
    REQUEST.scope(Scope { id, actor: Cell::new(NOBODY) }, work).await
}

/// Notes who asks, by kind alone.
pub(in crate::service) fn asked_by(actor: &'static str) {
    // Outside of a request nobody asks.
    let _ = REQUEST.try_with(|scope| scope.actor.set(actor));
}

/// The kind of who asks, as far as it is known.
pub(in crate::service) fn actor() -> &'static str {
    REQUEST.try_with(|scope| scope.actor.get()).unwrap_or(NOBODY)
}

/// Shows the id of the request that the present task answers, if it does.
pub fn with_id<T>(show: impl FnOnce(&str) -> T) -> Option<T> {
    REQUEST.try_with(|scope| show(&scope.id)).ok()
}
