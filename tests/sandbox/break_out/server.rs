//! A server with something to lose.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::libc;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde::{Deserialize, Serialize};

use super::super::room::Room;
use super::{address, call};

/// What must not be read: in a file, in netbe's memory, on a disk, in a key, in shared memory.
pub(super) const SECRET: &[u8; 12] = b"netbe-secret";

/// Where things are, for an attacker who has found out all that can be found out.
#[derive(Serialize, Deserialize)]
pub(super) struct Prize {
    pub(super) file: PathBuf,
    /// The kernel's handle of that file: its kind and its bytes.
    pub(super) handle: (i32, Vec<u8>),
    pub(super) netbe: i32,
    pub(super) netbe_descriptor: i32,
    pub(super) netbe_memory: usize,
    pub(super) victim: i32,
    pub(super) disk: (u64, u64),
    pub(super) socket: String,
    pub(super) key: i64,
    pub(super) memory: i32,
    /// Where it listens, at each of its addresses and for many at once.
    pub(super) port: u16,
    pub(super) addresses: Vec<Ipv4Addr>,
}

pub(super) struct Server {
    pub(super) prize: Prize,
    victim: std::cell::RefCell<Child>,
    disk: PathBuf,
    listening: Listening,
    _open: File,
    _socket: UnixListener,
    _memory: Box<[u8; 12]>,
}

impl Server {
    /// Everything there is to lose, and a room with the attacker and the ground prepared for them.
    pub(super) fn new(room: &Room) -> Self {
        let file = room.outside("canary");
        fs::write(&file, SECRET).unwrap();
        let open = File::open(&file).unwrap();
        let memory = Box::new(*SECRET);
        let victim = Command::new("sleep")
            .arg("59999")
            .stdin(Stdio::null())
            // Whoever waits for the end of the tests' output must not wait for it.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let image = room.root().with_file_name("disk");
        let mut content = vec![0; 1 << 20];
        content[..SECRET.len()].copy_from_slice(SECRET);
        fs::write(&image, content).unwrap();
        let disk = attach(&image);
        let number = nix::sys::stat::stat(&disk).unwrap().st_rdev;
        let socket = format!("netbe-test-{}", std::process::id());
        let name = SocketAddr::from_abstract_name(&socket).unwrap();
        let listening = Listening::begin();
        let prize = Prize {
            port: listening.port,
            addresses: super::super::network::OWN.to_vec(),
            handle: handle(&file),
            file,
            netbe: std::process::id().cast_signed(),
            netbe_descriptor: open.as_raw_fd(),
            netbe_memory: address(&*memory),
            victim: victim.id().cast_signed(),
            disk: (nix::sys::stat::major(number), nix::sys::stat::minor(number)),
            socket,
            key: add_key(),
            memory: share_memory(),
        };
        let server = Self {
            prize,
            victim: victim.into(),
            listening,
            disk,
            _open: open,
            _socket: UnixListener::bind_addr(&name).unwrap(),
            _memory: memory,
        };
        // Last: when it fails, what was started ends.
        install_attacker(room, number);
        server
    }

