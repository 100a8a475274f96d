//! tocsin
fn main() {}
