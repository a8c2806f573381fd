//! The service's parts, each from outside.

mod ca;
mod listener;
mod package;
