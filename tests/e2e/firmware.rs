//! The network boot of a Raspberry Pi 4, played: what its boot loader asks for, where, and in which order.
//!
//! QEMU has no such firmware. After Raspberry Pi's documentation, "Raspberry Pi boot EEPROM", "boot-net", "config.txt":
//! DHCP until somebody says "Raspberry Pi Boot", then files by TFTP from a directory named by the serial number, or from the
//! top where no `start4.elf` is in that; or the same files from a card. Not for its own updates, for USB, or for other boards.

mod config;
mod dhcp;
mod tftp;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

use crate::network::ip;
use config::Config;
use tftp::Server;

/// The device tree of a Raspberry Pi 4 B, where `device_tree=` names no other.
const DEVICE_TREE: &str = "bcm2711-rpi-4-b.dtb";

/// What the firmware starts the kernel with.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) kernel: Vec<u8>,
    pub(crate) initramfs: Vec<u8>,
    /// The command line file's one line.
    pub(crate) cmdline: String,
    /// What was asked for, in order, and whether it was there.
    pub(crate) asked: Vec<(String, bool)>,
}

/// Where the firmware has its files from.
trait Source {
    /// Returns a file; `None` where there is none.
    fn get(&mut self, name: &str) -> Option<Vec<u8>>;

    /// Returns a file that nothing goes on without.
    ///
    /// # Panics
    ///
    /// When it is not there.
    fn need(&mut self, name: &str) -> Vec<u8> {
        self.get(name)
            .unwrap_or_else(|| panic!("the firmware misses {name}"))
    }
}

/// A file that is a card, and what was asked for.
struct Card<'a>(&'a Path, Vec<(String, bool)>);

impl Source for Card<'_> {
    /// Reads it by a FAT of its own, since this machine's kernel need not have one: from its first partition.
    fn get(&mut self, name: &str) -> Option<Vec<u8>> {
        let partition = format!("{}@@1M", self.0.display());
        let mut copy = Command::new("mcopy");
        copy.args(["-i", &partition, &format!("::{name}"), "-"]);
        let output = copy.output().expect("the package mtools is installed");
        let found = output.status.success().then_some(output.stdout);
        self.1.push((name.to_string(), found.is_some()));
        found
    }
}

/// Runs the firmware of a board that boots from the card in this file.
///
/// # Panics
///
/// When it would stop with an error.
pub(crate) fn run_from_card(file: &Path) -> Loaded {
    let mut card = Card(file, Vec::new());
    card.need("start4.elf");
    let mut loaded = load_from(&mut card, "");
    loaded.asked = card.1;
    loaded
}

/// Runs the firmware of a board with this serial (eight hexadecimal digits) and MAC address, in this switch.
///
/// # Panics
///
/// When it would stop with an error: nobody offers "Raspberry Pi Boot", or a file it cannot do without is missing.
pub(crate) fn run(serial: &str, mac: &str, bridge: &str) -> Loaded {
    ip(&format!(
        "link add board type veth peer name board-net address {mac}"
    ));
    ip(&format!("link set board master {bridge} up"));
    let (tell, told) = mpsc::channel();
    let (go, gone) = mpsc::channel();
    let (serial, mac) = (serial.to_string(), mac.to_string());
    // With a network stack of its own, as the board has.
    let board = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("root may make a network namespace");
        tell.send(gettid()).expect("it waits");
        gone.recv().expect("it goes on");
        load(&serial, &mac)
    });
    let id = told.recv().expect("the board says who it is");
    ip(&format!("link set board-net netns {id}"));
    go.send(()).expect("it waits");
    let loaded = board.join();
    // With the board its network stack goes, some time later, and with that both ends: it may be gone already.
    let _ = Command::new("ip")
        .args(["link", "delete", "board"])
        .stderr(Stdio::null())
        .status();
    loaded.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn load(serial: &str, mac: &str) -> Loaded {
    ip("link set board-net up");
    ip("route add default dev board-net");
    let lease = dhcp::ask(mac, serial);
    ip(&format!(
        "address add {}/{} dev board-net",
        lease.address, lease.length
    ));
    let mut server = Server::new(lease.server);

    let start = format!("{serial}/start4.elf");
    let prefix = match server.get(&start) {
        Some(_) => format!("{serial}/"),
        None => {
            server.need("start4.elf");
            String::new()
        }
    };
    let mut loaded = load_from(&mut server, &prefix);
    loaded.asked = server.asked;
    loaded
}

/// Loads what `config.txt` names, beside a firmware that was found in a directory.
fn load_from(server: &mut impl Source, prefix: &str) -> Loaded {
    server.need(&format!("{prefix}fixup4.dat"));
    let text = server.need(&format!("{prefix}config.txt"));
    let config = Config::read(&String::from_utf8_lossy(&text));
    let prefix = format!("{prefix}{}", config.os_prefix);

    let cmdline = server.need(&format!("{prefix}{}", config.cmdline));
    let cmdline = String::from_utf8_lossy(&cmdline);
    let device_tree = config.device_tree.as_deref().unwrap_or(DEVICE_TREE);
    server.need(&format!("{prefix}{device_tree}"));
    let kernel = server.need(&format!("{prefix}{}", config.kernel));
    let initramfs = config.initramfs();
    let initramfs = initramfs.map(|name| server.need(&format!("{prefix}{name}")));
    Loaded {
        kernel,
        initramfs: initramfs.unwrap_or_default(),
        cmdline: cmdline.lines().next().unwrap_or_default().to_string(),
        asked: Vec::new(),
    }
}
