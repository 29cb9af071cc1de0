//! The system calls that programs of an environment are refused, and the answers.
//!
//! A list of names, for every architecture with a call of that name. The filter is built elsewhere.

use nix::errno::Errno;
use nix::libc;

/// The answer to a refused call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Forbidden, as without the capability; no signal, so that a script that only tries (`dmesg || true`) continues.
    Forbidden,
    /// Unknown, as on an older kernel, for which programs have an alternative.
    Unknown,
    /// Unknown socket family; PAM and `libaudit` expect exactly this from a kernel without auditing.
    NoFamily,
    /// Success, without effect.
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

/// A condition on an argument. In all these calls the kernel uses 32 bits of it: higher bits must not matter (TIOCSTI
/// with the 33rd bit set was such a hole, CVE-2019-10063).
#[derive(Debug, Clone, Copy)]
pub(super) enum Condition {
    /// Argument number, value.
    Is(u8, u64),
    IsNot(u8, u64),
    /// Argument number, the bit that is set.
    Has(u8, u64),
    /// Argument number, mask, value.
    Among(u8, u64, u64),
    /// Argument number: an address other than null, in 64 bits.
    Given(u8),
}

/// The refused forms of a call: any of these, each with all of its conditions.
pub(super) type Shapes = &'static [&'static [Condition]];

/// Calls refused in addition to what capabilities deny, so that they cannot reach a kernel bug or a missing check.
///
/// `ptrace` is permitted: it is limited to the PID namespace, and useful for `strace` in a `shell`. So are `chroot`
/// and `personality`, which scripts use, and `seccomp` and Landlock, which only restrict.
#[rustfmt::skip]
pub(super) const FORBIDDEN: &[&str] = &[
    // Loading code into the kernel, and other kernels.
    "create_module", "delete_module", "finit_module", "get_kernel_syms", "init_module",
    "query_module", "bpf", "kexec_file_load", "kexec_load", "reboot", "uselib", "_sysctl", "sysfs",
    "nfsservctl",
    // Observing the kernel and other processes. io_uring's calls bypass filters.
    "fanotify_init", "io_uring_enter", "io_uring_register", "io_uring_setup", "kcmp",
    "lookup_dcookie", "perf_event_open", "pidfd_getfd", "process_vm_readv", "process_vm_writev",
    "syslog", "userfaultfd",
    // Keys: of netbe's session, and keys belong to a user, not to a namespace.
    "add_key", "keyctl", "request_key",
    // The processor and its ports.
    "ioperm", "iopl", "modify_ldt", "pciconfig_iobase", "pciconfig_read", "pciconfig_write", "vm86",
    "vm86old",
    // The clock, which is shared.
    "adjtimex", "clock_adjtime", "clock_adjtime64", "clock_settime", "clock_settime64",
    "settimeofday", "stime",
    // Mounts and disks. They require SYS_ADMIN, so packages do not rely on them in containers either.
    "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree",
    "open_tree_attr", "pivot_root", "quotactl", "quotactl_fd", "swapoff", "swapon", "umount",
    "umount2",
    // Files by handle, without path lookup: any file of the pool.
    "open_by_handle_at",
    // Entering namespaces; creating them is below.
    "setns", "acct", "vhangup",
];

/// Calls answered as by a kernel without them.
///
/// `clone3` has its flags in memory, which a filter cannot read; C libraries fall back to `clone`. inotify instances
/// (128 for each user) and requests of `io_setup` (65536 for the machine) are shared with the server's services, which
/// would not start without; programs fall back to polling and to plain writes.
pub(super) const UNKNOWN: &[&str] = &["clone3", "inotify_init", "inotify_init1", "io_setup"];

/// The newest call this list was checked against: `file_setattr`, of Linux 6.17. Since 424 numbers are the same on all
/// architectures.
///
/// The list names refused calls, so that an unknown package does not fail with EPERM; it cannot name future calls. So
/// newer calls are answered as unknown, as by an older kernel. Raise this after reading about the calls in between.
pub(super) const NEWEST: u32 = 469;

const NAMESPACES: Shapes = &[
    &[Condition::Has(0, libc::CLONE_NEWNS as u64)],
    &[Condition::Has(0, libc::CLONE_NEWCGROUP as u64)],
    &[Condition::Has(0, libc::CLONE_NEWUTS as u64)],
    &[Condition::Has(0, libc::CLONE_NEWIPC as u64)],
    // This one needs no privilege, and gives all capabilities in the new namespace, with the kernel code behind them.
    &[Condition::Has(0, libc::CLONE_NEWUSER as u64)],
    &[Condition::Has(0, libc::CLONE_NEWPID as u64)],
    &[Condition::Has(0, libc::CLONE_NEWNET as u64)],
];

/// Of asm-generic/ioctls.h, equal on all supported architectures.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;
const TIOCCONS: u64 = 0x541d;
const TIOCSETD: u64 = 0x5423;

