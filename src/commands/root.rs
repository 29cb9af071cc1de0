//! Root is asked for before a command begins: everything that netbe knows, and that nodes have, is root's alone.
//!
//! Not for what root itself lacks, such as a capability in a container.

use anyhow::Result;

use super::{Command, run};
use crate::failure::Failure;

/// What a user's environment hands to netbe and sudo(8) does not.
const VARIABLES: [&str; 2] = ["NETBE_POOL", "NETBE_STATE"];

/// Refuses a user other than root, with the same command for sudo(8).
pub(super) fn require(command: &Command) -> Result<()> {
    if nix::unistd::geteuid().is_root() || matches!(command, Command::Completions(_)) {
        return Ok(());
    }
    let set = VARIABLES
        .iter()
        .filter_map(|name| Some(format!("{name}={}", std::env::var(name).ok()?)));
    let line = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = set.chain(line).map(|word| quoted(&word)).collect();
    let refusal = Failure::failed("netbe needs root; nothing was done")
        .hint(format!("sudo {}", words.join(" ")))
        .into();
    Err(match command {
        Command::Run(_) | Command::Shell(_) => run::with_status_of_netbe(refusal),
        _ => refusal,
    })
}

/// Returns a word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._+-=:,@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_read_by_a_shell_as_they_were_given() {
        for (word, shown) in [
            ("nog/a", "nog/a"),
            ("cmdline=quiet splash", "'cmdline=quiet splash'"),
            ("", "''"),
            ("it's", "'it'\\''s'"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
