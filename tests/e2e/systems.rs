//! Real systems for machines to run, and packages for them to be upgraded with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Returns a real system's file, making it where it is not there yet.
pub(crate) fn real(arguments: &[&str]) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-system");
    let output = Command::new(&script)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("the script can be run");
    assert!(output.status.success(), "{} failed", script.display());
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
