//! The system call filter (seccomp) for programs of an environment.
//!
//! Refuses what `rules` lists, for the machine's 64-bit and 32-bit programs alike, and kills a process that
//! calls by another architecture's numbers. An emulator's calls are the server's, so the filter holds for
//! emulated programs too. What a permitted call may do is limited by capabilities, mounts and namespaces.

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
use rules::{Answer, Condition, Shapes};

/// Numbers of `socketcall`'s functions (linux/net.h).
pub(super) const SOCKET: u64 = 1;
pub(super) const SOCKETPAIR: u64 = 8;

/// Installs the filter for this thread and its children, for good.
///
/// Sets `no_new_privs`, which the kernel requires of a process without SYS_ADMIN. Where the architecture has
/// `socketcall`, returns the listener by which the kernel asks about it.
pub(super) fn install(durable: Durable) -> io::Result<Option<OwnedFd>> {
    let machine = std::env::consts::ARCH;
    let listener = match socketcall_program(abis(machine)?)? {
        Some(program) => Some(listen(&program)?),
        None => None,
    };
    for program in programs(machine, durable)? {
        seccompiler::apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(listener)
}

/// Returns whether this architecture has `socketcall`.
pub(super) fn has_socketcall() -> bool {
    let abis = abis(std::env::consts::ARCH).unwrap_or_default();
    abis.iter().any(|abi| (abi.number)(SOCKETCALL).is_some())
}

/// Returns whether the rules refuse the socket family that a call (`socket`, `socketpair`) asks for.
pub(super) fn has_no_family(name: &str, arguments: [u64; 3]) -> bool {
    let argument = |at: u8| arguments.get(usize::from(at)).copied().unwrap_or(0);
    let holds = |condition: &Condition| match *condition {
        Condition::Is(at, value) => argument(at) == value,
        Condition::IsNot(at, value) => argument(at) != value,
        Condition::Has(at, bit) => argument(at) & bit == bit,
        Condition::Among(at, bits, value) => argument(at) & bits == value,
        Condition::Given(at) => argument(at) != 0,
    };
    let rules = rules::NO_FAMILY.iter().filter(|(call, _)| *call == name);
    let mut shapes = rules.flat_map(|(_, shapes)| shapes.iter());
    shapes.any(|conditions| conditions.iter().all(holds))
}

/// The one call by which i386 programs use sockets: a function number, and arguments in memory.
const SOCKETCALL: &str = "socketcall";

/// Returns the filter program that has the kernel notify a listener of it, where the architecture has the call.
fn socketcall_program(abis: &[Abi]) -> io::Result<Option<BpfProgram>> {
    if abis.iter().all(|abi| (abi.number)(SOCKETCALL).is_none()) {
        return Ok(None);
    }
    let shapes: Shapes = &[&[Condition::Is(0, SOCKET)], &[Condition::Is(0, SOCKETPAIR)]];
    let mut program = program(abis, Answer::NoFamily, &[], &[(SOCKETCALL, shapes)])?;
    // The listener answers in place of a fixed error.
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

/// A system call interface of an architecture.
struct Abi {
    /// `AUDIT_ARCH_…` of linux/audit.h: ELF machine, 64-bit, little endian.
    audit: u32,
    /// Returns a call's number; `None` where the interface lacks it.
    number: fn(&str) -> Option<i32>,
    /// A separate range of numbers: 32-bit ARM has private calls from 0x0f0000.
    private: Option<(u32, u32)>,
}

const LITTLE_ENDIAN: u32 = 0x4000_0000;
const WIDE: u32 = 0x8000_0000;

/// Defines the interface with the numbers of a module of `syscalls`.
macro_rules! abi {
    ($name:ident, $module:ident, $audit:expr, $private:expr) => {
        const $name: Abi = Abi {
            audit: $audit | LITTLE_ENDIAN,
            number: |name| name.parse::<$module::Sysno>().ok().map(|n| n.id()),
            private: $private,
        };
    };
}
// x32 calls are these with bit 30 set, so newer than the list: unknown, as on most kernels.
abi!(X86_64, x86_64, 62 | WIDE, None);
abi!(X86, x86, 3, None);
abi!(AARCH64, aarch64, 183 | WIDE, None);
// breakpoint, cacheflush, usr26, usr32, set_tls, get_tls: programs need them to start.
abi!(ARM, arm, 40, Some((0x000f_0000, 0x000f_0010)));
abi!(RISCV64, riscv64, 243 | WIDE, None);

/// Returns the system call interfaces of a machine, named as in `std::env::consts::ARCH`.
fn abis(machine: &str) -> io::Result<&'static [Abi]> {
    match machine {
        "x86_64" => Ok(&[X86_64, X86]),
        "x86" => Ok(&[X86]),
        // armhf programs run natively on many arm64 servers.
        "aarch64" => Ok(&[AARCH64, ARM]),
        "arm" => Ok(&[ARM]),
        "riscv64" => Ok(&[RISCV64]),
        other => {
            let why = format!("netbe has no filter of system calls for {other}");
            Err(io::Error::new(io::ErrorKind::Unsupported, why))
        }
    }
}

/// Returns a filter program for each answer: the kernel runs all, and the strictest answer counts.
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
                let rules: Result<_, _> =
                    shapes.iter().map(|conditions| rule(conditions)).collect();
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

fn rule(conditions: &[Condition]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions: Result<Vec<_>, _> = conditions
        .iter()
        .map(|condition| {
            let (argument, operator, value) = match *condition {
                Condition::Is(argument, value) => (argument, SeccompCmpOp::Eq, value),
                Condition::IsNot(argument, value) => (argument, SeccompCmpOp::Ne, value),
                Condition::Has(argument, bit) => (argument, SeccompCmpOp::MaskedEq(bit), bit),
                Condition::Among(argument, bits, value) => {
                    (argument, SeccompCmpOp::MaskedEq(bits), value)
                }
                Condition::Given(argument) => (argument, SeccompCmpOp::Ne, 0),
            };
            let length = match condition {
                Condition::Given(_) => SeccompCmpArgLen::Qword,
                _ => SeccompCmpArgLen::Dword,
            };
            SeccompCondition::new(argument, length, operator, value)
        })
        .collect();
    SeccompRule::new(conditions?)
}

/// Length of seccompiler's own architecture check, which knows three architectures only.
const ARCHITECTURE_CHECK: usize = 3;

fn chain(chains: BTreeMap<i64, Vec<SeccompRule>>, answer: Answer) -> io::Result<BpfProgram> {
    let answer = SeccompAction::Errno(answer.errno());
    // Any architecture: its check is cut off, and `dispatch` checks instead.
    let filter = SeccompFilter::new(chains, SeccompAction::Allow, answer, TargetArch::x86_64)
        .map_err(io::Error::other)?;
    let mut program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    program.drain(..ARCHITECTURE_CHECK);
    Ok(program)
}

/// linux/bpf_common.h, as far as it is needed here.
const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER: u16 = 0x25;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets of the number and the architecture in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Answers "unknown" to calls newer than the list; others go on to the next instruction.
fn unknown_beyond_newest(abi: &Abi) -> BpfProgram {
    let unknown = libc::SECCOMP_RET_ERRNO | Answer::Unknown.errno();
    let mut program = vec![instruction(LOAD, NUMBER, 0, 0)];
    match abi.private {
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

/// Joins the programs of several architectures; kills a process that calls by another one.
fn dispatch(parts: &[(u32, BpfProgram)]) -> BpfProgram {
    let mut program = vec![instruction(LOAD, ARCHITECTURE, 0, 0)];
    let mut start = 2 * parts.len() + 2;
    for (audit, part) in parts {
        program.push(instruction(JUMP_IF_EQUAL, *audit, 0, 1));
        // Relative to the next instruction; a program has at most 4096.
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
