//! Which system calls a program of an environment is not given, and what it is told instead.
//!
//! Only the list; by name, for every architecture that has a call of that name. Not for how it is
//! brought into the kernel.

use nix::errno::Errno;
use nix::libc;

/// What a call is answered with, without being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Forbidden, as a process without the capability would hear; not a signal, so that a script that
    /// only tries (`dmesg || true`) goes on.
    Forbidden,
    /// Unknown to this kernel: what asks has another way, as on kernels before the call was there.
    Unknown,
    /// No such family of sockets; PAM and `libaudit` take exactly this for a kernel without auditing.
    NoFamily,
    /// Success, with nothing done.
    Done,
}

impl Answer {
    pub(super) fn errno(self) -> u32 {
        match self {
            Self::Forbidden => Errno::EPERM as u32,
            Self::Unknown => Errno::ENOSYS as u32,
            Self::NoFamily => Errno::EAFNOSUPPORT as u32,
            Self::Done => 0,
        }
    }
}

/// A look at one argument, which the kernel takes as 32 bits in all calls looked at here: flags beyond
/// must not make a difference (a TIOCSTI with the 33rd bit set is one, CVE-2019-10063).
#[derive(Debug, Clone, Copy)]
pub(super) enum Look {
    /// Argument number, value.
    Is(u8, u64),
    IsNot(u8, u64),
    /// Argument number, the one bit that is set.
    Has(u8, u64),
    /// Argument number, the bits looked at, their value.
    Among(u8, u64, u64),
    /// Argument number: an address, all of it, that is not null.
    Given(u8),
}

/// What a call must look like: any of these, each of them all of those.
pub(super) type Shapes = &'static [&'static [Look]];

/// What every program is refused, in addition to what its capabilities refuse already: a call that is
/// never made cannot meet a bug, nor a check that was forgotten.
///
/// `ptrace` stays: it reaches nothing outside of the PID namespace, and a `shell` may want `strace`. So do
/// `chroot` and `personality`, which scripts use, and `seccomp` and Landlock, which only take away.
#[rustfmt::skip]
pub(super) const FORBIDDEN: &[&str] = &[
    // Code in the kernel, and other kernels.
    "create_module", "delete_module", "finit_module", "get_kernel_syms", "init_module",
    "query_module", "bpf", "kexec_file_load", "kexec_load", "reboot", "uselib", "_sysctl", "sysfs",
    "nfsservctl",
    // Watching the kernel and others. io_uring makes calls that no filter sees.
    "fanotify_init", "io_uring_enter", "io_uring_register", "io_uring_setup", "kcmp",
    "lookup_dcookie", "perf_event_open", "pidfd_getfd", "process_vm_readv", "process_vm_writev",
    "syslog", "userfaultfd",
    // Keys: of the session that netbe was called from, and those go with a user, not with a namespace.
    "add_key", "keyctl", "request_key",
    // The processor and its ports.
    "ioperm", "iopl", "modify_ldt", "pciconfig_iobase", "pciconfig_read", "pciconfig_write", "vm86",
    "vm86old",
    // The one clock.
    "adjtimex", "clock_adjtime", "clock_adjtime64", "clock_settime", "clock_settime64",
    "settimeofday", "stime",
    // Mounting, old and new, and disks. Nothing of it can work without SYS_ADMIN, so no package relies on
    // it in a container either.
    "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree",
    "open_tree_attr", "pivot_root", "quotactl", "quotactl_fd", "swapoff", "swapon", "umount",
    "umount2",
    // Files by number, past every directory above them: any file of the pool.
    "open_by_handle_at",
    // Other namespaces; new ones are below.
    "setns", "acct", "vhangup",
];

/// Answered as a kernel that lacks them.
///
/// `clone3` keeps its flags in memory, where a filter cannot look; the C libraries go back to `clone`. inotify
/// instances (128 for each user) and requests of `io_setup` (65536 for the whole machine) are few, and counted
/// together with those of the server's own services, which would not start where they are used up; programs
/// poll instead, and databases write without.
pub(super) const UNKNOWN: &[&str] = &["clone3", "inotify_init", "inotify_init1", "io_setup"];

/// The newest call this list has been held against: `file_setattr`, of Linux 6.17. Since 424 all
/// architectures count alike.
///
/// The list names what is refused, so that no package of a distribution nobody here has seen breaks by an
/// EPERM where it had none; it could not name what is not there yet. So what is newer does not exist
/// inside: programs manage without, as they do on a kernel that is older. Raise it after reading what
/// came between.
pub(super) const NEWEST: u32 = 469;

const NAMESPACES: Shapes = &[
    &[Look::Has(0, libc::CLONE_NEWNS as u64)],
    &[Look::Has(0, libc::CLONE_NEWCGROUP as u64)],
    &[Look::Has(0, libc::CLONE_NEWUTS as u64)],
    &[Look::Has(0, libc::CLONE_NEWIPC as u64)],
    // The one that would be granted, and with it every capability inside and all the code they open.
    &[Look::Has(0, libc::CLONE_NEWUSER as u64)],
    &[Look::Has(0, libc::CLONE_NEWPID as u64)],
    &[Look::Has(0, libc::CLONE_NEWNET as u64)],
];

