//! Named places between two steps, where a test build dies as if the power had failed.
//!
//! In a debug build, `PTC_ENROLL_KILL_AT=<name>` ends the process at that place without any clean-up. A release build
//! holds nothing of it.

/// Passes the place called `name`.
#[cfg(all(debug_assertions, unix))]
pub fn pass(name: &str) {
    if std::env::var_os("PTC_ENROLL_KILL_AT").is_some_and(|place| place == name) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Passes the place called `name`.
#[cfg(all(debug_assertions, windows))]
pub fn pass(name: &str) {
    if std::env::var_os("PTC_ENROLL_KILL_AT").is_some_and(|place| place == name) {
        // Ends without unwinding: no destructor runs, no store is closed.
        std::process::abort();
    }
}

/// Passes the place called `name`.
#[cfg(not(debug_assertions))]
pub fn pass(_name: &str) {}
