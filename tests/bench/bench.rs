//! Times netbe against what people would write by hand, in one run; `scripts/bench` calls it.
//!
//! Each comparison takes turns (one of the first, one of the second, again) and gives the ratio of the medians, so that a
//! machine that is slow, or slow just now, says the same as a fast one. It reports goals; it does not fail on them.

mod clock;
mod left_behind;
mod space;
#[path = "../support/mod.rs"]
mod support;
mod tftp;
mod upgrades;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clock::{Report, milliseconds, turns};
use support::{Netbe, Pool, System};

/// How many nodes the environments of a pool are spread over.
const NODES: usize = 50;
/// The size of a filesystem, in bytes.
const SIZE: u64 = 16 << 30;

fn main() {
    // `cargo test --benches` and `cargo bench -- --list` call this program too.
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    let many = setting("NETBE_BENCH_ENVIRONMENTS", 5000);
    let rounds = setting("NETBE_BENCH_ROUNDS", 25);
    let mut report = Report::new(setting("NETBE_BENCH_MARKDOWN", 0) > 0);
    let ground = Ground::new();

    start(&ground, rounds * 4, &mut report);
    let small = ground.pool("small", 0);
    small.grow(10);
    create(&ground, &small, rounds, &mut report);
    activate(&small, rounds, &mut report);
    transfer(&small, rounds * 4, &mut report);
    left_behind::left_behind(&ground, rounds, &mut report);

    // On a filesystem of its own: btrfs lists all that is on one.
    let apart = Ground::on(ground.filesystem.another_bare(SIZE));
    let large = apart.pool("large", 1);
    large.grow(100.min(many));
    let hundred = list(&large, rounds, &mut report);
    let begun = Instant::now();
    large.grow(many);
    report.note(&format!(
        "made {} environments with `netbe create`: {:.1} s",
        many.saturating_sub(100),
        begun.elapsed().as_secs_f64()
    ));
    let thousands = list(&large, rounds, &mut report);
    report.growth("list -H", hundred, thousands, many as f64 / 100.0);
    complete(&large, rounds, &mut report);
    same_cost(&small, &large, rounds, &mut report);
    let grown = setting("NETBE_BENCH_SPACE", 1000);
    if grown > 0 {
        space::space(grown, rounds.div_ceil(8), &mut report);
    }
    let rounds = setting("NETBE_BENCH_TFTP", 5);
    if rounds > 0 {
        tftp::tftp(rounds, &mut report);
    }
    let rounds = setting("NETBE_BENCH_UPGRADES", 3);
    if rounds > 0 {
        upgrades::upgrades(rounds, &mut report);
    }
}

/// A filesystem for all the pools, and a system to fill them with.
struct Ground {
    filesystem: Pool,
    system: PathBuf,
}

impl Ground {
    fn new() -> Self {
        Self::on(Pool::bare(SIZE))
    }

    fn on(filesystem: Pool) -> Self {
        let system = filesystem.beside().join("system");
        System::raspberry_pi().build(&system);
        Self { filesystem, system }
    }

    /// Makes a pool in a directory of its own with one template, `base`.
    fn pool(&self, name: &str, number: u8) -> Bench {
        let path = self.filesystem.path().join(name);
        let netbe = Netbe::new(&path, self.filesystem.beside());
        netbe.ok(&format!("init {} --server 192.0.2.1", path.display()));
        netbe.ok(&format!("import base/base {}", self.system.display()));
        Bench {
            netbe,
            path,
            number,
        }
    }
}

/// A pool that is measured.
struct Bench {
    netbe: Netbe,
    path: PathBuf,
    /// Its number on the server: a MAC address is in one pool only.
    number: u8,
}

impl Bench {
    /// Makes environments `nN/eM` until there are so many.
    fn grow(&self, count: usize) {
        let before = fs::read_dir(self.path.join("nodes"))
            .into_iter()
            .flatten()
            .flatten()
            .filter(|node| node.file_name().as_encoded_bytes().starts_with(b"n"))
            .filter_map(|node| fs::read_dir(node.path().join("envs")).ok())
            .map(Iterator::count)
            .sum::<usize>();
        for i in before..count {
            let (node, round) = (i % NODES, i / NODES);
            let name = format!("n{node}/e{round}");
            let new = !self.path.join(format!("nodes/n{node}")).exists();
            let mac = if new {
                format!(
                    " --from base --mac 02:00:00:00:{:02x}:{node:02x}",
                    self.number
                )
            } else {
                String::new()
            };
            self.netbe.ok(&format!("create {name}{mac}"));
        }
    }

    /// Runs the program, output thrown away, and returns how long it took.
    fn time(&self, line: &str) -> Duration {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("netbe"));
        command
            .args(line.split_whitespace())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("NETBE_POOL", &self.path);
        timed(&mut command)
    }
}

/// Process start, against a program that does nothing.
fn start(ground: &Ground, rounds: usize, report: &mut Report) {
    let bench = Bench {
        netbe: Netbe::new(Path::new("/nowhere"), ground.filesystem.beside()),
        path: PathBuf::from("/nowhere"),
        number: 0,
    };
    let [ours, theirs] = turns(
        rounds,
        [&mut |_| bench.time("--version"), &mut |_| {
            timed(&mut Command::new("/bin/true"))
        }],
    );
    report.difference("start: --version | true", ours, theirs, 2.0);
}

