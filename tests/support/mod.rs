//! Support for integration tests: a pool of their own, a system to import, the program to run.
//!
//! A test that makes a [`Pool`] has its own mount namespace on its own thread, so tests run side by side, see
//! nothing of each other, and leave neither mounts nor loop devices behind, even when they are killed. Everything
//! here needs root and says so: a test that did not run must not look like one that passed.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test program uses its own part of this"
)]

pub mod alpine;
mod disk;
mod fingerprint;
mod forks;
mod garden;
pub mod kernel;
mod machine;
mod netbe;
mod noise;
mod pool;
mod scene;
mod seclusion;
mod system;
mod wait;

pub use disk::Disk;
pub use fingerprint::{Fingerprint, describe};
pub use forks::{unmount, wait_for_forks};
pub use garden::Garden;
pub use machine::Machine;
pub use netbe::{Netbe, Outcome, PROGRAMS};
pub use noise::{Numbers, noise};
pub use pool::{Pool, SERVER, run, state_of};
pub use scene::{MAC, TFTP_NAME, install, output, refusal};
pub use seclusion::{mounts, require_root, seclude, show_units};
pub use system::System;
pub use wait::{PATIENCE, wait_until};
