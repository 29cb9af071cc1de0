//! Who reads the answers: a terminal, a pipe that closes, a script in whatever locale.

mod harmful;

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use crate::support::{Pool, run};

#[test]
fn a_closed_pipe_is_no_error() {
    let pool = Pool::with_served_node();
    for i in 0..5 {
        pool.netbe().ok(&format!("create nog/e{i}"));
    }
    for line in [
        "list",
        "list -H",
        "list --json",
        "list --tree",
        "status",
        "get",
        "check",
        "--help",
    ] {
        let mut child = pool
            .netbe()
            .plain()
            .args(line.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed before a byte is written.
        drop(child.stdout.take());
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{line}: {stderr}");
        assert_eq!(stderr, "", "{line}");
    }
    let shell = Command::new("sh")
        .args(["-c", "\"$0\" list -H | head -1"])
        .arg(pool.netbe().plain().get_program())
        .env("NETBE_POOL", pool.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&shell.stderr), "");
    assert!(String::from_utf8_lossy(&shell.stdout).starts_with("base\tstock\t"));
}

#[test]
fn answers_do_not_depend_on_locale_or_terminal() {
    let pool = Pool::with_node();
    assert_eq!(
        pool.netbe()
            .run_with(&["describe", "nog/a", "ä “b”"])
            .status,
        0
    );
    for line in ["list -H", "list --json", "list --tree", "status", "get -H"] {
        let plain = pool.netbe().ok(line);
        for language in ["C", "de_DE.UTF-8", "POSIX"] {
            let output = pool
                .netbe()
                .plain()
                .args(line.split_whitespace())
                .env("LANG", language)
                .env("LC_ALL", language)
                .env("TERM", "dumb")
                .output()
                .unwrap();
            assert_eq!(
                String::from_utf8(output.stdout).unwrap(),
                plain,
                "{line} {language}"
            );
        }
        let bare = pool
            .netbe()
            .plain()
            .args(line.split_whitespace())
            .env_clear()
            .env("NETBE_POOL", pool.path())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(bare.stdout).unwrap(), plain, "{line}");
    }
}

#[test]
fn answers_go_to_stdout_and_talk_to_stderr() {
    let pool = Pool::with_template();
    let output = pool.netbe().run("create nog/a");
    assert!(output.stdout.starts_with("Created "), "{output:#?}");
    for line in output.stderr.lines() {
        let is_talk = line.starts_with("note: ") || line.starts_with("warning: ");
        assert!(is_talk, "{output:#?}");
    }
    let output = pool.netbe().run("create nog/b -q");
    assert_eq!(output.stdout, "");
    assert!(!output.stderr.contains("note: "), "{output:#?}");
    let output = pool.netbe().run("create nog/b -q");
    assert_eq!((output.status, output.stdout.as_str()), (3, ""));
    assert!(output.stderr.starts_with("error: "), "{output:#?}");
    assert_eq!(pool.netbe().run("list -q -v").status, 2);
    for line in ["", "nonsense", "create", "rename a b c"] {
        let output = pool.netbe().run(line);
        assert_eq!(
            (output.status, output.stdout.as_str()),
            (2, ""),
            "{line}: {output:#?}"
        );
    }
    assert_eq!(pool.netbe().run("--help").status, 0);
    // Without a command it is help too, and names nothing that is not for people.
    let bare = pool.netbe().run("");
    assert_eq!(bare.status, 2, "{bare:#?}");
    assert!(
        bare.stderr.contains("Usage: netbe") && !bare.stderr.contains("transfer"),
        "{bare:#?}"
    );
    assert_eq!(pool.netbe().run("--version").status, 0);
}

/// Returns what runs a command line on a terminal of its own, of so many columns.
fn terminal(pool: &Pool, line: &str, columns: u16, variables: &[(&str, &str)]) -> Command {
    let program = pool.netbe().plain();
    let program = program.get_program().to_str().unwrap();
    let mut script = Command::new("script");
    script
        .args([
            "-qefc",
            &format!("stty rows 24 cols {columns}; exec {program} {line}"),
            "/dev/null",
        ])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm")
        .env("NETBE_POOL", pool.path())
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    script
}

/// Runs a command line on a terminal of its own, with something typed into it; returns what it showed.
fn on_a_terminal(pool: &Pool, line: &str, typed: &str, colour: &[(&str, &str)]) -> String {
    let mut running = terminal(pool, line, 80, colour).spawn().unwrap();
    let mut input = running.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, typed.as_bytes()).unwrap();
    let shown = running.wait_with_output().unwrap();
    drop(input);
    String::from_utf8(shown.stdout).unwrap()
}

