//! A machine that is on: what it says on its console, and what it is told there.

use std::time::{Duration, Instant};

use crate::child::EndedChild;
use crate::console::{Console, is_shown, show_command};
use crate::machine::PATIENCE;
use crate::support::Outcome;

/// A machine that is on; dropping it takes the power away.
#[derive(Debug)]
pub(crate) struct Running {
    #[expect(dead_code, reason = "it ends with this")]
    pub(crate) process: EndedChild,
    pub(crate) console: Console,
    /// How many commands it was given, for their markers.
    pub(crate) commands: usize,
}

impl Running {
    /// Waits until somebody could log in, and logs in as root. Returns what was on the console until then.
    pub(crate) fn wait_until_up(&mut self) -> String {
        let output = self.console.wait_for("login: ", PATIENCE);
        let time = self.console.since.elapsed().as_secs_f32();
        match is_shown() {
            true => println!("{} booted in {time:.0} s", self.console.name()),
            false => println!("{} boots in {time:.1} s", self.console.log().display()),
        }
        self.console.send("root\n");
        self.console.wait_for("# ", PATIENCE);
        self.take_shell();
        output
    }

    /// Has its console, where a shell waits, be one that [`Self::run`] finds its way on.
    ///
    /// A shell that edits no lines, does not repeat what it is told, and is not talked into by the kernel.
    pub(crate) fn take_shell(&mut self) {
        self.console
            .send("exec env PS1= sh; dmesg -n 1\nstty -echo -onlcr; dmesg -n 1; echo re\"\"ady\n");
        self.console.wait_for("ready\n", PATIENCE);
    }

    /// Has U-Boot boot by the menu of its `pxe` command, as boards do by themselves.
    pub(crate) fn boot_by_pxe(&mut self) {
        self.console.wait_for("Hit any key", PATIENCE);
        self.console.send("\n");
        self.console.wait_for("=> ", PATIENCE);
        // Boards have this; without it U-Boot asks for no device tree.
        let with_tree = "setenv fdt_addr_r 4f000000";
        self.console
            .send(&format!("{with_tree}; dhcp; pxe get && pxe boot\n"));
    }

    /// Runs a command line in it, which prints lines; its errors are part of them.
    pub(crate) fn run(&mut self, line: &str) -> Outcome {
        self.run_and_answer(line, &[])
    }

    /// As [`Self::run`], with what a person types after questions that end so.
    pub(crate) fn run_and_answer(&mut self, line: &str, questions: &[(&str, &str)]) -> Outcome {
        self.commands += 1;
        let number = self.commands;
        show_command(self.console.name(), line);
        self.console.send(&format!(
            "echo begin-{number}; ({line}) 2>&1; echo end-{number} $?.\n"
        ));
        self.console
            .wait_for(&format!("begin-{number}\n"), PATIENCE);
        let end = format!("end-{number} ");
        let mut stdout = String::new();
        for (question, answer) in questions {
            match self.before_question(question, &end) {
                Ok(before) => stdout += &(before + question),
                Err(before) => return self.ended(stdout + &before),
            }
            self.console.send(&format!("{answer}\n"));
        }
        stdout += &self.console.wait_for(&end, PATIENCE);
        self.ended(stdout)
    }

    /// Returns what a command prints before its question; as an error, what it printed where it ended without one.
    fn before_question(&mut self, question: &str, end: &str) -> Result<String, String> {
        let since = Instant::now();
        loop {
            match self.console.try_for(question, Duration::from_secs(2)) {
                Ok(before) => return Ok(before),
                Err(why) if !why.starts_with("waited") || since.elapsed() > PATIENCE => {
                    panic!("{}: no {question:?}: {why}", self.console.name())
                }
                Err(_) => {}
            }
            if let Ok(before) = self.console.try_for(end, Duration::ZERO) {
                return Err(before);
            }
        }
    }

    /// Returns the outcome of a command that has printed this, and whose status comes next.
    fn ended(&mut self, stdout: String) -> Outcome {
        let status = self.console.wait_for(".\n", PATIENCE);
        Outcome {
            status: status.parse().expect("a status is a number"),
            stdout,
            stderr: String::new(),
        }
    }

    /// Runs a command line that must succeed, and returns what it printed.
    ///
    /// # Panics
    ///
    /// When its status is not 0.
    pub(crate) fn ok(&mut self, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!(outcome.status, 0, "{line}\n{outcome:#?}");
        outcome.stdout
    }

    /// Waits until all its units have started.
    ///
    /// # Panics
    ///
    /// When one of them has failed.
    pub(crate) fn is_well(&mut self) {
        let state = self.run("systemctl is-system-running --wait").stdout;
        let failed = "systemctl --failed --plain --no-legend --no-pager; systemctl status --failed --no-pager";
        assert_eq!(state, "running\n", "{}", self.run(failed).stdout);
    }

    /// Returns the name of the environment it runs, by its own root.
    pub(crate) fn environment(&mut self) -> String {
        let root = self.ok("findmnt -n -o SOURCE /");
        let name = root
            .trim()
            .trim_end_matches(']')
            .strip_suffix("/root")
            .and_then(|r| r.rsplit('/').next());
        name.unwrap_or_else(|| panic!("its root is {root:?}"))
            .to_string()
    }

    /// Waits until its console says so.
    pub(crate) fn wait_for(&mut self, words: &str) {
        self.console.wait_for(words, PATIENCE);
    }

    /// Has it restart itself, as its user does.
    pub(crate) fn restart(&mut self) {
        self.console.since = Instant::now();
        self.console.send("systemctl reboot\n");
    }
}
