//! The lock: who holds it is named, and it goes with its holder.

mod guards;
mod programs;

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Pool, run, wait_until};

/// A process that holds the lock of `nog`, as a netbe does that changes it.
struct Holder(Child);

impl Holder {
    fn new(pool: &Pool) -> Self {
        let lock = pool.at("locks/nog");
        let child = Command::new("flock")
            .args(["--exclusive", "--no-fork"])
            .arg(&lock)
            .args(["sleep", "600"])
            .spawn()
            .unwrap();
        let holder = Self(child);
        wait_until("the lock is taken", || {
            let file = fs::File::open(&lock).unwrap();
            matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
        });
        fs::write(&lock, format!("{}\nnetbe pin nog/x\n", holder.pid())).unwrap();
        holder
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A netbe that brings `nog/x` in and waits for the rest of it: it holds the lock of that environment.
struct Importer(Child);

impl Importer {
    fn new(pool: &Pool) -> Self {
        let mut child = pool.netbe().spawn("import nog/x -", Stdio::piped());
        // The beginning of an archive, whose one file never comes to its end: it looks what it is given first.
        let mut head = tar::Header::new_gnu();
        head.set_path("file").unwrap();
        head.set_size(1 << 30);
        head.set_cksum();
        let input = child.stdin.as_mut().unwrap();
        input.write_all(head.as_bytes()).unwrap();
        input.write_all(&[7; 32 << 10]).unwrap();
        let importer = Self(child);
        let note = format!("{}\nnetbe import nog/x -\n", importer.pid());
        wait_until("it takes the lock", || {
            fs::read_to_string(pool.at("locks/nog,x")).ok().as_ref() == Some(&note)
        });
        wait_until("it reads its input", || importer.reads_a_pipe());
        importer
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn reads_a_pipe(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        threads
            .map(|thread| fs::read_to_string(thread.unwrap().path().join("wchan")))
            .any(|place| place.is_ok_and(|place| place.contains("pipe_read")))
    }
}

impl Drop for Importer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn invariant_11_what_is_being_changed_is_not_changed_by_another() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    let holder = Holder::new(&pool);
    let who = format!("pid {}, netbe pin nog/x", holder.pid());
    for line in [
        "create nog/c",
        "create ordo --from nog",
        "clone base nog/c",
        "activate nog/b",
        "rollback nog",
        "destroy -y nog/b",
        "destroy -y -r nog",
        "rename nog/b c",
        "rename nog ordo",
        "describe nog/b x",
        "pin nog/b",
        "unpin nog/b",
        "mount nog/b",
        "set cmdline=quiet nog",
        "import nog/c /etc",
    ] {
        pool.refuses(
            5,
            &format!("{line} --wait 0"),
            &[&who, "waited 0 s; --wait SECONDS"],
        );
    }
    pool.refuses(5, "upgrade --node nog --wait 0 -- true", &[&who]);
    pool.refuses(125, "run nog/b --wait 0 -- true", &[&who]);
    // Reading waits for nobody.
    for line in ["list", "status", "get", "check nog", "create nog/c -n"] {
        assert_eq!(pool.netbe().run(line).status, 0, "{line}");
    }
    pool.netbe().ok("create ordo --from base");
}

#[test]
fn a_dead_holder_holds_nothing() {
    let pool = Pool::with_node();
    let mut holder = Holder::new(&pool);
    holder.kill();
    pool.netbe().ok("create nog/c --wait 0");
    // Its note is still there, and names a process that is gone; nobody minds.
    pool.write("locks/nog", "4194304\nnetbe upgrade --node nog\n");
    pool.netbe().ok("create nog/d --wait 0");
    pool.netbe().ok("check --repair");
    pool.assert_sound();
}

#[test]
fn wait_is_how_long_it_waits() {
    let pool = Pool::with_node();
    let mut holder = Holder::new(&pool);
    let start = Instant::now();
    pool.refuses(5, "create nog/c --wait 1", &["waited 1 s"]);
    assert!(start.elapsed() >= Duration::from_secs(1));
    let waiting = pool.netbe().spawn("create nog/c --wait 30", Stdio::null());
    let process = format!("/proc/{}", waiting.id());
    let lock = pool.at("locks/nog");
    // It tries, and sleeps before it tries again.
    wait_until("it has found the lock held", || {
        let files = fs::read_dir(format!("{process}/fd")).unwrap();
        let mut files = files.flatten().map(|file| fs::read_link(file.path()));
        let sleeps = fs::read_to_string(format!("{process}/wchan"));
        files.any(|file| file.is_ok_and(|file| file == lock))
            && sleeps.is_ok_and(|place| place.contains("nanosleep"))
    });
    holder.kill();
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert_eq!(pool.netbe().run("create nog --wait soon").status, 2);
}

#[test]
fn the_lock_is_not_inherited() {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let pool = Pool::with_node();
    let holder = Importer::new(&pool);
    let own = format!("/proc/{}", holder.pid());
    let lock = pool.at("locks/nog,x");
    let mut seen = 0;
    for entry in fs::read_dir(format!("{own}/fd")).unwrap() {
        let entry = entry.unwrap();
        if fs::read_link(entry.path()).unwrap() == lock {
            let number = entry.file_name().into_string().unwrap();
            let info = fs::read_to_string(format!("{own}/fdinfo/{number}")).unwrap();
            let flags = info
                .lines()
                .find_map(|l| l.strip_prefix("flags:"))
                .unwrap()
                .trim();
            let flags = u32::from_str_radix(flags, 8).unwrap();
            assert_ne!(flags & CLOSE_ON_EXEC, 0, "{info}");
            seen += 1;
        }
    }
    assert_eq!(seen, 1);
}

#[test]
fn invariant_11_a_node_goes_on_while_an_environment_of_it_is_made() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    let importer = Importer::new(&pool);
    let who = format!("pid {}, netbe import nog/x -", importer.pid());
    for line in [
        "create nog/x",
        "import nog/x /etc",
        "clone base nog/x",
        "rename nog/b x",
        "upgrade --node nog --name x -- true",
        "rename nog ordo",
        "destroy -y -r nog",
    ] {
        pool.refuses(5, &format!("{line} --wait 0"), &["nog/x", &who, "--wait "]);
    }
    for line in ["rename nog ordo -n", "destroy -r nog -n", "create nog/x -n"] {
        pool.refuses(5, line, &["nog/x", &who, "--wait "]);
    }
    for line in [
        "create nog/c",
        "clone nog/b nog/d",
        "activate nog/b",
        "rollback nog",
        "describe nog/b text",
        "set cmdline=quiet nog",
        "rename nog/d e",
        "destroy -y nog/e",
        "check",
        "check --repair",
    ] {
        pool.netbe().ok(&format!(
            "{line}{}",
            match line.starts_with("check") {
                true => "",
                false => " --wait 0",
            }
        ));
    }
    drop(importer);
    pool.netbe().run("check --repair");
    pool.netbe().ok("create nog/x --wait 0");
    pool.assert_sound();
}

#[test]
fn a_typing_error_leaves_no_lock_behind() {
    let pool = Pool::with_node();
    for line in [
        "destroy -y ordo/x",
        "set cmdline=quiet ordo",
        "rename ordo werda",
        "activate ordo",
        "pin ordo",
    ] {
        assert_eq!(pool.netbe().run(line).status, 4, "{line}");
    }
    assert!(!pool.at("locks/ordo").exists());
}

#[test]
fn a_pool_without_its_lock_directory_is_changed_all_the_same() {
    let pool = Pool::with_node();
    fs::remove_dir_all(pool.at("locks")).unwrap();
    pool.netbe().ok("create nog/b");
}

#[test]
fn being_asked_to_stop_leaves_nothing() {
    let pool = Pool::with_node();
    let before = pool.fingerprint();
    for signal in ["INT", "TERM", "HUP"] {
        let mut holder = Importer::new(&pool);
        crate::support::run(std::process::Command::new("kill").args([
            "-s",
            signal,
            &holder.pid().to_string(),
        ]));
        // Closing its input is what lets a reader look up.
        drop(holder.0.stdin.take());
        let status = holder.0.wait().unwrap();
        assert_ne!(status.code(), Some(0), "{signal}");
        before.assert_unchanged(&pool.fingerprint());
    }
}

#[test]
fn a_lock_that_cannot_be_opened_is_named_with_what_to_do() {
    let pool = Pool::with_node();
    let lock = pool.at("locks/nog");
    let immutable = |set: &str| run(std::process::Command::new("chattr").arg(set).arg(&lock));
    immutable("+i");
    let said = pool.netbe().fails(1, "pin nog/a");
    immutable("-i");
    let path = lock.display().to_string();
    for words in [path.as_str(), "Operation not permitted", "hint: chattr -i"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
