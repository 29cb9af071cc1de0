//! Who reads the answers: a terminal, a pipe that closes, a script in whatever locale.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::Pool;

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
            let said = pool
                .netbe()
                .plain()
                .args(line.split_whitespace())
                .env("LANG", language)
                .env("LC_ALL", language)
                .env("TERM", "dumb")
                .output()
                .unwrap();
            assert_eq!(
                String::from_utf8(said.stdout).unwrap(),
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
    let said = pool.netbe().run("create nog/a");
    assert!(said.stdout.starts_with("Created "), "{said:#?}");
    for line in said.stderr.lines() {
        let is_talk = line.starts_with("note: ") || line.starts_with("warning: ");
        assert!(is_talk, "{said:#?}");
    }
    let said = pool.netbe().run("create nog/b -q");
    assert_eq!(said.stdout, "");
    assert!(!said.stderr.contains("note: "), "{said:#?}");
    let said = pool.netbe().run("create nog/b -q");
    assert_eq!((said.status, said.stdout.as_str()), (3, ""));
    assert!(said.stderr.starts_with("error: "), "{said:#?}");
    assert_eq!(pool.netbe().run("list -q -v").status, 2);
    for line in ["", "nonsense", "create", "rename a b c"] {
        let said = pool.netbe().run(line);
        assert_eq!(
            (said.status, said.stdout.as_str()),
            (2, ""),
            "{line}: {said:#?}"
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

/// Runs a command line on a terminal of its own, with something typed into it; returns what it showed.
fn on_a_terminal(pool: &Pool, line: &str, typed: &str, colour: &[(&str, &str)]) -> String {
    let program = pool.netbe().plain();
    let program = program.get_program().to_str().unwrap();
    let mut script = Command::new("script");
    script
        .args(["-qec", &format!("{program} {line}"), "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm")
        .env("NETBE_POOL", pool.path())
        .envs(colour.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut running = script.spawn().unwrap();
    let mut input = running.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, typed.as_bytes()).unwrap();
    let shown = running.wait_with_output().unwrap();
    drop(input);
    String::from_utf8(shown.stdout).unwrap()
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

/// What a terminal obeys or hides: title and end, CSI as one character, another direction, nothing to be seen, DEL.
const HARM: &str = "\x1b]0;PWNED\x07\u{9b}31m\u{202e}\u{2066}\u{200b}\u{7f}\x08\rx";

/// Plants it in every field of an environment that its node, or whoever wrote its record, chooses.
fn plant_everywhere(pool: &Pool, env: &str) {
    let (root, boot) = (pool.half(env, "root"), pool.half(env, "boot"));
    let put = |path: &Path, text: String| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put(
        &root.join("etc/os-release"),
        format!("ID=debian\nPRETTY_NAME='a{HARM}b'\n"),
    );
    put(
        &root.join("var/lib/dpkg/status"),
        format!("Package: p{HARM}\nStatus: install ok installed\nVersion: 1{HARM}\n\n"),
    );
    put(
        &root.join("var/lib/netbe/booted"),
        format!("version=1\nkernel=6{HARM}\n"),
    );
    put(
        &root.join("etc/fstab"),
        format!("/dev/x{HARM} /mnt{HARM} ext4 defaults 0 0\n"),
    );
    put(&root.join("etc/hostname"), format!("h{HARM}\n"));
    put(&root.join(format!("etc/file{HARM}")), HARM.to_string());
    std::os::unix::fs::symlink(format!("to{HARM}"), root.join(format!("etc/link{HARM}"))).unwrap();
    std::fs::create_dir(root.join(format!("etc/dir{HARM}"))).unwrap();
    put(&boot.join(format!("file{HARM}")), HARM.to_string());
    let bytes = std::ffi::OsStr::from_bytes(b"etc/raw\xff\x9b\x1b[31m");
    std::fs::write(root.join(bytes), "").unwrap();
    let path = pool.at(&format!(
        "nodes/nog/envs/{}/root/sub{HARM}",
        env.split_once('/').unwrap().1
    ));
    crate::support::run(
        Command::new("btrfs")
            .args(["-q", "subvolume", "create"])
            .arg(path),
    );
    let default = boot.join("pxelinux.cfg/default");
    let text = std::fs::read_to_string(&default).unwrap();
    let text = text.replace("APPEND ", &format!("APPEND a={HARM} "));
    put(
        &default,
        text.replace("KERNEL ", &format!("KERNEL v{HARM}/")),
    );
    let record = pool.at(&format!(
        "nodes/nog/envs/{}/env.json",
        env.split_once('/').unwrap().1
    ));
    let text = std::fs::read_to_string(&record).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["description"] = HARM.into();
    json["arch"] = HARM.into();
    json["failed"] = HARM.into();
    json["origin"] = serde_json::json!({"node": HARM, "name": HARM, "uuid": "x"});
    json["kernel"]["version"] = HARM.into();
    json["upgrade"] = serde_json::json!({
        "added": [[HARM, HARM]], "removed": [[HARM, HARM]],
        "upgraded": [[HARM, HARM, HARM]], "downgraded": [[HARM, HARM, HARM]],
    });
    std::fs::write(&record, json.to_string()).unwrap();
}

/// Returns what of an answer is not to be shown; netbe's own colours are.
fn harmful(bytes: &[u8]) -> String {
    let mut text = String::from_utf8(bytes.to_vec()).expect("an answer is UTF-8");
    for own in ["0", "1", "31", "32", "35", "36"] {
        text = text.replace(&format!("\x1b[{own}m"), "");
    }
    text.chars()
        .filter(|c| netbe::terminal::is_harmful(*c) && !matches!(c, '\n' | '\t'))
        .collect()
}

#[test]
fn nothing_of_a_nodes_reaches_the_terminal_as_it_is() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    plant_everywhere(&pool, "nog/b");
    let mut shown = 0;
    for line in [
        "list",
        "list --tree",
        "list -H",
        "list --json",
        "list --space",
        "status",
        "status nog",
        "status --json",
        "check",
        "check --json",
        "diff nog/a nog/b",
        "diff -v nog/a nog/b",
        "diff --files -v nog/b nog/a",
        "diff --boot nog/a nog/b",
        "diff --packages nog/a nog/b",
        "diff --json nog/a nog/b",
        "get",
        "get --json",
        "publish -n",
        "prune -n",
        "destroy -n nog/b",
        "rename -n nog/b c",
        "clone -n nog/b nog/c",
        "upgrade -n nog/b",
        "upgrade nog/b",
        "clone nog/b nog/c",
        "create ordo/x --from nog/b",
        "activate nog/b",
        "mount nog/b",
        "export nog/b",
        "rename nog/b d",
        "destroy nog/d",
        "run nog/d -- nothing",
    ] {
        for colour in ["never", "always"] {
            let mut command = pool.netbe().plain();
            command
                .args(["--color", colour])
                .args(line.split_whitespace());
            let said = command.stdin(Stdio::null()).output().unwrap();
            let out = match line.starts_with("export") {
                // A stream, and no words.
                true => Vec::new(),
                false => said.stdout,
            };
            for bytes in [&out, &said.stderr] {
                let all = String::from_utf8_lossy(bytes);
                assert_eq!(harmful(bytes), "", "{line}: {all:?}");
                shown += all.matches("PWNED").count();
            }
        }
    }
    // Or nothing was tried.
    assert!(shown > 50, "{shown}");
}

#[test]
fn a_message_of_several_lines_passes_for_nothing_of_netbes() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    let default = pool.half("nog/b", "boot").join("pxelinux.cfg/default");
    std::fs::remove_file(&default).unwrap();
    let name = "x\nhint: rm -rf .\n";
    std::fs::create_dir(pool.half("nog/b", "root").join(name)).unwrap();
    let name = "y\nhint: rm -rf .";
    pool.subvolume(&format!("nodes/nog/envs/b/root/{name}"));
    for line in [
        "activate nog/b",
        "diff --files nog/a nog/b",
        "check",
        "clone nog/b nog/c",
    ] {
        let said = pool.netbe().run(line);
        let lines = said.stdout.lines().chain(said.stderr.lines());
        assert!(
            !lines.clone().any(|l| l.starts_with("hint: rm")),
            "{said:#?}"
        );
    }
}
