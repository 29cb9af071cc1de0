//! Where netbe's own program lies.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Returns this program as others can call it, also after a newer one took its place.
pub fn own_program() -> Result<PathBuf> {
    let path = std::env::current_exe().context("finding this program")?;
    let text = path.to_string_lossy().into_owned();
    Ok(match text.strip_suffix(" (deleted)") {
        Some(replaced) if !path.exists() => PathBuf::from(replaced),
        _ => path,
    })
}
