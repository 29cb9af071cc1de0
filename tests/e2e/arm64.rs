//! An arm64 system for boards, made on a server with another processor.

use std::path::Path;

use crate::support::Netbe;
use crate::systems;

/// Where the template's root is; its own packages, so far the greeting, lie in it.
pub(crate) const ROOT: &str = "/srv/netbe/nodes/board/envs/base/root";
/// The template's boot half.
pub(crate) const BOOT: &str = "/srv/netbe/nodes/board/envs/base/boot";

/// Brings a Raspberry Pi's image in as the template `board`, with the greeting 1.0, installed by its own package manager.
pub(crate) fn import_template(netbe: &Netbe, image: &Path) {
    systems::emulate("arm64");
    netbe.ok(&format!("import board/base {}", image.display()));
    offer_greeting("1.0");
    systems::install_greeting(netbe, "board/base");
    // What QEMU's board calls its serial port.
    let cmdline = "cmdline=console=ttyAMA0 quiet mitigations=off";
    assert_eq!(netbe.run_with(&["set", cmdline]).status, 0);
}

/// Puts a version of the greeting into the template's repository, which nodes made of it after that have.
pub(crate) fn offer_greeting(version: &str) {
    systems::offer_greeting_inside(Path::new(ROOT), version);
}
