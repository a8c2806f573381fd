//! The managers' pages in a real Chromium with real client certificates; run by `tests/run`, which brings Chromium and
//! axe-core. Screenshots come to lie in `target/browser`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(unreachable_pub, reason = "the helpers of one binary need no second kind of visibility")]

mod chromium;
mod decisions;
mod hostile;
mod pages;
#[allow(dead_code, reason = "shared with the other integration binary, which uses the rest")]
#[path = "../support/mod.rs"]
mod support;
