//! What is alike in two environments, and what is not: `dedupe` and `diff`.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

mod dedupe;
mod diff;
mod random;
#[path = "../support/mod.rs"]
mod support;

use std::process::Command;

use support::{Pool, output, run};

/// Returns bytes that no compression makes smaller, the same for the same seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    while bytes.len() < length {
        bytes.extend(numbers.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Numbers without a pattern, the same for the same seed: Marsaglia's xorshift64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number below this one.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 11) as usize % limit
    }
}

/// Returns how many bytes of the pool's filesystem are used.
fn used(pool: &Pool) -> u64 {
    // What was deleted goes in the background, which a sync wakes.
    let sync = ["filesystem", "sync"];
    for command in [sync, ["subvolume", "sync"], sync] {
        run(Command::new("btrfs").args(command).arg(pool.path()));
    }
    let said = output(
        Command::new("btrfs")
            .args(["filesystem", "usage", "-b"])
            .arg(pool.path()),
    );
    let said = String::from_utf8(said).unwrap();
    let used = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Used:"));
    used.unwrap().trim().parse().unwrap()
}
