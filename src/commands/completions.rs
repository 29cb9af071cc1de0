//! `netbe completions`

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use clap_complete::env::Shells;

use super::session::Session;

/// Print the completion script of a shell
///
/// It completes the names of nodes, environments and properties from the pool.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe completions bash > /etc/bash_completion.d/netbe
  netbe completions zsh > /usr/local/share/zsh/site-functions/_netbe
  netbe completions fish > ~/.config/fish/completions/netbe.fish")]
pub struct Completions {
    /// The shell
    pub shell: ShellName,
}

/// A shell with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum ShellName {
    Bash,
    Zsh,
    Fish,
    Elvish,
    #[value(name = "powershell")]
    PowerShell,
}

/// Prints the script by which a shell gets completions from netbe.
pub fn run(session: &Session, args: &Completions) -> Result<u8> {
    session.answer(&script(args.shell)?)?;
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
    let text = String::from_utf8(text)?;
    match shell {
        ShellName::Zsh => amend_zsh(&text),
        _ => Ok(text),
    }
}

/// Amends clap_complete's script for zsh: no space after `PROPERTY=`, and completions at the first TAB also if zsh
/// autoloads the script from `fpath`.
fn amend_zsh(script: &str) -> Result<String> {
    const AMENDMENTS: [(&str, &str); 4] = [
        (
            "        local -a other=()\n",
            "        local -a other=()\n        local -a assignments=()\n",
        ),
        (
            "            else\n                other+=",
            "            elif [[ \"$value\" == *= ]]; then\n                assignments+=(\"$completion\")\n            else\n                other+=",
        ),
        (
            "        [[ -n $other ]]",
            "        [[ -n $assignments ]] && _describe -V 'values' assignments -S ''\n        [[ -n $other ]]",
        ),
        (
            "\ncompdef _clap_dynamic_completer_netbe netbe",
            "\nif [[ \"${funcstack[1]}\" == _netbe ]]; then\n    _clap_dynamic_completer_netbe \"$@\"\nfi\ncompdef _clap_dynamic_completer_netbe netbe",
        ),
    ];
    let mut text = script.trim_start().to_string();
    for (old, new) in AMENDMENTS {
        ensure!(
            text.matches(old).count() == 1,
            "clap_complete's script for zsh is not the one this netbe amends"
        );
        text = text.replace(old, new);
    }
    Ok(text)
}
