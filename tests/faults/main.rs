//! Everything around netbe broken, one point after another: what always holds has to hold after each.
//!
//! A file a harness. `cargo test --test faults` runs each in a short form, a spread of its points; with
//! `NETBE_FAULTS=full` it runs all of them, with `NETBE_FAULTS=changes` all but those at calls between two changes. Each says
//! at its end how many points it tried and what it found, and is named for the numbers of what it holds a pool to; so is
//! each fault. The rules that a pool is held to are in one place, `judge.rs`.

// clippy.toml allows this in tests, and takes their helpers for something else.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod asked;
mod copies;
mod crowd;
mod damaged;
mod disk;
mod failing;
mod full;
mod fuzz;
mod ground;
mod grub;
mod judge;
mod killed;
mod local;
mod looks;
mod points;
mod power;
mod reading;
mod report;
mod scenes;
mod surroundings;
mod tracer;
mod verbs;
