//! waitroom-proxy
fn main() {}
