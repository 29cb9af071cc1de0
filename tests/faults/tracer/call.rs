//! One system call of a task that is stopped before it: what it is, and making it fail. Here the processor matters.

use std::fs;
use std::io::IoSliceMut;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::Call;
use crate::judge::is_time;

/// How much of memory is there or not at once, at least, in bytes.
const PAGE: usize = 4096;

/// What a call of fcntl(2) is named that takes a lock, of a process or of an open file.
pub(super) const SETLK: &str = "fcntl-setlk";

/// Returns the name of the call, with the path it is given or the file behind its descriptor.
pub(super) fn describe(pid: Pid) -> String {
    let Some((number, arguments)) = call(pid) else {
        return "a call of a task that is gone".to_string();
    };
    let Some(name) = syscalls::Sysno::new(number).map(|n| n.name()) else {
        return format!("call {number}");
    };
    let locks = [
        libc::F_SETLK,
        libc::F_SETLKW,
        libc::F_OFD_SETLK,
        libc::F_OFD_SETLKW,
    ];
    let name = match name {
        "fcntl"
            if locks
                .iter()
                .any(|lock| u64::try_from(*lock) == Ok(arguments[1])) =>
        {
            SETLK
        }
        name => name,
    };
    let path = match name {
        "openat" | "openat2" | "mkdirat" | "unlinkat" | "newfstatat" | "statx" | "readlinkat"
        | "fchmodat" | "fchownat" | "utimensat" | "faccessat" | "faccessat2" | "renameat"
        | "renameat2" | "linkat" => below(pid, arguments[0], arguments[1]),
        "open" | "mkdir" | "unlink" | "rmdir" | "stat" | "lstat" | "readlink" | "rename"
        | "access" | "chmod" | "execve" | "statfs" | "mount" | "umount2" | "chdir" => {
            text(pid, arguments[0])
        }
        "symlink" => text(pid, arguments[1]),
        "symlinkat" => below(pid, arguments[1], arguments[2]),
        "mmap" | "brk" | "munmap" | "mprotect" | "futex" | "getrandom" => None,
        _ => behind(pid, arguments[0]),
    };
    path.map_or_else(|| name.to_string(), |path| format!("{name} {path}"))
}

/// Returns the number of a recorded call; `None` if it has no name.
pub(super) fn number_of(recorded: &Call) -> Option<i64> {
    let name = recorded.what.split(' ').next()?;
    // What a call is named by its arguments begins as the name, with more after a hyphen.
    let number = name.split('-').next()?.parse::<syscalls::Sysno>().ok()?;
    Some(number.id().into())
}

/// Returns whether the call opens a file that it makes if there is none.
pub(super) fn may_create(pid: Pid) -> bool {
    let Some((number, arguments)) = call(pid) else {
        return false;
    };
    let flags = match syscalls::Sysno::new(number).map(|n| n.name()) {
        Some("open") => Some(arguments[1]),
        Some("openat") => Some(arguments[2]),
        // openat2(2): the first of what the argument points to.
        Some("openat2") => {
            let mut flags = [0; 8];
            let there = usize::try_from(arguments[2]).ok().and_then(|base| {
                let place = RemoteIoVec { base, len: 8 };
                process_vm_readv(pid, &mut [IoSliceMut::new(&mut flags)], &[place]).ok()
            });
            there.map(|_| u64::from_ne_bytes(flags))
        }
        _ => None,
    };
    let create = u64::from(libc::O_CREAT.cast_unsigned());
    flags.is_some_and(|flags| flags & create != 0)
}

/// Returns what a call is without what is another in each run: the numbers that make a name the only one.
pub(super) fn lasting(what: &str) -> String {
    // Processes are numbered in decimal, all else in hexadecimal; versions have fewer digits.
    let path = what.split_once(' ').map_or("", |(_, path)| path);
    let least = if is_of_a_process(path) { 1 } else { 3 };
    let is_numeral = |word: &str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let is_hexadecimal = word.bytes().all(|b| b.is_ascii_hexdigit());
        digits >= least && digits == word.len() || digits >= 1 && word.len() >= 5 && is_hexadecimal
    };
    let mut text = String::new();
    let mut is_temporary = false;
    let what = without_uuids(what);
    for word in what.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_left_out = is_numeral(bare) || is_time(bare) || is_temporary;
        text.push_str(if is_left_out {
            &word[bare.len()..]
        } else {
            word
        });
        // `netbe-test-4e9gNb` is where a test has its pool, `.netbe-iStpT8.new` what a stream is written to.
        is_temporary = text.ends_with("/netbe-test-") || text.ends_with("/.netbe-");
    }
    text
}

