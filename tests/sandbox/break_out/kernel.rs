//! Changing the kernel, or opening parts of it that a package has no use for.

use std::io;

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Plain::{Either, NotTried, Succeeds};
use super::server::Prize;
use super::{Attempt, address, call, reached};

#[rustfmt::skip]
pub(super) const ALL: &[Attempt] = &[
    Attempt { name: "init_module", plain: Either, go: |_| probe(libc::SYS_init_module) },
    Attempt { name: "finit_module", plain: Either, go: |_| probe(libc::SYS_finit_module) },
    Attempt { name: "delete_module", plain: Either, go: delete_module },
    Attempt { name: "kexec_load", plain: Either, go: |_| probe(libc::SYS_kexec_load) },
    Attempt { name: "kexec_file_load", plain: Either, go: kexec_file },
    Attempt { name: "bpf", plain: Either, go: bpf },
    Attempt { name: "perf_event_open", plain: Either, go: perf },
    Attempt { name: "userfaultfd", plain: Either, go: |_| made(libc::SYS_userfaultfd, [0]) },
    Attempt { name: "io_uring", plain: Either, go: io_uring },
    Attempt { name: "fanotify", plain: Either, go: |_| made(libc::SYS_fanotify_init, [0, 0]) },
    Attempt { name: "inotify instances", plain: Succeeds, go: |_| made(libc::SYS_inotify_init1, [0]) },
    Attempt { name: "requests in the background", plain: Either, go: requests },
    Attempt { name: "thousands of signals", plain: Succeeds, go: signals },
    Attempt { name: "dmesg", plain: Succeeds, go: |_| made(libc::SYS_syslog, [10, 0, 0]) },
    Attempt { name: "reboot", plain: Succeeds, go: |_| probe(libc::SYS_reboot) },
    Attempt { name: "accounting", plain: Either, go: accounting },
    Attempt { name: "set the clock", plain: Succeeds, go: set_clock },
    Attempt { name: "set another clock", plain: Succeeds, go: set_monotonic },
    Attempt { name: "turn the clock", plain: Succeeds, go: turn_clock },
    Attempt { name: "host name", plain: Succeeds, go: |_| Ok(nix::unistd::sethostname("owned")?) },
    Attempt { name: "hang up the terminal", plain: NotTried, go: |_| made(libc::SYS_vhangup, []) },
    Attempt { name: "capabilities again", plain: Succeeds, go: capabilities },
    Attempt { name: "more than its limits", plain: Either, go: limits },
    Attempt { name: "real time", plain: Either, go: real_time },
    Attempt { name: "before all others", plain: Succeeds, go: priority },
    Attempt { name: "out of memory: not me", plain: Either, go: spared },
    Attempt { name: "a call of tomorrow", plain: Either, go: |_| probe(470) },
    #[cfg(target_arch = "x86_64")]
    Attempt { name: "ports of the processor", plain: Either, go: |_| made(libc::SYS_ioperm, [0x70, 2, 1]) },
    #[cfg(target_arch = "x86_64")]
    Attempt { name: "all ports", plain: Either, go: |_| made(libc::SYS_iopl, [3]) },
    #[cfg(target_arch = "x86_64")]
    Attempt { name: "segments", plain: Either, go: |_| probe(libc::SYS_modify_ldt) },
    #[cfg(target_arch = "x86_64")]
    Attempt { name: "keys, as a 32-bit program", plain: Either, go: old_keys },
    #[cfg(target_arch = "x86_64")]
    Attempt { name: "as an x32 program", plain: Either, go: |_| made(0x4000_0000 + 39, []) },
];

fn probe(number: libc::c_long) -> io::Result<()> {
    reached(call(number, [0; 6]))
}

fn made<const N: usize>(number: libc::c_long, arguments: [usize; N]) -> io::Result<()> {
    call(number, arguments).map(drop)
}

fn delete_module(_: &Prize) -> io::Result<()> {
    let name = c"netbe_no_such_module";
    reached(call(libc::SYS_delete_module, [name.as_ptr() as usize, 0]))
}

fn kexec_file(_: &Prize) -> io::Result<()> {
    let none = -1isize as usize;
    reached(call(libc::SYS_kexec_file_load, [none, none, 0, 0, 0]))
}

