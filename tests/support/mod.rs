//! What several tests build on: CSRs of any shape, real services, real clients, faults between them, verifiers that were
//! not written here.

#[cfg(feature = "service")]
pub mod chance;
pub(crate) mod csr;
#[cfg(feature = "service")]
pub mod database;
#[cfg(feature = "service")]
pub mod disk;
#[cfg(feature = "service")]
pub mod output;
#[cfg(feature = "service")]
pub mod postgres;
#[cfg(feature = "service")]
pub mod proxy;
#[cfg(feature = "service")]
pub mod receivers;
#[cfg(feature = "service")]
pub mod service;
#[cfg(feature = "service")]
pub mod serving;
#[cfg(feature = "service")]
pub mod site;
#[cfg(feature = "service")]
pub mod small_disk;
#[cfg(feature = "service")]
pub mod strace;
#[cfg(feature = "service")]
pub mod token;
#[cfg(feature = "service")]
pub(crate) mod verifiers;
