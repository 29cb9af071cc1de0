//! What netbe does, seen from outside: the program itself, on a pool of its own a test.
//!
//! A file a verb, or a question that is asked of many. A test is named by what holds; `invariant_N_…` shows number N of
//! what always holds, by the table in CONTRIBUTING.md.

// clippy.toml allows this in tests, and takes their helpers for something else.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod activate;
mod check;
mod concurrency;
mod create;
mod destroy;
mod devices;
mod diff;
mod dnsmasq;
mod dry_run;
mod evidence;
mod exports;
mod foreign;
mod guards;
mod hostile;
mod identity;
mod init;
mod inside;
mod interrupted;
mod list;
mod locks;
mod machine;
mod meanwhile;
mod mount;
mod names;
mod network;
mod notes;
mod planted;
mod pointer;
mod properties;
mod protection;
mod prune;
mod records;
mod rename;
mod repair;
mod rollback;
mod serve;
mod space;
mod surroundings;
mod taking_over;
mod terminal;
mod tftp;
mod tree;
mod trial;
mod verification;