fn bpf(_: &Prize) -> io::Result<()> {
    // BPF_MAP_CREATE: an array of one, four bytes each.
    let mut attributes = [0u32; 32];
    attributes[..4].copy_from_slice(&[2, 4, 4, 1]);
    made(
        libc::SYS_bpf,
        [0, address(&attributes), size_of_val(&attributes)],
    )
}

fn perf(_: &Prize) -> io::Result<()> {
    // PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK, of every process on the first processor.
    let mut attributes = [0u32; 32];
    attributes[..2].copy_from_slice(&[1, 128]);
    let everybody = -1isize as usize;
    made(
        libc::SYS_perf_event_open,
        [address(&attributes), everybody, 0, everybody, 0],
    )
}

fn io_uring(_: &Prize) -> io::Result<()> {
    let parameters = [0u32; 30];
    made(libc::SYS_io_uring_setup, [1, address(&parameters)])
}

fn requests(_: &Prize) -> io::Result<()> {
    let context = [0u64];
    made(libc::SYS_io_setup, [1, address(&context)])
}

/// More than 1024 that wait, of those that the kernel counts for each user.
#[allow(unsafe_code)]
fn signals(_: &Prize) -> io::Result<()> {
    let signal = libc::SIGRTMIN();
    // SAFETY: a set that these calls alone fill, of a signal that exists.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
    for _ in 0..2000 {
        let sival_ptr = std::ptr::null_mut();
        // SAFETY: takes numbers, and a pointer that nothing follows.
        let sent = unsafe { libc::sigqueue(libc::getpid(), signal, libc::sigval { sival_ptr }) };
        Errno::result(sent)?;
    }
    Ok(())
}

fn accounting(_: &Prize) -> io::Result<()> {
    let name = c"/no/such/file";
    reached(call(libc::SYS_acct, [name.as_ptr() as usize]))
}

/// To a time there is not, so that nothing happens where it is allowed.
fn set_clock(_: &Prize) -> io::Result<()> {
    let never = [0u64, u64::MAX];
    reached(call(libc::SYS_settimeofday, [address(&never), 0]))
}

fn set_monotonic(_: &Prize) -> io::Result<()> {
    let never = [0u64, u64::MAX];
    reached(call(libc::SYS_clock_settime, [0, address(&never)]))
}

#[allow(unsafe_code)]
fn turn_clock(_: &Prize) -> io::Result<()> {
    // SAFETY: a struct of integers.
    let mut change: libc::timex = unsafe { std::mem::zeroed() };
    // Reading changes nothing; then the frequency it has already.
    made(libc::SYS_adjtimex, [address(&change)])?;
    change.modes = libc::ADJ_FREQUENCY;
    made(libc::SYS_adjtimex, [address(&change)])
}

fn capabilities(_: &Prize) -> io::Result<()> {
    let header = [0x2008_0522u32, 0];
    // SYS_ADMIN, effective and permitted.
    let admin = [1u32 << 21, 1 << 21, 0, 0, 0, 0];
    made(libc::SYS_capset, [address(&header), address(&admin)])
}

fn limits(_: &Prize) -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, soft, hard + 1)?)
}

fn real_time(_: &Prize) -> io::Result<()> {
    let priority = 1i32;
    let result = made(
        libc::SYS_sched_setscheduler,
        [0, libc::SCHED_FIFO as usize, address(&priority)],
    );
    let normal = 0i32;
    let _ = call(libc::SYS_sched_setscheduler, [0, 0, address(&normal)]);
    result
}

fn priority(_: &Prize) -> io::Result<()> {
    made(libc::SYS_setpriority, [0, 0, -20isize as usize])
}

fn spared(_: &Prize) -> io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", "-1000")
}

/// `int 0x80` takes the numbers of i386 also in a 64-bit program; 288 is its `keyctl`.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn old_keys(_: &Prize) -> io::Result<()> {
    let result: i64;
    // SAFETY: asks for a number and touches no memory; rbx is put back, which the compiler keeps for itself.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first}", "int 0x80", "xchg rbx, {first}",
            first = inout(reg) 0u64 => _,
            inlateout("rax") 288i64 => result,
            in("rcx") i64::from(libc::KEY_SPEC_SESSION_KEYRING),
            in("rdx") 0,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    match i32::try_from(result).unwrap_or(result as i32) {
        key if key > 0 => Ok(()),
        error => Err(Errno::from_raw(-error).into()),
    }
}
