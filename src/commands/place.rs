//! Chooses the pool of a command: the named one, else the pool for machines of the network, or this machine's own.
//!
//! Not for opening the pool.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, CommandFactory};

use super::{Cli, Command};
use crate::lifecycle;
use crate::pool::{layout, local, state};

/// The default pool for machines of the network.
pub(super) const USUAL: &str = "/srv/netbe";

/// The environment variable that names the pool.
pub(super) const POOL: &str = "NETBE_POOL";
/// The environment variable that names the directory of state directories.
pub(super) const STATE: &str = "NETBE_STATE";

/// Returns the directory that an environment variable names.
pub(super) fn of_environment(variable: &str) -> Option<PathBuf> {
    let value = std::env::var_os(variable)?;
    Some(PathBuf::from(value)).filter(|path| !path.as_os_str().is_empty())
}

/// Returns the directories of a command's pool and of its state directories.
pub(super) fn chosen(
    pool: Option<PathBuf>,
    states: Option<PathBuf>,
    command: &Command,
) -> (PathBuf, PathBuf) {
    // Not by clap, which treats a variable's value as part of the command line and shows it in each usage message.
    let given = |option: Option<PathBuf>, variable| option.or_else(|| of_environment(variable));
    let dir = given(pool, POOL).unwrap_or_else(|| match is_for_this_machine(command) {
        true => local::DIR.into(),
        false => USUAL.into(),
    });
    let states = given(states, STATE)
        .or_else(|| local::states_of(&dir))
        .unwrap_or_else(|| state::DEFAULT.into());
    (dir, states)
}

/// Returns the directories for completions, which know no operands yet.
pub(super) fn for_completions() -> PathBuf {
    let is_usual = layout::pool_record(Path::new(USUAL)).exists();
    match local::is_there() && !is_usual {
        true => local::DIR.into(),
        false => USUAL.into(),
    }
}

/// Returns whether a command without a named pool is for this machine's own pool: if there is no other, or if the command names
/// this machine or no node.
fn is_for_this_machine(command: &Command) -> bool {
    let has_usual = layout::pool_record(Path::new(USUAL)).exists();
    let is_for_others = match command {
        Command::Init(_) | Command::Serve(_) | Command::Transfer(_) => true,
        // Prunes both pools.
        Command::Prune(args) => args.all_pools,
        Command::Reconcile(args) => args.all_pools || has_usual,
        _ => false,
    };
    if is_for_others || !local::is_there() {
        return false;
    }
    if !has_usual {
        return true;
    }
    let words = operands(std::env::args_os());
    let node = lifecycle::local::node();
    words.is_empty()
        || words.iter().any(|word| {
            let name = word.split('/').next();
            name.is_some() && name == node.as_ref().map(crate::pool::NodeName::as_str)
        })
}

/// Returns the nodes and environments on a command line, as written: its operands up to `--`, and the values of `--node`.
fn operands(arguments: impl Iterator<Item = OsString>) -> Vec<String> {
    let before_dashes = arguments.take_while(|word| word != "--");
    let Ok(matches) = Cli::command()
        .ignore_errors(true)
        .try_get_matches_from(before_dashes)
    else {
        return Vec::new();
    };
    let Some((name, of_command)) = matches.subcommand() else {
        return Vec::new();
    };
    let command = Cli::command();
    let Some(command) = command.find_subcommand(name) else {
        return Vec::new();
    };
    let mut words = Vec::new();
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        if argument.is_positional() || id == "node" {
            words.extend(raw(of_command, id));
        }
    }
    words.retain(|word| !word.contains('='));
    words
}

fn raw(matches: &ArgMatches, id: &str) -> Vec<String> {
    let given = matches.try_get_raw(id).ok().flatten();
    given
        .into_iter()
        .flatten()
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let line = std::iter::once("netbe").chain(line.split_whitespace());
        operands(line.map(OsString::from))
    }

    #[test]
    fn operands_are_distinguished_from_options() {
        for (line, expected) in [
            ("status", &[][..]),
            ("upgrade", &[]),
            ("upgrade --node nog --name a", &["nog"]),
            ("--quiet rollback nog -n", &["nog"]),
            ("run nog/a -- ls host", &["nog/a"]),
            ("clone nog/a nog/b -d text", &["nog/a", "nog/b"]),
            ("set keep=3", &[]),
            ("set keep=3 nog", &["nog"]),
            ("activate", &[]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }
}
