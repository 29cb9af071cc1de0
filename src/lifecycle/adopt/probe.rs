//! What is there on this machine, and what grub-probe(8) and blkid(8) say of what is mounted.
//!
//! A program that is there and cannot be run is an error, and no answer: what it would have said decides whether a machine boots.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};

use super::mounted::Mounted;
use crate::fs::path_error::if_exists;

/// Returns whether there is something at a path.
pub(super) fn is_there(path: &str) -> Result<bool> {
    let found = Path::new(path).try_exists();
    found.with_context(|| format!("looking for {path}"))
}

/// Returns what GRUB needs between a place's filesystem and its disk (`luks2`, `lvm`, …), a word each; `None` where GRUB cannot
/// tell, or has no such program.
pub(super) fn abstraction(place: &str) -> Result<Option<String>> {
    for program in ["grub-probe", "grub2-probe"] {
        let mut command = Command::new(program);
        let found = if_exists(command.args(["--target=abstraction", place]).output())
            .with_context(|| format!("running {program} on {place}"))?;
        if let Some(output) = found.filter(|output| output.status.success()) {
            return Ok(Some(text(&output).trim().to_string()));
        }
    }
    Ok(None)
}

/// Returns the UUID of what is mounted, as blkid(8) has it, where it is a word.
pub(super) fn uuid_of(mounted: &Mounted) -> Result<Option<String>> {
    let mut command = Command::new("blkid");
    command.args(["-p", "-s", "UUID", "-o", "value"]);
    let found = if_exists(command.arg(&mounted.device).output())
        .with_context(|| format!("running blkid on {}", mounted.device.display()))?;
    let found = found.filter(|output| output.status.success());
    let said = found.map(|output| text(&output).trim().to_string());
    // It becomes a word of a loader's configuration.
    let is_word = |said: &String| {
        !said.is_empty() && said.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    Ok(said.filter(is_word))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
