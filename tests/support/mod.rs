//! What several tests build on: real services, real clients, faults between them.

pub mod proxy;
pub mod site;
