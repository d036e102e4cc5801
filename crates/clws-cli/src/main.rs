//! The ready-made server.
fn main() {}
