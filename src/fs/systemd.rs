//! systemd, where it runs: asking about units, and changing them.
//!
//! Not for what a unit says.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Returns whether systemd runs this machine: sd_booted(3).
pub fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Returns whether a unit is in a state: `systemctl is-active`, `is-enabled`.
pub fn unit_is(state: &str, unit: &str) -> bool {
    Command::new("systemctl")
        .args([state, "--quiet", unit])
        .output()
        .is_ok_and(|o| o.status.success())
}

/// Runs systemctl(1).
pub fn systemctl(arguments: &[&str]) -> Result<()> {
    ran(Command::new("systemctl").args(arguments))
}

/// Runs a program to its end.
///
/// # Errors
/// With what it says.
pub fn ran(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("running {name}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let said: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let name = Path::new(&name)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    // dnsmasq begins with its own name already.
    let said = said.join("; ");
    let said = said.strip_prefix(&format!("{name}: ")).unwrap_or(&said);
    bail!("{name}: {said}")
}