/// A new environment for a node, against the recipe by hand: as people write it, and as durable as netbe's.
fn create(ground: &Ground, bench: &Bench, rounds: usize, report: &mut Report) {
    let hand = ground.filesystem.path().join("by-hand");
    let source = bench.path.join("nodes/n0/envs/e0");
    let recipe = |name: &str, then: &str| {
        // Directories are made beforehand: what is timed is what people write down.
        fs::create_dir_all(hand.join(name)).expect("the filesystem is writable");
        let script = format!(
            "btrfs subvolume snapshot {source}/root {name}/root && btrfs subvolume snapshot {source}/boot {name}/boot && \
             sed -i 's|envs/e0/|envs/{name}/|' {name}/boot/cmdline.txt && \
             sed -i 's|envs/e0/|envs/{name}/|' {name}/root/etc/fstab && ln -sfn {name} active{then}",
            source = source.display()
        );
        timed(Command::new("sh").args(["-ec", &script]).current_dir(&hand))
    };
    let [ours, active, theirs, durable] = turns(
        rounds,
        [
            &mut |round| bench.time(&format!("create n0/new{round}")),
            &mut |round| bench.time(&format!("create n0/on{round} -a")),
            &mut |round| recipe(&format!("e{round}"), ""),
            &mut |round| recipe(&format!("d{round}"), " && sync -f ."),
        ],
    );
    report.ratio("create | 2 snapshots, 2 sed, ln", ours, theirs, 0.5);
    report.ratio("create | the same, and sync -f", ours, durable, 0.5);
    report.plain("create -a | the same, and sync -f", active, durable);
}

/// Activation, against the link swap alone.
fn activate(bench: &Bench, rounds: usize, report: &mut Report) {
    let link = bench.path.join("by-hand");
    let [ours, theirs] = turns(
        rounds,
        [
            &mut |round| bench.time(&format!("activate n0/new{}", round % 2)),
            &mut |round| {
                timed(
                    Command::new("ln")
                        .args(["-sfn", &format!("e{round}")])
                        .arg(&link),
                )
            },
        ],
    );
    let _ = fs::remove_file(&link);
    report.plain("activate | ln -sfn", ours, theirs);
}

/// What another TFTP server's script would call for each file it handed out, against a program that does nothing.
fn transfer(bench: &Bench, rounds: usize, report: &mut Report) {
    let file = bench.path.join("tftp/02-00-00-00-00-00/config.txt");
    let [ours, theirs] = turns(
        rounds,
        [
            &mut |_| bench.time(&format!("transfer 1000 192.0.2.7 {}", file.display())),
            &mut |_| timed(&mut Command::new("/bin/true")),
        ],
    );
    report.difference("transfer | true", ours, theirs, 5.0);
}

/// The lists, against btrfs's own; returns the time of `list -H`.
fn list(bench: &Bench, rounds: usize, report: &mut Report) -> Duration {
    let count = bench.netbe.ok("list -H").lines().count();
    let [plain, table, theirs] = turns(
        rounds,
        [
            &mut |_| bench.time("list -H"),
            &mut |_| bench.time("list"),
            &mut |_| {
                timed(
                    Command::new("btrfs")
                        .args(["subvolume", "list"])
                        .arg(&bench.path),
                )
            },
        ],
    );
    let other = "btrfs subvolume list";
    report.ratio(&format!("{count}: list -H | {other}"), plain, theirs, 0.5);
    report.ratio(&format!("{count}: list | {other}"), table, theirs, 0.5);
    plain
}

/// What a shell calls when the tab key is pressed after the beginning of a node's name, against a program that does nothing.
fn complete(bench: &Bench, rounds: usize, report: &mut Report) {
    let [ours, theirs] = turns(
        rounds,
        [
            &mut |_| {
                let mut command = bench.netbe.plain();
                command
                    .env("COMPLETE", "bash")
                    .env("_CLAP_COMPLETE_INDEX", "2");
                command
                    .env("_CLAP_IFS", "\n")
                    .env("NETBE_POOL", &bench.path);
                timed(command.args(["--", "netbe", "activate", "n1"]))
            },
            &mut |_| timed(&mut Command::new("/bin/true")),
        ],
    );
    report.difference("completion in a large pool | true", ours, theirs, 30.0);
}

/// What changes something, in a large pool against a small one.
fn same_cost(small: &Bench, large: &Bench, rounds: usize, report: &mut Report) {
    type Line = fn(usize) -> String;
    let lines: [(&str, Line); 3] = [
        ("create", |round| {
            format!("create n1/more{round} --from n1/e0")
        }),
        ("destroy", |round| format!("destroy -y n1/more{round}")),
        ("activate", |round| {
            // Two that are both there, in turn; the last round leaves the first active.
            format!("activate n2/{}", ["turn", "e0"][round % 2])
        }),
    ];
    for bench in [small, large] {
        bench.netbe.ok("create n2/turn --from n2/e0");
    }
    for (what, line) in lines {
        let [many, few] = turns(
            rounds,
            [&mut |round| large.time(&line(round)), &mut |round| {
                small.time(&line(round))
            }],
        );
        report.ratio(&format!("{what}: large pool | small"), many, few, 1.2);
    }
}

fn timed(command: &mut Command) -> Duration {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped());
    let begun = Instant::now();
    let output = command.output();
    let elapsed = begun.elapsed();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{command:?} took {}: {said}",
        milliseconds(elapsed)
    );
    elapsed
}

fn setting(name: &str, default: usize) -> usize {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}
