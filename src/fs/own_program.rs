//! The path of netbe's own program.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Returns the path by which other processes can start this program, also after it was replaced.
pub fn own_program() -> Result<PathBuf> {
    let path = std::env::current_exe().context("finding this program")?;
    let text = path.to_string_lossy().into_owned();
    Ok(match text.strip_suffix(" (deleted)") {
        Some(replaced) if !path.exists() => PathBuf::from(replaced),
        _ => path,
    })
}
