//! The program: parse, run one command, print one error, end with its status.

fn main() {}
