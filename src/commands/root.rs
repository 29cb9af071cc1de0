//! Requires root before a command begins: only root may read netbe's records and the nodes' files.
//!
//! Not for privileges that root itself lacks, such as a capability in a container.

use anyhow::Result;

use super::{Command, place, run};
use crate::failure::Failure;
use crate::fs::shown_path::quoted_word;

/// Environment variables that netbe uses and sudo(8) does not pass on.
const VARIABLES: [&str; 2] = [place::POOL, place::STATE];

/// Refuses a user other than root, with the same command for sudo(8).
pub(super) fn require(command: &Command) -> Result<()> {
    if nix::unistd::geteuid().is_root() || matches!(command, Command::Completions(_)) {
        return Ok(());
    }
    let set = VARIABLES
        .iter()
        .filter_map(|name| Some(format!("{name}={}", std::env::var(name).ok()?)));
    let line = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = set.chain(line).map(|word| quoted_word(&word)).collect();
    let refusal = Failure::failed("netbe needs root; nothing was done")
        .hint(format!("sudo {}", words.join(" ")))
        .into();
    Err(match command {
        Command::Run(_) | Command::Shell(_) => run::with_status_of_netbe(refusal),
        _ => refusal,
    })
}
