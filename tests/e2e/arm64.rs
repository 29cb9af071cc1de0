//! An arm64 system for boards, made on a server with another processor.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::server::script;
use crate::support::{Netbe, run};
use crate::systems;

/// Where the template's root is; its own packages, so far the greeting, lie in it.
pub(crate) const ROOT: &str = "/srv/netbe/nodes/board/envs/base/root";
/// The template's boot half.
pub(crate) const BOOT: &str = "/srv/netbe/nodes/board/envs/base/boot";

/// Brings a Raspberry Pi's image in as the template `board`, with the greeting 1.0, installed by its own package manager.
pub(crate) fn bring_in(netbe: &Netbe, image: &Path) {
    systems::emulate("arm64");
    netbe.ok(&format!("import board/base {}", image.display()));
    offer_greeting("1.0");
    fs::write(
        format!("{ROOT}/etc/apt/sources.list"),
        "deb [trusted=yes] file:/srv/apt ./\n",
    )
    .unwrap();
    let install = format!(
        "{}\napt-get -q update && apt-get -qy install netbe-greeting",
        systems::for_slow_machines()
    );
    let said = netbe.run_with(&["run", "board/base", "--", "sh", "-ec", &install]);
    assert_eq!(said.status, 0, "{said:#?}");
    // What QEMU's board calls its serial port.
    let cmdline = "cmdline=console=ttyAMA0 quiet mitigations=off";
    assert_eq!(netbe.run_with(&["set", cmdline]).status, 0);
}

/// Puts a version of the greeting into the template's repository, which nodes made of it after that have.
pub(crate) fn offer_greeting(version: &str) {
    let make = format!("{} {ROOT}/srv/apt {version}", script("package"));
    run(Command::new("sh").args(["-ec", &make]));
}
