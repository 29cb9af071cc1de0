//! The commands that are broken, each with what it finds.

mod unmaking;

use std::path::Path;
use std::process::Command;

use crate::judge::Steps;
use crate::support::{Pool, run};

/// What makes the pool that all begin with, after the template `base/stock`.
pub(crate) const GROUND: [&str; 4] = [
    "create nog/a --mac dc:a6:32:01:02:03",
    "create nog/b",
    "create kira/a",
    "create kira/b",
];

/// What leading a machine to an environment shows first: that it may be booted.
const LED_TO: &[&[&str]] = &[LED_BACK];

const LED_BACK: &[&str] = &["activate --once nog/b", "activate --cancel nog"];

/// `panic=`, which is written before a machine can come.
const ARGUMENT: Steps = Steps {
    first: &["nog/b, boot"],
    ..Steps::NONE
};

const UPGRADE: &str = "upgrade nog --name c -- touch /etc/new";

/// What a node writes after the other environment was made: files of several kinds, and one that both have otherwise.
const WRITTEN: &[&str] = &[
    "!mkdir -p nodes/nog/envs/a/root/srv/deep/er",
    "!touch nodes/nog/envs/a/root/srv/deep/er/file",
    "!ln -s file nodes/nog/envs/a/root/srv/deep/er/link",
    "!chmod 700 nodes/nog/envs/a/root/srv/deep",
    "!rm nodes/nog/envs/a/root/etc/os-release",
];

/// What `activate --merge` makes first, by a name that looks as its own does.
const TAKEN_OVER: &str = "merge nog/a nog/c --name 20010101T000000Z";

/// A command that is to be broken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    /// What it is called in `NETBE_FAULT`.
    pub(crate) name: &'static str,
    /// What has been done before it.
    pub(crate) before: &'static [&'static str],
    /// Command lines that lead, instead of it, to what may be seen between its steps; each list to one such sight.
    pub(crate) between: &'static [&'static [&'static str]],
    /// Environments and nodes it may change.
    pub(crate) touched: &'static [&'static str],
    /// What it changes file by file.
    pub(crate) steps: Steps,
    line: &'static str,
}

impl Scene {
    /// Returns its command line; `system` is a directory with an operating system, with the disk of a node beside it.
    pub(crate) fn line(&self, system: &Path) -> String {
        let disk = system.with_file_name("disk");
        let line = self.line.replace("SYSTEM", &system.to_string_lossy());
        fill_in(&line.replace("DISK", &disk.to_string_lossy()))
    }
}

/// Has the name of nog lead to what is active, whatever is pending.
const LED_TO_ACTIVE: &str = "!ln -sfn ../nodes/nog/active/boot tftp/dc-a6-32-01-02-03";

/// What it is where the record of a pending boot is there, and the name is not led to it: before that, and afterwards.
const NOT_LED: &str = "# It is pending, and the name leads to what is active.";

/// What it is where the record of a pending boot is removed, and the name is not led back yet.
const CANCELLED_AND_LED: &[&str] = &[
    "# Nothing is pending, and the name leads there still.",
    "activate --cancel nog",
    "!ln -sfn ../nodes/nog/envs/b/boot tftp/dc-a6-32-01-02-03",
];

/// Puts a text that is too long to stand in the filesystem's trees in place of `LONG`.
pub(crate) fn fill_in(line: &str) -> String {
    line.replace("LONG", &"long".repeat(1500))
}

/// Runs a command line of netbe that must succeed, or, after `!`, one of the shell in the pool; after `#` stands what a
/// state between the old and the new is.
pub(crate) fn does(pool: &Pool, line: &str) {
    match line.split_at(1) {
        ("!", line) => run(Command::new("sh")
            .args(["-c", line])
            .current_dir(pool.path())),
        ("#", _) => {}
        _ => drop(pool.netbe().ok(&fill_in(line))),
    }
}

/// Returns all of them.
pub(crate) fn all() -> Vec<Scene> {
    [
        making(),
        activating(),
        unmaking::unmaking(),
        unmaking::describing(),
    ]
    .concat()
}

const fn scene(
    name: &'static str,
    before: &'static [&'static str],
    line: &'static str,
    touched: &'static [&'static str],
) -> Scene {
    Scene {
        name,
        before,
        between: &[],
        touched,
        steps: Steps::NONE,
        line,
    }
}

