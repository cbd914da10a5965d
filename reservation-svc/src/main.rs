//! reservation-svc
fn main() {}
