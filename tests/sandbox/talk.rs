//! Pipes and terminals between a program and the caller.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::tcgetattr;

use super::Test;
use super::room::{Room, anyone_runs};
use crate::wait::wait_until;

pub(super) const TESTS: &[Test] = &[
    ("talk::pipes_carry_all_three", pipes),
    ("talk::a_closed_pipe_ends_the_program", closed_pipe),
    ("talk::input_that_is_not_read_is_no_trouble", unread_input),
    ("talk::both_outputs_in_one_file_keep_their_order", one_file),
    ("talk::a_terminal_has_job_control", terminal),
];

fn pipes(room: &Room) {
    let mut child = room
        .netbe("-", "cat; echo oops >&2; exit 4")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = "0123456789abcdef\n".repeat(20_000);
    let text = sent.clone();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.stdout, sent.as_bytes());
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("oops\n"));
    assert_eq!(output.status.code(), Some(4));
}

fn closed_pipe(room: &Room) {
    let mut child = room
        .netbe("-", "yes 71117; echo over")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 10]).unwrap();
    drop(stdout);
    child.wait().unwrap();
    assert!(!anyone_runs("71117"));
}

fn unread_input(room: &Room) {
    let mut command = room.netbe("-", "exit 5");
    let status = command
        .stdin(File::open("/dev/zero").unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(5));
}

fn one_file(room: &Room) {
    let path = room.boot().join("both");
    let file = File::create(&path).unwrap();
    room.netbe(
        "-",
        "for i in $(seq 1 50); do echo out $i; echo err $i >&2; done",
    )
    .stdout(file.try_clone().unwrap())
    .stderr(file)
    .status()
    .unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let expected: String = (1..=50).map(|i| format!("out {i}\nerr {i}\n")).collect();
    assert!(text.starts_with(&expected), "{text}");
}

/// A person at a terminal: types, and waits for what appears.
struct Person {
    keyboard: File,
    seen: String,
}

impl Person {
    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a text; what comes behind it is there to be waited for next.
    fn waits_for(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        while !self.seen.contains(text) {
            let length = self.keyboard.read(&mut bytes).unwrap_or(0);
            assert!(length > 0, "{text:?} never came: {:?}", self.seen);
            self.seen
                .push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        // The text is in it: that is what was waited for.
        let end = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..end);
    }
}

fn terminal(room: &Room) {
    let size = Winsize {
        ws_row: 33,
        ws_col: 77,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = openpty(&size, None).unwrap();
    let settings = tcgetattr(&pty.slave).unwrap();
    let end = || Stdio::from(OwnedFd::try_clone(&pty.slave).unwrap());
    let mut command: Command = room.netbe("-", "PS1='$ ' exec sh -i");
    let mut child = command
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .unwrap();
    let mut person = Person {
        keyboard: pty.master.into(),
        seen: String::new(),
    };
    person.waits_for("$ ");
    person.types("tty; stty size\n");
    person.waits_for("/dev/pts/0");
    person.waits_for("33 77");
    person.types("sleep 61613\n");
    wait_until("61613 runs", || anyone_runs("61613"));
    person.types("\u{3}");
    wait_until("61613 is gone", || !anyone_runs("61613"));
    // The shell lives on, and stops and continues what it runs.
    person.types("sleep 61614\n");
    wait_until("61614 runs", || anyone_runs("61614"));
    person.types("\u{1a}");
    person.waits_for("Stopped");
    person.types("echo back=$((20+3))\n");
    person.waits_for("back=23");
    person.types("exit 3\nexit 3\n");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(tcgetattr(&pty.slave).unwrap(), settings);
    assert!(!anyone_runs("61614"));
}
