//! What both programs agree on, fed with what the world sends.

mod names;
mod rules;
