//! What several tests build on: real services, real clients, faults between them, verifiers that were not written here.

pub mod proxy;
pub mod service;
pub mod site;
pub(crate) mod verifiers;
