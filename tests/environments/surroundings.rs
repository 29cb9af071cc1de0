//! Where netbe is run: by whom, on what, and who reads its answers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{MAC, Netbe, Outcome, Pool, SERVER, System, TFTP_NAME, install, run, unmount};

/// Runs a command line as nobody, whom a copy of the program is made readable for.
fn as_nobody(pool: &Pool, line: &str) -> Outcome {
    let program = pool.beside().join("netbe");
    if !program.exists() {
        install(Path::new(pool.netbe().plain().get_program()), &program);
    }
    Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program)
        .args(line.split_whitespace())
        .env("NETBE_POOL", pool.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
        .into()
}

#[test]
fn reading_commands_need_root() {
    let pool = Pool::with_served_node();
    for line in ["list", "list --json", "status", "get", "check"] {
        assert_asks_for_root(&pool, line, 1);
    }
}

/// Holds that a command begins nothing as nobody, and tells the same command with sudo.
fn assert_asks_for_root(pool: &Pool, line: &str, status: i32) {
    let output = as_nobody(pool, line);
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (status, ""),
        "{line}: {output:#?}"
    );
    let lines: Vec<&str> = output.stderr.lines().collect();
    let hint = format!(
        "hint: sudo NETBE_POOL={} {} {line}",
        pool.path().display(),
        pool.beside().join("netbe").display()
    );
    let error = "error: netbe needs root; nothing was done";
    assert_eq!(lines, [error, hint.as_str()], "{line}");
}

#[test]
fn changing_commands_need_root() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    let before = pool.fingerprint();
    for line in [
        "create nog/c",
        "create ordo",
        "activate nog/b",
        "rollback nog",
        "destroy -y nog/b",
        "destroy -y -r base",
        "rename nog/b c",
        "describe nog/b x",
        "pin nog/b",
        "set cmdline=quiet",
        "set cmdline=quiet nog",
        "mount nog/b",
        "publish",
        "import x /etc",
        "init",
        "init --file 1G",
        "destroy nog/b",
        "destroy -n nog/b",
        "prune",
        "upgrade nog/b",
        "check --repair",
        "dedupe",
        "export nog/b",
        "reconcile",
        "serve",
    ] {
        assert_asks_for_root(&pool, line, 1);
    }
    assert_asks_for_root(&pool, "run nog/b -- true", 125);
    // Whoever sets up a shell need not be root.
    assert_eq!(as_nobody(&pool, "completions bash").status, 0);
    before.assert_unchanged(&pool.fingerprint());
}

#[test]
fn a_directory_on_another_filesystem_is_not_a_pool() {
    let pool = Pool::bare(128 << 20);
    let plain = pool.beside().join("plain");
    fs::create_dir(&plain).unwrap();
    let netbe = Netbe::new(&plain, pool.beside());
    let output = netbe.fails(4, "list");
    assert!(
        output.contains("no pool at") && output.contains("hint: "),
        "{output}"
    );
    assert!(
        output.contains(&format!("netbe init {}", plain.display())),
        "{output}"
    );
    let output = netbe.fails(3, "init");
    assert!(
        output.contains("is not on btrfs") && output.contains("--file 64G"),
        "{output}"
    );
    assert_eq!(fs::read_dir(&plain).unwrap().count(), 0);
    // The mount point of a pool that is not mounted.
    fs::write(plain.join("pool.json"), r#"{"version":1,"uuid":"x"}"#).unwrap();
    let output = netbe.fails(1, "list");
    assert!(
        output.contains("is not on btrfs") && output.contains("mounted"),
        "{output}"
    );
    let nowhere = Netbe::new(Path::new("/nowhere/at/all"), pool.beside());
    assert!(
        nowhere
            .fails(4, "list")
            .contains("no pool at /nowhere/at/all")
    );
    assert!(nowhere.fails(4, "create nog").contains("no pool"));
}

#[test]
fn the_pool_is_the_option_before_the_variable() {
    let pool = Pool::with_node();
    let other = Netbe::new(Path::new("/nowhere"), pool.beside());
    let line = format!("--pool {} list -H", pool.path().display());
    assert_eq!(other.ok(&line), pool.netbe().ok("list -H"));
    let line = format!("list -H --pool {}", pool.path().display());
    assert_eq!(other.ok(&line), pool.netbe().ok("list -H"));
    // By whatever path it is reached, its boot files name one.
    std::os::unix::fs::symlink(pool.path(), pool.beside().join("link")).unwrap();
    let linked = Netbe::new(&pool.beside().join("link"), pool.beside());
    linked.ok("create nog/b");
    assert!(
        pool.boot_text("nog/b")
            .contains(&pool.half("nog/b", "root").display().to_string())
    );
    pool.assert_sound();
}

#[test]
fn invariant_12_a_pool_at_a_path_that_cannot_stand_on_a_command_line_is_not_written() {
    let pool = Pool::with_node();
    let odd = pool.beside().join("a b");
    fs::create_dir(&odd).unwrap();
    crate::support::run(
        Command::new("mount")
            .arg("--bind")
            .arg(pool.path())
            .arg(&odd),
    );
    let netbe = Netbe::new(&odd, pool.beside());
    let before = pool.fingerprint();
    for line in ["create nog/b", "create ordo", "rename nog/a b"] {
        let output = netbe.run(line);
        assert_ne!(output.status, 0, "{line}: {output:#?}");
        assert!(output.stderr.contains("a b"), "{line}: {output:#?}");
    }
    before.assert_unchanged(&pool.fingerprint());
    unmount(&odd);
}

#[test]
fn a_strict_umask_keeps_no_machine_from_its_boot_files() {
    let pool = Pool::bare(512 << 20);
    let system = pool.beside().join("system");
    System::debian().build(&system);
    let script = format!(
        "umask 077; set -e; \"$0\" init --server {SERVER}; \"$0\" import base {}; \"$0\" create nog/a --mac {MAC}; \
         \"$0\" create nog/b -a",
        system.display()
    );
    let output: Outcome = Command::new("sh")
        .args(["-c", &script])
        .arg(pool.netbe().plain().get_program())
        .env("NETBE_POOL", pool.path())
        .output()
        .unwrap()
        .into();
    assert_eq!(output.status, 0, "{output:#?}");
    let file = pool.at(&format!("tftp/{TFTP_NAME}/pxelinux.cfg/default"));
    // As an administrator lets another TFTP server's user through.
    run(Command::new("setfacl")
        .args(["-m", "u:65534:x"])
        .arg(pool.at("nodes")));
    let read = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        read.status.success(),
        "{}",
        String::from_utf8_lossy(&read.stderr)
    );
    pool.assert_sound();
}
