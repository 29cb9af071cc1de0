//! The commands that change something, each with a pool to change and what may be seen of it.

use std::fs;
use std::process::Command;

use crate::ground::Ground;
use crate::judge::Judge;
use crate::support::{MAC, Pool, System, run};

/// A command to be broken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verb {
    /// What it is called in the name of a point.
    pub(crate) name: &'static str,
    /// Command lines that make the pool ready for it.
    before: &'static [&'static str],
    /// What makes the pool ready that no command does.
    spoil: Option<fn(&Pool)>,
    /// Its command line.
    pub(crate) line: &'static str,
    /// What it may change: environments and nodes.
    touched: &'static [&'static str],
    /// Command lines that lead to what may be seen between the old and the new, each list to one.
    between: &'static [&'static [&'static str]],
    /// What it may say, failing, when it has been done.
    pub(crate) done: &'static [&'static str],
    /// Whether what it does need not show in the pool: it is made outside, or changes only where files lie.
    pub(crate) unseen: bool,
}

const PLAIN: Verb = Verb {
    name: "",
    before: &[],
    spoil: None,
    line: "",
    touched: &[],
    between: &[],
    done: &[],
    unseen: false,
};

const TAKEN: &[&str] = &["is there already"];

/// All of them.
pub(crate) const VERBS: &[Verb] = &[
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
        line: "import ordo/c stream",
        touched: &["ordo/c"],
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
        name: "export-changes",
        before: &["export nog/b -o /dev/null", "export nog/a -o /dev/null"],
        line: "export nog/a --since nog/b -o stream",
        touched: &["nog/a"],
        unseen: true,
        ..PLAIN
    },
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
        name: "activate",
        line: "activate nog/b",
        touched: &["nog/b"],
        ..PLAIN
    },
    Verb {
        name: "activate-newest",
        line: "activate nog",
        touched: &["nog/b"],
        done: &["nog"],
        ..PLAIN
    },
    Verb {
        name: "activate-once",
        line: "activate --once nog/b",
        touched: &["nog/b"],
        ..PLAIN
    },
    Verb {
        name: "activate-try",
        line: "activate --try nog/b",
        touched: &["nog/b"],
        ..PLAIN
    },
    Verb {
        name: "cancel",
        before: &["activate --once nog/b"],
        line: "activate --cancel nog",
        touched: &["nog/b"],
        done: &["nog"],
        ..PLAIN
    },
    Verb {
        name: "confirm",
        before: &["activate --try nog/b"],
        line: "confirm nog",
        touched: &["nog/b"],
        done: &["nog"],
        ..PLAIN
    },
    Verb {
        name: "rollback",
        before: &["activate nog/b"],
        line: "rollback nog",
        ..PLAIN
    },
    Verb {
        name: "destroy",
        line: "destroy -y nog/b",
        touched: &["nog/b"],
        done: &["no environment"],
        ..PLAIN
    },
    Verb {
        name: "prune",
        before: &["create nog/c", "create ordo/z"],
        line: "prune --keep 1",
        touched: &["nog/b", "ordo/y"],
        // One that fails does not keep the other.
        between: &[&["destroy -y nog/b"], &["destroy -y ordo/y"]],
        ..PLAIN
    },
    Verb {
        name: "destroy-node",
        line: "destroy -y -r ordo",
        touched: &["ordo"],
        done: &["no node"],
        ..PLAIN
    },
    Verb {
        name: "rename",
        line: "rename nog/b c",
        touched: &["nog/b", "nog/c"],
        done: &["no environment"],
        ..PLAIN
    },
    Verb {
        name: "rename-active",
        line: "rename ordo/x z",
        touched: &["ordo/x", "ordo/z"],
        done: &["no environment"],
        ..PLAIN
    },
    Verb {
        name: "rename-node",
        line: "rename ordo werda",
        touched: &["ordo", "werda"],
        done: &["no node"],
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
    Verb {
        name: "set-mac",
        line: "set mac=dc:a6:32:01:02:04 nog",
        ..PLAIN
    },
    Verb {
        name: "set-no-mac",
        line: "set mac= nog",
        ..PLAIN
    },
    Verb {
        name: "set-cmdline",
        line: "set cmdline=quiet nog",
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
        name: "repair",
        before: &["create ordo/z --from ordo/y"],
        spoil: Some(interrupted),
        line: "check --repair",
        touched: &["ordo/z"],
        ..PLAIN
    },
];

/// Makes the pool that all commands begin with: a template, `nog` with a MAC address, `ordo` that no machine can
/// ask for; beside it what can be brought in.
pub(crate) fn ground() -> Ground {
    let pool = Pool::with_template();
    let system = pool.beside().join("system");
    System::debian().build(&system);
    run(Command::new("tar")
        .arg("-C")
        .arg(&system)
        .arg("-czf")
        .arg(pool.beside().join("system.tar.gz"))
        .arg("."));
    let mac = format!("create nog/a --mac {MAC}");
    for line in [
        mac.as_str(),
        "create nog/b",
        "create ordo/x",
        "create ordo/y",
    ] {
        pool.netbe().ok(line);
    }
    Ground::new(pool)
}

impl Verb {
    /// Makes the pool ready for it.
    pub(crate) fn begin(&self, ground: &mut Ground) {
        ground.begin(|pool| {
            for line in self.before {
                pool.netbe().ok(line);
            }
            if let Some(spoil) = self.spoil {
                spoil(pool);
            }
        });
    }

    /// Makes the judge of it: runs it, and what leads to something between, and puts the pool back each time.
    pub(crate) fn judge(&self, ground: &Ground) -> Judge {
        let pool = ground.pool();
        let mut judge = Judge::new(&pool.netbe(), pool.path(), self.touched);
        for lines in self.between.iter().copied().chain([&[self.line][..]]) {
            for line in lines {
                let said = pool.netbe().run(line);
                assert_eq!(said.status, 0, "{line}: {said:#?}");
            }
            judge.allow();
            ground.put_back();
        }
        judge
    }

    /// Returns the command, ready to be traced.
    pub(crate) fn command(&self, ground: &Ground) -> Command {
        let mut command = ground.pool().netbe().plain();
        command.args(self.arguments());
        command
    }

    /// Returns its arguments.
    pub(crate) fn arguments(&self) -> Vec<&'static str> {
        self.line.split_whitespace().collect()
    }
}

/// Makes what is offered no longer what should be.
fn stale(pool: &Pool) {
    pool.write("publish/exports", "# nothing\n");
    fs::remove_file(pool.at(&format!("tftp/{}", crate::support::TFTP_NAME))).unwrap();
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
    stale(pool);
}
