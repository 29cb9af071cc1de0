//! How a stream can end: nobody reads, nobody writes, somebody says stop, the disk is full.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Outcome, Pool, SERVER, System, run, wait_until};
use crate::two;

/// Puts something into an environment that makes its stream many times what a pipe holds.
fn enlarge(pool: &Pool, environment: &str) {
    let mut random = File::open("/dev/urandom").unwrap().take(32 << 20);
    let path = pool.half(environment, "root").join("srv/large");
    std::io::copy(&mut random, &mut File::create(path).unwrap()).unwrap();
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, signal).unwrap();
}

/// Waits for an end that is to come soon.
fn ended(mut child: Child) -> Outcome {
    wait_until("it ends", || child.try_wait().unwrap().is_some());
    child.wait_with_output().unwrap().into()
}

fn stages(pool: &Pool) -> usize {
    pool.skeleton()
        .iter()
        .filter(|n| n.rsplit('/').next().unwrap().starts_with(".staged-"))
        .count()
}

/// Begins an import that gets half of a stream, and no more.
fn half_fed(pool: &Pool, stream: &PathBuf) -> Child {
    let bytes = fs::read(stream).unwrap();
    let mut child = pool.netbe().spawn("import nog/x", Stdio::piped());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&bytes[..bytes.len() / 2]).unwrap();
    wait_until("it has begun", || stages(pool) > 0);
    child.stdin = Some(stdin);
    child
}

/// Begins an export of which somebody reads a little, and no more.
fn half_read(pool: &Pool, line: &str) -> Child {
    let mut child = pool.netbe().spawn(line, Stdio::null());
    let mut some = vec![0; 1 << 20];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut some)
        .unwrap();
    child
}

/// Stops one whose other ends stay open, so that it does not end for want of them; it says why it ended.
fn stop(mut child: Child, by: Signal) {
    let others = (child.stdin.take(), child.stdout.take());
    signal(&child, by);
    let output = ended(child);
    drop(others);
    assert!(
        output.status == 1 && output.stderr.contains("stopped by"),
        "{output:?}"
    );
}

/// Two pools that both have a large nog/a, and its stream.
struct Travelled {
    here: Pool,
    there: Pool,
    stream: PathBuf,
    /// What was in each of the two, and the subvolumes there, when all had come to its end.
    before: (Vec<String>, Vec<String>, Vec<String>),
}

impl Travelled {
    fn new() -> Self {
        let (here, there) = two();
        enlarge(&here, "nog/a");
        let stream = here.exported("nog/a --no-base");
        let line = format!("import nog/a {}", stream.display());
        there.netbe().ok(&line);
        Self {
            before: (here.skeleton(), there.skeleton(), there.subvolumes()),
            here,
            there,
            stream,
        }
    }

    /// Shows that both are as they were, and sound.
    fn assert_as_before(&self) {
        assert_eq!(self.here.skeleton(), self.before.0);
        assert_eq!(self.there.skeleton(), self.before.1);
        assert_eq!(self.there.subvolumes(), self.before.2);
        self.here.assert_sound();
        self.there.assert_sound();
    }
}

#[test]
fn a_stopped_export_or_import_leaves_no_files() {
    let travelled = Travelled::new();
    for by in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        stop(half_fed(&travelled.there, &travelled.stream), by);
        stop(half_read(&travelled.here, "export nog/a"), by);
        travelled.assert_as_before();
    }
}

#[test]
fn repair_removes_leftovers_of_a_killed_export_or_import() {
    let travelled = Travelled::new();
    let child = half_fed(&travelled.there, &travelled.stream);
    signal(&child, Signal::SIGKILL);
    ended(child);
    let mut child = half_read(&travelled.here, "export nog/a");
    signal(&child, Signal::SIGKILL);
    drop(child.stdout.take());
    ended(child);
    for pool in [&travelled.here, &travelled.there] {
        assert_eq!(stages(pool), 1);
        let found = pool.netbe().run("check");
        assert!(
            found.status == 1 && found.stdout.contains("/.staged-"),
            "{found:?}"
        );
        pool.netbe().ok("check --repair");
    }
    travelled.assert_as_before();
}

#[test]
fn export_ends_quietly_when_its_reader_does() {
    let (here, _) = two();
    enlarge(&here, "nog/a");
    let before = here.skeleton();
    let mut child = half_read(&here, "export nog/a");
    drop(child.stdout.take());
    let output = ended(child);
    assert_eq!((output.status, output.stderr.as_str()), (1, ""));
    // Nothing went through: there is no base that anybody could be since.
    assert_eq!(here.skeleton(), before);
    here.assert_sound();
}

