//! What the targets need of `tests/support`.
#![allow(dead_code, reason = "shared with the ordinary tests, which use the rest")]

#[path = "../../support/chance.rs"]
pub(crate) mod chance;
#[path = "../../support/csr.rs"]
pub(crate) mod csr;
