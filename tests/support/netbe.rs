//! The program as a user runs it, in an environment that is the same everywhere.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use assert_cmd::Command;

use super::wait_for_forks;

/// The program, set to one pool.
#[derive(Debug, Clone)]
pub struct Netbe {
    pool: PathBuf,
    home: PathBuf,
}

/// How a run of the program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The exit status; −1 after a signal.
    pub status: i32,
    /// What it answered.
    pub stdout: String,
    /// What it said meanwhile.
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// What the command of a hint begins with; `{` is that of one put together elsewhere in the source.
pub const PROGRAMS: [&str; 38] = [
    "btrfs filesystem show",
    "grub-editenv ",
    "ps ",
    "bootctl",
    "netbe ",
    "btrfs property ",
    "sudo ",
    "cat ",
    "less ",
    "ls ",
    "lsblk ",
    "rm ",
    "mount ",
    "umount ",
    "findmnt ",
    "modprobe ",
    "dmesg",
    "fuser ",
    "ss ",
    "ip address",
    "losetup ",
    "mkdir ",
    "chattr -i ",
    "swapoff ",
    "apt-get ",
    "dnf ",
    "pacman ",
    "zypper ",
    "apk ",
    "systemctl ",
    "qemu-img ",
    "zstd ",
    "unzip ",
    "bunzip2 ",
    "lz4 ",
    "7z ",
    "df ",
    "{",
];

impl Netbe {
    /// Returns the program for a pool, with a home directory of its own.
    pub fn new(pool: &Path, home: &Path) -> Self {
        Self {
            pool: pool.to_path_buf(),
            home: home.to_path_buf(),
        }
    }

    /// Returns a command without arguments, its environment cleared and set: 100 columns, UTC, no terminal.
    ///
    /// What this test has closed before, nothing has open.
    pub fn command(&self) -> Command {
        wait_for_forks();
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("netbe"));
        command
            .env_clear()
            .envs(self.variables())
            .current_dir(&self.home);
        command
    }

    fn variables(&self) -> [(&'static str, OsString); 8] {
        [
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".into()),
            ("HOME", self.home.clone().into()),
            ("NETBE_POOL", self.pool.clone().into()),
            ("COLUMNS", "100".into()),
            ("LANG", "C.UTF-8".into()),
            ("TZ", "UTC".into()),
            // Those that tests give their servers; no machine has them.
            (
                "NETBE_TEST_ADDRESSES",
                "192.0.2.1,192.0.2.2,192.0.2.9,192.0.2.77,198.51.100.1".into(),
            ),
            // What it holds stands in for the tables of a kernel NFS server; nothing is no server.
            ("NETBE_TEST_NFSD", self.home.join("nfsd").into()),
        ]
    }

    /// Runs a command line whose arguments hold no blanks: `run("create nog --from base")`.
    pub fn run(&self, line: &str) -> Outcome {
        self.run_with(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Starts a command line whose arguments hold no blanks, without waiting for its end.
    pub fn spawn(&self, line: &str, stdin: Stdio) -> Child {
        self.plain()
            .args(line.split_whitespace())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be run")
    }

    /// Returns [`Self::command`] as the standard library has it, for what needs more than an answer.
    pub fn plain(&self) -> std::process::Command {
        wait_for_forks();
        let mut plain = std::process::Command::new(assert_cmd::cargo::cargo_bin!("netbe"));
        plain.env_clear().current_dir(&self.home);
        plain.envs(self.variables());
        plain
    }

    /// Runs a command line of arguments as they are.
    pub fn run_with(&self, arguments: &[&str]) -> Outcome {
        self.command()
            .args(arguments)
            .output()
            .expect("the program can be run")
            .into()
    }

    /// Runs a command line that must succeed, and returns its answer.
    ///
    /// # Panics
    ///
    /// When the status is not 0.
    pub fn ok(&self, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!(outcome.status, 0, "netbe {line}\n{outcome:#?}");
        outcome.stdout
    }

    /// Runs a command line that must end with a status, and returns what it said on stderr.
    ///
    /// # Panics
    ///
    /// When the status is another one, or the error is not one line `error: …` with perhaps a `hint: …` after it that is
    /// a command.
    pub fn fails(&self, status: i32, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!(outcome.status, status, "netbe {line}\n{outcome:#?}");
        assert!(
            outcome.stderr.lines().any(|l| l.starts_with("error: ")),
            "netbe {line}\n{outcome:#?}"
        );
        let hints = outcome
            .stderr
            .lines()
            .filter_map(|l| l.strip_prefix("hint: "));
        for hint in hints {
            let is_command = PROGRAMS.iter().any(|program| hint.starts_with(program));
            assert!(is_command, "netbe {line}\n{outcome:#?}");
            self.paste(hint, line);
        }
        outcome.stderr
    }

    /// Pastes the command of a hint, with `-n` where it would change something: it must be one that netbe understands, and may
    /// only be refused in its turn with a way on.
    ///
    /// Not those of other programs, nor what runs a program of the environment or stays.
    fn paste(&self, hint: &str, after: &str) {
        const STAYS: [&str; 6] = ["run", "shell", "mount", "umount", "export", "completions"];
        const READS: [&str; 6] = ["check", "diff", "get", "list", "status", "verify"];
        let is_plain = |c: char| !"|&;<>$()`\\\"*?".contains(c);
        let Some(arguments) = hint
            .strip_prefix("netbe ")
            .filter(|h| h.chars().all(is_plain))
        else {
            return;
        };
        let mut words = arguments
            .split(' ')
            .skip_while(|word| *word == "--pool" || word.starts_with('/'));
        let verb = words.next().unwrap_or_default();
        if STAYS.contains(&verb) {
            return;
        }
        let is_reading = READS.contains(&verb) && !arguments.contains("--repair");
        let is_dry = is_reading
            || arguments
                .split(' ')
                .any(|word| ["-n", "--help"].contains(&word));
        let dry = if is_dry { "" } else { " -n" };
        // What runs in an environment follows a `--`.
        let (own, rest) = match arguments.split_once(" -- ") {
            Some((own, rest)) => (own, format!(" -- {rest}")),
            None => (arguments, String::new()),
        };
        let shell = format!("exec \"$0\" {own}{dry}{rest}");
        let output = self
            .shell()
            .args(["-c", &shell])
            .arg(assert_cmd::cargo::cargo_bin!("netbe"))
            .output();
        let output = Outcome::from(output.expect("the program can be run"));
        let leads_nowhere = output.status == 3 && !output.stderr.contains("hint: ");
        assert!(
            output.status != 2 && !leads_nowhere,
            "after netbe {after}\nnetbe {own}{dry}{rest}\n{output:#?}"
        );
    }

    fn shell(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .env_clear()
            .envs(self.variables())
            .current_dir(&self.home);
        command
    }
}
