//! Drops the privileges that programs of an environment do not need.
//!
//! Keeps the capabilities that a package manager needs, for good: the others leave the bounding set, and
//! `no_new_privs` keeps programs from gaining them. Namespaces and mounts are handled elsewhere.

use std::io;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, remove_capability_from_bounding_set};

/// The retained capabilities.
///
/// Deliberately missing: `DAC_READ_SEARCH` (opens any file of the pool by its handle), `MKNOD`, `SYS_ADMIN`
/// (mounting), `SYS_PTRACE`, `SYS_RAWIO`, `NET_ADMIN` (with the host's network), `NET_BIND_SERVICE` (its DHCP and TFTP
/// ports), `LINUX_IMMUTABLE` (files that cannot be deleted), `SYS_RESOURCE`.
const RETAINED: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    // apt's own sandbox, adduser.
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    // setpriv, systemd tools dropping still more.
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SYS_CHROOT)
    // i386's PAM refuses passwords without, others are told that there is no auditing.
    .union(CapabilitySet::AUDIT_WRITE)
    // Files of iputils-ping, dumpcap and others.
    .union(CapabilitySet::SETFCAP);

/// Resources that the kernel counts for each user, so together with the services of the server's root: queued signals
/// and timers, bytes of message queues. It compares the sum with the limit of the requesting process, so a low limit
/// inside leaves the rest to the services.
const COUNTED_WITH_SERVICES: &[(Resource, rlim_t)] = &[
    (Resource::RLIMIT_SIGPENDING, 1024),
    (Resource::RLIMIT_MSGQUEUE, 64 << 10),
];

/// Lowers a limit of this process, for good; a lower one is not changed.
pub(super) fn lower_limit(resource: Resource, most: rlim_t) -> nix::Result<()> {
    let (soft, hard) = getrlimit(resource)?;
    setrlimit(resource, soft.min(most), hard.min(most))
}

/// Drops the privileges of this process and its children that an upgrade does not need.
///
/// Also makes it undumpable: its children cannot read its memory, descriptors or program file. `core_pattern` is the
/// server's setting for core dumps.
///
/// # Errors
/// If core dumps of programs inside would be passed to a process outside.
pub(super) fn reduce(core_pattern: &str) -> io::Result<()> {
    // One byte: no core file, and the server's `core_pattern` program is not started, which would run outside, as
    // root. With 0 it would be started (core(5)). The system call filter keeps the limit.
    let _ = setrlimit(Resource::RLIMIT_CORE, 1, 1);
    let limit = getrlimit(Resource::RLIMIT_CORE)?;
    if let Some(why) = reaches_a_handler(core_pattern, limit.0) {
        return Err(io::Error::other(why));
    }
    for (resource, most) in COUNTED_WITH_SERVICES {
        lower_limit(*resource, *most)?;
    }
    keep_only(RETAINED)
}

/// Keeps only these of this process's capabilities, and makes it undumpable as [`reduce`] does.
pub(super) fn keep_only(capabilities: CapabilitySet) -> io::Result<()> {
    shrink_bounding_set(capabilities)?;
    hold_only(capabilities)?;
    nix::sys::prctl::set_no_new_privs()?;
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

/// Returns the server's setting for core dumps; the kernel's default if unreadable.
pub(super) fn core_pattern() -> String {
    std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_else(|_| "core".into())
}

/// Returns why a process outside would receive core dumps, if so.
fn reaches_a_handler(core_pattern: &str, limit: u64) -> Option<&'static str> {
    match core_pattern.trim_start().as_bytes().first() {
        // Linux 6.16 and later: the kernel connects before it checks the limit.
        Some(b'@') => Some(
            "this server hands core dumps to a socket (kernel.core_pattern begins with @), also of what crashes in \
             an environment; first: sysctl kernel.core_pattern=core",
        ),
        Some(b'|') if limit != 1 => Some(
            "this server hands core dumps to a program (kernel.core_pattern begins with |), and the limit of one \
             byte that keeps it from those of an environment cannot be set here; first: sysctl \
             kernel.core_pattern=core",
        ),
        _ => None,
    }
}

/// Keeps only these of this process's capabilities; the bounding set is not changed.
pub(super) fn hold_only(capabilities: CapabilitySet) -> io::Result<()> {
    let held = rustix::thread::capabilities(None)?.permitted & capabilities;
    let sets = CapabilitySets {
        effective: held,
        permitted: held,
        inheritable: CapabilitySet::empty(),
    };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

fn shrink_bounding_set(retained: CapabilitySet) -> io::Result<()> {
    for capability in (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number)) {
        if retained.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The first number without a capability.
            Err(Errno::INVAL) => break,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::reaches_a_handler;

    #[test]
    fn core_dump_handlers_are_not_reachable() {
        let is_refused = |pattern, limit| reaches_a_handler(pattern, limit).is_some();
        assert!(!is_refused("core\n", 0) && !is_refused("/var/cores/%e", 1) && !is_refused("", 0));
        assert!(is_refused("|/usr/lib/systemd/systemd-coredump %P", 0));
        assert!(!is_refused("|/usr/lib/systemd/systemd-coredump %P", 1));
        assert!(is_refused("@/run/cores", 1) && is_refused("@@/run/cores", 1));
    }
}
