//! The report of a harness: the number of the broken invariant, and at the end the number of cases.

use std::fmt::Display;
use std::io::Write;

/// The things that always hold, by their numbers from 1, in a few words each.
const HOLDS: [&str; 15] = [
    "whole or absent",
    "one commit point",
    "never dangling",
    "the running one is not touched",
    "inside stays inside",
    "unknown is running",
    "no way to lose the way back",
    "a path and an fsid belong to one environment for ever",
    "old or new",
    "reading is free",
    "one writer",
    "names are safe",
    "edits are exact",
    "nothing is left behind unsaid",
    "trusted things stand on trusted ground",
];

/// Returns a complaint, with the number of what always holds and does not here.
pub(crate) fn against(number: usize, what: impl Display) -> String {
    format!("against {number}, {}: {what}", HOLDS[number - 1])
}

/// Says what a harness tried and found, where it is seen also when it found nothing: `scripts/test` repeats it.
///
/// Of a test that passes, libtest keeps back what goes through `println!`.
pub(crate) fn figures(line: &str) {
    // In one piece, on a line of its own: other tests write beside it.
    let _ = std::io::stderr().write_all(format!("\nfigures: {line}\n").as_bytes());
}
