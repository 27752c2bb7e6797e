//! kilobase.
fn main() {}
