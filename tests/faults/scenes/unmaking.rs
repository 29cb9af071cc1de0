//! What takes environments away or names them anew, and what is said of them.

use super::{Scene, scene};
use crate::judge::Steps;

/// Lets environments mount data.
const HELPERS: &str = "!for env in nog/envs/a nog/envs/b kira/envs/a kira/envs/b; do touch nodes/$env/root/usr/sbin/mount.nfs; done";

pub(super) fn unmaking() -> Vec<Scene> {
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
        Scene {
            between: &[&[
                "# It has its new name, and is still to replace the one with the old.",
                "rename kira ordo",
                "!sed -i 's/\"template\"/\"replaces\":\"kira\",\"template\"/' /var/lib/netbe/*/nodes/ordo/node.json",
            ]],
            ..scene("rename-node", &[], "rename kira ordo", &["kira", "ordo"])
        },
    ]
}

pub(super) fn describing() -> Vec<Scene> {
    vec![
        Scene {
            between: &[&[
                "# It is set, and no machine is offered it yet.",
                "set mac=dc:a6:32:01:02:05 kira",
                "!rm tftp/dc-a6-32-01-02-05",
            ]],
            ..scene("set-mac", &[], "set mac=dc:a6:32:01:02:05 kira", &["kira"])
        },
        scene("set-cmdline", &[], "set cmdline=quiet nog", &["nog"]),
        Scene {
            // One environment after another, and of each one file after another.
            steps: Steps {
                first: &["nog/a, ", "nog/b, "],
                ..Steps::NONE
            },
            ..scene(
                "set-existing",
                &["set cmdline=quiet nog"],
                "set --existing nog",
                &["nog"],
            )
        },
        Scene {
            steps: Steps {
                last: &["nog/a, root", "nog/b, root"],
                ..Steps::NONE
            },
            ..scene("set-data", &[HELPERS], "set data=/home,/srv nog", &["nog"])
        },
        Scene {
            steps: Steps {
                first: &["kira, data of /srv"],
                ..Steps::NONE
            },
            ..scene(
                "merge-data",
                &[
                    HELPERS,
                    "set data=/srv kira",
                    "!echo more > nodes/kira/envs/a/root/srv/more",
                ],
                "merge kira/a kira/a",
                &["kira"],
            )
        },
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
