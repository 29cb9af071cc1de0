//! The filter of system calls that programs of an environment run under (seccomp).
//!
//! Refuses what `rules` lists, for 64-bit and 32-bit programs of the machine alike, and kills what calls
//! in any other way. An emulator's calls are the server's own, so emulated programs are held by it too.
//! Not for what a call may do once it is made: that is for privileges, mounts and namespaces.

mod rules;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};
use syscalls::{aarch64, arm, riscv64, x86, x86_64};

use super::Durable;
use rules::{Answer, Look, Shapes};

/// Of linux/net.h: what `socketcall` is called for.
pub(super) const SOCKET: u64 = 1;
pub(super) const SOCKETPAIR: u64 = 8;

/// Puts this thread, and all it will start, under the filter, for good.
///
/// Sets `no_new_privs`, without which the kernel takes no filter from a process without SYS_ADMIN.
///
/// Returns where the kernel asks about sockets that are asked for through memory, where there is such a call.
pub(super) fn install(durable: Durable) -> io::Result<Option<OwnedFd>> {
    let machine = std::env::consts::ARCH;
    let listener = match old_door(abis(machine)?)? {
        Some(program) => Some(listen(&program)?),
        None => None,
    };
    for program in programs(machine, durable)? {
        seccompiler::apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(listener)
}

/// Returns whether programs here can ask for sockets through memory.
pub(super) fn has_old_door() -> bool {
    let abis = abis(std::env::consts::ARCH).unwrap_or_default();
    abis.iter().any(|abi| (abi.number)(OLD_DOOR).is_some())
}

/// Returns whether what a call asks for is of a family there is not; for `socket` and `socketpair`.
pub(super) fn has_no_family(name: &str, arguments: [u64; 3]) -> bool {
    let argument = |at: u8| arguments.get(usize::from(at)).copied().unwrap_or(0);
    let is_so = |look: &Look| match *look {
        Look::Is(at, value) => argument(at) == value,
        Look::IsNot(at, value) => argument(at) != value,
        Look::Has(at, bit) => argument(at) & bit == bit,
        Look::Among(at, bits, value) => argument(at) & bits == value,
        Look::Given(at) => argument(at) != 0,
    };
    let rules = rules::NO_FAMILY.iter().filter(|(call, _)| *call == name);
    let mut shapes = rules.flat_map(|(_, shapes)| shapes.iter());
    shapes.any(|looks| looks.iter().all(is_so))
}

/// How i386 asks for everything about sockets: by a number and a place in memory.
const OLD_DOOR: &str = "socketcall";

/// The program that has the kernel ask about sockets made through that, where there is such a call.
fn old_door(abis: &[Abi]) -> io::Result<Option<BpfProgram>> {
    if abis.iter().all(|abi| (abi.number)(OLD_DOOR).is_none()) {
        return Ok(None);
    }
    let shapes: Shapes = &[&[Look::Is(0, SOCKET)], &[Look::Is(0, SOCKETPAIR)]];
    let mut program = program(abis, Answer::NoFamily, &[], &[(OLD_DOOR, shapes)])?;
    // In place of an answer, somebody is asked for it.
    let refused = libc::SECCOMP_RET_ERRNO | Answer::NoFamily.errno();
    for instruction in &mut program {
        if instruction.code == RETURN && instruction.k == refused {
            instruction.k = libc::SECCOMP_RET_USER_NOTIF;
        }
    }
    Ok(Some(program))
}

#[allow(unsafe_code)]
fn listen(program: &BpfProgram) -> io::Result<OwnedFd> {
    nix::sys::prctl::set_no_new_privs()?;
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let filter = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut().cast(),
    };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // SAFETY: seccomp(2) reads the struct and as many instructions as it says, laid out as the kernel's own, all of
    // which outlive the call; it returns a descriptor.
    let raw = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const filter) };
    let raw = i32::try_from(Errno::result(raw)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just returned it, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// One way of calling the kernel.
struct Abi {
    /// `AUDIT_ARCH_…` of linux/audit.h: ELF machine, 64-bit, little endian.
    audit: u32,
    /// The number of a call's name; `None` where it has no such call.
    number: fn(&str) -> Option<i32>,
    /// Numbers beyond all others that belong to it: 32-bit ARM counts its own from 0x0f0000.
    own: Option<(u32, u32)>,
}

const LITTLE_ENDIAN: u32 = 0x4000_0000;
const WIDE: u32 = 0x8000_0000;

const X86_64: Abi = Abi {
    audit: 62 | LITTLE_ENDIAN | WIDE,
    number: |name| name.parse::<x86_64::Sysno>().ok().map(|n| n.id()),
    // x32 calls are these with bit 30 set, so beyond the newest: unknown, as on most kernels.
    own: None,
};
const X86: Abi = Abi {
    audit: 3 | LITTLE_ENDIAN,
    number: |name| name.parse::<x86::Sysno>().ok().map(|n| n.id()),
    own: None,
};
const AARCH64: Abi = Abi {
    audit: 183 | LITTLE_ENDIAN | WIDE,
    number: |name| name.parse::<aarch64::Sysno>().ok().map(|n| n.id()),
    own: None,
};
const ARM: Abi = Abi {
    audit: 40 | LITTLE_ENDIAN,
    number: |name| name.parse::<arm::Sysno>().ok().map(|n| n.id()),
    // breakpoint, cacheflush, usr26, usr32, set_tls, get_tls: no program starts without them.
    own: Some((0x000f_0000, 0x000f_0010)),
};
const RISCV64: Abi = Abi {
    audit: 243 | LITTLE_ENDIAN | WIDE,
    number: |name| name.parse::<riscv64::Sysno>().ok().map(|n| n.id()),
    own: None,
};

/// Returns the ways of calling that a machine's kernel has, as `std::env::consts::ARCH` names it.
fn abis(machine: &str) -> io::Result<&'static [Abi]> {
    match machine {
        "x86_64" => Ok(&[X86_64, X86]),
        "x86" => Ok(&[X86]),
        // armhf systems run by themselves on many arm64 servers.
        "aarch64" => Ok(&[AARCH64, ARM]),
        "arm" => Ok(&[ARM]),
        "riscv64" => Ok(&[RISCV64]),
        other => {
            let why = format!("netbe has no filter of system calls for {other}");
            Err(io::Error::new(io::ErrorKind::Unsupported, why))
        }
    }
}

