//! The scene of a story: a network, a boot server, and a directory for its logs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::Machine;
use crate::network::Network;
use crate::prepared::Prepared;
use crate::server::{self, DISK_OF_MACHINE, Server};
use crate::support::{Netbe, run, seclude, show_units, unmount};
use crate::systems;

/// How many lines of each log a failing test prints.
const TAIL: usize = 60;

/// Returns whether stories are told whole: with the boots that prove again what another story has proved.
///
/// `scripts/test --e2e` has them so. The short forms leave out no first proof.
pub(crate) fn is_whole() -> bool {
    std::env::var("NETBE_E2E").is_ok_and(|form| form == "whole")
}

/// Everything a story needs but its machines.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) network: Network,
    pub(crate) server: Server,
    directory: PathBuf,
    /// Dropped last: prints.
    _logs: Logs,
}

impl Scene {
    /// Sets one up: a switch `shared`, with the server on it as 10.77.0.1, whose pool has a real Debian as the template
    /// `debian`.
    ///
    /// `name` is that of its directory under `target/tmp/e2e`, which is emptied.
    pub(crate) fn new(name: &str) -> Self {
        Self::with_debian(name, &[], |_| {})
    }

    /// As [`Self::new`], with what is done to the pool on this machine, before the server is there.
    ///
    /// Programs start there ten times as fast as in the server.
    pub(crate) fn with_more(name: &str, fill: impl FnOnce(&Netbe)) -> Self {
        Self::with_debian(name, &[], |directory| {
            with_pool_here(&directory.join(server::DISK), directory, fill);
        })
    }

    /// As [`Self::with_more`], with a pool that has nothing yet.
    ///
    /// Programs of other processors run here, and not in the server.
    pub(crate) fn with_pool(name: &str, fill: impl FnOnce(&Netbe)) -> Self {
        Self::set_up(name, &[], |directory| {
            let disk = directory.join(server::DISK);
            make_pool(&disk);
            with_pool_here(&disk, directory, |netbe| {
                netbe.ok(&format!("init --server {}", server::ADDRESS));
                fill(netbe);
            });
        })
    }

    /// As [`Self::new`], with the disk of a machine, two empty partitions, which the server has as well.
    pub(crate) fn with_disk_of_machine(name: &str) -> Self {
        Self::with_debian(name, &[], |directory| {
            let disk = directory.join(DISK_OF_MACHINE);
            let file = fs::File::create(&disk).expect("the directory is writable");
            file.set_len(8 << 30).expect("it is sparse");
            let table = "printf 'label: gpt\\n,4G\\n,\\n' | sfdisk -q \"$0\"";
            run(Command::new("sh").args(["-ec", table]).arg(&disk));
        })
    }

    /// As [`Self::new`], with another switch `second`, on which the server has this address too.
    pub(crate) fn with_second_link(name: &str, address: &str) -> Self {
        Self::with_debian(name, &[("second", address)], |_| {})
    }

    fn with_debian(name: &str, more: &[(&str, &str)], prepare: impl FnOnce(&Path)) -> Self {
        Self::set_up(name, more, |directory| {
            Prepared::of_this_program().copy_to(&directory.join(server::DISK));
            prepare(directory);
        })
    }

    fn set_up(name: &str, more: &[(&str, &str)], prepare: impl FnOnce(&Path)) -> Self {
        // While the machine's own network is within reach: they may have to be made.
        systems::real(&[]);
        systems::newest_kernel();
        let logs = Logs::new(name);
        let directory = logs.0.clone();
        seclude();
        show_units();
        prepare(&directory);
        let network = Network::new();
        network.bridge("shared", Some("10.77.0.254/24"));
        network.tap("server", "shared");
        let mut links = vec![("server", "10.77.0.1/24")];
        for (bridge, address) in more {
            network.bridge(bridge, None);
            network.tap("server-2", bridge);
            links.push(("server-2", address));
        }
        let server = Server::start(&links, &directory);
        Self {
            network,
            server,
            directory,
            _logs: logs,
        }
    }

    /// Returns where all of it is logged.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns a machine in the switch that all share.
    pub(crate) fn machine(&self, name: &str, mac: &str) -> Machine {
        self.network.tap(name, "shared");
        Machine::new(name, name, mac, &self.directory)
    }
}

/// Makes a file the disk of a server, with an empty filesystem.
pub(crate) fn make_pool(disk: &Path) {
    server::make_disk(disk);
    run(Command::new("mkfs.btrfs").arg("-q").arg(disk));
}

/// Does something with the pool in a server's disk on this machine; in a mount namespace that is the caller's own.
pub(crate) fn with_pool_here(disk: &Path, home: &Path, work: impl FnOnce(&Netbe)) {
    // At the path it has on the server: boot files name it.
    let pool = Path::new(server::POOL);
    run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/srv"]));
    fs::create_dir(pool).expect("a tmpfs is writable");
    run(Command::new("mount")
        .args(["-o", "loop"])
        .args([disk, pool]));
    work(&Netbe::new(pool, home));
    unmount(pool);
    run(Command::new("umount").arg("/srv"));
}

/// Where the consoles' logs are; a failing test prints how they end.
#[derive(Debug)]
pub(crate) struct Logs(PathBuf);

impl Logs {
    /// Makes a directory for them under `target/tmp/e2e`, which is emptied.
    pub(crate) fn new(name: &str) -> Self {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e");
        let directory = all.join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("the build's directory is writable");
        Self(directory)
    }

    /// Returns it.
    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        for disk in [server::DISK, DISK_OF_MACHINE] {
            let _ = fs::remove_file(self.0.join(disk));
        }
        if !std::thread::panicking() {
            return;
        }
        let mut logs: Vec<_> = fs::read_dir(&self.0)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "log"))
            .collect();
        logs.sort();
        for path in logs {
            let text = fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<_> = text.lines().collect();
            println!("\n--- the end of {}", path.display());
            for line in &lines[lines.len().saturating_sub(TAIL)..] {
                println!("{line}");
            }
        }
    }
}