/// Returns a text without UUIDs, such as the one of its pool in the name of a state directory: their parts are too short to
/// be told from words.
fn without_uuids(text: &str) -> String {
    const PARTS: [usize; 5] = [8, 4, 4, 4, 12];
    let is_uuid = |text: &str| {
        let mut lengths = PARTS.iter();
        let is_part = |part: &str| {
            lengths.next() == Some(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit())
        };
        text.split('-').all(is_part)
    };
    let length = PARTS.iter().sum::<usize>() + PARTS.len() - 1;
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        match rest.get(..length) {
            Some(word) if is_uuid(word) => rest = &rest[length..],
            _ => {
                kept.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    kept
}

/// Returns whether a path is that of some process, or of the list of them.
pub(super) fn is_of_a_process(path: &str) -> bool {
    let is_number = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    path == "/proc" || path.strip_prefix("/proc/").is_some_and(is_number)
}

/// Returns the path that a text at an address names, seen from the directory behind a descriptor.
fn below(pid: Pid, directory: u64, address: u64) -> Option<String> {
    // Without a text it is the file behind the descriptor that is meant.
    let path = text(pid, address).unwrap_or_default();
    match behind(pid, directory) {
        Some(directory) if path.is_empty() => Some(directory),
        Some(directory) if !path.starts_with('/') => Some(format!("{directory}/{path}")),
        _ => Some(path),
    }
}

/// Returns the text at an address of a task.
fn text(pid: Pid, address: u64) -> Option<String> {
    let mut bytes = [0; 256];
    let start = usize::try_from(address).ok()?;
    // In two, so that what can be read before a page that is not there is.
    let first = bytes.len().min(PAGE - start % PAGE);
    let parts = [(start, first), (start + first, bytes.len() - first)];
    let parts = parts.map(|(base, len)| RemoteIoVec { base, len });
    let length = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &parts).ok()?;
    let end = bytes[..length].iter().position(|b| *b == 0)?;
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

/// Returns the file behind a descriptor of a task.
fn behind(pid: Pid, descriptor: u64) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).ok()?;
    Some(link.display().to_string())
}

/// Returns the number and the first arguments of the call.
#[cfg(target_arch = "x86_64")]
fn call(pid: Pid) -> Option<(usize, [u64; 3])> {
    let now = ptrace::getregs(pid).ok()?;
    let number = usize::try_from(now.orig_rax).ok()?;
    Some((number, [now.rdi, now.rsi, now.rdx]))
}

/// Makes the kernel skip the call.
#[cfg(target_arch = "x86_64")]
pub(super) fn skip(pid: Pid) {
    if let Ok(mut now) = ptrace::getregs(pid) {
        now.orig_rax = u64::MAX;
        let _ = ptrace::setregs(pid, now);
    }
}

/// Makes the kernel skip the call, at which a filter has stopped the task, and answer with an error.
#[cfg(target_arch = "x86_64")]
pub(super) fn fail(pid: Pid, errno: Errno) {
    skip(pid);
    answer(pid, errno);
}

/// See [`skip`].
#[cfg(target_arch = "aarch64")]
pub(super) fn fail(pid: Pid, _: Errno) {
    skip(pid);
}

/// Makes the call, which was skipped, answer with an error.
#[cfg(target_arch = "x86_64")]
pub(super) fn answer(pid: Pid, errno: Errno) {
    if let Ok(mut now) = ptrace::getregs(pid) {
        now.rax = i64::from(-(errno as i32)).cast_unsigned();
        let _ = ptrace::setregs(pid, now);
    }
}

/// Returns the number and the first arguments of the call.
#[cfg(target_arch = "aarch64")]
fn call(pid: Pid) -> Option<(usize, [u64; 3])> {
    let now = ptrace::getregs(pid).ok()?;
    let number = usize::try_from(now.regs[8]).ok()?;
    Some((number, [now.regs[0], now.regs[1], now.regs[2]]))
}

/// Killing works on arm64; for failing, the register set that holds the number is not within reach.
#[cfg(target_arch = "aarch64")]
pub(super) fn skip(_: Pid) {
    panic!("calls can be made to fail on amd64 only");
}

/// See [`skip`].
#[cfg(target_arch = "aarch64")]
pub(super) fn answer(_: Pid, _: Errno) {}

#[test]
fn a_call_is_the_same_in_a_pool_of_another_uuid() {
    for uuid in [
        "0d5cba9f-e398-40ab-8213-0123456789ab",
        "deadbeef-1234-4abc-bead-cafecafecafe",
    ] {
        let call = lasting(&format!("openat2 /var/lib/netbe/{uuid}/locks/nog,b"));
        assert_eq!(call, "openat2 /var/lib/netbe//locks/nog,b");
    }
}
