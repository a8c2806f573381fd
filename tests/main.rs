//! The one integration binary; its folders mirror `src`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(unreachable_pub, reason = "the helpers of one binary need no second kind of visibility")]

mod client;
#[cfg(feature = "service")]
mod fuzz;
mod layout;
mod protocol;
#[cfg(feature = "service")]
mod service;
#[allow(dead_code, reason = "shared with the other integration binary, which uses the rest")]
mod support;