fn making() -> Vec<Scene> {
    vec![
        scene("import", &[], "import nog/c SYSTEM", &["nog/c"]),
        scene("import-template", &[], "import fresh/x SYSTEM", &["fresh"]),
        scene(
            "import-stream",
            &["export nog/b -o stream"],
            "import nog/c stream",
            &["nog/c"],
        ),
        scene("export", &[], "export nog/b -o stream", &["nog/b"]),
        scene(
            "export-again",
            &[
                "export nog/b -o /dev/null",
                "!touch nodes/nog/envs/b/root/etc/new",
            ],
            "export nog/b --since nog/b -o stream",
            &["nog/b"],
        ),
        Scene {
            // Its root is on the disk and here: what is read of the boot files leads to one or the other.
            steps: Steps {
                first: &["nog/b, "],
                ..Steps::NONE
            },
            ..scene(
                "deploy",
                &["!mkfs.btrfs -q -f ../disk"],
                "deploy nog/b DISK",
                &["nog/b"],
            )
        },
        scene("create", &[], "create nog/c", &["nog/c"]),
        scene(
            "create-from",
            &[],
            "create kira/c --from nog/b",
            &["kira/c"],
        ),
        Scene {
            between: &[&[
                "# It is there, and no machine is offered it yet.",
                "create ordo/x --mac dc:a6:32:01:02:04",
                "!rm tftp/dc-a6-32-01-02-04",
            ]],
            ..scene(
                "create-node",
                &[],
                "create ordo/x --mac dc:a6:32:01:02:04",
                &["ordo"],
            )
        },
        Scene {
            between: &[
                &["create nog/c"],
                &[
                    "create nog/c",
                    "activate --once nog/c",
                    "activate --cancel nog",
                ],
            ],
            ..scene("create-active", &[], "create nog/c -a", &["nog"])
        },
        scene("clone", &[], "clone nog/b kira/c", &["kira/c"]),
        scene("upgrade", &[], UPGRADE, &["nog/c"]),
        Scene {
            between: &[
                &[UPGRADE],
                &[UPGRADE, "activate --once nog/c", "activate --cancel nog"],
                &[NOT_LED, UPGRADE, "activate --try nog/c", LED_TO_ACTIVE],
            ],
            ..scene(
                "upgrade-try",
                &[],
                "upgrade nog --name c --try -- touch /etc/new",
                &["nog"],
            )
        },
        scene(
            "create-merge",
            &["!touch nodes/kira/envs/a/root/etc/new"],
            "create kira/c --from base --merge",
            &["kira/c"],
        ),
        scene("merge", WRITTEN, "merge nog/a nog/b --name c", &["nog/c"]),
        Scene {
            between: &[
                &[TAKEN_OVER],
                &[
                    TAKEN_OVER,
                    "activate --once nog/20010101T000000Z",
                    "activate --cancel nog",
                ],
            ],
            ..scene(
                "activate-merge",
                &[
                    "create nog/c --from base",
                    "!mkdir -p nodes/nog/envs/a/root/srv",
                    "!touch nodes/nog/envs/a/root/srv/file",
                ],
                "activate --merge nog",
                &["nog/c"],
            )
        },
        Scene {
            between: &[&[
                "# The sandbox's own filesystem has a place there, and not yet its mode.",
                "!mkdir nodes/kira/envs/b/root/var/tmp",
            ]],
            // Its program writes in the environment itself.
            steps: Steps {
                first: &["kira/b, root"],
                ..Steps::NONE
            },
            ..scene(
                "run",
                &["!echo own >nodes/kira/envs/b/root/usr/sbin/policy-rc.d"],
                "run kira/b -- touch /etc/new",
                &["kira/b"],
            )
        },
    ]
}

fn activating() -> Vec<Scene> {
    vec![
        Scene {
            between: LED_TO,
            ..scene("activate", &[], "activate nog/b", &["nog"])
        },
        scene("activate-unserved", &[], "activate kira/b", &["kira"]),
        scene(
            "activate-described",
            &[
                "describe nog/a LONG",
                "describe nog/b LONG",
                "activate --once nog/b",
                "activate --cancel nog",
            ],
            "activate nog/b",
            &["nog"],
        ),
        Scene {
            between: &[CANCELLED_AND_LED],
            ..scene(
                "activate-again",
                &["activate --once nog/b"],
                "activate nog/a",
                &["nog"],
            )
        },
        Scene {
            between: &[LED_BACK, &[NOT_LED, "activate --once nog/b", LED_TO_ACTIVE]],
            ..scene("once", &[], "activate --once nog/b", &["nog"])
        },
        Scene {
            between: &[LED_BACK, &[NOT_LED, "activate --try nog/b", LED_TO_ACTIVE]],
            steps: ARGUMENT,
            ..scene("try", &[], "activate --try nog/b", &["nog"])
        },
        Scene {
            between: &[LED_BACK, &[NOT_LED, "activate --try nog/b", LED_TO_ACTIVE]],
            steps: ARGUMENT,
            ..scene(
                "try-large",
                // A boot file that does not fit into the filesystem's trees.
                &["!yes '# long' | head -c 9000 >>nodes/nog/envs/b/boot/pxelinux.cfg/default"],
                "activate --try nog/b",
                &["nog"],
            )
        },
        Scene {
            between: &[CANCELLED_AND_LED],
            ..scene(
                "cancel",
                &["activate --once nog/b"],
                "activate --cancel nog",
                &["nog"],
            )
        },
        scene("rollback", &["activate nog/b"], "rollback nog", &["nog"]),
        Scene {
            between: &[&["activate nog/b"], &["!ln -sfn envs/b nodes/nog/active"]],
            ..scene(
                "confirm",
                &["activate --once nog/b"],
                "confirm nog",
                &["nog"],
            )
        },
    ]
}
