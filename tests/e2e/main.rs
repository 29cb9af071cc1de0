//! Machines that boot: whole stories, with everything in them real but the hardware.
//!
//! The boot server is a Linux of its own, User Mode Linux, with the kernel's NFS server, btrfs, dnsmasq and the netbe that
//! was just built; machines are QEMU's, without KVM. They meet in a network namespace of the test's own. What every console
//! said lies under `target/tmp/e2e/`, with times; a test that fails prints the end of it. `NETBE_E2E_SHOW=1 cargo test
//! --test e2e NAME -- --nocapture` shows it while it happens.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

mod arm64;
mod boots;
// By its name the second to begin: it takes longest but one, and is what all would wait for.
mod child;
mod comes_back;
mod confinement;
mod console;
mod demo;
mod firmware;
mod fresh;
mod fresh_machine;
mod golden;
mod iscsi;
mod left_behind;
#[path = "../documented/line.rs"]
mod line;
mod local;
mod machine;
#[path = "../documented/markdown.rs"]
mod markdown;
mod measure;
mod network;
mod newer_grub;
mod one_image;
mod own_disk;
mod prepared;
mod raspberry;
mod running;
mod scene;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod systemd_boot;
mod systems;
mod trials;
mod u_boot;
mod uefi;
mod uml;
