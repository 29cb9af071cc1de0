//! Upgrades: one transaction of apt against the same in a plain chroot, many nodes at once, and a template that is upgraded
//! once and given to them; new nodes with their host keys.
//!
//! The packages lie in the system itself, so that no network is measured.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::clock::{Report, turns};
use super::support::{Pool, run};
use super::{Bench, timed};

/// What is installed.
const PACKAGES: &str = "python3 vim git";
/// How many nodes a fleet has.
const FLEET: usize = 8;
/// How many new nodes are made at once.
const RACK: usize = 30;

/// Times both; the fleet once, since it takes minutes.
pub(crate) fn upgrades(rounds: usize, report: &mut Report) {
    let pool = Pool::new();
    let bench = Bench {
        netbe: pool.netbe(),
        path: pool.path().to_path_buf(),
        number: 0,
    };
    prepare(&bench);
    let install = format!("upgrade nog/ready -- apt-get install -y {PACKAGES}");
    let [ours, theirs] = turns(
        rounds,
        [
            &mut |round| bench.time(&install.replace(" -- ", &format!(" --name n{round} -- "))),
            &mut |round| in_a_chroot(&bench.path, round),
        ],
    );
    report.ratio("upgrade: apt-get install | in a chroot", ours, theirs, 0.5);

    let nodes: Vec<String> = (1..=FLEET).map(|i| format!("node{i}")).collect();
    for node in &nodes {
        bench
            .netbe
            .ok(&format!("create {node}/ready --from nog/ready"));
    }
    let command = format!("-- apt-get install -y {PACKAGES}");
    let begun = Instant::now();
    for node in &nodes {
        bench.time(&format!("upgrade --node {node} --name alone {command}"));
    }
    let alone = begun.elapsed();
    let named: String = nodes.iter().map(|n| format!(" --node {n}")).collect();
    let together = bench.time(&format!("upgrade{named} --name together {command}"));
    report.ratio(
        &format!("{FLEET} nodes: at once | one after another"),
        together,
        alone,
        0.5,
    );
    golden(&bench, &nodes.join(" "), alone, report);
    rack(&bench, report);
}

/// Times a template that is upgraded, and given to all nodes with what each has changed, against each node's own upgrade.
fn golden(bench: &Bench, nodes: &str, alone: Duration, report: &mut Report) {
    for node in nodes.split(' ') {
        let own = format!("nodes/{node}/envs/ready/root/etc/own.conf");
        fs::write(bench.path.join(own), node).expect("the filesystem is writable");
    }
    let begun = Instant::now();
    bench.time(&format!(
        "upgrade debian/base --name golden -a -- apt-get install -y {PACKAGES}"
    ));
    bench.time(&format!("create {nodes} --from debian --merge"));
    report.ratio(
        &format!("{FLEET} nodes: of one template | upgraded each"),
        begun.elapsed(),
        alone,
        0.3,
    );
}

/// Times new nodes, each with host keys of its own, against their keys alone.
fn rack(bench: &Bench, report: &mut Report) {
    let ssh = bench.path.join("nodes/debian/envs/golden/root/etc/ssh");
    let keys = "for kind in ed25519 ecdsa 'rsa -b 3072'; do rm -f key key.pub; ssh-keygen -q -N '' -f key -t $kind; done";
    let by_hand = |script: &str, dir: &Path| {
        timed(
            Command::new("sh")
                .args(["-ec", script])
                .env("PATH", "/usr/bin:/bin")
                .current_dir(dir),
        )
    };
    // Whatever it had: of each kind one.
    by_hand("ssh-keygen -q -A -f ../..", &ssh);
    let names: Vec<String> = (1..=RACK).map(|i| format!("rack{i}")).collect();
    let made = bench.time(&format!("create {} --from debian", names.join(" ")));
    let theirs = by_hand(
        &format!("for i in $(seq {RACK}); do {keys}; done"),
        &bench.path,
    );
    report.plain(
        &format!("{RACK} new nodes | their keys, one by one"),
        made,
        theirs,
    );
}

/// Makes nog/ready: a real Debian that has the packages in a repository of its own.
fn prepare(bench: &Bench) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-system");
    let output = Command::new(script)
        .output()
        .expect("the script can be run");
    let system = String::from_utf8_lossy(&output.stdout).trim().to_string();
    bench.netbe.ok(&format!("import debian/base {system}"));
    let fetch = format!(
        "apt-get -q update && mkdir -p /srv/debs/partial && \
         apt-get -y --download-only -o Dir::Cache::archives=/srv/debs/ install {PACKAGES}"
    );
    let ran = bench
        .netbe
        .run_with(&["run", "debian/base", "--", "sh", "-ec", &fetch]);
    assert_eq!(ran.status, 0, "{ran:#?}");
    let root = bench.path.join("nodes/debian/envs/base/root");
    let index = "apt-ftparchive packages . >Packages";
    run(Command::new("sh")
        .args(["-ec", index])
        .current_dir(root.join("srv/debs")));
    let source = "deb [trusted=yes] file:/srv/debs ./\n";
    fs::write(root.join("etc/apt/sources.list"), source).expect("the filesystem is writable");
    bench.netbe.ok("run debian/base -- apt-get -q update");
    bench.netbe.ok("create nog/ready");
}

/// The transaction as people do it by hand: a snapshot, what programs want mounted, chroot.
fn in_a_chroot(pool: &Path, round: usize) -> Duration {
    let script = format!(
        "btrfs subvolume snapshot nodes/nog/envs/ready/root by-hand-{round} && cd by-hand-{round} && \
         mount -t proc proc proc && mount --bind /dev dev && \
         DEBIAN_FRONTEND=noninteractive chroot . apt-get install -y {PACKAGES} && umount dev proc"
    );
    timed(
        Command::new("unshare")
            .args(["-m", "sh", "-ec", &script])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir(pool),
    )
}
