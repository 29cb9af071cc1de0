//! Commands that make environments from others.

use std::fs;
use std::os::unix::fs::symlink;

use super::booting::{LED_TO_ACTIVE, NOT_YET_LED};
use super::{PLAIN, TAKEN, Verb};
use crate::support::Pool;

pub(super) const VERBS: &[Verb] = &[
    Verb {
        name: "create",
        line: "create nog/c -d new",
        touched: &["nog/c"],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "create-active",
        line: "create nog/c -a",
        touched: &["nog/c"],
        between: &[
            &["create nog/c"],
            &[
                "create nog/c",
                "activate --once nog/c",
                "activate --cancel nog",
            ],
        ],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "create-node",
        line: "create werda/x --from base --mac 02:00:00:00:00:07",
        touched: &["werda"],
        between: &[&[
            "# It is there, and no machine is offered it yet.",
            "create werda/x --from base --mac 02:00:00:00:00:07",
            "!rm tftp/02-00-00-00-00-07",
        ]],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "create-try",
        line: "create nog/c --from ordo --try",
        touched: &["nog/c"],
        between: &[
            &["create nog/c --from ordo"],
            &[
                "create nog/c --from ordo",
                "activate --once nog/c",
                "activate --cancel nog",
            ],
            &[
                NOT_YET_LED,
                "create nog/c --from ordo",
                "activate --try nog/c",
                LED_TO_ACTIVE,
            ],
        ],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "create-merge",
        spoil: Some(|pool| {
            fs::write(pool.half("nog/a", "root").join("etc/own.conf"), "x").unwrap();
        }),
        line: "create nog/c --from base --merge",
        touched: &["nog/c"],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "clone",
        line: "clone nog/b nog/c",
        touched: &["nog/c"],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "clone-to-node",
        line: "clone nog/b ordo/z",
        touched: &["ordo/z"],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "upgrade",
        line: "upgrade --node nog --name c -- touch /new",
        touched: &["nog/c"],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "upgrade-active",
        line: "upgrade --node nog --name c -a -- touch /new",
        touched: &["nog/c"],
        between: &[
            &["upgrade --node nog --name c -- touch /new"],
            &[
                "upgrade --node nog --name c -- touch /new",
                "activate --once nog/c",
                "activate --cancel nog",
            ],
        ],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "merge",
        spoil: Some(|pool| {
            written(pool);
            fs::remove_file(pool.half("nog/a", "root").join("etc/hosts")).unwrap();
        }),
        line: "merge nog/a nog/b --name c",
        touched: &["nog/c"],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "activate-merge",
        before: &["create nog/c --from base"],
        spoil: Some(written),
        line: "activate --merge nog",
        touched: &["nog/c"],
        between: &[
            &[TAKEN_OVER],
            &[
                TAKEN_OVER,
                "activate --once nog/20010101T000000Z",
                "activate --cancel nog",
            ],
        ],
        done: &["nog"],
        ..PLAIN
    },
];

/// What `activate --merge` makes first, by a name that looks as its own does.
const TAKEN_OVER: &str = "merge nog/a nog/c --name 20010101T000000Z";

/// Writes as the node does after the other environment was made.
fn written(pool: &Pool) {
    let srv = pool.half("nog/a", "root").join("srv");
    fs::create_dir_all(srv.join("deep/er")).unwrap();
    fs::write(srv.join("deep/er/file"), "x").unwrap();
    fs::hard_link(srv.join("deep/er/file"), srv.join("deep/name")).unwrap();
    symlink("file", srv.join("deep/er/link")).unwrap();
}
