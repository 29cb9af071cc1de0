//! What the process that faces the network cannot do: anything but answer.
//!
//! No privileges, a user that owns nothing, no file to be opened, no program to be started, no socket but UDP's
//! of IPv4. Promises to fail where one of these cannot be had. Not for the process that opens files.

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

/// A user that owns nothing, and that nothing else runs as: of the numbers systemd says nobody gives out
/// (systemd.io/UIDS-GIDS, "1879048192…2147483647").
const NOBODYS: u32 = 1_996_488_704;
/// Everybody's nobody, where that number means nothing: in a container.
const NOBODY: u32 = 65534;
/// How many descriptors it may have.
const DESCRIPTORS: u64 = 4096;

/// Returns the number of the user that boot files are read as, and the network is faced as.
pub(super) fn user() -> u32 {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    match is_mapped(&map, NOBODYS) {
        true => NOBODYS,
        false => NOBODY,
    }
}

fn is_mapped(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        matches!(numbers.as_slice(), [first, _, count] if (*first..first + count).contains(&id.into()))
    })
}

/// Raises how many descriptors this process may have; returns how many.
pub(super) fn raise_descriptors() -> Result<u64> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = most.min(DESCRIPTORS);
    setrlimit(Resource::RLIMIT_NOFILE, wanted, most)
        .context("raising the number of descriptors")?;
    Ok(wanted)
}

/// Keeps what this process was started with, beyond its first three, from those that it starts.
#[allow(unsafe_code)]
pub(super) fn keep_descriptors() -> nix::Result<()> {
    let (first, last) = (3_u32, u32::MAX);
    // SAFETY: takes integers only, and closes nothing here: each is closed in a program that is started later.
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

/// Gives everything up, for good.
pub(super) fn confine() -> Result<()> {
    let id = user();
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    setgroups(&[]).context("leaving all groups")?;
    setresgid(gid, gid, gid).context("becoming a group that owns nothing")?;
    // With it all capabilities go: capabilities(7), "Effect of user ID changes".
    setresuid(uid, uid, uid).context("becoming a user that owns nothing")?;
    prctl::set_no_new_privs().context("refusing new privileges")?;
    prctl::set_dumpable(false).context("refusing to be looked into")?;
    if let Some(program) = filter().context("making a filter of system calls")? {
        seccompiler::apply_filter(&program).context("putting on a filter of system calls")?;
    }
    Ok(())
}

/// What it may call: to answer, to remember, and to end.
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

/// Returns the filter; `None` for a processor that none can be made for.
// Numbers of calls are shorter on some machines.
#[allow(clippy::useless_conversion)]
fn filter() -> Result<Option<BpfProgram>> {
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
    let shaped = [
        (libc::SYS_socket, vec![is(0, libc::AF_INET)?, datagram?]),
        (libc::SYS_mmap, vec![lacks(2, libc::PROT_EXEC)?]),
        (libc::SYS_mprotect, vec![lacks(2, libc::PROT_EXEC)?]),
        (libc::SYS_ioctl, vec![is(1, libc::FIONBIO as i32)?]),
    ];
    for (number, conditions) in shaped {
        rules.insert(i64::from(number), vec![SeccompRule::new(conditions)?]);
    }
    let refused = SeccompAction::Errno(Errno::EPERM as u32);
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, machine)?;
    Ok(Some(filter.try_into().map_err(io::Error::other)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_mean_something_here() {
        let whole = "         0          0 4294967295\n";
        assert!(is_mapped(whole, NOBODYS) && is_mapped(whole, NOBODY));
        let container = "0 100000 65536\n";
        assert!(!is_mapped(container, NOBODYS) && is_mapped(container, NOBODY));
    }
}
