//! ptc-enrollment: the service.
fn main() {}