/// One program for each answer: the kernel asks them all, and the strictest counts.
fn programs(machine: &str, durable: Durable) -> io::Result<Vec<BpfProgram>> {
    let abis = abis(machine)?;
    let mut programs = vec![
        program(
            abis,
            Answer::Forbidden,
            rules::FORBIDDEN,
            rules::FORBIDDEN_SHAPES,
        )?,
        program(abis, Answer::Unknown, rules::UNKNOWN, &[])?,
        program(abis, Answer::NoFamily, &[], rules::NO_FAMILY)?,
    ];
    let (syncs, sync_shapes) = match durable {
        Durable::AtTheEnd => (rules::SYNCS, rules::SYNC_SHAPES),
        Durable::Always => (&[] as &[_], &[] as &[_]),
    };
    let done = [rules::NOT_DONE, sync_shapes].concat();
    programs.push(program(abis, Answer::Done, syncs, &done)?);
    Ok(programs)
}

fn program(
    abis: &[Abi],
    answer: Answer,
    names: &[&str],
    shapes: &[(&str, Shapes)],
) -> io::Result<BpfProgram> {
    let mut parts = Vec::new();
    for abi in abis {
        let mut chains: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
        for name in names {
            if let Some(number) = (abi.number)(name) {
                chains.insert(number.into(), Vec::new());
            }
        }
        for (name, shapes) in shapes {
            if let Some(number) = (abi.number)(name) {
                let rules: Result<_, _> = shapes.iter().map(|looks| rule(looks)).collect();
                chains.insert(number.into(), rules.map_err(io::Error::other)?);
            }
        }
        let mut part = match answer {
            Answer::Unknown => unknown_beyond_newest(abi),
            _ => Vec::new(),
        };
        part.extend(chain(chains, answer)?);
        parts.push((abi.audit, part));
    }
    Ok(dispatch(&parts))
}