#[test]
fn a_running_export_is_in_nobodys_way() {
    let (here, _) = two();
    enlarge(&here, "nog/a");
    here.netbe().ok("export nog/a -o /dev/null");
    here.netbe().ok("create nog/b");
    here.netbe().ok("create nog/c -a");
    enlarge(&here, "nog/b");
    let mut child = half_read(&here, "export nog/b --since nog/a");
    // Neither leftover nor lock; and what it is of and since may go.
    here.assert_sound();
    here.netbe().ok("check --repair");
    assert_eq!(stages(&here), 1);
    here.netbe().ok("describe nog/b changed --wait 0");
    here.netbe().ok("rename nog/c d --wait 0");
    here.netbe().ok("destroy -y nog/a nog/b --wait 0");
    let mut rest = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
    let output = ended(child);
    assert_eq!(output.status, 0);
    assert!(
        output
            .stderr
            .contains("warning: the stream is complete, but no base"),
        "{output:?}"
    );
    assert_eq!(stages(&here), 0);
    here.assert_sound();
}

#[test]
fn a_file_is_whole_or_as_it_was() {
    let (here, _) = two();
    enlarge(&here, "nog/a");
    let dir = here.beside().join("out");
    fs::create_dir(&dir).unwrap();
    let file = dir.join("stream");
    fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink("stream", dir.join("link")).unwrap();
    let names = || {
        let mut names: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let child = here.netbe().spawn(
        &format!("export nog/a -o {}", file.display()),
        Stdio::null(),
    );
    wait_until("it has begun", || names().len() == 3);
    signal(&child, Signal::SIGTERM);
    assert_eq!(ended(child).status, 1);
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    assert_eq!(names(), ["link", "stream"]);
    let output = here
        .netbe()
        .ok(&format!("export nog/a -o {}", dir.join("link").display()));
    assert!(
        output.starts_with("Exported nog/a to ") && output.contains("MiB"),
        "{output}"
    );
    assert_eq!(names(), ["link", "stream"]);
    assert!(dir.join("link").symlink_metadata().unwrap().is_symlink());
    assert_eq!(
        file.metadata().unwrap().permissions().mode() & 0o7777,
        0o600
    );
    assert!(fs::read(&file).unwrap().starts_with(b"NETBE-STREAM 1\n"));
    for (place, word) in [("/nowhere/at/all", "No such file"), ("/proc/x", "")] {
        let output = here.netbe().fails(1, &format!("export nog/a -o {place}"));
        assert!(output.contains(word), "{output}");
    }
    let full = here.netbe().fails(1, "export nog/a -o /dev/full");
    assert!(full.contains("No space left"), "{full}");
    here.assert_sound();
}

/// Runs netbe where all it says goes to a terminal, which script(1) gives it; returns the status and what was said.
fn on_a_terminal(pool: &Pool, line: &str) -> (Option<i32>, String) {
    let program = pool.netbe().plain().get_program().to_owned();
    let output = Command::new("script")
        .arg("-qec")
        .arg(format!("{} {line}", program.display()))
        .arg("/dev/null")
        .env("NETBE_POOL", pool.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text)
}

#[test]
fn export_refuses_to_write_to_a_terminal() {
    let (here, _) = two();
    let before = here.skeleton();
    let (status, text) = on_a_terminal(&here, "export nog/a");
    assert_eq!(status, Some(2), "{text}");
    assert!(
        text.contains("terminal") && text.contains("netbe export nog/a -o nog-a.netbe"),
        "{text}"
    );
    assert_eq!(here.skeleton(), before);
    // Progress is for a terminal, and says how much and how fast.
    enlarge(&here, "nog/a");
    // However fast the machine is: the first of it waits longer in the pipe than the line is to stay as it is.
    let (_, text) = on_a_terminal(&here, "export nog/a | (sleep 1; cat >/dev/null)");
    assert!(text.contains("Sending ") && text.contains("/s"), "{text:?}");
}

#[test]
fn an_import_that_does_not_fit_leaves_no_files() {
    let (here, _) = two();
    enlarge(&here, "nog/a");
    enlarge(&here, "base/stock");
    fs::copy(
        here.half("base/stock", "root").join("srv/large"),
        here.half("nog/a", "root").join("srv/larger"),
    )
    .unwrap();
    let stream = here.exported("nog/a");
    let small = Pool::bare(160 << 20);
    small.netbe().ok(&format!("init --server {SERVER}"));
    small.import("base/stock", &System::debian());
    let mut filler = File::create(small.at("filler")).unwrap();
    let chunk = vec![0x5a; 1 << 20];
    while small.path().exists() && free(&small) > 40 << 20 {
        filler.write_all(&chunk).unwrap();
        filler.sync_all().unwrap();
    }
    let before = small.skeleton();
    let output = small
        .netbe()
        .fails(1, &format!("import nog/a {}", stream.display()));
    assert!(output.contains("are kept free"), "{output}");
    assert_eq!(small.skeleton(), before);
    // Check tells of a pool that is nearly full.
    drop(filler);
    fs::remove_file(small.at("filler")).unwrap();
    run(&mut Command::new("sync"));
    small.assert_sound();
}

fn free(pool: &Pool) -> u64 {
    let stat = nix::sys::statvfs::statvfs(pool.path()).unwrap();
    stat.blocks_available() * stat.fragment_size()
}
