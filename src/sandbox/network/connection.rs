//! Makes a private network and its connection, in the sandbox's first stage.
//!
//! All routes to this machine are blocked before the network is connected. Programs inside lack NET_ADMIN, so they
//! cannot undo that. slirp4netns and the proxy die with the first stage.

use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::Resource;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use super::super::attendant::Attendant;
use super::super::privileges;
use super::super::signals::retry_interrupted;
use super::gate::{self, Gate};
use super::netlink::{Policy, Prefix, Route, RouteEntry};
use super::{DNS, Network, Range};

/// Start timeout of slirp4netns, in milliseconds; it needs some hundredths of a second.
const START_TIMEOUT: u16 = 20_000;
/// Name of the device inside.
const DEVICE: &str = "tap0";
/// slirp4netns' maximum: with less, downloads take half as long again.
const MTU: &str = "65520";

/// Addresses of this machine or its link, whatever its configuration: loopback, link-local (with a cloud's metadata
/// service), multicast, reserved.
const ALWAYS_BLOCKED: &[Prefix] = &[
    Prefix::new([0, 0, 0, 0], 8),
    Prefix::new([127, 0, 0, 0], 8),
    Prefix::new([169, 254, 0, 0], 16),
    Prefix::new([224, 0, 0, 0], 4),
    Prefix::new([240, 0, 0, 0], 4),
];

/// A connected private network; disconnected when dropped.
#[derive(Debug)]
pub(in super::super) struct Connection {
    namespace: OwnedFd,
    _gate: Attendant,
    tool: Child,
    /// slirp4netns exits when this is closed.
    _exit: OwnedFd,
    /// Its stderr; without a reader it would be killed by SIGPIPE.
    _stderr: OwnedFd,
}

impl Connection {
    /// Makes the network; `None` for the host's. The helper processes close `channel`.
    pub(in super::super) fn make(
        network: &Network,
        range: Option<Range>,
        channel: RawFd,
    ) -> anyhow::Result<Option<Self>> {
        let (Network::Private(admitted), Some(range)) = (network, range) else {
            return Ok(None);
        };
        let outside = own_namespace()?;
        unshare(CloneFlags::CLONE_NEWNET).context("making a network namespace")?;
        let inside = own_namespace()?;
        let prepared = prepare(admitted);
        // Back to this machine's namespace, also after an error.
        setns(&outside, CloneFlags::CLONE_NEWNET)?;
        let gate = prepared?;
        gate.close_all(&Route::open()?.routes()?)?;
        // Before slirp4netns is started: the proxy must not inherit its exit descriptor.
        let gate = gate::start(&gate, channel)?;
        let (tool, exit, stderr) = connect(&inside, range)?;
        Ok(Some(Self {
            namespace: inside,
            _gate: gate,
            tool,
            _exit: exit,
            _stderr: stderr,
        }))
    }

    /// Moves this process into it.
    pub(in super::super) fn enter(&self) -> io::Result<()> {
        Ok(setns(&self.namespace, CloneFlags::CLONE_NEWNET)?)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.tool.kill();
        let _ = self.tool.wait();
    }
}

fn own_namespace() -> anyhow::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    open("/proc/self/ns/net", flags, Mode::empty()).context("opening /proc/self/ns/net")
}

/// Sets up loopback inside, and the admitted services on it.
fn prepare(admitted: &[std::net::SocketAddrV4]) -> anyhow::Result<Gate> {
    for which in ["all", "default"] {
        // Fails without IPv6; slirp4netns carries none either.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
    }
    let routes = Route::open().context("opening the new network")?;
    routes.loopback_up().context("bringing up loopback")?;
    let mut gate = Gate {
        routes,
        policy: Policy::open().ok(),
        services: Vec::new(),
        resolvers: Vec::new(),
    };
    for service in admitted {
        let address: Ipv4Addr = *service.ip();
        if !address.is_loopback() {
            gate.routes
                .add_address(address)
                .with_context(|| format!("admitting {address}"))?;
        }
        let refused = || format!("admitting {service}");
        gate.services
            .push(TcpListener::bind(service).with_context(refused)?);
        if service.port() == DNS {
            gate.resolvers
                .push(UdpSocket::bind(service).with_context(refused)?);
        }
    }
    Ok(gate)
}

