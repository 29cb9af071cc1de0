//! Every way something is shown.

use crate::source::compare;

/// What prints, or is where printed text goes.
const PRINTING: &[&str] = &[
    "println!(",
    "print!(",
    "eprintln!(",
    "eprint!(",
    "dbg!(",
    "stdout()",
    "stderr()",
];

/// File, way, how often, and why nothing that is not clean goes out there.
const PRINTS: &[(&str, &str, usize, &str)] = &[
    (
        "commands/mod.rs",
        "stdout()",
        1,
        "asks whether it is a terminal",
    ),
    (
        "commands/mod.rs",
        "stderr()",
        1,
        "asks whether it is a terminal",
    ),
    (
        "lifecycle/export/target.rs",
        "stdout()",
        2,
        "a stream, never to a terminal",
    ),
    (
        "output/screen.rs",
        "stderr()",
        1,
        "asks whether it is a terminal",
    ),
    (
        "sandbox/relay.rs",
        "stderr()",
        1,
        "what `run` and `shell` show, whose terminal is the program's",
    ),
    (
        "sandbox/relay.rs",
        "stdout()",
        2,
        "what `run` and `shell` show, whose terminal is the program's",
    ),
    ("sandbox/start.rs", "stderr()", 2, "asks what they are"),
    ("sandbox/start.rs", "stdout()", 2, "asks what they are"),
    (
        "serve/mod.rs",
        "stdout()",
        1,
        "the socket between two processes, in place of an output",
    ),
    (
        "terminal.rs",
        "stderr()",
        2,
        "it is the way: cleaned, then shown",
    ),
    (
        "terminal.rs",
        "stdout()",
        1,
        "it is the way: cleaned, then shown",
    ),
    ("terminal/messages.rs", "stderr()", 1, "asks how wide it is"),
];

#[test]
fn everything_that_is_shown_goes_through_terminal() {
    compare(PRINTING, PRINTS);
}