fn rule(looks: &[Look]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions: Result<Vec<_>, _> = looks
        .iter()
        .map(|look| {
            let (argument, operator, value) = match *look {
                Look::Is(argument, value) => (argument, SeccompCmpOp::Eq, value),
                Look::IsNot(argument, value) => (argument, SeccompCmpOp::Ne, value),
                Look::Has(argument, bit) => (argument, SeccompCmpOp::MaskedEq(bit), bit),
                Look::Among(argument, bits, value) => {
                    (argument, SeccompCmpOp::MaskedEq(bits), value)
                }
                Look::Given(argument) => (argument, SeccompCmpOp::Ne, 0),
            };
            let length = match look {
                Look::Given(_) => SeccompCmpArgLen::Qword,
                _ => SeccompCmpArgLen::Dword,
            };
            SeccompCondition::new(argument, length, operator, value)
        })
        .collect();
    SeccompRule::new(conditions?)
}

/// The instructions seccompiler begins with: a look at the architecture, for which it knows three only.
const ITS_OWN_CHECK: usize = 3;

fn chain(chains: BTreeMap<i64, Vec<SeccompRule>>, answer: Answer) -> io::Result<BpfProgram> {
    let answer = SeccompAction::Errno(answer.errno());
    // Any of the three will do: what is different about it is cut off, and `dispatch` does it instead.
    let filter = SeccompFilter::new(chains, SeccompAction::Allow, answer, TargetArch::x86_64)
        .map_err(io::Error::other)?;
    let mut program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    program.drain(..ITS_OWN_CHECK);
    Ok(program)
}

/// linux/bpf_common.h, as far as it is needed here.
const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER: u16 = 0x25;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Where a call's number and its architecture stand in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Answers "unknown" to what is newer than the list, and goes on with what follows for the rest.
fn unknown_beyond_newest(abi: &Abi) -> BpfProgram {
    let unknown = libc::SECCOMP_RET_ERRNO | Answer::Unknown.errno();
    let mut program = vec![instruction(LOAD, NUMBER, 0, 0)];
    match abi.own {
        None => program.push(instruction(JUMP_IF_GREATER, rules::NEWEST, 0, 1)),
        Some((first, end)) => program.extend([
            instruction(JUMP_IF_GREATER, rules::NEWEST, 0, 3),
            instruction(JUMP_IF_AT_LEAST, first, 0, 1),
            instruction(JUMP_IF_AT_LEAST, end, 0, 1),
        ]),
    }
    program.push(instruction(RETURN, unknown, 0, 0));
    program
}

/// Joins the parts for several architectures; kills what calls by the rules of any other.
fn dispatch(parts: &[(u32, BpfProgram)]) -> BpfProgram {
    let mut program = vec![instruction(LOAD, ARCHITECTURE, 0, 0)];
    let mut start = 2 * parts.len() + 2;
    for (audit, part) in parts {
        program.push(instruction(JUMP_IF_EQUAL, *audit, 0, 1));
        // Counted from the next instruction; a program has 4096 at most.
        let distance = u32::try_from(start - program.len() - 1).unwrap_or(u32::MAX);
        program.push(instruction(JUMP, distance, 0, 0));
        start += part.len();
    }
    program.push(instruction(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0));
    program.extend(parts.iter().flat_map(|(_, part)| part.iter().cloned()));
    program
}

#[cfg(test)]
mod tests;
