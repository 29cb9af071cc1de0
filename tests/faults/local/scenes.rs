//! The commands on a machine that is its own node, each with what it finds.

use crate::grub::view::Part;

/// A command that is broken.
#[derive(Debug)]
pub(super) struct Scene {
    /// What it is called in the name of a point.
    pub(super) name: &'static str,
    /// Whether GRUB has nothing to write to but btrfs.
    pub(super) on_btrfs: bool,
    /// What the machine boots before it, a subvolume.
    pub(super) boots: &'static str,
    /// Lines of the shell that come before it.
    pub(super) before: &'static [&'static str],
    /// In which order it changes what boots the machine, where that is several parts.
    pub(super) order: &'static [Part],
    pub(super) line: &'static str,
    /// What it may say, failing, when it has been done.
    pub(super) done: &'static [&'static str],
    /// How many points the short form tries.
    pub(super) short: usize,
}

const FIRST: &str = "netbe/nodes/nog/envs/first/root";
const SECOND: &[&str] = &["netbe create nog/second"];

impl Scene {
    /// Returns whether it adopts the machine.
    pub(super) fn adopts(&self) -> bool {
        self.line == ADOPT
    }

    /// Returns whether it takes the menu away.
    pub(super) fn undoes(&self) -> bool {
        self.line == UNDO
    }
}

const PLAIN: Scene = Scene {
    name: "",
    on_btrfs: false,
    boots: FIRST,
    before: SECOND,
    order: &[],
    line: "",
    done: &[],
    short: 3,
};

const ON_BTRFS: Scene = Scene {
    on_btrfs: true,
    ..PLAIN
};

pub(super) const SCENES: &[Scene] = &[
    Scene {
        name: "adopt",
        boots: "@",
        order: ADOPTED,
        before: &[],
        line: ADOPT,
        done: &["is a node already"],
        short: 10,
        ..PLAIN
    },
    Scene {
        name: "local-once",
        line: "netbe activate --once nog/second",
        ..PLAIN
    },
    Scene {
        name: "local-try",
        line: "netbe activate --try nog/second",
        short: 1,
        ..PLAIN
    },
    Scene {
        name: "local-cancel",
        before: &["netbe create nog/second", "netbe activate --try nog/second"],
        line: "netbe activate --cancel nog",
        done: &["nog has no pending boot"],
        ..PLAIN
    },
    Scene {
        name: "local-activate",
        before: &[
            "netbe create nog/second",
            "netbe activate --once nog/second",
        ],
        // The pending boot is of what is active by then.
        order: &[Part::Active, Part::Once],
        line: "netbe activate nog/second",
        ..PLAIN
    },
    Scene {
        name: "local-destroy",
        line: "netbe destroy -y nog/second",
        done: &["no environment nog/second"],
        ..PLAIN
    },
    Scene {
        name: "local-undo",
        boots: "@",
        line: UNDO,
        ..PLAIN
    },
    Scene {
        name: "btrfs-adopt",
        boots: "@",
        order: ADOPTED,
        before: &[],
        line: ADOPT,
        done: &["is a node already"],
        short: 4,
        ..ON_BTRFS
    },
    Scene {
        name: "btrfs-once",
        line: "netbe activate --once nog/second",
        short: 6,
        ..ON_BTRFS
    },
    Scene {
        name: "btrfs-try",
        line: "netbe activate --try nog/second",
        short: 1,
        ..ON_BTRFS
    },
    Scene {
        name: "btrfs-cancel",
        before: &["netbe create nog/second", "netbe activate --try nog/second"],
        line: "netbe activate --cancel nog",
        done: &["nog has no pending boot"],
        ..ON_BTRFS
    },
    Scene {
        name: "btrfs-undo",
        boots: "@",
        line: UNDO,
        ..ON_BTRFS
    },
];

const ADOPTED: &[Part] = &[Part::Active, Part::Offered, Part::Configuration];

const ADOPT: &str = "netbe adopt nog --yes";
const UNDO: &str = "netbe adopt --undo";
