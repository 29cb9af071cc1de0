//! What the programs of an environment may ask of the kernel.
//!
//! Capabilities are cut down to those a package manager needs, for good: gone from the bounding set, and
//! `no_new_privs` keeps programs from getting others. Not the place for namespaces and mounts.

use std::io;

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};

/// The capabilities that stay, by their number in linux/capability.h.
///
/// Left out on purpose, next to the obvious: `DAC_READ_SEARCH` (opens any file of the whole pool by its
/// handle), `MKNOD`, `SYS_ADMIN` (mounting), `SYS_PTRACE`, `SYS_RAWIO`, `NET_ADMIN` (the network is
/// the server's own) and `NET_BIND_SERVICE` (its DHCP and TFTP ports too), `LINUX_IMMUTABLE` (files that
/// nobody can delete), `SYS_RESOURCE`.
const KEPT: &[u32] = &[
    0,  // CHOWN
    1,  // DAC_OVERRIDE
    3,  // FOWNER
    4,  // FSETID
    5,  // KILL
    6,  // SETGID: apt's own sandbox, adduser
    7,  // SETUID
    8,  // SETPCAP: setpriv, systemd tools dropping still more
    18, // SYS_CHROOT
    29, // AUDIT_WRITE: i386's PAM refuses passwords without, others are told there is no auditing
    31, // SETFCAP: files of iputils-ping, dumpcap and others
];

/// Takes away from this process, and all it will start, what an upgrade has no need of.
///
/// Also makes it invisible to those it starts: no reading of its memory, descriptors or program file.
pub(super) fn reduce() -> io::Result<()> {
    // One byte: no core file, and none of the server's `core_pattern` program either, which would be started
    // outside, as root, for what crashes inside. With 0 it is started all the same (core(5)); a caller
    // whose limit that is, and who may not raise it, keeps it.
    let _ = setrlimit(Resource::RLIMIT_CORE, 1, 1);
    let kept = KEPT.iter().fold(0u64, |set, cap| set | 1 << cap);
    shrink_bounding_set(kept)?;
    let held = held_capabilities()?;
    hold_capabilities(held & kept)?;
    nix::sys::prctl::set_no_new_privs()?;
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

#[allow(unsafe_code)]
fn shrink_bounding_set(kept: u64) -> io::Result<()> {
    for capability in 0..u64::BITS {
        if kept & (1 << capability) != 0 {
            continue;
        }
        // SAFETY: prctl(PR_CAPBSET_DROP) takes integers only.
        let result = unsafe {
            libc::prctl(
                libc::PR_CAPBSET_DROP,
                libc::c_ulong::from(capability),
                0,
                0,
                0,
            )
        };
        match Errno::result(result) {
            Ok(_) => {}
            // The first number this kernel has no capability for.
            Err(Errno::EINVAL) => break,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// `_LINUX_CAPABILITY_VERSION_3`: two words a set.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Word {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

#[allow(unsafe_code)]
fn held_capabilities() -> io::Result<u64> {
    let mut header = Header {
        version: VERSION,
        pid: 0,
    };
    let mut words = [Word::default(); 2];
    // SAFETY: capget(2) reads the header and writes two words, which version 3 asks for.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) };
    Errno::result(result)?;
    Ok(u64::from(words[0].permitted) | u64::from(words[1].permitted) << 32)
}

#[allow(unsafe_code)]
fn hold_capabilities(set: u64) -> io::Result<()> {
    let word = |set: u32| Word {
        effective: set,
        permitted: set,
        inheritable: 0,
    };
    let mut header = Header {
        version: VERSION,
        pid: 0,
    };
    let words = [
        word(u32::try_from(set & 0xffff_ffff).unwrap_or(0)),
        word(u32::try_from(set >> 32).unwrap_or(0)),
    ];
    // SAFETY: capset(2) reads the header and two words, which version 3 asks for.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, words.as_ptr()) };
    Errno::result(result).map(drop).map_err(io::Error::from)
}
