//! Prepares a process and executes a program of the environment in it.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, execve, setsid};

use super::protocol::{Input, Request};
use super::signals::reset_signals;
use super::sockets::Sockets;
use super::{Ended, landlock, seccomp};

/// Executes the program; returns only where that failed, with the reason.
pub(super) fn start(
    request: &Request,
    terminal: Option<&str>,
    sockets: Option<&Sockets>,
) -> Result<Infallible, Ended> {
    let failed = |e: io::Error| Ended::CannotRun(format!("cannot prepare the program: {e}"));
    prepare(request, terminal, sockets).map_err(failed)?;
    let convert = |text: &str| CString::new(text).map_err(|e| failed(e.into()));
    let argv: Vec<CString> = request
        .argv
        .iter()
        .map(|a| convert(a))
        .collect::<Result<_, _>>()?;
    let env: Vec<CString> = request
        .env
        .iter()
        .map(|(k, v)| convert(&format!("{k}={v}")))
        .collect::<Result<_, _>>()?;
    let name = request.argv.first().map_or("", String::as_str);
    let mut refused = None;
    for path in candidates(name, &request.env) {
        let Err(errno) = execve(&convert(&path)?, &argv, &env);
        let exists = std::fs::symlink_metadata(&path).is_ok();
        match errno {
            Errno::ENOENT | Errno::ENOTDIR if !exists => {}
            Errno::ENOENT => {
                refused.get_or_insert(format!("{path}: its interpreter is missing"));
            }
            errno => {
                refused.get_or_insert(format!("{path}: {}", io::Error::from(errno)));
            }
        }
    }
    Err(match refused {
        Some(reason) => Ended::CannotRun(format!("cannot run {reason}")),
        None => Ended::NotFound(format!("the environment has no program {name:?}")),
    })
}

/// Returns the paths to try: the name itself if it has a slash, else one in each directory of `PATH`.
fn candidates(name: &str, env: &[(String, String)]) -> Vec<String> {
    if name.contains('/') {
        return vec![name.to_string()];
    }
    let path = env.iter().rev().find(|(k, _)| k == "PATH");
    path.map_or("", |(_, v)| v.as_str())
        .split(':')
        .filter(|dir| !dir.is_empty() && !name.is_empty())
        .map(|dir| format!("{dir}/{name}"))
        .collect()
}

fn prepare(request: &Request, terminal: Option<&str>, sockets: Option<&Sockets>) -> io::Result<()> {
    chdir("/")?;
    setsid()?;
    if let Some(path) = terminal {
        // Without O_NOCTTY in a new session: it becomes the controlling terminal.
        let terminal = open(path, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
        nix::unistd::dup2_stdin(&terminal)?;
        nix::unistd::dup2_stdout(&terminal)?;
        if request.errors_to_terminal {
            nix::unistd::dup2_stderr(&terminal)?;
        }
    }
    if request.input == Input::Null {
        let null = open(
            "/dev/null",
            OFlag::O_RDONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        nix::unistd::dup2_stdin(&null)?;
    }
    reset_signals()?;
    landlock::keep_to_own_sockets()?;
    // Last: the filter forbids more than `execve` and the report of its failure need.
    let listener = seccomp::install(request.durable)?;
    match (listener, sockets) {
        (Some(listener), Some(sockets)) => sockets.send_listener(&listener),
        // Without the process that makes sockets, `socketcall` fails with ENOSYS.
        _ => Ok(()),
    }
}
