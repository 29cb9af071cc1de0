//! A network of two machines in a test: the server, and one that asks it.
//!
//! The test's own thread is the server; the other is a network namespace at the end of a cable. Both go when the
//! test does, also when it is killed.

use std::fs::{self, File};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};

use crate::support::{MAC, Pool, SERVER, output, run, wait_for_forks, wait_until};

/// The address the asking machine has before it asks.
pub(super) const CLIENT: &str = "192.0.2.77";

/// The network, and the server's dnsmasq where it runs.
pub(super) struct Network {
    client: Child,
    dnsmasq: Option<Child>,
    log: PathBuf,
}

/// What a DHCP server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) address: Ipv4Addr,
    pub(super) next_server: Ipv4Addr,
    pub(super) file: String,
    pub(super) options: Vec<(u8, Vec<u8>)>,
}

impl Offer {
    pub(super) fn option(&self, number: u8) -> Option<&[u8]> {
        let found = self.options.iter().find(|(n, _)| *n == number)?;
        Some(&found.1)
    }

    /// Returns the file a machine would fetch, whichever way it is told.
    pub(super) fn boot_file(&self) -> String {
        match self.option(67) {
            Some(name) => String::from_utf8_lossy(name)
                .trim_end_matches('\0')
                .to_string(),
            None => self.file.clone(),
        }
    }
}

/// A machine that asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asks<'a> {
    pub(super) mac: &'a str,
    pub(super) arch: u8,
    pub(super) vendor: &'a str,
    /// Whether it says that it is iPXE: option 175.
    pub(super) is_ipxe: bool,
    /// What its machine id, DHCP option 97, begins with.
    pub(super) id: &'a [u8],
}

/// The firmware of a PC with BIOS, and of a Raspberry Pi, which says the same of itself.
pub(super) const BIOS: Asks<'static> = Asks {
    mac: MAC,
    arch: 0,
    vendor: "PXEClient:Arch:00000:UNDI:002001",
    is_ipxe: false,
    id: b"\x42\x42\x42\x42",
};
pub(super) const UEFI: Asks<'static> = Asks {
    arch: 7,
    vendor: "PXEClient:Arch:00007:UNDI:003016",
    ..BIOS
};
pub(super) const UEFI_ARM64: Asks<'static> = Asks {
    arch: 11,
    vendor: "PXEClient:Arch:00011:UNDI:003016",
    ..BIOS
};
/// Firmware that boots by HTTP: RFC 5970's architectures, UEFI specification 24.7.3.
pub(super) const UEFI_HTTP: Asks<'static> = Asks {
    arch: 16,
    vendor: "HTTPClient:Arch:00016:UNDI:003001",
    ..BIOS
};
pub(super) const UEFI_HTTP_ARM64: Asks<'static> = Asks {
    arch: 19,
    vendor: "HTTPClient:Arch:00019:UNDI:003001",
    ..BIOS
};
pub(super) const IPXE: Asks<'static> = Asks {
    is_ipxe: true,
    ..UEFI
};
pub(super) const IPXE_ARM64: Asks<'static> = Asks {
    is_ipxe: true,
    ..UEFI_ARM64
};
pub(super) const U_BOOT: Asks<'static> = Asks {
    arch: 22,
    vendor: "U-Boot.armv8",
    ..BIOS
};