/// `BTRFS_IOC_SNAP_DESTROY_V2` of linux/btrfs.h.
const SNAP_DESTROY_V2: u64 = 0x5000_943f;

/// Calls refused in some forms only.
pub(super) const FORBIDDEN_SHAPES: &[(&str, Shapes)] = &[
    ("clone", NAMESPACES),
    ("unshare", NAMESPACES),
    (
        "ioctl",
        &[
            // Terminal input, the console's selection and messages, and line disciplines, which load modules.
            &[Condition::Is(1, TIOCSTI)],
            &[Condition::Is(1, TIOCLINUX)],
            &[Condition::Is(1, TIOCCONS)],
            &[Condition::Is(1, TIOCSETD)],
            // Deletes a subvolume by ID, with `user_subvol_rm_allowed` also outside of the mount.
            &[Condition::Is(1, SNAP_DESTROY_V2)],
        ],
    ),
];

/// Only socket families that downloads need: another loads its module, and some (VSOCK) bypass the network.
pub(super) const NO_FAMILY: &[(&str, Shapes)] = &[
    ("socket", NO_SOCKET),
    // No other family supports pairs, and the kernel loads its module first.
    (
        "socketpair",
        &[&[Condition::IsNot(0, libc::AF_UNIX as u64)]],
    ),
];

const NO_SOCKET: Shapes = &[
    &[
        Condition::IsNot(0, libc::AF_UNIX as u64),
        Condition::IsNot(0, libc::AF_INET as u64),
        Condition::IsNot(0, libc::AF_INET6 as u64),
        Condition::IsNot(0, libc::AF_NETLINK as u64),
    ],
    // Permitted: addresses, and udev's events; netfilter, audit, crypto and others are the server's.
    &[
        Condition::Is(0, libc::AF_NETLINK as u64),
        Condition::IsNot(2, libc::NETLINK_ROUTE as u64),
        Condition::IsNot(2, libc::NETLINK_KOBJECT_UEVENT as u64),
    ],
    // SCTP, DCCP, MPTCP and their modules.
    &[
        Condition::Is(0, libc::AF_INET as u64),
        STREAM[0],
        STREAM[1],
        STREAM[2],
        STREAM[3],
    ],
    &[
        Condition::Is(0, libc::AF_INET6 as u64),
        STREAM[0],
        STREAM[1],
        STREAM[2],
        STREAM[3],
        STREAM[4],
    ],
    // By type, without a protocol: SOCK_RDM, SOCK_SEQPACKET, SOCK_DCCP, and SOCK_PACKET, which the kernel takes as a
    // family.
    &[Condition::Is(0, libc::AF_INET as u64), KINDS[0]],
    &[Condition::Is(0, libc::AF_INET as u64), KINDS[1]],
    &[Condition::Is(0, libc::AF_INET as u64), KINDS[2]],
    &[Condition::Is(0, libc::AF_INET as u64), KINDS[3]],
    &[Condition::Is(0, libc::AF_INET6 as u64), KINDS[0]],
    &[Condition::Is(0, libc::AF_INET6 as u64), KINDS[1]],
    &[Condition::Is(0, libc::AF_INET6 as u64), KINDS[2]],
    &[Condition::Is(0, libc::AF_INET6 as u64), KINDS[3]],
];

/// The kernel's `SOCK_TYPE_MASK`: higher bits are flags.
const KIND: u64 = 0xf;
const KINDS: [Condition; 4] = [
    Condition::Among(1, KIND, 4),
    Condition::Among(1, KIND, 5),
    Condition::Among(1, KIND, 6),
    Condition::Among(1, KIND, 10),
];

const STREAM: [Condition; 5] = [
    Condition::IsNot(2, 0),
    Condition::IsNot(2, libc::IPPROTO_TCP as u64),
    Condition::IsNot(2, libc::IPPROTO_UDP as u64),
    Condition::IsNot(2, libc::IPPROTO_ICMP as u64),
    Condition::IsNot(2, libc::IPPROTO_ICMPV6 as u64),
];

/// `RLIMIT_CORE`, equal on all supported architectures.
const LIMIT_OF_CORES: u64 = 4;

/// Calls answered with success, without effect: the core limit stays one byte, which keeps the server's core handler
/// from being started. Any other value would start it, even 0; scripts with `ulimit -c 0` continue.
pub(super) const NOT_DONE: &[(&str, Shapes)] = &[
    ("setrlimit", &[&[Condition::Is(0, LIMIT_OF_CORES)]]),
    // Without an address it only reads the limit.
    (
        "prlimit64",
        &[&[Condition::Is(1, LIMIT_OF_CORES), Condition::Given(2)]],
    ),
];

/// Sync calls, answered with success where everything is synced at the end.
///
/// `O_SYNC` has its effect: a filter cannot change an argument.
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
    &[("msync", &[&[Condition::Has(2, libc::MS_SYNC as u64)]])];
