//! The commands on a machine that is its own node, each with what it finds.

/// A command that is broken.
#[derive(Debug)]
pub(super) struct Scene {
    /// What it is called in the name of a point.
    pub(super) name: &'static str,
    /// What the machine boots before it, a subvolume.
    pub(super) boots: &'static str,
    /// Lines of the shell that come before it.
    pub(super) before: &'static [&'static str],
    pub(super) line: &'static str,
    /// What it may say, failing, when it has been done.
    pub(super) done: &'static [&'static str],
    /// How many points the short form tries.
    pub(super) short: usize,
}

const FIRST: &str = "netbe/nodes/nog/envs/first/root";
const SECOND: &[&str] = &["netbe create nog/second"];

const PLAIN: Scene = Scene {
    name: "",
    boots: FIRST,
    before: SECOND,
    line: "",
    done: &[],
    short: 3,
};

pub(super) const SCENES: &[Scene] = &[
    Scene {
        name: ADOPT,
        boots: "@",
        before: &[],
        line: "netbe adopt nog --yes",
        done: &["is a node already"],
        short: 10,
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
        name: UNDO,
        boots: "@",
        line: "netbe adopt --undo",
        ..PLAIN
    },
];

pub(super) const ADOPT: &str = "adopt";
pub(super) const UNDO: &str = "local-undo";
