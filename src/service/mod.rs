//! The registration authority and its CA.

pub mod ca;
pub mod credential;
pub mod files;
pub mod listener;
pub mod package;
pub mod tls;
