//! Attempts to get at the server from inside, each made twice: in the sandbox, where it must fail, and
//! in a plain chroot with `/proc`, `/sys` and `/dev` bound into it, as the recipes have it, where it
//! must succeed, or it shows nothing. This test's own process plays netbe.

mod doors;
mod files;
mod kernel;
mod mounting;
mod network;
mod others;
mod own_program;
mod server;

use std::io;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::Test;
use super::room::{Room, mounts};
use server::{Prize, Server};

pub(super) const TESTS: &[Test] = &[
    ("break_out::every_attempt_is_held", all),
    (
        "break_out::netbes_own_program_stays_as_it_is",
        own_program::stays_as_it_is,
    ),
    #[cfg(target_arch = "x86_64")]
    ("break_out::programs_of_i386_have_sockets", sockets_of_i386),
];

/// One way out.
struct Attempt {
    name: &'static str,
    plain: Plain,
    go: fn(&Prize) -> io::Result<()>,
}

/// What comes of it in a plain chroot.
#[derive(Clone, Copy, PartialEq)]
enum Plain {
    Succeeds,
    /// Depends on how the kernel here is built, and on what root may do in the container tests run in.
    Either,
    /// It would harm this machine, or nothing is there to be got at.
    NotTried,
}

const OUT: &str = "out";
const HELD: &str = "held: ";

/// Whether the kernel has something.
type Condition = fn() -> bool;

/// What needs something of the kernel to be held, and whether that is there; the sandbox goes without.
const HELD_WHERE: &[(&str, Condition)] = &[
    // The second lock; slirp4netns itself sends to many at once.
    (network::MANY, network::has_policies),
    (others::BOMB, || {
        ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]
            .iter()
            .any(|tree| is_limited_by(Path::new(tree)))
    }),
];

fn is_limited_by(tree: &Path) -> bool {
    let probe = tree.join(format!("netbe-test-{}", std::process::id()));
    let made = tree.join("cgroup.procs").exists() && std::fs::create_dir(&probe).is_ok();
    let limited = probe.join("pids.max").exists();
    if made {
        std::fs::remove_dir(&probe).unwrap();
    }
    limited
}

fn attempts() -> impl Iterator<Item = &'static Attempt> {
    let kinds = [
        doors::ALL,
        files::ALL,
        kernel::ALL,
        mounting::ALL,
        network::ALL,
        others::ALL,
    ];
    kinds.into_iter().flatten()
}

fn all(room: &Room) {
    let server = Server::new(room);
    let prize = serde_json::to_string(&server.prize).unwrap();
    let table = mounts();
    let (mut held, mut shown, mut wrong) = (0, 0, Vec::new());
    for attempt in attempts() {
        let condition = HELD_WHERE.iter().find(|(name, _)| *name == attempt.name);
        if condition.is_some_and(|(_, is_there)| !is_there()) {
            println!("    {:26} not held by this kernel", attempt.name);
            continue;
        }
        let (ended, text) = room.run(&["/attacker", "attempt", attempt.name, &prize]);
        let inside = text.trim().to_string();
        // Whatever the attacker has heard of it.
        let heard = server.heard_of(attempt.name);
        if heard > 0 {
            wrong.push(format!("{} inside: reached the server", attempt.name));
        }
        match inside.starts_with(HELD) {
            true => held += 1,
            false => wrong.push(format!("{} inside: {inside} ({ended:?})", attempt.name)),
        }
        let plain = match attempt.plain {
            Plain::NotTried => "not tried".to_string(),
            _ => plainly(room, attempt.name, &prize),
        };
        server.heard_of(attempt.name);
        shown += usize::from(plain == OUT);
        // Where this machine is a chroot itself, that one leads out of it too, past what it looks for.
        let too_far = attempt.name == "chroot in a chroot" && is_in_a_chroot();
        if attempt.plain == Plain::Succeeds && plain != OUT && !too_far {
            wrong.push(format!("{} in a chroot: {plain}", attempt.name));
        }
        println!("    {:26} {inside:50} chroot: {plain}", attempt.name);
        server.assert_intact();
    }
    println!("    {held} held inside, {shown} of them seen to succeed in a plain chroot");
    assert_eq!(wrong, Vec::<String>::new());
    assert!(held >= 40);
    assert_eq!(mounts(), table);
}

