//! Which files exist on this machine, and the answers of grub-probe(8) and blkid(8) about mounts.
//!
//! A program that exists and cannot be run is an error, since its answer decides whether a machine boots.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};

use super::mounted::Mounted;
use crate::fs::path_error::if_exists;

/// Returns whether a path exists.
pub(super) fn is_there(path: &str) -> Result<bool> {
    let found = Path::new(path).try_exists();
    found.with_context(|| format!("looking for {path}"))
}

/// Returns the layers between a filesystem and its disk that GRUB has to open (`luks2`, `lvm`, …), a word each; `None` if
/// GRUB does not know them, or its program is missing.
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

/// Returns the UUID of a mounted filesystem, by blkid(8), if it is a single word.
pub(super) fn uuid_of(mounted: &Mounted) -> Result<Option<String>> {
    let mut command = Command::new("blkid");
    command.args(["-p", "-s", "UUID", "-o", "value"]);
    let found = if_exists(command.arg(&mounted.device).output())
        .with_context(|| format!("running blkid on {}", mounted.device.display()))?;
    let found = found.filter(|output| output.status.success());
    let uuid = found.map(|output| text(&output).trim().to_string());
    // The UUID becomes a word of a loader's configuration.
    let is_word = |text: &String| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    Ok(uuid.filter(is_word))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
