//! A machine that is its own node, and what it does one after another: what each command finds is what those before it left.

use std::fs;
use std::process::Command;

use super::view::Part;
use crate::support::{Machine, noise, run};

/// A command during which the power is cut.
#[derive(Debug)]
pub(super) struct Scene {
    /// What it is called in `NETBE_FAULT`.
    pub(super) name: &'static str,
    /// What the machine boots before it, a subvolume.
    pub(super) boots: Option<&'static str>,
    /// Lines of the shell that come before it.
    pub(super) before: &'static [&'static str],
    /// In which order it changes what boots the machine, where that is several parts.
    pub(super) order: &'static [Part],
    /// Its arguments.
    pub(super) line: &'static str,
}

const fn scene(name: &'static str, line: &'static str) -> Scene {
    Scene {
        name,
        boots: None,
        before: &[],
        order: &[],
        line,
    }
}

/// A kernel package that is being installed, and has written its files just now.
const NEW_KERNEL: &[&str] = &[
    "cd /usr/lib/modules; cp -r 6.1.0-50-amd64 6.1.0-51-amd64",
    "cd /boot; for file in vmlinuz initrd.img; do sed s/6.1.0-50/6.1.0-51/g $file-6.1.0-50-amd64 >$file-6.1.0-51-amd64; done",
];

pub(super) const SCENES: &[Scene] = &[
    Scene {
        order: &[Part::Active, Part::Offered, Part::Configuration],
        ..scene("adopt", "adopt nog --yes")
    },
    Scene {
        boots: Some("netbe/nodes/nog/envs/first/root"),
        ..scene("create", "create nog/second")
    },
    scene("once", "activate --once nog/second"),
    scene("cancel", "activate --cancel nog"),
    scene("try", "activate --try nog/second"),
    Scene {
        // It ends the trial, of what is active by then.
        order: &[Part::Active, Part::Once],
        ..scene("activate", "activate nog/second")
    },
    scene("rollback", "rollback"),
    Scene {
        order: &[Part::Offered, Part::Active],
        ..scene("create-active", "create nog/third -a")
    },
    Scene {
        order: &[Part::Active, Part::Offered],
        ..scene("rename-active", "rename nog/third fourth")
    },
    scene("rename", "rename nog/second other"),
    Scene {
        before: &["netbe set upgrade.network=host nog"],
        ..scene("upgrade", "upgrade nog --name newer -- touch /etc/new")
    },
    scene("run", "run nog/newer -- touch /etc/newer"),
    scene("describe", "describe nog/newer better"),
    scene("set-existing", "set cmdline=quiet nog --existing"),
    Scene {
        before: &["netbe activate nog/first"],
        ..scene("destroy", "destroy -y nog/newer")
    },
    scene("destroy-several", "destroy -y nog/other nog/fourth"),
    Scene {
        before: NEW_KERNEL,
        ..scene("publish", "--pool /run/netbe/local publish")
    },
    Scene {
        boots: Some("@"),
        ..scene("undo", "adopt --undo")
    },
];

/// Makes the machine, whose kernel is larger than what fits into the trees of the filesystem.
pub(super) fn machine() -> Machine {
    let machine = Machine::with_partition();
    let kernel = machine.root.join("boot/vmlinuz-6.1.0-50-amd64");
    let mut bytes = fs::read(&kernel).unwrap();
    bytes.extend(noise(50_000, 1));
    fs::write(kernel, bytes).unwrap();
    // What is there before is on the disk.
    run(Command::new("sync").arg("-f").arg(&machine.root));
    machine
}
