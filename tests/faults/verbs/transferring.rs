//! Commands that import to the pool and export from it.

use super::maintaining::mount_nfs;
use super::{PLAIN, TAKEN, Verb};
use crate::judge::Steps;

pub(super) const VERBS: &[Verb] = &[
    Verb {
        name: "import",
        line: "import nog/c system",
        touched: &["nog/c"],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "import-archive",
        line: "import nog/c system.tar.gz",
        touched: &["nog/c"],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "import-template",
        line: "import stock/it system",
        touched: &["stock"],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "import-stream",
        before: &["export nog/b -o stream"],
        line: "import nog/c stream",
        touched: &["nog/c"],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "import-changes",
        before: &[
            "export nog/b -o /dev/null",
            "export nog/a --since nog/b -o stream",
        ],
        line: "import ordo/c stream --base nog",
        touched: &["ordo/c"],
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "import-data",
        spoil: Some(|pool| {
            mount_nfs(pool);
            pool.netbe().ok("set data=/home,/srv nog");
            pool.netbe().ok("export nog/b --data -o stream");
        }),
        line: "import ordo/c stream --data",
        touched: &["ordo"],
        // Its node has the data before it has the environment.
        between: &[&["import ordo/c stream --data", "destroy -y ordo/c"]],
        steps: Steps {
            last: &["ordo/x, root", "ordo/y, root"],
            ..Steps::NONE
        },
        done: TAKEN,
        ..PLAIN
    },
    Verb {
        name: "export",
        line: "export nog/b -o stream",
        touched: &["nog/b"],
        unseen: true,
        ..PLAIN
    },
    Verb {
        name: "deploy",
        line: "deploy nog/b disk",
        touched: &["nog/b"],
        disk: true,
        done: &["on that disk already"],
        // Its root is on the disk and here: what is read of the boot files leads to one or the other.
        steps: Steps {
            first: &["nog/b, "],
            ..Steps::NONE
        },
        // The disk is not in the pool.
        unseen: true,
        ..PLAIN
    },
    Verb {
        name: "deploy-changes",
        before: &["deploy nog/b disk", "create nog/c --from nog/b"],
        line: "deploy nog/c disk",
        touched: &["nog/c"],
        disk: true,
        done: &["on that disk already"],
        steps: Steps {
            first: &["nog/c, "],
            ..Steps::NONE
        },
        unseen: true,
        ..PLAIN
    },
    Verb {
        name: "export-changes",
        before: &["export nog/b -o /dev/null", "export nog/a -o /dev/null"],
        line: "export nog/a --since nog/b -o stream",
        touched: &["nog/a"],
        unseen: true,
        ..PLAIN
    },
];