#[test]
fn a_long_step_shows_its_progress_on_a_terminal() {
    let pool = Pool::with_template();
    // The NFS server's program does not end before the line was seen. A shell makes it: what this process has open for writing
    // cannot be run while another test's fork has it open, too.
    let programs = tempfile::tempdir().unwrap();
    let make = "cp /usr/sbin/exportfs real && chmod 755 exportfs && mount --bind exportfs /usr/sbin/exportfs";
    let text = "#!/bin/sh\nfor i in $(seq 600); do ! test -e AT/seen || break; sleep 0.1; done\nexec AT/real \"$@\"\n";
    let text = text.replace("AT", programs.path().to_str().unwrap());
    run(Command::new("sh")
        .args([
            "-ec",
            &format!("printf %s \"$0\" >exportfs && {make}"),
            &text,
        ])
        .current_dir(programs.path()));
    let mut running = terminal(&pool, "create nog/first --mac 52:54:00:00:00:01", 18, &[])
        .spawn()
        .unwrap();
    let mut stdout = running.stdout.take().unwrap();
    let mut shown = Vec::new();
    let mut read = [0; 256];
    // "1 s" does not fit: what goes on in another line would stay there when it is drawn again.
    let line = "\r\u{1b}[KMaking nog/first,";
    while !String::from_utf8_lossy(&shown).contains(line) {
        let count = stdout.read(&mut read).unwrap();
        let so_far = String::from_utf8_lossy(&shown);
        assert!(count > 0, "{so_far}");
        shown.extend(&read[..count]);
    }
    fs::write(programs.path().join("seen"), "").unwrap();
    stdout.read_to_end(&mut shown).unwrap();
    assert!(running.wait().unwrap().success());
    let shown = String::from_utf8(shown).unwrap();
    // It is gone before the answer.
    let (_, end) = shown.rsplit_once("Making nog/first,\r\u{1b}[K").unwrap();
    assert!(end.contains("Created nog/first"), "{shown}");
}

#[test]
fn on_a_terminal_destroy_asks() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    let before = pool.fingerprint();
    for answer in ["n\n", "\n", "nonsense\n"] {
        let shown = on_a_terminal(&pool, "destroy nog/b", answer, &[]);
        assert!(shown.contains("destroy nog/b"), "{shown}");
        assert!(shown.contains("Continue? [y/N]"), "{shown}");
        assert!(shown.contains("Nothing was destroyed."), "{shown}");
        assert!(!shown.contains("error"), "{shown}");
        before.assert_unchanged(&pool.fingerprint());
    }
    let shown = on_a_terminal(&pool, "destroy nog/b", "y\n", &[]);
    assert!(shown.contains("Destroyed nog/b."), "{shown}");
    assert_eq!(pool.names("nog"), ["a"]);
}

#[test]
fn on_a_terminal_there_is_colour_unless_it_is_not_wanted() {
    let pool = Pool::with_node();
    let shown = |line: &str, colour: &[(&str, &str)]| on_a_terminal(&pool, line, "", colour);
    assert!(shown("list", &[]).contains("\u{1b}[1m"));
    assert!(!shown("list", &[("NO_COLOR", "1")]).contains('\u{1b}'));
    assert!(!shown("list --color never", &[]).contains('\u{1b}'));
    assert!(!shown("list -H", &[]).contains('\u{1b}'));
    assert!(shown("list nogg", &[]).contains("\u{1b}[1m\u{1b}[31merror\u{1b}[0m: no node nogg"));
    assert!(!shown("list nogg", &[("NO_COLOR", "1")]).contains('\u{1b}'));
}

#[test]
fn a_changed_file_and_a_warning_are_magenta() {
    let pool = Pool::with_node();
    let netbe = pool.netbe();
    netbe.ok("create nog/b");
    fs::write(pool.half("nog/b", "root").join("etc/hostname"), "other\n").unwrap();
    let output = netbe.ok("--color always diff --files -v nog/a nog/b");
    assert!(
        output.contains("\u{1b}[35mM\u{1b}[0m /etc/hostname"),
        "{output:?}"
    );
    fs::remove_file(pool.half("nog/b", "").join("env.json")).unwrap();
    let output = netbe.run("--color always list").stderr;
    assert!(
        output.starts_with("\u{1b}[1m\u{1b}[35mwarning\u{1b}[0m: "),
        "{output:?}"
    );
}
