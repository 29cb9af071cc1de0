//! Being asked to stop: whatever a node left to be read, or to be removed, it ends.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Outcome, Pool, run, wait_until};

/// Begins a command, asks it to stop once it has something below a path open, and shows that it does.
fn stops(pool: &Pool, line: &str, at: &Path) {
    let mut running = pool.netbe().spawn(line, Stdio::null());
    let files = format!("/proc/{}/fd", running.id());
    wait_until(&format!("netbe {line} is at work"), || {
        assert_eq!(running.try_wait().unwrap(), None, "netbe {line}");
        let open = fs::read_dir(&files).into_iter().flatten().flatten();
        let mut targets = open.filter_map(|file| fs::read_link(file.path()).ok());
        targets.any(|target| target.starts_with(at))
    });
    let pid = Pid::from_raw(i32::try_from(running.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    wait_until(&format!("netbe {line} stops"), || {
        running.try_wait().unwrap().is_some()
    });
    let outcome = Outcome::from(running.wait_with_output().unwrap());
    assert_eq!(outcome.status, 1, "{outcome:#?}");
    assert!(outcome.stderr.contains("SIGTERM"), "{outcome:#?}");
}

#[test]
fn a_comparison_of_huge_sparse_files_ends() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    // All holes but for the end: nothing is read of it but that.
    for (env, last) in [("nog/a", b"1"), ("nog/b", b"2")] {
        let file = fs::File::create(pool.half(env, "root").join("sparse")).unwrap();
        file.set_len(7 << 60).unwrap();
        file.write_at(last, (7 << 60) - 1).unwrap();
    }
    let output = pool.netbe().ok("diff --files nog/a nog/b");
    assert!(output.contains("sparse"), "{output}");
}

#[test]
fn a_long_removal_ends_and_is_gone_on_with() {
    let pool = Pool::with_node();
    let stage = pool.at("nodes/nog/.staged-packages-64c0ffee1");
    fs::create_dir(&stage).unwrap();
    let mut many = Command::new("sh");
    many.args([
        "-c",
        "for d in $(seq 60); do mkdir $d; cd $d; seq 1500 | xargs touch; cd ..; done",
    ]);
    run(many.current_dir(&stage));
    stops(&pool, "check --repair", &stage);
    let output = pool.netbe().run("check --repair");
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(!stage.exists());
    pool.assert_sound();
}

#[test]
fn a_walk_through_many_files_ends() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    let mut many = Command::new("sh");
    many.args([
        "-c",
        "for d in $(seq 60); do mkdir $d; cd $d; seq 1500 | xargs touch; cd ..; done",
    ]);
    run(many.current_dir(pool.half("nog/b", "root")));
    for line in ["diff --files nog/a nog/b", "import other/x DIR"] {
        let root = pool.half("nog/b", "root");
        stops(&pool, &line.replace("DIR", root.to_str().unwrap()), &root);
    }
    assert!(!pool.at("nodes/other").exists());
    pool.netbe().run("check --repair");
    pool.assert_sound();
}

/// Writes an archive of one directory, two million times: some kilobytes, packed.
fn of_the_same(path: &Path) {
    let mut header = tar::Header::new_gnu();
    header.set_path("etc").unwrap();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header.set_cksum();
    let some = header.as_bytes().repeat(2_000);
    let mut archive = zstd::Encoder::new(fs::File::create(path).unwrap(), 1).unwrap();
    for _ in 0..1_000 {
        archive.write_all(&some).unwrap();
    }
    archive.finish().unwrap();
}

#[test]
fn an_import_of_an_archive_bomb_stops_on_a_signal() {
    let pool = Pool::with_node();
    let archive = pool.beside().join("same.tar.zst");
    of_the_same(&archive);
    let line = format!("import other/x {}", archive.display());
    stops(&pool, &line, &archive);
    assert!(!pool.at("nodes/other").exists());
}
