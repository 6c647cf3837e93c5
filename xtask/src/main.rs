//! The development commands of Ravelin.

fn main() {}
