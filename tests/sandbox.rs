//! The sandbox with real namespaces, on a root made of a static busybox.
//!
//! Wants root and `busybox-static`, and fails without, saying which is missing. Has a `main` of its own,
//! because a program that makes sandboxes must ask first whether it is one's first stage. Started as
//! `sandbox drive ROOT BOOT LOG -- COMMAND…` it plays netbe, to be killed by the tests.

// clippy.toml allows this in tests, and knows them by an attribute that a `main` of its own has not.
#![allow(clippy::unwrap_used)]

use netbe::sandbox::{Durable, Io, Network, Program, Sandbox, become_first_stage_if_asked};

#[path = "sandbox/mod.rs"]
mod suite;
#[allow(
    unreachable_pub,
    reason = "of other suites it is a part of what a crate gives"
)]
#[path = "support/wait.rs"]
mod wait;

fn main() {
    become_first_stage_if_asked();
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "drive") {
        drive(&words[1..]);
    }
    suite::main(&words);
}

/// Runs one command as netbe would and ends with its status; LOG is `-` for the terminal.
fn drive(words: &[String]) -> ! {
    let [root, boot, log, dashes, argv @ ..] = words else {
        panic!("drive ROOT BOOT LOG -- COMMAND")
    };
    assert_eq!(dashes, "--");
    let io = if log == "-" {
        Io::Terminal
    } else {
        Io::Log {
            log: std::fs::File::create(log).unwrap(),
            echo: false,
        }
    };
    let sandbox = Sandbox {
        root: root.as_ref(),
        boot: boot.as_ref(),
        boot_mount: "/boot/firmware",
        hostname: "nog",
        durable: Durable::Always,
        network: &Network::Private(Vec::new()),
        packages: None,
        data: &[],
    };
    let program = Program {
        argv: argv.to_vec(),
        env: Vec::new(),
        io,
    };
    let tree = netbe::fs::rooted::Tree::open(sandbox.root).unwrap();
    let ended = netbe::sandbox::emulation::check(&tree).and_then(|()| sandbox.run(program));
    match ended {
        Ok(ended) => {
            eprintln!("ended: {ended:?}");
            std::process::exit(ended.status().into());
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::exit(125);
        }
    }
}
