//! Confines the network process to answering requests.
//!
//! No privileges, a user that owns nothing, no opening of files, no programs, no sockets except UDP over IPv4 for TFTP, and
//! accepted connections for HTTP. Fails if any of these is not possible. The process that opens files is not confined.

use std::collections::BTreeMap;
use std::io;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// A user that owns nothing and has no other processes: in the range that systemd reserves as unused
/// (systemd.io/UIDS-GIDS, "1879048192…2147483647").
const UNUSED_UID: u32 = 1_996_488_704;
/// The user ID of `nobody`, if that number is not mapped in a container.
const NOBODY: u32 = 65534;
/// Limit of open descriptors.
const DESCRIPTORS: u64 = 4096;

/// Returns the user ID of the network process, with whose rights boot files are opened.
pub(super) fn user() -> u32 {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    match is_mapped(&map, UNUSED_UID) {
        true => UNUSED_UID,
        false => NOBODY,
    }
}

fn is_mapped(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        matches!(numbers.as_slice(), [first, _, count] if (*first..first + count).contains(&id.into()))
    })
}

/// Raises this process's limit of open descriptors; returns it.
pub(super) fn raise_descriptors() -> Result<u64> {
    let (_, hard_limit) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard_limit.min(DESCRIPTORS);
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard_limit)
        .context("raising the number of descriptors")?;
    Ok(wanted)
}

/// Marks all descriptors but the first three close-on-exec.
#[allow(unsafe_code)]
pub(super) fn set_close_on_exec() -> nix::Result<()> {
    let (first, last) = (3_u32, u32::MAX);
    // SAFETY: takes integers only, and closes nothing here: with this flag, descriptors are closed at an exec.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            last,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    Errno::result(done).map(drop)
}

/// The kind of socket with which a process faces the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Faces {
    Tftp,
    Http,
}

/// Drops all privileges, for good.
pub(super) fn confine(faces: Faces) -> Result<()> {
    let id = user();
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    setgroups(&[]).context("leaving all groups")?;
    setresgid(gid, gid, gid).context("becoming a group that owns nothing")?;
    // This drops all capabilities too: capabilities(7), "Effect of user ID changes".
    setresuid(uid, uid, uid).context("becoming a user that owns nothing")?;
    prctl::set_no_new_privs().context("refusing new privileges")?;
    prctl::set_dumpable(false).context("forbidding to be traced")?;
    if let Some(program) = filter(faces).context("making the system call filter")? {
        seccompiler::apply_filter(&program).context("installing the system call filter")?;
    }
    Ok(())
}

/// System calls needed to answer, to allocate memory, and to exit.
#[rustfmt::skip]
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_recvmsg, libc::SYS_recvfrom, libc::SYS_sendmsg, libc::SYS_sendto, libc::SYS_pread64, libc::SYS_read,
    libc::SYS_write, libc::SYS_close, libc::SYS_bind, libc::SYS_connect, libc::SYS_getsockopt, libc::SYS_setsockopt,
    libc::SYS_getsockname, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait, libc::SYS_ppoll,
    libc::SYS_munmap, libc::SYS_mremap, libc::SYS_brk, libc::SYS_madvise, libc::SYS_futex,
    libc::SYS_clock_gettime, libc::SYS_getrandom, libc::SYS_sched_yield,
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_sigaltstack,
    libc::SYS_restart_syscall, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_getpid, libc::SYS_gettid,
    libc::SYS_tgkill,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

/// Returns the filter; `None` for an unsupported architecture.
// Call numbers have another type on some architectures.
#[allow(clippy::useless_conversion)]
fn filter(faces: Faces) -> Result<Option<BpfProgram>> {
    let Ok(machine) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(None);
    };
    let is = |argument, value: i32| {
        SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Eq,
            value as u64,
        )
    };
    let lacks = |argument, bit: i32| {
        SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(bit as u64),
            0,
        )
    };
    let datagram = SeccompCondition::new(
        1,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(0xf),
        libc::SOCK_DGRAM as u64,
    );
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED
        .iter()
        .map(|n| (i64::from(*n), Vec::new()))
        .collect();
    let mut shaped = vec![
        (libc::SYS_mmap, vec![lacks(2, libc::PROT_EXEC)?]),
        (libc::SYS_mprotect, vec![lacks(2, libc::PROT_EXEC)?]),
        (libc::SYS_ioctl, vec![is(1, libc::FIONBIO as i32)?]),
    ];
    match faces {
        Faces::Tftp => shaped.push((libc::SYS_socket, vec![is(0, libc::AF_INET)?, datagram?])),
        Faces::Http => {
            rules.insert(i64::from(libc::SYS_accept4), Vec::new());
            shaped.push((libc::SYS_ioctl, vec![is(1, libc::TIOCOUTQ as i32)?]));
        }
    }
    for (number, conditions) in shaped {
        let rule = SeccompRule::new(conditions)?;
        rules.entry(i64::from(number)).or_default().push(rule);
    }
    let refused = SeccompAction::Errno(Errno::EPERM as u32);
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, machine)?;
    Ok(Some(filter.try_into().map_err(io::Error::other)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mapped_user_ids_are_used() {
        let whole = "         0          0 4294967295\n";
        assert!(is_mapped(whole, UNUSED_UID) && is_mapped(whole, NOBODY));
        let container = "0 100000 65536\n";
        assert!(!is_mapped(container, UNUSED_UID) && is_mapped(container, NOBODY));
    }
}