/// Of asm-generic/ioctls.h, the same in all architectures there is a filter for.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;
const TIOCCONS: u64 = 0x541d;
const TIOCSETD: u64 = 0x5423;

/// `BTRFS_IOC_SNAP_DESTROY_V2` of linux/btrfs.h.
const SNAP_DESTROY_V2: u64 = 0x5000_943f;

/// Refused in some shapes only.
pub(super) const FORBIDDEN_SHAPES: &[(&str, Shapes)] = &[
    ("clone", NAMESPACES),
    ("unshare", NAMESPACES),
    (
        "ioctl",
        &[
            // Typing into a terminal, the console's selection and messages, and what is behind terminals:
            // setting a line discipline loads its module.
            &[Look::Is(1, TIOCSTI)],
            &[Look::Is(1, TIOCLINUX)],
            &[Look::Is(1, TIOCCONS)],
            &[Look::Is(1, TIOCSETD)],
            // Deletes a subvolume by number, one outside of the mount too where `user_subvol_rm_allowed`.
            &[Look::Is(1, SNAP_DESTROY_V2)],
        ],
    ),
];

/// Sockets are of the families a download needs: asking for another loads its module, and some (VSOCK)
/// lead past the network.
pub(super) const NO_FAMILY: &[(&str, Shapes)] = &[
    ("socket", NO_SOCKET),
    // No other family has pairs, and the kernel loads its module before it says so.
    ("socketpair", &[&[Look::IsNot(0, libc::AF_UNIX as u64)]]),
];

const NO_SOCKET: Shapes = &[
    &[
        Look::IsNot(0, libc::AF_UNIX as u64),
        Look::IsNot(0, libc::AF_INET as u64),
        Look::IsNot(0, libc::AF_INET6 as u64),
        Look::IsNot(0, libc::AF_NETLINK as u64),
    ],
    // Asking for addresses, and udev's news; netfilter, audit, crypto and others are the server's.
    &[
        Look::Is(0, libc::AF_NETLINK as u64),
        Look::IsNot(2, libc::NETLINK_ROUTE as u64),
        Look::IsNot(2, libc::NETLINK_KOBJECT_UEVENT as u64),
    ],
    // SCTP, DCCP, MPTCP and their modules.
    &[
        Look::Is(0, libc::AF_INET as u64),
        STREAM[0],
        STREAM[1],
        STREAM[2],
        STREAM[3],
    ],
    &[
        Look::Is(0, libc::AF_INET6 as u64),
        STREAM[0],
        STREAM[1],
        STREAM[2],
        STREAM[3],
        STREAM[4],
    ],
    // By their kind, with no protocol named: SOCK_RDM, SOCK_SEQPACKET, SOCK_DCCP, and SOCK_PACKET, which the kernel
    // takes for the family of that name.
    &[Look::Is(0, libc::AF_INET as u64), KINDS[0]],
    &[Look::Is(0, libc::AF_INET as u64), KINDS[1]],
    &[Look::Is(0, libc::AF_INET as u64), KINDS[2]],
    &[Look::Is(0, libc::AF_INET as u64), KINDS[3]],
    &[Look::Is(0, libc::AF_INET6 as u64), KINDS[0]],
    &[Look::Is(0, libc::AF_INET6 as u64), KINDS[1]],
    &[Look::Is(0, libc::AF_INET6 as u64), KINDS[2]],
    &[Look::Is(0, libc::AF_INET6 as u64), KINDS[3]],
];

/// `SOCK_TYPE_MASK` of the kernel: what is above are flags.
const KIND: u64 = 0xf;
const KINDS: [Look; 4] = [
    Look::Among(1, KIND, 4),
    Look::Among(1, KIND, 5),
    Look::Among(1, KIND, 6),
    Look::Among(1, KIND, 10),
];

const STREAM: [Look; 5] = [
    Look::IsNot(2, 0),
    Look::IsNot(2, libc::IPPROTO_TCP as u64),
    Look::IsNot(2, libc::IPPROTO_UDP as u64),
    Look::IsNot(2, libc::IPPROTO_ICMP as u64),
    Look::IsNot(2, libc::IPPROTO_ICMPV6 as u64),
];

/// `RLIMIT_CORE`, the same number in all architectures there is a filter for.
const LIMIT_OF_CORES: u64 = 4;

/// Answered with success: the limit on core files stays one byte, which keeps the server's core handler from being
/// started. Any other starts it, 0 as well; and a script that says `ulimit -c 0` goes on.
pub(super) const NOT_DONE: &[(&str, Shapes)] = &[
    ("setrlimit", &[&[Look::Is(0, LIMIT_OF_CORES)]]),
    // Without an address it only asks.
    (
        "prlimit64",
        &[&[Look::Is(1, LIMIT_OF_CORES), Look::Given(2)]],
    ),
];

/// What makes written files durable: answered with success where everything is made so at the end.
///
/// Files opened with `O_SYNC` stay as slow as they ask to be: a filter cannot change an argument.
pub(super) const SYNCS: &[&str] = &[
    "arm_sync_file_range",
    "fdatasync",
    "fsync",
    "sync",
    "sync_file_range",
    "sync_file_range2",
    "syncfs",
];
pub(super) const SYNC_SHAPES: &[(&str, Shapes)] =
    &[("msync", &[&[Look::Has(2, libc::MS_SYNC as u64)]])];
