//! Limits of the kernel that a sandbox shares with the server: open files and epoll watches.
//!
//! No control group bounds them, and no limit of a process does: they are counted for the whole machine, or for each
//! user, and root in the sandbox is the user that services of the server run as. So the sandbox ends when they are
//! used up. Only root's are looked at; other users of the server may lack watches until then.

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::EventFd;

/// Returns which of these limits is used up, in a sentence, if one is; by whomever.
pub(super) fn used_up() -> Option<String> {
    // What cannot be asked now cannot be judged either.
    let files = std::fs::read_to_string("/proc/sys/fs/file-nr").unwrap_or_default();
    if is_nearly_full(&files) {
        return Some("nearly all files are open that this machine can have open".into());
    }
    is_out_of_watches(watch()).then(|| "root has no epoll watches left".into())
}

/// Judges proc(5)'s `file-nr`: files open, a zero, the most there can be. Root may open more, other services not.
fn is_nearly_full(file_nr: &str) -> bool {
    let mut fields = file_nr.split_whitespace().map(str::parse::<u64>);
    match (fields.next(), fields.nth(1)) {
        (Some(Ok(open)), Some(Ok(most))) => open > most / 4 * 3,
        _ => false,
    }
}

/// Judges epoll_ctl(2): `ENOSPC` is `/proc/sys/fs/epoll/max_user_watches`, and nothing else.
fn is_out_of_watches(watched: nix::Result<()>) -> bool {
    watched == Err(Errno::ENOSPC)
}

/// Asks for a watch, as a service does that starts.
fn watch() -> nix::Result<()> {
    let event = EventFd::new()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(event, EpollEvent::new(EpollFlags::EPOLLIN, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_ends_when_open_files_or_watches_are_used_up() {
        assert!(is_nearly_full("7600\t0\t10000\n"));
        assert!(!is_nearly_full("3200\t0\t9223372036854775807\n"));
        assert!(!is_nearly_full("") && !is_nearly_full("none\t0\t1\n"));
        assert!(is_out_of_watches(Err(Errno::ENOSPC)));
        assert!(!is_out_of_watches(Err(Errno::EMFILE)) && !is_out_of_watches(watch()));
    }
}
