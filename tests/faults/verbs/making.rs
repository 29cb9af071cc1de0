//! What makes environments of others.

use super::{PLAIN, TAKEN, Verb};

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
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "create-try",
        line: "create nog/c --from ordo --try",
        touched: &["nog/c"],
        between: &[&["create nog/c --from ordo"]],
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
        between: &[&["upgrade --node nog --name c -- touch /new"]],
        done: TAKEN,
        ..PLAIN
    },
];
