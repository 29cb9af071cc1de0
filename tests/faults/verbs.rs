//! The commands that change something, each with a pool to change and what may be seen of it.
//!
//! Here is what a command is to the harnesses; the tables are by what commands do.

mod booting;
mod creating;
mod destroying;
mod disks;
mod maintaining;
mod transferring;

use std::process::Command;

use crate::ground::Ground;
use crate::judge::{Judge, Steps};
use crate::scenes;
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
    /// Lines ([`scenes::does`]) that lead to what may be seen between the old and the new, each list to one.
    between: &'static [&'static [&'static str]],
    /// What it changes file by file.
    steps: Steps,
    /// What leads to such states that no command leaves.
    half_done: &'static [fn(&Pool)],
    /// What it may say, failing, when it has been done.
    pub(crate) done: &'static [&'static str],
    /// Whether it writes the disk of a node, which lies beside the pool.
    disk: bool,
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
    steps: Steps::NONE,
    half_done: &[],
    done: &[],
    disk: false,
    unseen: false,
};

const TAKEN: &[&str] = &["already exists"];

/// Returns all of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Verb> {
    [
        transferring::VERBS,
        creating::VERBS,
        booting::VERBS,
        disks::VERBS,
        destroying::VERBS,
        maintaining::VERBS,
    ]
    .into_iter()
    .flatten()
}

/// Makes the pool that all commands begin with: a template, `nog` with a MAC address, `ordo` that no machine can
/// ask for; beside it what can be brought in.
pub(crate) fn ground() -> Ground {
    let pool = Pool::with_template();
    // When a file was read would otherwise be a change that a stream tells of, and streams would have other lengths.
    run(Command::new("mount")
        .args(["-o", "remount,noatime"])
        .arg(pool.path()));
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
        ground.with_disk(self.disk);
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
        let mut judge = Judge::new(&pool.netbe(), pool.path(), self.touched, self.steps);
        for half_done in self.half_done {
            half_done(pool);
            judge.allow();
            ground.put_back();
        }
        for lines in self.between.iter().copied().chain([&[self.line][..]]) {
            for line in lines {
                scenes::does(pool, line);
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
