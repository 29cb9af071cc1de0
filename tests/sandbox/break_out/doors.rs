//! Refused operations, tried by another system call: socket families, and the limit on core files.

use std::io;

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Attempt;
use super::Plain::{Either, Succeeds};
use super::{address, call};

#[rustfmt::skip]
pub(super) const ALL: &[Attempt] = &[
    Attempt { name: "past the network, in pairs", plain: Either, go: |_| held_all(PAIRS, pair) },
    Attempt { name: "a kind of socket's module", plain: Either, go: |_| held_all(KINDS, socket) },
    Attempt { name: "any family", plain: Either, go: |_| every_family(socket) },
    Attempt { name: "any family, in pairs", plain: Either, go: |_| every_family(pair) },
    Attempt { name: "any netlink", plain: Succeeds, go: |_| every_netlink(socket) },
    Attempt { name: "a core dump outside", plain: Succeeds, go: |_| core(libc::RLIM_INFINITY, by_setrlimit) },
    Attempt { name: "a core dump of nothing", plain: Succeeds, go: |_| core(0, by_setrlimit) },
    Attempt { name: "a core dump, by prlimit64", plain: Succeeds, go: |_| core(0, by_prlimit) },
    Attempt { name: "a core dump, from far above", plain: Succeeds, go: |_| core(0, from_far_above) },
    #[cfg(target_arch = "x86_64")]
    Attempt { name: "a core dump, as 32-bit", plain: Either, go: |_| core(0, old::setrlimit) },
    #[cfg(target_arch = "x86_64")]
    Attempt { name: "any family, as 32-bit", plain: Either, go: |_| every_family(old::socket) },
    #[cfg(target_arch = "x86_64")]
    Attempt { name: "pairs, as 32-bit", plain: Either, go: |_| every_family(old::pair) },
    #[cfg(target_arch = "x86_64")]
    Attempt { name: "any family, changed meanwhile", plain: Either, go: |_| old::changing() },
    #[cfg(target_arch = "x86_64")]
    Attempt { name: "any family, as x32", plain: Either, go: |_| every_family(as_x32) },
];

/// What must go on working by the same doors, said in the attacker's words: "out" is well.
#[cfg(target_arch = "x86_64")]
pub(super) const WORKS: Attempt = Attempt {
    name: "sockets of i386",
    plain: Either,
    go: |_| old::working(),
};

/// Family, kind, protocol.
type Asked = (i32, i32, i32);

const PAIRS: &[Asked] = &[
    (libc::AF_VSOCK, libc::SOCK_STREAM, 0),
    (libc::AF_VSOCK, libc::SOCK_DGRAM, 0),
    (libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER),
    (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP),
];

/// SOCK_RDM, SOCK_SEQPACKET, SOCK_DCCP, SOCK_PACKET.
const KINDS: &[Asked] = &[
    (libc::AF_INET, 4, 0),
    (libc::AF_INET, 5, 0),
    (libc::AF_INET, 6, 0),
    (libc::AF_INET, 10, 0),
    (libc::AF_INET, 10 | libc::SOCK_CLOEXEC, 0x0300),
    (libc::AF_INET6, 6, 0),
];

const ALLOWED: &[i32] = &[
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// Held only where the filter says no before the kernel has looked for a module.
fn refused(asked: &Asked, by: fn(&Asked) -> io::Result<()>) -> io::Result<()> {
    match by(asked) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::ENOSYS)) => Ok(()),
        answer => Err(io::Error::other(format!("{asked:?}: {answer:?}"))),
    }
}

/// "Out" where any of them gets anywhere.
fn held_all(all: &[Asked], by: fn(&Asked) -> io::Result<()>) -> io::Result<()> {
    match all.iter().try_for_each(|asked| refused(asked, by)) {
        Ok(()) => Err(io::Error::other(format!("all {} refused", all.len()))),
        Err(open) => {
            eprintln!("{open}");
            Ok(())
        }
    }
}

fn every_family(by: fn(&Asked) -> io::Result<()>) -> io::Result<()> {
    let families = (0..64).filter(|family| !ALLOWED.contains(family));
    let all: Vec<Asked> = families.map(|f| (f, libc::SOCK_DGRAM, 0)).collect();
    held_all(&all, by)
}

fn every_netlink(by: fn(&Asked) -> io::Result<()>) -> io::Result<()> {
    let allowed = [libc::NETLINK_ROUTE, libc::NETLINK_KOBJECT_UEVENT];
    let protocols = (0..32).filter(|protocol| !allowed.contains(protocol));
    let all: Vec<Asked> = protocols
        .map(|p| (libc::AF_NETLINK, libc::SOCK_RAW, p))
        .collect();
    held_all(&all, by)
}

fn socket((family, kind, protocol): &Asked) -> io::Result<()> {
    let arguments = [*family as usize, *kind as usize, *protocol as usize];
    call(libc::SYS_socket, arguments).map(drop)
}

fn pair((family, kind, protocol): &Asked) -> io::Result<()> {
    let ends = [0i32; 2];
    let arguments = [
        *family as usize,
        *kind as usize,
        *protocol as usize,
        address(&ends),
    ];
    call(libc::SYS_socketpair, arguments).map(drop)
}

/// The number of a 64-bit call, with a bit.
#[cfg(target_arch = "x86_64")]
fn as_x32((family, kind, protocol): &Asked) -> io::Result<()> {
    let arguments = [*family as usize, *kind as usize, *protocol as usize];
    call(0x4000_0000 + libc::SYS_socket, arguments).map(drop)
}