impl Gate {
    /// Blocks all routes to this machine.
    pub(super) fn close_all(&self, routes: &[RouteEntry]) -> anyhow::Result<()> {
        let of_server = routes.iter().filter(|r| r.is_local).map(|r| r.prefix);
        for prefix in ALWAYS_BLOCKED.iter().copied().chain(of_server) {
            let refused = || format!("closing {}/{}", prefix.address, prefix.length);
            self.routes.forbid(prefix).with_context(refused)?;
            // A second block, for multicast only; see [`Policy`].
            let _ = self.policy.as_ref().map(|policy| policy.forbid(prefix));
        }
        Ok(())
    }
}

/// Starts slirp4netns, and waits until it is ready.
fn connect(namespace: &OwnedFd, range: Range) -> anyhow::Result<(Child, OwnedFd, OwnedFd)> {
    let program = super::slirp().context("slirp4netns was removed")?;
    let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC);
    let ((ended, exit), (ready, ready_end), (stderr, stderr_end)) = (pipe()?, pipe()?, pipe()?);
    // Its messages must not block it.
    fcntl(&stderr_end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let prefix = range.prefix();
    let mut command = Command::new(&program);
    command
        .args(["--configure", "--disable-host-loopback", "--enable-sandbox"])
        .args(["--enable-seccomp", "--mtu", MTU, "--netns-type=path"])
        .arg(format!("--cidr={}/{}", prefix.address, prefix.length))
        .args(["--exit-fd", &ended.as_raw_fd().to_string()])
        .args(["--ready-fd", &ready_end.as_raw_fd().to_string()])
        .arg(format!("/proc/self/fd/{}", namespace.as_raw_fd()))
        .arg(DEVICE)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(stderr_end));
    let handed = [
        ended.as_raw_fd(),
        ready_end.as_raw_fd(),
        namespace.as_raw_fd(),
    ];
    let mut tool = start_with(&mut command, handed)
        .with_context(|| format!("starting {}", program.display()))?;
    drop((command, ready_end, ended));
    if !wait_ready(&ready)? {
        let _ = tool.kill();
        let _ = tool.wait();
        let mut why = Vec::new();
        let _ = std::fs::File::from(stderr).take(4096).read_to_end(&mut why);
        let why = String::from_utf8_lossy(&why);
        bail!(
            "{} made no connection: {}",
            program.display(),
            why.trim().replace('\n', "; ")
        );
    }
    Ok((tool, exit, stderr))
}

/// Approximate limit of connections: each is an open file of slirp4netns, which no cgroup limits.
const OPEN_MAX: u64 = 1024;

/// Starts slirp4netns in a private mount namespace. Its sandbox unmounts everything: with shared mounts, as systemd makes
/// them, this machine's own would be unmounted too.
#[allow(unsafe_code)]
fn start_with(command: &mut Command, handed: [RawFd; 3]) -> io::Result<Child> {
    // SAFETY: between fork and exec only prctl(2), prlimit(2), fcntl(2), unshare(2) and mount(2) are called, which need no
    // lock and no memory.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(Signal::SIGKILL)?;
            privileges::lower_limit(Resource::RLIMIT_NOFILE, OPEN_MAX)?;
            for descriptor in handed {
                nix::errno::Errno::result(libc::fcntl(descriptor, libc::F_SETFD, 0))?;
            }
            unshare(CloneFlags::CLONE_NEWNS)?;
            let none = None::<&std::ffi::CStr>;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(none, c"/", none, private, none)?;
            Ok(())
        });
    }
    command.spawn()
}

fn wait_ready(ready: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(ready.as_fd(), PollFlags::POLLIN)];
    retry_interrupted(|| poll(&mut fds, PollTimeout::from(START_TIMEOUT)))?;
    let mut byte = [0];
    let flags = fds[0].revents().unwrap_or(PollFlags::empty());
    Ok(flags.contains(PollFlags::POLLIN)
        && retry_interrupted(|| nix::unistd::read(ready, &mut byte))? == 1)
}
