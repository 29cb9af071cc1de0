//! The commands that are broken, each with what it finds.

use std::path::Path;

/// What makes the pool that all begin with, after the template `base/stock`.
pub(crate) const GROUND: [&str; 4] = [
    "create nog/a --mac dc:a6:32:01:02:03",
    "create nog/b",
    "create kira/a",
    "create kira/b",
];

/// What leading a machine to an environment shows first: that it may be booted.
const LED_TO: &[&[&str]] = &[&["activate --once nog/b", "activate --cancel nog"]];

/// Lets environments mount data.
const HELPERS: &str = "!for env in nog/envs/a nog/envs/b kira/envs/a kira/envs/b; do touch nodes/$env/root/usr/sbin/mount.nfs; done";

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

/// Puts a text that is too long to stand in the filesystem's trees in place of `LONG`.
pub(crate) fn fill_in(line: &str) -> String {
    line.replace("LONG", &"long".repeat(1500))
}

/// Returns all of them.
pub(crate) fn all() -> Vec<Scene> {
    [making(), activating(), unmaking(), describing()].concat()
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
        scene(
            "deploy",
            &["!mkfs.btrfs -q -f ../disk"],
            "deploy nog/b DISK",
            &["nog/b"],
        ),
        scene("create", &[], "create nog/c", &["nog/c"]),
        scene(
            "create-from",
            &[],
            "create kira/c --from nog/b",
            &["kira/c"],
        ),
        scene(
            "create-node",
            &[],
            "create ordo/x --mac dc:a6:32:01:02:04",
            &["ordo"],
        ),
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
        scene("run", &[], "run kira/b -- touch /etc/new", &["kira/b"]),
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
        scene(
            "activate-again",
            &["activate --once nog/b"],
            "activate nog/a",
            &["nog"],
        ),
        Scene {
            between: LED_TO,
            ..scene("once", &[], "activate --once nog/b", &["nog"])
        },
        Scene {
            between: LED_TO,
            ..scene("try", &[], "activate --try nog/b", &["nog"])
        },
        Scene {
            between: LED_TO,
            ..scene(
                "try-large",
                // A boot file that does not fit into the filesystem's trees.
                &["!yes '# long' | head -c 9000 >>nodes/nog/envs/b/boot/pxelinux.cfg/default"],
                "activate --try nog/b",
                &["nog"],
            )
        },
        scene(
            "cancel",
            &["activate --once nog/b"],
            "activate --cancel nog",
            &["nog"],
        ),
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

fn unmaking() -> Vec<Scene> {
    vec![
        scene("destroy", &[], "destroy -y nog/b", &["nog/b"]),
        Scene {
            between: &[&["destroy -y kira/b"], &["destroy -y nog/b"]],
            ..scene(
                "destroy-several",
                &[],
                "destroy -y nog/b kira/b",
                &["nog/b", "kira/b"],
            )
        },
        Scene {
            between: &[&["destroy -y kira/b"], &["destroy -y nog/b"]],
            ..scene(
                "prune",
                &["create nog/c", "create kira/c"],
                "prune --keep 1",
                &["nog/b", "kira/b"],
            )
        },
        scene("destroy-node", &[], "destroy -y -r kira", &["kira"]),
        scene("rename", &[], "rename nog/b c", &["nog/b", "nog/c"]),
        scene(
            "rename-sent",
            &["export nog/b -o /dev/null"],
            "rename nog/b c",
            &["nog/b", "nog/c"],
        ),
        scene("rename-active", &[], "rename kira/a c", &["kira"]),
        scene("rename-node", &[], "rename kira ordo", &["kira", "ordo"]),
    ]
}

fn describing() -> Vec<Scene> {
    vec![
        scene("set-mac", &[], "set mac=dc:a6:32:01:02:05 kira", &["kira"]),
        scene("set-cmdline", &[], "set cmdline=quiet nog", &["nog"]),
        scene("set-data", &[HELPERS], "set data=/home,/srv nog", &["nog"]),
        scene(
            "merge-data",
            &[
                HELPERS,
                "set data=/srv kira",
                "!echo more > nodes/kira/envs/a/root/srv/more",
            ],
            "merge kira/a kira/a",
            &["kira"],
        ),
        scene(
            "destroy-data",
            &[HELPERS, "set data=/home,/srv kira", "set data=/srv kira"],
            "destroy -y --data kira /home",
            &["kira"],
        ),
        scene("set-pool", &[], "set cmdline=quiet", &[]),
        scene("describe", &[], "describe nog/b LONG", &["nog/b"]),
        scene("pin", &[], "pin nog/b", &["nog/b"]),
        scene(
            "publish",
            &["set mac=dc:a6:32:01:02:06 kira"],
            "publish",
            &[],
        ),
        scene("reconcile", &[], "reconcile", &[]),
        scene(
            "take-over",
            &["!rm -rf /var/lib/netbe/*"],
            "init --take-over -y",
            &[],
        ),
        scene(
            "dedupe",
            // A copy in the place of what it shared.
            &[
                "!cd nodes/nog/envs && cp -p --reflink=never a/root/usr/bin/busybox b/root/usr/bin/busybox",
            ],
            "dedupe",
            &[],
        ),
    ]
}