    /// Returns how often somebody has come by the network since this was last asked.
    pub(super) fn heard_of(&self, attempt: &str) -> usize {
        if super::network::ALL.iter().any(|a| a.name == attempt) {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        self.listening.heard.swap(0, Ordering::SeqCst)
    }

    pub(super) fn assert_intact(&self) {
        assert_eq!(fs::read(&self.prize.file).unwrap(), SECRET);
        assert!(self.victim.borrow_mut().try_wait().unwrap().is_none());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let victim = self.victim.get_mut();
        let _ = victim.kill();
        let _ = victim.wait();
        let _ = Command::new("losetup").arg("-d").arg(&self.disk).status();
        let remove = [self.prize.memory as usize, libc::IPC_RMID as usize, 0];
        let _ = call(libc::SYS_shmctl, remove);
    }
}

/// The attacker's program with its libraries, and what a node's root user has planted.
fn install_attacker(room: &Room, disk: u64) {
    let root = room.root();
    for dir in ["proc", "sys", "dev", "mnt", "lib", "lib64", "usr/lib"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    let attacker = root.join("attacker");
    // Not by what the link says: in a chroot that may be a path of somewhere else.
    fs::copy("/proc/self/exe", &attacker).unwrap();
    let ldd = Command::new("ldd").arg(&attacker).output().unwrap();
    let output = String::from_utf8(ldd.stdout).unwrap();
    for library in output.split_whitespace().filter(|w| w.starts_with('/')) {
        let place = root.join(&library[1..]);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(library, place).unwrap();
    }
    let node = |name: &str, number| {
        let path = root.join(name);
        mknod(&path, SFlag::S_IFBLK, Mode::S_IRWXU, number).unwrap();
    };
    node("planted-disk", disk);
    let path = root.join("planted-kmsg");
    mknod(&path, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 11)).unwrap();
    symlink("/proc/1/root", root.join("planted-link")).unwrap();
}

fn attach(image: &Path) -> PathBuf {
    let output = Command::new("losetup")
        .args(["--find", "--show"])
        .arg(image)
        .output()
        .unwrap();
    assert!(output.status.success(), "losetup: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// A key in a session keyring of this process' own, which what it starts inherits.
fn add_key() -> i64 {
    let join = [libc::KEYCTL_JOIN_SESSION_KEYRING as usize, 0];
    call(libc::SYS_keyctl, join).unwrap();
    let (kind, name) = (c"user", c"netbe-test");
    let session = libc::KEY_SPEC_SESSION_KEYRING as usize;
    let key = [
        kind.as_ptr() as usize,
        name.as_ptr() as usize,
        address(SECRET),
        SECRET.len(),
        session,
    ];
    call(libc::SYS_add_key, key).unwrap()
}

#[allow(unsafe_code)]
fn share_memory() -> i32 {
    // SAFETY: makes a segment and maps it; one page is more than the secret.
    unsafe {
        let id = libc::shmget(libc::IPC_PRIVATE, 4096, 0o600);
        let at = libc::shmat(id, std::ptr::null(), 0);
        assert!(at as isize != -1);
        at.cast::<u8>()
            .copy_from_nonoverlapping(SECRET.as_ptr(), SECRET.len());
        libc::shmdt(at);
        id
    }
}

/// `struct file_handle` of fcntl.h, with room for the largest.
#[repr(C)]
pub(super) struct Handle {
    pub(super) length: u32,
    pub(super) kind: i32,
    pub(super) bytes: [u8; 128],
}

fn handle(file: &Path) -> (i32, Vec<u8>) {
    let path = std::ffi::CString::new(file.as_os_str().as_encoded_bytes()).unwrap();
    let handle = Handle {
        length: 128,
        kind: 0,
        bytes: [0; 128],
    };
    let mount = 0i32;
    let arguments = [
        libc::AT_FDCWD as usize,
        path.as_ptr() as usize,
        address(&handle),
        address(&mount),
        0,
    ];
    call(libc::SYS_name_to_handle_at, arguments).unwrap();
    (handle.kind, handle.bytes[..handle.length as usize].to_vec())
}

/// What listens on the network until the tests end.
pub(super) struct Listening {
    port: u16,
    heard: Arc<AtomicUsize>,
}

impl Listening {
    fn begin() -> Self {
        let streams = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = streams.local_addr().unwrap().port();
        let datagrams = UdpSocket::bind(("0.0.0.0", port)).unwrap();
        for address in super::super::network::OWN {
            // Of addresses on one device, once is enough.
            let _ = datagrams.join_multicast_v4(&super::network::GROUP, &address);
        }
        let heard = Arc::new(AtomicUsize::new(0));
        let (one, other) = (Arc::clone(&heard), Arc::clone(&heard));
        std::thread::spawn(move || {
            for mut stream in streams.incoming().flatten() {
                one.fetch_add(1, Ordering::SeqCst);
                let _ = std::io::Write::write_all(&mut stream, SECRET);
            }
        });
        std::thread::spawn(move || {
            while let Ok((_, from)) = datagrams.recv_from(&mut [0; 64]) {
                other.fetch_add(1, Ordering::SeqCst);
                let _ = datagrams.send_to(SECRET, from);
            }
        });
        Self { port, heard }
    }
}