#[cfg(target_arch = "x86_64")]
fn sockets_of_i386(room: &Room) {
    let server = Server::new(room);
    let prize = serde_json::to_string(&server.prize).unwrap();
    let (_, text) = room.run(&["/attacker", "attempt", doors::WORKS.name, &prize]);
    assert_eq!(text.trim(), OUT);
}

fn is_in_a_chroot() -> bool {
    use std::os::unix::fs::MetadataExt;
    let root = |path| std::fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
    root("/proc/1/root/.").is_some_and(|first| root("/") != Some(first))
}

fn plainly(room: &Room, name: &str, prize: &str) -> String {
    let output = Command::new("/proc/self/exe")
        .args(["plainly", &room.root().display().to_string(), name, prize])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_string();
    match said.is_empty() {
        true => format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ),
        false => said,
    }
}

/// Plays the attacker, if this process was started as that.
pub(crate) fn attack_if_asked(words: &[String]) {
    match words {
        [verb, ..] if verb == own_program::CHANGE => own_program::change(),
        [verb, name, prize] if verb == "attempt" => attack(name, prize),
        [verb, root, name, prize] if verb == "plainly" => {
            enter_plainly(root).unwrap();
            attack(name, prize)
        }
        _ => {}
    }
}

/// A mount namespace of its own only so that nothing stays behind on this machine.
fn enter_plainly(root: &str) -> io::Result<()> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    for place in ["proc", "sys", "dev"] {
        let inside = format!("{root}/{place}");
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(&*format!("/{place}")), &*inside, none, flags, none)?;
    }
    nix::unistd::chroot(root)?;
    Ok(nix::unistd::chdir("/")?)
}

fn attack(name: &str, prize: &str) -> ! {
    #[cfg(target_arch = "x86_64")]
    let attempts = || attempts().chain([&doors::WORKS]);
    let attempt = attempts().find(|attempt| attempt.name == name).unwrap();
    match (attempt.go)(&serde_json::from_str(prize).unwrap()) {
        Ok(()) => println!("{OUT}"),
        Err(e) => println!("{HELD}{e}"),
    }
    std::process::exit(0)
}

/// A system call by its number, so that no library stands between.
#[allow(unsafe_code)]
fn call<const N: usize>(number: libc::c_long, arguments: [usize; N]) -> io::Result<i64> {
    let a = |at: usize| arguments.get(at).copied().unwrap_or(0);
    // SAFETY: what is passed are numbers, or addresses of values the caller holds until it has returned.
    let result = unsafe { libc::syscall(number, a(0), a(1), a(2), a(3), a(4), a(5)) };
    Ok(Errno::result(result)?)
}

/// The kernel got as far as looking at what was asked: whoever asks rightly gets it.
fn reached<T>(result: io::Result<T>) -> io::Result<()> {
    const NO: &[Errno] = &[
        Errno::EPERM,
        Errno::EACCES,
        Errno::ENOSYS,
        Errno::EAFNOSUPPORT,
    ];
    match result {
        Err(e) if NO.iter().any(|no| e.raw_os_error() == Some(*no as i32)) => Err(e),
        _ => Ok(()),
    }
}

fn address<T: ?Sized>(value: &T) -> usize {
    std::ptr::from_ref(value).cast::<u8>() as usize
}

/// What was read is the server's secret, or it was not worth the trouble.
fn is_secret(found: &[u8]) -> io::Result<()> {
    match found
        .windows(server::SECRET.len())
        .any(|w| w == server::SECRET)
    {
        true => Ok(()),
        false => Err(io::Error::other("read something else")),
    }
}
