//! Transfers of boot files: netbe's TFTP server against dnsmasq's, both with the same pool's files, by a cable between two
//! network namespaces.
//!
//! curl acknowledges each block, as most firmware does. Windows of many blocks, which netbe's server grants and dnsmasq
//! 2.90 does not, are not measured.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use super::clock::{Report, turns};
use super::support::{MAC, Pool, SERVER, TFTP_NAME, run};
use super::timed;

/// Where dnsmasq answers.
const OTHER: &str = "192.0.2.2";
/// How large the file is, in bytes: an initramfs.
const SIZE: usize = 60_000_000;
/// The largest block in one packet, and what iPXE asks for.
const BLOCKS: [usize; 2] = [1468, 1428];
/// How many machines fetch at once.
const MACHINES: usize = 8;

/// Times both.
pub(crate) fn tftp(rounds: usize, report: &mut Report) {
    // The network is this thread's, and with the last process in it, it is gone.
    std::thread::scope(|scope| {
        let measured = scope.spawn(|| measure(rounds, report)).join();
        measured.expect("it says by itself what is wrong");
    });
}

fn measure(rounds: usize, report: &mut Report) {
    let pool = Pool::with_served_node();
    for (name, size) in [("large", SIZE), ("small", 1)] {
        let file = pool.half("nog/a", "boot").join(name);
        fs::write(file, vec![0x5a; size]).expect("the pool is writable");
    }
    let client = cable();
    let path = pool.path();
    let _servers = [netbe(path), dnsmasq(path)];
    for server in [SERVER, OTHER] {
        wait_for(&client, server);
    }
    for block in BLOCKS {
        let [ours, theirs] = turns(
            rounds,
            [&mut |_| fetch(&client, SERVER, block, 1), &mut |_| {
                fetch(&client, OTHER, block, 1)
            }],
        );
        report.ratio(
            &format!("60 MB, blocks of {block}: serve | dnsmasq"),
            ours,
            theirs,
            1.1,
        );
    }
    let [ours, theirs] = turns(
        rounds,
        [
            &mut |_| fetch(&client, SERVER, BLOCKS[0], MACHINES),
            &mut |_| fetch(&client, OTHER, BLOCKS[0], MACHINES),
        ],
    );
    report.ratio(
        &format!("{MACHINES} times at once: serve | dnsmasq"),
        ours,
        theirs,
        1.1,
    );
}

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Running {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Running(command.spawn().expect("util-linux is installed"))
}

fn netbe(pool: &Path) -> Running {
    let pool = pool.to_string_lossy();
    let program = assert_cmd::cargo::cargo_bin!("netbe");
    start(program, &["--pool", &pool, "serve", "--listen", SERVER])
}

/// Starts it as root: it serves what netbe keeps from others.
fn dnsmasq(pool: &Path) -> Running {
    let root = format!("--tftp-root={}", pool.join("tftp").display());
    let at = format!("--listen-address={OTHER}");
    let fixed = [
        "--conf-file=/dev/null",
        "--keep-in-foreground",
        "--user=root",
        "--pid-file=",
        "--port=0",
        "--bind-interfaces",
        "--enable-tftp",
        "--quiet-tftp",
    ];
    start("dnsmasq", &[&fixed[..], &[&root, &at]].concat())
}

/// Lays a cable from this thread's network to another, and returns who holds that.
fn cable() -> Running {
    unshare(CloneFlags::CLONE_NEWNET).expect("root may make a network namespace");
    let client = start("unshare", &["--net", "sleep", "3600"]);
    let pid = client.0.id();
    let is_there = || fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c == "sleep\n");
    until("the other end", is_there);
    ip(&format!(
        "link add lan0 type veth peer name eth0 address {MAC} netns {pid}"
    ));
    for line in [
        &format!("address add {SERVER}/24 dev lan0"),
        &format!("address add {OTHER}/24 dev lan0"),
        "link set lan0 up",
    ] {
        ip(line);
    }
    for line in ["address add 192.0.2.77/24 dev eth0", "link set eth0 up"] {
        run(on(&client, "ip").args(line.split(' ')));
    }
    client
}

fn ip(line: &str) {
    run(Command::new("ip").args(line.split(' ')));
}

/// Returns a command that the other end runs.
fn on(client: &Running, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{}/ns/net", client.0.id()));
    command.arg(program);
    command
}

fn curl(client: &Running, server: &str, file: &str, block: usize) -> Command {
    let mut command = on(client, "curl");
    command
        .args(["--silent", "--show-error", "--max-time", "120"])
        .args(["--output", "/dev/null", "--tftp-blksize"])
        .arg(block.to_string())
        .arg(format!("tftp://{server}/{TFTP_NAME}/{file}"));
    command.stdin(Stdio::null());
    command
}

/// Returns how long it takes until so many at once have it.
fn fetch(client: &Running, server: &str, block: usize, machines: usize) -> Duration {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..machines {
            scope.spawn(|| timed(&mut curl(client, server, "large", block)));
        }
    });
    begun.elapsed()
}

fn wait_for(client: &Running, server: &str) {
    let mut answers = || {
        let mut asked = curl(client, server, "small", 512);
        let status = asked.stderr(Stdio::null()).status();
        status.is_ok_and(|s| s.success())
    };
    until(server, &mut answers);
}

fn until(what: &str, mut there: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !there() {
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}
