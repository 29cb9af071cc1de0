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
        ShellName::Zsh => amended(text.trim_start(), "zsh", &ZSH),
        ShellName::Bash => amended(&text, "bash", &BASH),
        _ => Ok(text),
    }
}

/// Replacements in a script.
type Amendments<const N: usize> = [(&'static str, &'static str); N];

/// bash takes `=` and `:` for words of their own, and what is after them for another, which is empty at first: netbe has to
/// see which of them it is, or it would complete options.
const BASH: Amendments<1> = [(
    "        words[COMP_CWORD]=\"$2\"\n",
    "        case \"${words[COMP_CWORD]}\" in\n            = | :) ;;\n            *) words[COMP_CWORD]=\"$2\" ;;\n        esac\n",
)];

/// No space after `PROPERTY=` and `NODE/`, which are shown as they are: without the slash, a node would be listed twice.
/// Completions at the first TAB also if zsh autoloads the script from `fpath`.
const ZSH: Amendments<5> = [
    (
        "        local -a other=()\n",
        "        local -a other=()\n        local -a unfinished=()\n",
    ),
    (
        "            if [[ \"$value\" == */ ]]; then\n                local dir_no_slash=\"${value%/}\"\n                if [[ \"$completion\" == *:* ]]; then\n                    local desc=\"${completion#*:}\"\n                    dirs+=(\"$dir_no_slash:$desc\")\n                else\n                    dirs+=(\"$dir_no_slash\")\n                fi\n            else\n",
        "            if [[ \"$value\" == *[/=] ]]; then\n                unfinished+=(\"$completion\")\n            else\n",
    ),
    ("        local -a dirs=()\n", ""),
    (
        "        [[ -n $dirs ]] && _describe -V 'values' dirs -S '/' -r '/'\n",
        "        [[ -n $unfinished ]] && _describe -V 'values' unfinished -S ''\n",
    ),
    (
        "\ncompdef _clap_dynamic_completer_netbe netbe",
        "\nif [[ \"${funcstack[1]}\" == _netbe ]]; then\n    _clap_dynamic_completer_netbe \"$@\"\nfi\ncompdef _clap_dynamic_completer_netbe netbe",
    ),
];

/// Amends clap_complete's script for a shell.
fn amended<const N: usize>(
    script: &str,
    shell: &str,
    amendments: &Amendments<N>,
) -> Result<String> {
    let mut text = script.to_string();
    for (old, new) in amendments {
        ensure!(
            text.matches(old).count() == 1,
            "clap_complete's script for {shell} is not the one this netbe amends"
        );
        text = text.replace(old, new);
    }
    Ok(text)
}
