//! `netbe completions`

use anyhow::{Context, Result};
use clap_complete::env::Shells;

use super::Session;
use crate::cli::{Completions, ShellName};

/// Prints the script that makes a shell ask netbe what completes a word.
pub fn run(session: &Session, args: &Completions) -> Result<u8> {
    session.screen.answer(&script(args.shell)?)?;
    Ok(0)
}

/// Returns a shell's completion script, as committed under `completions/`.
pub fn script(shell: ShellName) -> Result<String> {
    let name = match shell {
        ShellName::Bash => "bash",
        ShellName::Zsh => "zsh",
        ShellName::Fish => "fish",
        ShellName::Elvish => "elvish",
        ShellName::PowerShell => "powershell",
    };
    let shells = Shells::builtins();
    let completer = shells
        .completer(name)
        .with_context(|| format!("finding the completions of {name}"))?;
    let mut text = Vec::new();
    completer.write_registration("COMPLETE", "netbe", "netbe", "netbe", &mut text)?;
    Ok(String::from_utf8(text)?)
}
