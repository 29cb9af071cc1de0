//! Files that a node wrote in a large system: the time to list and to merge them.

use std::fs;

use super::Ground;
use super::clock::{Report, turns};

/// How many files the system has.
const FILES: usize = 15_000;
/// How many of them the node has written.
const WRITTEN: usize = 100;

/// Activating with nothing left behind, and with some of many files; merging these.
pub(crate) fn left_behind(ground: &Ground, rounds: usize, report: &mut Report) {
    let bench = ground.pool("written", 2);
    let template = bench.path.join("nodes/base/envs/base/root");
    for number in 0..FILES {
        let directory = template.join(format!("srv/{}", number % 150));
        fs::create_dir_all(&directory).expect("it is writable");
        fs::write(directory.join(number.to_string()), number.to_string()).expect("it is writable");
    }
    for (node, number) in [("quiet", 1), ("busy", 2)] {
        let mac = format!("02:00:00:00:02:{number:02x}");
        bench
            .netbe
            .ok(&format!("create {node}/first --from base --mac {mac}"));
        bench.netbe.ok(&format!("create {node}/second"));
    }
    let root = bench.path.join("nodes/busy/envs/first/root");
    for number in 0..WRITTEN {
        let number = number * FILES / WRITTEN;
        let file = root.join(format!("srv/{}/{number}", number % 150));
        fs::write(file, format!("written {number}")).expect("it is writable");
    }
    let [busy, quiet] = turns(
        rounds,
        [&mut |_| bench.time("activate -n busy/second"), &mut |_| {
            bench.time("activate -n quiet/second")
        }],
    );
    report.difference(
        &format!("activate -n, {WRITTEN} of {FILES} files left | none"),
        busy,
        quiet,
        100.0,
    );
    let [merge, create] = turns(
        rounds,
        [
            &mut |round| bench.time(&format!("merge busy/first busy/second --name m{round}")),
            &mut |round| bench.time(&format!("create busy/c{round}")),
        ],
    );
    report.plain(
        &format!("merge, {WRITTEN} of {FILES} files | create"),
        merge,
        create,
    );
}
