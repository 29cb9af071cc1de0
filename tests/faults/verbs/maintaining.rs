//! Commands that change records, published files and leftovers, and neither make nor activate environments.

use std::fs;

use serde_json::Value;

use super::{PLAIN, Verb};
use crate::judge::Steps;
use crate::support::{Pool, TFTP_NAME};

/// The name that nog has before.
const OLD_NAME: &str = "!ln -s ../nodes/nog/active/boot tftp/dc-a6-32-01-02-03";

pub(super) const VERBS: &[Verb] = &[
    Verb {
        name: "set-mac",
        line: "set mac=dc:a6:32:01:02:04 nog",
        between: &[
            &[
                "# It is set, and what is offered is still as it was.",
                "set mac=dc:a6:32:01:02:04 nog",
                "!rm tftp/dc-a6-32-01-02-04",
                OLD_NAME,
            ],
            &[
                "# The new name is there, and the old one not yet away.",
                "set mac=dc:a6:32:01:02:04 nog",
                OLD_NAME,
            ],
        ],
        ..PLAIN
    },
    Verb {
        name: "set-no-mac",
        line: "set mac= nog",
        between: &[&[
            "# It is set, and what is offered is still as it was.",
            "set mac= nog",
            OLD_NAME,
        ]],
        ..PLAIN
    },
    Verb {
        name: "set-cmdline",
        line: "set cmdline=quiet nog",
        ..PLAIN
    },
    Verb {
        name: "set-existing",
        spoil: Some(set_before),
        line: "set --existing nog",
        touched: &["nog"],
        // One environment after another, and of each one file after another.
        steps: Steps {
            first: &["nog/a, ", "nog/b, "],
            ..Steps::NONE
        },
        ..PLAIN
    },
    Verb {
        name: "run",
        spoil: Some(with_own_policy),
        line: "run ordo/y -- touch /etc/new",
        touched: &["ordo/y"],
        between: &[&[
            "# The sandbox's own filesystem has a place there, and not yet its mode.",
            "!mkdir nodes/ordo/envs/y/root/var/tmp",
        ]],
        // Its program writes in the environment itself.
        steps: Steps {
            first: &["ordo/y, root"],
            ..Steps::NONE
        },
        ..PLAIN
    },
    Verb {
        name: "set-data",
        spoil: Some(mount_nfs),
        line: "set data=/home,/srv nog",
        touched: &["nog"],
        steps: Steps {
            last: &["nog/a, root", "nog/b, root"],
            ..Steps::NONE
        },
        ..PLAIN
    },
    Verb {
        name: "set-data-less",
        spoil: Some(with_data),
        line: "set data=/srv ordo",
        touched: &["ordo"],
        steps: Steps {
            last: &["ordo/x, root", "ordo/y, root"],
            ..Steps::NONE
        },
        ..PLAIN
    },
    Verb {
        name: "merge-data",
        spoil: Some(with_old_place),
        line: "merge ordo/x ordo/x",
        // The node works with it meanwhile.
        steps: Steps {
            first: &["ordo, data of /srv"],
            ..Steps::NONE
        },
        done: &["has everything that ordo/x has"],
        touched: &["ordo"],
        ..PLAIN
    },
    Verb {
        name: "destroy-data",
        spoil: Some(with_data_off),
        line: "destroy -y --data ordo /home",
        done: &["no data of /home"],
        ..PLAIN
    },
    Verb {
        name: "set-pool",
        line: "set cmdline=quiet",
        ..PLAIN
    },
    Verb {
        name: "describe",
        line: "describe nog/b new",
        ..PLAIN
    },
    Verb {
        name: "pin",
        line: "pin nog/b",
        ..PLAIN
    },
    Verb {
        name: "publish",
        spoil: Some(stale),
        line: "publish",
        ..PLAIN
    },
    Verb {
        name: "dedupe",
        // Brought in a second time, so that it shares nothing.
        before: &["import nog/c system"],
        line: "dedupe",
        unseen: true,
        ..PLAIN
    },
    Verb {
        name: "take-over",
        spoil: Some(unknown),
        line: "init --take-over -y",
        ..PLAIN
    },
    Verb {
        name: "repair",
        before: &["create ordo/z --from ordo/y"],
        spoil: Some(interrupted),
        line: "check --repair",
        touched: &["ordo/z"],
        ..PLAIN
    },
];

