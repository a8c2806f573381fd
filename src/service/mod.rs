//! The registration authority and its CA.

pub mod api;
pub mod app;
pub mod audit;
pub mod auth;
pub mod config;
pub mod db;
pub mod error;
pub mod registration;
pub mod router;
pub mod server;
