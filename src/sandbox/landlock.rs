//! Denies access to abstract Unix sockets of the server, which have no file.
//!
//! They belong to the network namespace, so a sandbox on the host's network could reach them, and servers on
//! them trust root (containerd's shims did, CVE-2020-15257). Landlock restricts them from Linux 6.12 on; before
//! that only a private network does. Files are not restricted here.

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

/// Restricts this thread and its children to abstract sockets of their own. Requires `no_new_privs`.
#[allow(unsafe_code)]
pub(super) fn keep_to_own_sockets() -> io::Result<()> {
    let ruleset = Ruleset {
        handled_access_fs: 0,
        handled_access_net: 0,
        scoped: ABSTRACT_SOCKETS,
    };
    let size = size_of::<Ruleset>();
    // SAFETY: reads one struct of the size given and returns a descriptor.
    let created = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const ruleset,
            size,
            0,
        )
    };
    let ruleset = match Errno::result(created) {
        // Not built in, disabled, or without the third field or its flag.
        Err(Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::E2BIG | Errno::EINVAL) => return Ok(()),
        created => created?,
    };
    // SAFETY: takes integers only.
    let restricted = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) };
    let restricted = Errno::result(restricted);
    // SAFETY: the descriptor was created above, and nothing else knows of it.
    unsafe { libc::syscall(libc::SYS_close, ruleset) };
    Ok(restricted.map(drop)?)
}
