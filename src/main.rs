//! ptc-enroll: the client.
fn main() {}
