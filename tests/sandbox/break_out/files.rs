//! Getting at the server's files and devices.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::Plain::{Either, NotTried, Succeeds};
use super::server::{Handle, Prize};
use super::{Attempt, address, call, is_secret};

#[rustfmt::skip]
pub(super) const ALL: &[Attempt] = &[
    Attempt { name: "chroot in a chroot", plain: Succeeds, go: chroot_out },
    Attempt { name: "file by handle", plain: Succeeds, go: by_handle },
    Attempt { name: "root of process 1", plain: Either, go: |p| below("/proc/1/root", p) },
    Attempt { name: "a link to that", plain: Either, go: |p| below("/planted-link", p) },
    Attempt { name: "root of netbe", plain: Succeeds, go: |p| below(&of_netbe(p, "root"), p) },
    Attempt { name: "descriptor of netbe", plain: Succeeds, go: descriptor },
    Attempt { name: "memory of netbe", plain: Succeeds, go: memory },
    Attempt { name: "program of process 1", plain: NotTried, go: overwrite_program },
    Attempt { name: "a node for a disk", plain: Succeeds, go: make_disk },
    Attempt { name: "a node planted for it", plain: Succeeds, go: |_| first_bytes("/planted-disk") },
    Attempt { name: "a node for memory", plain: Either, go: make_memory },
    Attempt { name: "a planted /dev/kmsg", plain: Succeeds, go: |_| for_writing("/planted-kmsg") },
    Attempt { name: "a node in /dev/shm", plain: Succeeds, go: |p| make_node("/dev/shm", p) },
    Attempt { name: "loop devices", plain: Either, go: |_| for_writing("/dev/loop-control") },
    Attempt { name: "a file for ever", plain: Succeeds, go: immutable },
    Attempt { name: "log of the kernel", plain: Either, go: |_| first_bytes_of("/proc/kmsg") },
    Attempt { name: "memory of the kernel", plain: Either, go: |_| first_bytes_of("/proc/kcore") },
    Attempt { name: "a kernel setting", plain: Succeeds, go: core_pattern },
    Attempt { name: "sysrq", plain: Either, go: |_| for_writing("/proc/sysrq-trigger") },
    Attempt { name: "a setting in /sys", plain: Succeeds, go: |_| for_writing("/sys/kernel/profiling") },
    Attempt { name: "all of /proc", plain: NotTried, go: |_| walk("/proc") },
    Attempt { name: "all of /sys", plain: NotTried, go: |_| walk("/sys") },
    Attempt { name: "the NFS server's caches", plain: Either, go: caches },
    Attempt { name: "interrupts", plain: Succeeds, go: |_| for_writing("/proc/irq/default_smp_affinity") },
];

fn of_netbe(prize: &Prize, what: &str) -> String {
    format!("/proc/{}/{what}", prize.netbe)
}

/// The server's file, beneath what should be the server's root.
fn below(root: &str, prize: &Prize) -> io::Result<()> {
    let path = prize.file.strip_prefix("/").unwrap();
    is_secret(&fs::read(Path::new(root).join(path))?)
}

/// The oldest: a directory held open outside of the innermost root is a way up.
fn chroot_out(prize: &Prize) -> io::Result<()> {
    let _ = fs::create_dir("/root/deeper");
    let top = File::open("/")?;
    nix::unistd::chroot("/root/deeper")?;
    nix::unistd::fchdir(&top)?;
    for _ in 0..64 {
        nix::unistd::chdir("..")?;
    }
    nix::unistd::chroot(".")?;
    is_secret(&fs::read(&prize.file)?)
}

/// "Shocker": the kernel finds a file by its number, whatever the root is.
#[allow(unsafe_code)]
fn by_handle(prize: &Prize) -> io::Result<()> {
    let (kind, bytes) = &prize.handle;
    let mut handle = Handle {
        length: bytes.len() as u32,
        kind: *kind,
        bytes: [0; 128],
    };
    handle.bytes[..bytes.len()].copy_from_slice(bytes);
    let top = File::open("/")?;
    let arguments = [
        top.as_raw_fd() as usize,
        address(&handle),
        libc::O_RDONLY as usize,
    ];
    let opened = call(libc::SYS_open_by_handle_at, arguments)?;
    // SAFETY: the kernel has just returned it.
    let mut file = unsafe { File::from_raw_fd(opened as i32) };
    let mut found = Vec::new();
    file.read_to_end(&mut found)?;
    is_secret(&found)
}

fn descriptor(prize: &Prize) -> io::Result<()> {
    is_secret(&fs::read(of_netbe(
        prize,
        &format!("fd/{}", prize.netbe_descriptor),
    ))?)
}