impl Network {
    /// Lays the cable; the calling thread becomes the server at [`SERVER`].
    pub(super) fn new(pool: &Pool) -> Self {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let client = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--net", "sleep", "600"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let network = Self {
            client,
            dnsmasq: None,
            log: pool.beside().join("dnsmasq.log"),
        };
        let pid = network.client.id().to_string();
        let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
        wait_until("the other machine is there", || {
            fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|n| n != own)
                && fs::read_to_string(format!("/proc/{pid}/comm"))
                    .is_ok_and(|c| c.trim() == "sleep")
        });
        ip("link set lo up");
        ip(&format!(
            "link add lan0 type veth peer name eth0 address {MAC} netns {pid}"
        ));
        ip(&format!("addr add {SERVER}/24 dev lan0"));
        ip("link set lan0 up");
        for line in [
            format!("addr add {CLIENT}/24 dev eth0"),
            "link set lo up".to_string(),
            "link set eth0 up".to_string(),
            format!("route add default via {SERVER}"),
        ] {
            network
                .client_runs("ip")
                .args(line.split(' '))
                .status()
                .unwrap();
        }
        network
    }

    /// Gives the asking machine another network card, and the server nothing to remember the old one by.
    pub(super) fn client_has(&self, mac: &str) {
        run(self
            .client_runs("ip")
            .args(["link", "set", "eth0", "address", mac]));
        run(Command::new("ip").args(["neigh", "flush", "dev", "lan0"]));
    }

    /// Gives the asking machine a second address, behind a router: the server does not see its network card.
    pub(super) fn client_is_routed_at(&self, address: &str) {
        run(self
            .client_runs("ip")
            .args(["addr", "add", &format!("{address}/32"), "dev", "lo"]));
        ip(&format!("route add {address}/32 via {CLIENT}"));
    }

    /// Starts the server's dnsmasq as Debian's unit does, not as root.
    pub(super) fn start_dnsmasq(&mut self) {
        fs::create_dir_all("/run/dnsmasq").unwrap();
        let directory = self.log.parent().unwrap();
        // It forgets whose child it is when it stops being root: a shell that does not ends it.
        let script = format!(
            "dnsmasq --keep-in-foreground --user=nobody --pid-file=/run/dnsmasq/dnsmasq.pid \
             --conf-dir=/etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new --local-service --log-dhcp \
             --log-facility={0}/dnsmasq.log --dhcp-leasefile={0}/leases & trap 'kill $!' TERM; wait $!; echo \"ended: $?\" >> {0}/dnsmasq.log; wait",
            directory.display()
        );
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "sh", "-c", &script])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.dnsmasq = Some(child);
        self.wait_for_log("started, version");
    }

    pub(super) fn stop_dnsmasq(&mut self) {
        if let Some(mut child) = self.dnsmasq.take() {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
            let _ = fs::remove_file(&self.log);
            let _ = fs::remove_file("/run/dnsmasq/dnsmasq.pid");
        }
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(super) fn wait_for_log(&self, words: &str) {
        wait_until(&format!("dnsmasq says {words:?}"), || {
            self.log().contains(words)
        });
    }

    /// Returns a command that the asking machine runs.
    pub(super) fn client_runs(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.client.id()));
        command.arg(program);
        command
    }

    /// Does something as the asking machine.
    pub(super) fn on_client<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let namespace = File::open(format!("/proc/{}/ns/net", self.client.id())).unwrap();
        // A thread of its own: from this one the server is run.
        std::thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
    }

    /// Returns what the asking machine gets for a name over TFTP; `None` where the server has no such file.
    pub(super) fn fetch(&self, name: &str) -> Option<Vec<u8>> {
        let output = self
            .client_runs("curl")
            .args(["--silent", "--max-time", "60"])
            .arg(format!("tftp://{SERVER}/{name}"))
            .output()
            .unwrap();
        output.status.success().then_some(output.stdout)
    }

    /// Returns the server's answer to a machine that looks for one and asks again until there is one.
    pub(super) fn offered(&self, asks: Asks<'_>) -> Offer {
        let mut offer = None;
        wait_until(&format!("a machine is answered:\n{}", self.log()), || {
            offer = self.discover(asks);
            offer.is_some()
        });
        offer.unwrap()
    }

    /// Returns the server's answer to a machine that asks once; `None` when there is none for some seconds.
    pub(super) fn discover(&self, asks: Asks<'_>) -> Option<Offer> {
        let packet = discovery(asks);
        self.on_client(move || {
            let socket = dhcp_client();
            socket.set_broadcast(true).unwrap();
            // dnsmasq makes sure by a ping of up to three seconds that an address is free.
            socket
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            socket.send_to(&packet, "255.255.255.255:67").unwrap();
            let mut answer = [0; 1500];
            let length = socket.recv(&mut answer).ok()?;
            Some(offer(&answer[..length]))
        })
        .join()
        .unwrap()
    }
}

/// Returns the socket that a machine asks from.
///
/// The one before is closed once what other tests were just starting then runs.
fn dhcp_client() -> UdpSocket {
    wait_for_forks();
    UdpSocket::bind("0.0.0.0:68").unwrap()
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop_dnsmasq();
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn ip(line: &str) {
    run(Command::new("ip").args(line.split(' ')));
}

/// Returns a DHCPDISCOVER: RFC 2131, with what PXE adds to it, RFC 4578.
fn discovery(asks: Asks<'_>) -> Vec<u8> {
    let mut packet = vec![0_u8; 236];
    packet[..4].copy_from_slice(&[1, 1, 6, 0]);
    packet[4..8].copy_from_slice(b"test");
    packet[10] = 0x80; // answer by broadcast
    for (i, pair) in asks.mac.split(':').enumerate() {
        packet[28 + i] = u8::from_str_radix(pair, 16).unwrap();
    }
    packet.extend([
        99, 130, 83, 99, 53, 1, 1, 55, 8, 1, 3, 6, 12, 43, 60, 66, 67,
    ]);
    packet.extend([93, 2, 0, asks.arch, 60, asks.vendor.len() as u8]);
    packet.extend(asks.vendor.as_bytes());
    let mut id = [0x11; 17];
    id[0] = 0;
    id[1..=asks.id.len()].copy_from_slice(asks.id);
    packet.extend([97, 17]);
    packet.extend(id);
    if asks.is_ipxe {
        packet.extend([175, 3, 16, 1, 2]);
    }
    packet.push(255);
    packet
}

fn offer(packet: &[u8]) -> Offer {
    let address = |at: usize| {
        let four: [u8; 4] = packet[at..at + 4].try_into().unwrap();
        Ipv4Addr::from(four)
    };
    let mut options = Vec::new();
    let mut rest = &packet[240..];
    while let [number, more @ ..] = rest {
        match (number, more) {
            (0, more) => rest = more,
            (255, _) | (_, []) => break,
            (number, [length, more @ ..]) => {
                let (value, after) = more.split_at(usize::from(*length));
                options.push((*number, value.to_vec()));
                rest = after;
            }
        }
    }
    let name: Vec<u8> = packet[108..236]
        .iter()
        .copied()
        .take_while(|b| *b != 0)
        .collect();
    Offer {
        address: address(16),
        next_server: address(20),
        file: String::from_utf8(name).unwrap(),
        options,
    }
}

/// Returns what `dnsmasq --test` says of a configuration; it must take it.
pub(super) fn judge(arguments: &[&str]) {
    output(Command::new("dnsmasq").arg("--test").args(arguments));
}
