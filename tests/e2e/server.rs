//! The boot server: netbe, the kernel's NFS server, rpcbind and dnsmasq on a Linux of their own.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::console::{is_shown, show_command};
use crate::support::Outcome;
use crate::uml::{Uml, Wish};

/// The server's address on the switch that all machines share, and its length.
pub(crate) const ADDRESS: &str = "10.77.0.1";
/// Where its pool is.
pub(crate) const POOL: &str = "/srv/netbe";
/// The file its disk is in, in a story's directory.
pub(crate) const DISK: &str = "pool.btrfs";
/// The file that the disk of a machine is in, where the story has one.
pub(crate) const DISK_OF_MACHINE: &str = "machine.img";
/// How large that is, in bytes; it is sparse.
const SIZE: u64 = 16 << 30;

/// What all machines of it have on their kernel command lines.
pub(crate) const CMDLINE: &str = "console=ttyS0 quiet mitigations=off";

/// A running boot server with a pool.
#[derive(Debug)]
pub(crate) struct Server {
    uml: Uml,
}

impl Server {
    /// Starts one, which serves machines on these taps' networks, with the pool in `pool.btrfs`.
    pub(crate) fn start(links: &[(&str, &str)], directory: &Path) -> Self {
        let disk = directory.join(DISK);
        let of_machine = directory.join(DISK_OF_MACHINE);
        let wish = Wish {
            name: "server",
            links,
            disk: Some(&disk),
            of_machine: of_machine.exists().then_some(&of_machine),
        };
        let server = Self {
            uml: Uml::start(&wish, directory),
        };
        server.ok(
            "cd / && mkdir -p /srv/netbe && mount /dev/ubda /srv/netbe && netbe init --services && \
             netbe set dhcp=10.77.0.100-10.77.0.200 upgrade.network=private,10.77.0.1:80",
        );
        server.ok(&script("serve"));
        server.restart_dnsmasq();
        server
    }

    /// Starts dnsmasq anew, for what it reads only then; systemd, which netbe would ask for it, does not run here.
    pub(crate) fn restart_dnsmasq(&self) {
        self.ok(&script("dhcp"));
    }

    /// Makes a node as `netbe create` does with these arguments, and has dnsmasq know it.
    pub(crate) fn create(&self, arguments: &str) {
        self.ok(&format!("netbe create {arguments}"));
        self.restart_dnsmasq();
    }

    /// Puts a version of the package that greets at each start into the server's apt repository, on port 80.
    pub(crate) fn offer_greeting(&self, version: &str) {
        self.offer(version);
    }

    /// Puts a version of it there that wants another package too, and that package.
    pub(crate) fn offer_greeting_with(&self, version: &str, package: &Path) {
        self.offer(&format!("{version} {}", package.display()));
    }

    /// Puts what `server/package` makes of these arguments there, and offers it.
    fn offer(&self, arguments: &str) {
        let server =
            "[ -e /run/httpd ] || { busybox httpd -p 80 -h /srv/apt && touch /run/httpd; }";
        let package = script("package");
        self.ok(&format!("{package} /srv/apt {arguments} && {server}"));
    }

    /// Runs a shell's command line.
    pub(crate) fn run(&self, line: &str) -> Outcome {
        // What the story does for itself, a person has no use for.
        if line.starts_with("netbe ") {
            show_command("server", line);
        }
        let outcome = self.uml.run(line);
        if is_shown() && line.starts_with("netbe ") {
            // Here a story restarts dnsmasq, elsewhere the service manager does.
            let output = format!("{}{}", outcome.stdout, outcome.stderr);
            let is_said = |line: &&str| !line.starts_with("warning: dnsmasq runs with an older");
            output
                .lines()
                .filter(is_said)
                .for_each(|line| println!("{line}"));
        }
        outcome
    }

    /// Runs a command line that must succeed, and returns what it printed.
    ///
    /// # Panics
    ///
    /// When its status is not 0.
    pub(crate) fn ok(&self, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!(outcome.status, 0, "{line}\n{outcome:#?}");
        outcome.stdout
    }

    /// Runs a command line that must end with a status, and returns what it said on stderr.
    ///
    /// # Panics
    ///
    /// When it ends otherwise.
    pub(crate) fn fails(&self, status: i32, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!(outcome.status, status, "{line}\n{outcome:#?}");
        outcome.stderr
    }

    /// Waits until the trial of a node's environment has passed.
    pub(crate) fn wait_until_active(&self, node: &str, environment: &str) {
        let since = Instant::now();
        while self.active(node) != environment {
            assert!(
                since.elapsed() < Duration::from_secs(900),
                "{node} has not reported"
            );
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Returns a node's active environment, by its name alone.
    pub(crate) fn active(&self, node: &str) -> String {
        let link = self.ok(&format!("readlink /srv/netbe/nodes/{node}/active"));
        link.trim().trim_start_matches("envs/").to_string()
    }
}

/// Makes an empty disk.
pub(crate) fn make_disk(path: &Path) {
    File::create(path)
        .and_then(|file| file.set_len(SIZE))
        .expect("a sparse file can be made");
}

/// Returns the command line that runs one of the scripts beside this file.
pub(crate) fn script(name: &str) -> String {
    format!("{}/tests/e2e/server/{name}", env!("CARGO_MANIFEST_DIR"))
}
