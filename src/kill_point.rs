//! Named places between two steps, where a test build dies as if the power had failed.
//!
//! In a debug build, `PTC_ENROLL_KILL_AT=<name>` ends the process at that place without any clean-up,
//! `PTC_ENROLL_KILL_AT=<name>:3` when it comes there for the third time. A release build holds nothing of it.

#[cfg(debug_assertions)]
use std::sync::LazyLock;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU32, Ordering};

/// Passes the place called `name`.
#[cfg(debug_assertions)]
pub fn pass(name: &str) {
    static TARGET: LazyLock<Option<(String, u32)>> = LazyLock::new(target);
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let Some((place, times)) = &*TARGET else { return };
    if place == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *times {
        end();
    }
}

/// Passes the place called `name`.
#[cfg(not(debug_assertions))]
pub fn pass(_name: &str) {}

/// Where to end, and when it is come to for which time.
#[cfg(debug_assertions)]
fn target() -> Option<(String, u32)> {
    let target = std::env::var("PTC_ENROLL_KILL_AT").ok()?;
    let counted = target.rsplit_once(':').and_then(|(place, times)| Some((place.to_owned(), times.parse().ok()?)));
    Some(counted.unwrap_or((target, 1)))
}

#[cfg(all(debug_assertions, unix))]
fn end() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

#[cfg(all(debug_assertions, windows))]
fn end() {
    // Ends without unwinding: no destructor runs, no store is closed.
    std::process::abort();
}
