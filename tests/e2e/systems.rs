//! Real systems for machines to run, and packages for them to be upgraded with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::run;

/// Returns a real system's file, making it where it is not there yet.
pub(crate) fn real(arguments: &[&str]) -> PathBuf {
    file_of("scripts/make-system", arguments)
}

/// Returns a package with a newer kernel than that of the real Debian.
pub(crate) fn newest_kernel() -> PathBuf {
    file_of("tests/e2e/newest-kernel", &[])
}

/// Returns a directory with Debian's signed shim and GRUB, as their packages lay them out.
pub(crate) fn signed_loaders() -> PathBuf {
    file_of("tests/e2e/signed-loaders", &[])
}

/// Has this machine run programs of another architecture, as Debian calls it.
pub(crate) fn emulate(architecture: &str) {
    if architecture == "arm64" && std::env::consts::ARCH == "aarch64" {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systems/binfmt");
    run(Command::new(script).arg(architecture));
}

/// Runs a script that prints the name of a file.
fn file_of(script: &str, arguments: &[&str]) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let output = Command::new(&script)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("the script can be run");
    assert!(output.status.success(), "{} failed", script.display());
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
