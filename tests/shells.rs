//! Completion in the real shells: each on a terminal of its own, keys typed, the line read back.
//!
//! A shell that is missing fails the test: what was not tried does not work.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use support::{Pool, System};

/// Nothing a shell does here takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The key that makes the shell say what its line holds, between marks. No shell here has a use for it.
const SAY_LINE: &str = "\x18";

/// A shell that runs on a terminal, with netbe's completions loaded.
struct Shell {
    child: Child,
    keys: ChildStdin,
    output: Receiver<Vec<u8>>,
    said: String,
}

impl Shell {
    fn start(pool: &Pool, program: &str, setup: &str) -> Self {
        let netbe = assert_cmd::cargo::cargo_bin!("netbe");
        let path = format!(
            "{}:/usr/sbin:/usr/bin:/sbin:/bin",
            netbe
                .parent()
                .expect("a program is in a directory")
                .display()
        );
        let mut child = Command::new("script")
            .args(["--quiet", "--flush", "--command", program, "/dev/null"])
            .env_clear()
            .env("PATH", path)
            .env("HOME", pool.beside())
            .env("NETBE_POOL", pool.path())
            .env("LANG", "C.UTF-8")
            .env("TERM", "dumb")
            .current_dir(pool.beside())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("script(1) can be run");
        let mut stdout = child.stdout.take().expect("it is piped");
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut bytes) {
                if sender.send(bytes[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let keys = child.stdin.take().expect("it is piped");
        let mut shell = Self {
            child,
            keys,
            output,
            said: String::new(),
        };
        // Parted by quotes, so that the echo of what is typed is not taken for the answer.
        shell.press(&format!("{setup}; echo rea''dy\n"));
        shell.await_text("ready\r");
        shell
    }

    fn press(&mut self, keys: &str) {
        self.keys
            .write_all(keys.as_bytes())
            .and_then(|()| self.keys.flush())
            .expect("the shell reads");
    }

    /// Waits until the shell says this, and returns everything from there back to the last time.
    fn await_text(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.said.find(text) {
                let rest = self.said.split_off(at + text.len());
                return std::mem::replace(&mut self.said, rest);
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.said.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("no {text:?} from the shell, which said:\n{}", self.said),
            }
        }
    }

    /// Types a line, presses TAB, and returns what the line is then, with a bar at its end.
    fn complete(&mut self, line: &str) -> String {
        self.press(&format!("{line}\t{SAY_LINE}"));
        self.await_text("<<");
        let output = self.await_text(">>");
        self.press("\x15");
        output.replace(">>", "|")
    }

    /// Types a line, presses TAB twice, and returns what the shell shows below it.
    fn candidates(&mut self, line: &str) -> Vec<String> {
        self.press(&format!("{line}\t\t{SAY_LINE}"));
        let shown = self.await_text("<<");
        self.await_text(">>");
        self.press("\x15");
        // Escape sequences, which not even TERM=dumb keeps every shell from, part words too.
        shown
            .split(|c: char| c.is_whitespace() || c.is_control())
            .map(str::to_string)
            .collect()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bash(pool: &Pool) -> Shell {
    let script = completions("netbe.bash");
    let say = r#"bind -x '"\C-x": printf "<<%s>>" "$READLINE_LINE"'"#;
    let setup = format!("bind 'set bell-style none'; bind 'set completion-query-items 0'; {say}");
    Shell::start(
        pool,
        "bash --noprofile --norc -i",
        &format!("source {script}; {setup}"),
    )
}

/// Starts zsh as one is set up that finds netbe's completions by the name of their file.
fn zsh(pool: &Pool) -> Shell {
    let directory = completions("");
    let say = r#"say() { print -rn -- "<<$BUFFER>>" }; zle -N say; bindkey '^X' say; bindkey '^U' kill-whole-line"#;
    Shell::start(
        pool,
        "zsh -f -i",
        &format!("fpath+=({directory}); autoload -Uz compinit; compinit -u; {say}"),
    )
}

fn completions(file: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
    directory.join(file).display().to_string()
}

/// Returns a pool with a template, and the nodes nog and ordo, each with an environment.
fn pool() -> Pool {
    let pool = Pool::new();
    let netbe = pool.netbe();
    System::debian().build(&pool.beside().join("debian"));
    netbe.ok("import raspi/base debian");
    netbe.ok("create nog/first --mac 52:54:00:00:00:01");
    netbe.ok("create ordo/one --mac 52:54:00:00:00:02");
    netbe.ok("clone nog/first nog/second");
    pool
}

/// Makes a second pool in a directory of the first one's filesystem.
fn second(pool: &Pool) -> String {
    let other = pool.path().join("other");
    fs::create_dir(&other).expect("the pool is writable");
    let dir = other.display().to_string();
    let netbe = pool.netbe();
    netbe.ok(&format!("init {dir} --server 192.0.2.1"));
    netbe.ok(&format!("--pool {dir} import elsewhere/base debian"));
    dir
}

/// What bash and zsh make of a word, with where they leave off.
fn completes_words(shell: &mut Shell) {
    for (line, whole) in [
        ("netbe act", "netbe activate |"),
        ("netbe activate n", "netbe activate nog|"),
        ("netbe activate nog/f", "netbe activate nog/first |"),
        ("netbe destroy nog/s", "netbe destroy nog/second |"),
        (
            "netbe create new --from rasp",
            "netbe create new --from raspi|",
        ),
        ("netbe pin o", "netbe pin ordo/|"),
        ("netbe set ma", "netbe set mac=|"),
        ("netbe set loader=px", "netbe set loader=pxelinux |"),
        ("netbe set acc", "netbe set access=|"),
        ("netbe set access=ro o", "netbe set access=ro ordo |"),
        ("netbe set root=PART", "netbe set root=PARTUUID=|"),
        (
            "netbe set mac=52:54:00:00:00:03 or",
            "netbe set mac=52:54:00:00:00:03 ordo |",
        ),
        ("netbe get ser", "netbe get ser|"),
        ("netbe get nfs.v", "netbe get nfs.version |"),
        ("netbe get mac n", "netbe get mac nog |"),
        ("netbe rollback o", "netbe rollback ordo |"),
        ("netbe list --tr", "netbe list --tree |"),
        ("netbe nothing n", "netbe nothing n|"),
    ] {
        assert_eq!(shell.complete(line), whole, "{line}<TAB>");
    }
}

fn lists_candidates(shell: &mut Shell) {
    for (line, shown) in [
        ("netbe get ", &["server", "mac", "nfs.version", "all"][..]),
        ("netbe create new --from ", &["raspi", "nog", "ordo"]),
        ("netbe destroy ", &["nog", "nog/", "ordo", "ordo/"]),
        ("netbe activate nog/", &["nog/first", "nog/second"]),
    ] {
        let candidates = shell.candidates(line);
        // Each once: `nog` and `nog/`, a node and what is in it, are two.
        for word in shown {
            assert_eq!(
                candidates.iter().filter(|c| c == word).count(),
                1,
                "{word} of {line}<TAB><TAB>: {candidates:?}"
            );
        }
    }
}

fn honours_the_pool_that_was_typed(shell: &mut Shell, dir: &str) {
    for line in [
        format!("netbe --pool {dir} rollback e"),
        format!("netbe --pool={dir} rollback e"),
        format!("netbe rollback --pool {dir} e"),
    ] {
        let whole = format!("{line}lsewhere |");
        assert_eq!(shell.complete(&line), whole, "{line}<TAB>");
    }
}

#[test]
fn bash_completes_from_the_pool() {
    let pool = pool();
    let mut shell = bash(&pool);
    completes_words(&mut shell);
    lists_candidates(&mut shell);
    // bash takes the value for a word of its own: before it is begun, and where nothing is known of it.
    let values = shell.candidates("netbe set loader=");
    assert!(values.iter().any(|word| word == "grub-efi"), "{values:?}");
    assert!(
        !values.iter().any(|word| word.starts_with("--")),
        "{values:?}"
    );
    assert_eq!(shell.complete("netbe set mac="), "netbe set mac=any |");
    assert_eq!(shell.complete("netbe set mac=no"), "netbe set mac=no|");
    honours_the_pool_that_was_typed(&mut shell, &second(&pool));
}

#[test]
fn zsh_completes_from_the_pool() {
    let pool = pool();
    let mut shell = zsh(&pool);
    completes_words(&mut shell);
    lists_candidates(&mut shell);
    honours_the_pool_that_was_typed(&mut shell, &second(&pool));
}

#[test]
fn zsh_completes_after_sourcing_the_script() {
    let pool = pool();
    let mut shell = zsh(&pool);
    let script = completions("_netbe");
    shell.press(&format!("source {script}; echo sour''ced\n"));
    shell.await_text("sourced\r");
    assert_eq!(shell.complete("netbe roll"), "netbe rollback |");
}

#[test]
fn fish_completes_from_the_pool() {
    let pool = pool();
    let dir = second(&pool);
    for (line, shown) in [
        ("netbe act", "activate"),
        ("netbe activate n", "nog nog/"),
        ("netbe activate nog/", "nog/first nog/second"),
        ("netbe destroy nog/s", "nog/second"),
        ("netbe create new --from ra", "raspi raspi/"),
        ("netbe pin o", "ordo/"),
        ("netbe set ma", "mac="),
        ("netbe set mac=52:54:00:00:00:03 or", "ordo"),
        ("netbe get nfs.v", "nfs.version"),
        ("netbe get mac n", "nog"),
        ("netbe list --tr", "--tree"),
        (&format!("netbe --pool {dir} rollback "), "elsewhere"),
        (&format!("netbe --pool={dir} rollback e"), "elsewhere"),
        (&format!("netbe rollback --pool {dir} e"), "elsewhere"),
    ] {
        assert_eq!(fish(&pool, line), shown, "{line}<TAB>");
    }
}

/// Returns what fish offers for a line: it is the one shell that says so when asked.
fn fish(pool: &Pool, line: &str) -> String {
    let netbe = assert_cmd::cargo::cargo_bin!("netbe");
    let script = completions("netbe.fish");
    let output = Command::new("fish")
        .args(["--no-config", "--command"])
        .arg(format!("source {script}; complete --do-complete '{line}'"))
        .env(
            "PATH",
            format!(
                "{}:/usr/bin:/bin",
                netbe
                    .parent()
                    .expect("a program is in a directory")
                    .display()
            ),
        )
        .env("HOME", pool.beside())
        .env("NETBE_POOL", pool.path())
        .output()
        .expect("fish can be run; `scripts/install-needs test` installs it");
    assert!(output.status.success(), "{output:?}");
    let words: Vec<_> = std::str::from_utf8(&output.stdout)
        .expect("names are ASCII")
        .lines()
        .filter_map(|line| line.split('\t').next())
        .filter(|word| !word.starts_with("-") || line.contains(" --tr"))
        .collect();
    words.join(" ")
}
