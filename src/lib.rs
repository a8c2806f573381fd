//! Certificate enrollment for the world's postal operators.
//!
//! Three rooms, one direction:
//!
//! * [`protocol`]: what both programs agree on. Serde types and pure rules, no I/O.
//! * [`client`]: what `ptc-enroll` does on an administrator's machine.
//! * [`service`]: the registration authority and its CA behind `ptc-enrollment`.
//!
//! `client` and `service` both use `protocol`, never each other. [`locales`] holds every text a person reads, for
//! all three; [`parallel`] puts every processor to work and [`background`] keeps what nobody waits for from the others' way, for
//! the latter two. `tests/layout.rs` keeps the walls standing.

// What only Windows compiles calls its functions; everything else is compiled here too.
#![cfg_attr(not(windows), forbid(unsafe_code))]

pub mod background;
pub mod client;
pub mod kill_point;
pub mod locales;
pub mod parallel;
pub mod protocol;
#[cfg(feature = "service")]
pub mod service;
