//! The one integration binary; its folders mirror `src`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod layout;
mod protocol;
mod support;
