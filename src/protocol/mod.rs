//! What client and service agree on: states, messages, names, the rules for a CSR, problem documents.
//!
//! Serde types and pure functions only. Nothing here opens a file or a socket, or asks for the time.

pub mod batch;
pub mod bulk;
mod csr_form;
pub(crate) mod der;
pub mod identifier;
pub mod messages;
pub mod package;
pub mod problem;
pub mod request;
pub mod rules;
pub mod secret;
pub mod subject;
pub mod text;
mod weak_key;
