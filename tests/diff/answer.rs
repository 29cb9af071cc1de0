//! The output of `diff`: its length, its reader, and hostile names.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::{data, document, pool};
use crate::support::{Pool, install};

#[test]
fn many_files_are_summed_up_where_not_only_they_were_asked_for() {
    let pool = pool(|_| ());
    let b = data(&pool, "nog/b");
    for number in 0..50 {
        fs::write(b.join(format!("{number}")), "1").unwrap();
    }
    let output = pool.netbe().ok("diff nog/b");
    assert!(
        output.contains("BELOW  ADDED  REMOVED  CHANGED\n/data     50        -        -\n"),
        "{output}"
    );
    assert!(
        output.contains(
            "50 added, 0 removed, 0 changed. To list them: netbe diff --files nog/a nog/b\n"
        ),
        "{output}"
    );
    assert_eq!(
        pool.netbe()
            .ok("diff --files nog/b")
            .matches("\n+ /data/")
            .count(),
        49
    );
}

#[test]
fn names_disturb_no_terminal_and_lead_nowhere() {
    let pool = pool(|_| ());
    let b = data(&pool, "nog/b");
    let name = OsString::from_vec(b"\x1b[2J\xff\nnew".to_vec());
    fs::write(b.join(name), "1").unwrap();
    symlink("\x1b[2J", b.join("link")).unwrap();
    symlink("/etc", b.join("etc")).unwrap();
    let output = pool.netbe().ok("diff --files nog/b");
    assert!(!output.contains('\x1b'), "{output:?}");
    assert!(output.contains("+ /data/?[2J\u{fffd}?new  "), "{output:?}");
    assert!(
        output.contains("+ /data/etc  lrwxrwxrwx 0:0, -> /etc\n"),
        "{output:?}"
    );
    assert_eq!(
        output.lines().filter(|l| l.starts_with("+ /data/")).count(),
        3
    );
}

#[test]
fn without_root_diff_and_dedupe_fail_with_a_sudo_hint() {
    let pool = pool(|data| {
        fs::write(data.join("secret"), "secret\n").unwrap();
    });
    let b = data(&pool, "nog/b");
    fs::write(b.join("secret"), "another secret\n").unwrap();
    let program = assert_cmd::cargo::cargo_bin!("netbe");
    let copy = pool.beside().join("netbe");
    install(program, &copy);
    for arguments in [&["diff", "--files", "nog/b"][..], &["dedupe", "-n"]] {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy)
            .args(arguments)
            .env("NETBE_POOL", pool.path())
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains("hint: sudo "), "{err}");
        assert!(output.stdout.is_empty(), "{output:?}");
        assert!(!err.contains("secret"), "{err}");
    }
}

#[test]
fn a_choice_is_one_choice() {
    let pool = Pool::with_node();
    pool.netbe().fails(2, "diff --files --boot nog nog");
    let all = document(&pool, "diff --packages --json nog nog");
    assert_eq!((all.get("files"), all.get("boot")), (None, None));
}
