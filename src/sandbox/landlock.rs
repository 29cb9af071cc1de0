//! Sockets of the server that have no file: the abstract ones, which belong to the network.
//!
//! Where the network is the server's, they would be within reach, and what listens on them trusts root
//! (containerd's shims did, CVE-2020-15257). Landlock draws the line, from Linux 6.12 on; before that
//! there is none but a network of the sandbox's own. Not for files.

use std::io;

use nix::errno::Errno;
use nix::libc;

/// `struct landlock_ruleset_attr` of linux/landlock.h, as of ABI 6.
#[repr(C)]
struct Ruleset {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET`.
const ABSTRACT_SOCKETS: u64 = 1;

/// Keeps this thread, and all it will start, to abstract sockets of their own. Wants `no_new_privs`.
#[allow(unsafe_code)]
pub(super) fn keep_to_own_sockets() -> io::Result<()> {
    let ruleset = Ruleset {
        handled_access_fs: 0,
        handled_access_net: 0,
        scoped: ABSTRACT_SOCKETS,
    };
    let size = size_of::<Ruleset>();
    // SAFETY: reads one struct of the size given and returns a descriptor.
    let made = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const ruleset,
            size,
            0,
        )
    };
    let ruleset = match Errno::result(made) {
        // Not built in, switched off, too old to know the third word or the bit in it.
        Err(Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::E2BIG | Errno::EINVAL) => return Ok(()),
        made => made?,
    };
    // SAFETY: takes integers only.
    let kept = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) };
    let kept = Errno::result(kept);
    // SAFETY: the descriptor was made above, and nothing else knows of it.
    unsafe { libc::syscall(libc::SYS_close, ruleset) };
    Ok(kept.map(drop)?)
}
