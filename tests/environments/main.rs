//! netbe seen from outside: the program itself, on a pool of its own for each test.
//!
//! A file a verb, or a question that is asked of many. A test is named by what holds; `invariant_N_…` shows number N of
//! what always holds, by the table in CONTRIBUTING.md.

// clippy.toml allows this in tests, and takes their helpers for something else.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod activate;
mod addresses;
mod adopt;
mod check;
mod clock;
mod clone;
mod concurrency;
mod confirm;
mod create;
mod create_many;
mod create_merged;
mod data;
mod deploy;
mod deploy_boot;
mod deploy_drivers;
mod deploy_ext4;
mod deploy_hostile;
mod deploy_meanwhile;
mod deploy_mounts;
mod deploy_refused;
mod deploy_room;
mod deploy_ssh;
mod describe;
mod destroy;
mod dry_run;
mod evidence;
mod existing;
mod for_any;
mod foreign;
mod full_disk;
mod hints;
mod hostile;
mod identity;
mod init;
mod inside;
mod interrupted;
mod iscsi;
mod left_behind;
mod list;
mod locks;
mod machine;
mod meanwhile;
mod model;
mod mount;
mod names;
mod network;
mod older;
mod planted;
mod properties;
mod prune;
mod publish;
mod records;
mod rename;
mod restore;
mod rollback;
mod serve;
mod several;
mod several_machines;
mod status;
mod surroundings;
mod terminal;
mod tftp_of_dnsmasq;
