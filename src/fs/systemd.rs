//! Asks systemd about units, and changes them. What a unit contains is not known here.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Error, Result, bail};

use super::server_packages;

/// Returns whether systemd is the init system: sd_booted(3).
pub fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Returns whether systemd is the init system, or is installed to be one, as in a system that is only being made.
pub fn is_installed() -> bool {
    let programs = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
    is_running() || programs.iter().any(|program| Path::new(program).exists())
}

/// Returns whether a unit has a state: `is-active`, `is-enabled`.
pub fn unit_is(state: &str, unit: &str) -> bool {
    Command::new("systemctl")
        .args([state, "--quiet", unit])
        .output()
        .is_ok_and(|o| o.status.success())
}

/// Runs systemctl(1).
pub fn systemctl(arguments: &[&str]) -> Result<()> {
    run(Command::new("systemctl").args(arguments))
}

/// Runs a program to its end.
///
/// # Errors
/// Contains the program's stderr.
pub fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| match e.kind() {
        ErrorKind::NotFound => server_packages::missing(&name).into(),
        _ => Error::new(e).context(format!("running {name}")),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let text: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let name = Path::new(&name)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    // dnsmasq prefixes its messages with its name itself.
    let text = text.join("; ");
    let text = text.strip_prefix(&format!("{name}: ")).unwrap_or(&text);
    bail!("{name}: {text}")
}
