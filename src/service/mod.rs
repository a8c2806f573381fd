//! The registration authority and its CA.

pub mod admission;
pub mod api;
pub mod app;
pub mod audit;
pub mod auth;
pub mod ca;
pub mod config;
pub mod credential;
pub mod db;
pub mod error;
pub mod files;
pub mod handover;
pub mod install;
pub mod listener;
pub mod metrics;
pub mod notices;
pub mod package;
pub mod pkcs12;
pub mod publication;
mod rate;
pub mod readiness;
pub mod registration;
pub mod request_scope;
pub mod router;
pub mod server;
pub mod tls;
pub mod web;
