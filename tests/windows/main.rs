//! The client for Windows, under Wine, against the real service; run by `tests/run`, which builds the Windows programs
//! first with `tests/windows/build`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(unreachable_pub, reason = "the helpers of one binary need no second kind of visibility")]

mod console;
mod crash;
mod enrollment;
mod machine;
mod network;
mod refusals;
mod release;
#[allow(dead_code, reason = "shared with the other integration binary, which uses the rest")]
#[path = "../support/mod.rs"]
mod support;
mod wine;
