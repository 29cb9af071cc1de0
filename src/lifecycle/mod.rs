//! The rules: what may be done to environments, how it is planned, and how it is applied.

pub mod bring_in;