fn memory(prize: &Prize) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut found = [0; 12];
    File::open(of_netbe(prize, "mem"))?.read_exact_at(&mut found, prize.netbe_memory as u64)?;
    is_secret(&found)
}

/// Through it the next netbe would be somebody else's program (CVE-2019-5736).
fn overwrite_program(_: &Prize) -> io::Result<()> {
    let held = File::open("/proc/1/exe")?;
    for_writing(&format!("/proc/self/fd/{}", held.as_raw_fd()))
}

fn make_disk(prize: &Prize) -> io::Result<()> {
    make_node("/root", prize)?;
    first_bytes("/root/node")
}

fn make_node(directory: &str, prize: &Prize) -> io::Result<()> {
    let path = Path::new(directory).join("node");
    let _ = fs::remove_file(&path);
    let number = makedev(prize.disk.0, prize.disk.1);
    mknod(&path, SFlag::S_IFBLK, Mode::S_IRWXU, number)?;
    if directory.starts_with("/dev") {
        fs::remove_file(&path)?;
    }
    Ok(())
}

fn make_memory(_: &Prize) -> io::Result<()> {
    let path = Path::new("/root/mem");
    let _ = fs::remove_file(path);
    mknod(path, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 1))?;
    File::open(path).map(drop)
}

fn first_bytes(path: &str) -> io::Result<()> {
    let mut found = [0; 512];
    File::open(path)?.read_exact(&mut found)?;
    is_secret(&found)
}

fn first_bytes_of(path: &str) -> io::Result<()> {
    let flags = nix::fcntl::OFlag::O_NONBLOCK;
    let file = nix::fcntl::open(path, flags, Mode::empty())?;
    match nix::unistd::read(&file, &mut [0; 8192]) {
        Ok(0) => Err(io::Error::other("empty")),
        // Nothing new in the log; it could have been read.
        Ok(_) | Err(nix::errno::Errno::EAGAIN) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Opens everything below for writing, writes nothing, and tells what opened. In a plain chroot too much would.
fn walk(top: &str) -> io::Result<()> {
    let (mut waiting, mut opened, mut seen) = (vec![Path::new(top).to_path_buf()], Vec::new(), 0);
    while let Some(dir) = waiting.pop() {
        // Processes come and go, and some of it is nobody's to list.
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let path = entry.path();
            seen += 1;
            if kind.is_dir() {
                waiting.push(path.clone());
                if fs::create_dir(path.join("netbe-test")).is_ok() {
                    opened.push(path);
                }
            } else if !kind.is_symlink() {
                let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
                let mut options = OpenOptions::new();
                if options.write(true).custom_flags(flags).open(&path).is_ok() {
                    opened.push(path);
                }
            }
        }
    }
    assert!(seen > 500, "{top}: {seen}");
    match &opened[..] {
        [] => Err(io::Error::other(format!("none of {seen} opened"))),
        opened => {
            eprintln!("{opened:?}");
            Ok(())
        }
    }
}

/// There where the kernel is an NFS client or server; with them any address is any node.
fn caches(_: &Prize) -> io::Result<()> {
    let mut result = Err(io::Error::other("none is there"));
    for entry in fs::read_dir("/proc/net/rpc")
        .into_iter()
        .flatten()
        .flatten()
    {
        for name in ["channel", "flush"] {
            let path = entry.path().join(name);
            if path.exists() {
                result = for_writing(&path.display().to_string());
                if result.is_ok() {
                    return result;
                }
            }
        }
    }
    result
}

fn for_writing(path: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path).map(drop)
}

/// Names the program that the kernel starts outside when something crashes; here what it is already.
fn core_pattern(_: &Prize) -> io::Result<()> {
    let path = "/proc/sys/kernel/core_pattern";
    let now = fs::read(path)?;
    OpenOptions::new().write(true).open(path)?.write_all(&now)
}

/// Of linux/fs.h: what even root cannot delete, so that the stage stays for ever.
const IMMUTABLE: libc::c_long = 0x10;

#[allow(unsafe_code)]
fn immutable(_: &Prize) -> io::Result<()> {
    let file = File::create("/root/for-ever")?;
    let mut flags: libc::c_long = 0;
    let mut set = |on: bool| -> io::Result<()> {
        let descriptor = file.as_raw_fd();
        // SAFETY: both calls take one long, which outlives them.
        unsafe {
            let got = libc::ioctl(descriptor, libc::FS_IOC_GETFLAGS, &raw mut flags);
            nix::errno::Errno::result(got)?;
            flags = if on {
                flags | IMMUTABLE
            } else {
                flags & !IMMUTABLE
            };
            let done = libc::ioctl(descriptor, libc::FS_IOC_SETFLAGS, &raw const flags);
            nix::errno::Errno::result(done)?;
        }
        Ok(())
    };
    set(true)?;
    set(false)
}
