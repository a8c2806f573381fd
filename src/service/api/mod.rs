//! HTTP: handlers that read a request, call the registration authority, and write the answer.
//!
//! Nothing is decided here. Which path leads to which handler stands in `router`.

pub mod administration;
pub mod batch;
pub mod bulk;
pub(in crate::service) mod extract;
pub mod frame;
pub mod manager;
pub(in crate::service) mod operations;
pub(in crate::service) mod places;
pub mod public;
pub mod publication;

/// The media type of JSON answers.
pub(super) const JSON: &str = "application/json";
