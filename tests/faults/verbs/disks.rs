//! Commands on nodes whose root is a disk image, offered by iSCSI.

use super::{PLAIN, TAKEN, Verb};
use crate::support::{Pool, System};

pub(super) const VERBS: &[Verb] = &[
    Verb {
        name: "disk-create",
        spoil: Some(|pool| {
            with_files(pool);
            pool.netbe().ok("set root=iscsi san");
        }),
        line: "create san/b",
        touched: &["san/b"],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "disk-activate",
        spoil: Some(with_disk),
        line: "activate san/b",
        touched: &["san/b"],
        between: &[
            &["activate --once san/b", "activate --cancel san"],
            &[
                "# It is noted that a machine may come to run it, and nothing leads there.",
                "activate san/b",
                "!ln -sfn envs/a nodes/san/active",
            ],
        ],
        ..PLAIN
    },
    Verb {
        name: "disk-upgrade",
        spoil: Some(with_disk),
        line: "upgrade san/b --name c -- touch /new",
        touched: &["san/c"],
        done: TAKEN,
        ..PLAIN
    },
];

/// Makes the node `san` of a system that finds a disk offered by iSCSI; its environment `a` has its root by NFS.
fn with_files(pool: &Pool) {
    let system = pool.beside().join("with-iscsi");
    if !system.exists() {
        System::debian()
            .program("usr/sbin/update-initramfs", b"#!/bin/sh\n")
            .file("etc/initramfs-tools/initramfs.conf", "MODULES=most\n")
            .build(&system);
    }
    for line in [
        &format!("import disks/base {}", system.display()),
        "create san/a --from disks --mac dc:a6:32:01:02:0a",
    ] {
        pool.netbe().ok(line);
    }
}

/// Makes a second environment of `san`, on a disk image.
fn with_disk(pool: &Pool) {
    with_files(pool);
    pool.netbe().ok("set root=iscsi san");
    pool.netbe().ok("create san/b");
}