/// What crashes has the server's `core_pattern` program started, unless its limit is one.
fn core(limit: u64, set: fn(&[u64; 2]) -> io::Result<()>) -> io::Result<()> {
    let output = set(&[limit, limit]);
    match getrlimit(Resource::RLIMIT_CORE)? {
        (1, 1) => Err(io::Error::other(format!(
            "it is one, and was told {output:?}"
        ))),
        _ => Ok(()),
    }
}

fn by_setrlimit(limit: &[u64; 2]) -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_CORE, limit[0], limit[1])?)
}

fn by_prlimit(limit: &[u64; 2]) -> io::Result<()> {
    call(libc::SYS_prlimit64, [0, 4, address(limit), 0]).map(drop)
}

/// At an address whose lower half is null, for a filter that looks at that half.
#[allow(unsafe_code)]
fn from_far_above(limit: &[u64; 2]) -> io::Result<()> {
    let far = 1usize << 32;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let write = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: maps a page where nothing is, and writes two numbers into it.
    unsafe {
        let page = libc::mmap(far as *mut libc::c_void, 4096, write, flags, -1, 0);
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        page.cast::<[u64; 2]>().write(*limit);
    }
    call(libc::SYS_prlimit64, [0, 4 | 1 << 32, far, 0]).map(drop)
}

/// `int 0x80` takes the numbers of i386 also in a 64-bit program, with addresses below 4 GiB.
#[cfg(target_arch = "x86_64")]
mod old {
    use super::{Asked, io, libc};
    use nix::errno::Errno;

    /// A page of 32-bit words that 32-bit calls can find.
    #[allow(unsafe_code)]
    pub(super) fn words(values: &[u32]) -> io::Result<u32> {
        let write = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        // SAFETY: maps a new page and writes fewer words into it than it holds.
        unsafe {
            let page = libc::mmap(std::ptr::null_mut(), 4096, write, flags, -1, 0);
            if page == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            page.cast::<u32>()
                .copy_from_nonoverlapping(values.as_ptr(), values.len());
            Ok(page as usize as u32)
        }
    }

    #[allow(unsafe_code)]
    pub(super) fn call(number: u32, first: u32, second: u32, third: u32) -> io::Result<i32> {
        let result: u64;
        // SAFETY: the calls made take numbers and the pages of `words`; rbx, which the compiler keeps for itself, is
        // put back.
        unsafe {
            std::arch::asm!(
                "xchg rbx, {first}", "int 0x80", "xchg rbx, {first}",
                first = inout(reg) u64::from(first) => _,
                inlateout("rax") u64::from(number) => result,
                in("rcx") u64::from(second),
                in("rdx") u64::from(third),
                lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
            );
        }
        match result as u32 as i32 {
            error if error < 0 => Err(Errno::from_raw(-error).into()),
            done => Ok(done),
        }
    }

    pub(super) fn socket((family, kind, protocol): &Asked) -> io::Result<()> {
        let arguments = words(&[*family as u32, *kind as u32, *protocol as u32])?;
        call(102, 1, arguments, 0).map(drop)
    }

    pub(super) fn pair((family, kind, protocol): &Asked) -> io::Result<()> {
        let ends = words(&[0, 0])?;
        let arguments = words(&[*family as u32, *kind as u32, *protocol as u32, ends])?;
        call(102, 8, arguments, 0).map(drop)
    }

    /// One thread asks for a family that there is, another writes one that there is not in its place.
    #[allow(unsafe_code)]
    pub(super) fn changing() -> io::Result<()> {
        let place = words(&[libc::AF_INET as u32, libc::SOCK_STREAM as u32, 0])?;
        let family = place as usize;
        // SAFETY: the page is mapped until this process ends, and an atomic may change under another's eyes.
        let family = unsafe { &*(family as *const std::sync::atomic::AtomicU32) };
        std::thread::spawn(move || {
            loop {
                for value in [libc::AF_VSOCK, libc::AF_INET] {
                    family.store(value as u32, std::sync::atomic::Ordering::SeqCst);
                }
            }
        });
        for _ in 0..3000 {
            let Ok(socket) = call(102, 1, place, 0) else {
                continue;
            };
            let (mut kind, mut length) = (0i32, 4u32);
            let (at, size) = ((&raw mut kind).cast(), &raw mut length);
            // SAFETY: writes an integer and its size, which outlive the call; SO_DOMAIN tells the family.
            unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_DOMAIN, at, size) };
            if kind != libc::AF_INET {
                return Ok(());
            }
            // SAFETY: closes a descriptor that nobody else knows.
            unsafe { libc::close(socket) };
        }
        Err(io::Error::other("never another"))
    }

    /// Both ways, for what programs of i386 have them for; returns the number of things that work.
    pub(super) fn working() -> io::Result<()> {
        socket(&(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0))?;
        socket(&(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE))?;
        let ends = words(&[0, 0])?;
        let arguments = words(&[libc::AF_UNIX as u32, libc::SOCK_STREAM as u32, 0, ends])?;
        call(102, 8, arguments, 0)?;
        // write(2) into the one, read(2) from the other.
        let text = words(&[0x0a69_6821, 0])?;
        // SAFETY: two integers in a page that stays mapped.
        #[allow(unsafe_code)]
        let ends = unsafe { *(ends as usize as *const [u32; 2]) };
        call(4, ends[0], text, 4)?;
        match call(3, ends[1], text + 4, 4)? {
            4 => Ok(()),
            _ => Err(io::Error::other("nothing came")),
        }
    }

    pub(super) fn setrlimit(limit: &[u64; 2]) -> io::Result<()> {
        let limit = words(&limit.map(|l| u32::try_from(l).unwrap_or(u32::MAX)))?;
        call(75, 4, limit, 0).map(drop)
    }
}