/// Makes what is offered no longer what should be.
fn stale(pool: &Pool) {
    pool.write("publish/exports", "# nothing\n");
    fs::remove_file(pool.at(&format!("tftp/{TFTP_NAME}"))).unwrap();
}

/// Takes away what this server knows of the pool.
fn unknown(pool: &Pool) {
    fs::remove_dir_all(pool.state()).unwrap();
}

/// Leaves what interrupted commands leave, of each kind.
fn interrupted(pool: &Pool) {
    let y = pool.read("nodes/ordo/envs/y/env.json");
    pool.write(
        "nodes/ordo/envs/z/env.json",
        &y.replacen('{', "{\"replaces\": \"y\",", 1),
    );
    for stage in [
        "nodes/nog/.staged-c-64c0ffee1",
        "nodes/.trash-werda-64c0ffee1",
    ] {
        fs::create_dir_all(pool.at(stage)).unwrap();
        pool.subvolume(&format!("{stage}/root"));
        pool.subvolume(&format!("{stage}/boot"));
        pool.write(&format!("{stage}/root/file"), "x");
    }
    pool.write("nodes/nog/envs/b/.env.json.4194304.new", "half");
    // Process 1 lives, but not since that boot.
    pool.write("nodes/nog/.node.json.1-0-00000000.new", "half");
    let unborn = pool.state().join("nodes/werda");
    fs::create_dir(&unborn).unwrap();
    fs::copy(pool.of_node("nog", "node.json"), unborn.join("node.json")).unwrap();
    for copy in ["pool.json", "nodes/ordo/node.json"] {
        let path = pool.path().join(copy);
        let text = fs::read_to_string(&path).unwrap();
        let mut record: Value = serde_json::from_str(&text).unwrap();
        record["properties"]["cmdline"] = "old".into();
        fs::write(&path, record.to_string()).unwrap();
    }
    stale(pool);
}

/// Sets what no environment has yet.
fn set_before(pool: &Pool) {
    pool.netbe().ok("set cmdline=quiet nog");
    // What a node's packages may leave, and a rewrite replaces.
    for env in ["nog/a", "nog/b"] {
        let trees = pool.half(env, "root").join("usr/lib/modules/trees");
        fs::create_dir_all(trees.join("deep")).unwrap();
        fs::write(trees.join("deep/one.dtb"), "one").unwrap();
        let link = pool.half(env, "boot").join("dtb-1");
        std::os::unix::fs::symlink("../usr/lib/modules/trees", link).unwrap();
    }
}

/// Gives an environment a file that is set aside while programs run in it.
fn with_own_policy(pool: &Pool) {
    let policy = pool.half("ordo/y", "root").join("usr/sbin/policy-rc.d");
    fs::write(policy, "own").unwrap();
}

/// Lets environments mount data.
pub(super) fn mount_nfs(pool: &Pool) {
    for env in ["nog/a", "nog/b", "ordo/x", "ordo/y"] {
        let helper = pool.half(env, "root").join("usr/sbin/mount.nfs");
        std::fs::write(helper, "").expect("it can be written");
    }
}

pub(super) fn with_data(pool: &Pool) {
    mount_nfs(pool);
    pool.netbe().ok("set data=/home,/srv ordo");
}

/// Writes in the old place, as the node does until it mounts its data.
fn with_old_place(pool: &Pool) {
    mount_nfs(pool);
    let srv = pool.half("ordo/x", "root").join("srv");
    fs::create_dir_all(srv.join("deep")).expect("it can be made");
    fs::write(srv.join("gone"), "old").expect("it can be written");
    pool.netbe().ok("set data=/srv ordo");
    fs::remove_file(srv.join("gone")).expect("it was there");
    for name in ["deep/one", "deep/two", "three"] {
        fs::write(srv.join(name), name).expect("it can be written");
    }
}

fn with_data_off(pool: &Pool) {
    with_data(pool);
    pool.netbe().ok("set data=/srv ordo");
}
