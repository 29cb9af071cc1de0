//! Kernel limits that a sandbox shares with the server: open files and epoll watches.
//!
//! Cgroups and process limits do not apply: they are counted for the whole machine, or for each user, and root inside
//! is the user of the server's services. So a sandbox is ended when they are used up. Only root's are checked; watches
//! of other users may run out before.

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::EventFd;

/// Returns the limit that is used up, as a sentence, whatever process uses it.
pub(super) fn used_up() -> Option<String> {
    // If unreadable, no limit applies until the next check.
    let files = std::fs::read_to_string("/proc/sys/fs/file-nr").unwrap_or_default();
    if is_nearly_full(&files) {
        return Some("nearly all of this machine's open files are in use".into());
    }
    is_out_of_watches(watch()).then(|| "root has no epoll watches left".into())
}

/// Parses proc(5)'s `file-nr`: open files, a zero, the maximum. Root may exceed it, other services not.
fn is_nearly_full(file_nr: &str) -> bool {
    let mut fields = file_nr.split_whitespace().map(str::parse::<u64>);
    match (fields.next(), fields.nth(1)) {
        (Some(Ok(open)), Some(Ok(max))) => open > max / 4 * 3,
        _ => false,
    }
}

/// Returns whether epoll_ctl(2) failed with `ENOSPC`, which only `/proc/sys/fs/epoll/max_user_watches` causes.
fn is_out_of_watches(result: nix::Result<()>) -> bool {
    result == Err(Errno::ENOSPC)
}

/// Adds a watch, as a starting service does.
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
