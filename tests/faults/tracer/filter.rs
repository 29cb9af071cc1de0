//! A filter by which a program stops only before the calls of one name: to stop at each takes most of the time.
//!
//! What the program starts has it, too, and must be followed for as long: where nobody follows a task, such a call of it
//! fails. So it is set when the program is followed already. Not for what happens at a stop.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::{Pid, getpid, pipe2, read, write};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use super::{Call, call};

/// A filter of calls.
pub(super) struct Filter(BpfProgram);

impl Filter {
    /// Returns the filter that stops before calls of the same name; `None` if it has none, or is one that begins a program:
    /// it would stop before it has begun, and whoever starts it waits for that.
    pub(super) fn of(recorded: &Call) -> Option<Self> {
        if recorded.what.starts_with("exec") {
            return None;
        }
        let rules = [(call::number_of(recorded)?, Vec::new())].into();
        let architecture = std::env::consts::ARCH.try_into().unwrap();
        let (allow, stop) = (SeccompAction::Allow, SeccompAction::Trace(0));
        let filter = SeccompFilter::new(rules, allow, stop, architecture).unwrap();
        Some(Self(filter.try_into().unwrap()))
    }

    /// Starts a command that stops so, with all that it starts; `follow` is called before.
    #[allow(unsafe_code)]
    pub(super) fn start(self, command: &mut Command, follow: impl FnOnce(Pid)) -> Child {
        let (told, tells) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let (asked, asks) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let set = move || {
            write(&tells, &getpid().as_raw().to_ne_bytes())?;
            read(&asked, &mut [0])?;
            let program = libc::sock_fprog {
                len: u16::try_from(self.0.len()).map_err(|_| Errno::EINVAL)?,
                filter: self.0.as_ptr().cast_mut().cast(),
            };
            // SAFETY: the kernel copies the filter, which lives as long as this closure; both types are those of
            // linux/filter.h. Root needs no PR_SET_NO_NEW_PRIVS for it, which would change what the program can do.
            let set = unsafe {
                libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                )
            };
            Errno::result(set).map(drop).map_err(io::Error::from)
        };
        // SAFETY: between fork and exec only read(2), write(2), getpid(2) and prctl(2) are called, which need no lock
        // and no memory.
        unsafe { command.pre_exec(set) };
        std::thread::scope(|scope| {
            // Returns when the program has begun.
            let starting = scope.spawn(|| command.spawn().unwrap());
            let mut pid = [0; 4];
            std::fs::File::from(told).read_exact(&mut pid).unwrap();
            follow(Pid::from_raw(i32::from_ne_bytes(pid)));
            write(&asks, b"!").unwrap();
            starting.join().unwrap()
        })
    }
}
