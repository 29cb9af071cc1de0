//! A machine that is its own node, for the commands that are about one: installed on btrfs, and booted.
//!
//! Not for what GRUB does then: see tests/environments/adopt.rs.

use nix::sched::{CloneFlags, unshare};
use nix::unistd::sethostname;

use super::support::{Machine, Outcome};

/// What stands among commands for a boot of the first environment.
pub(crate) const BOOT: &str = "";

/// Runs a line on such a machine, named nog, after others that must succeed; questions are answered with yes.
pub(crate) fn outcome(before: &[&str], line: &str) -> Outcome {
    std::thread::scope(|scope| {
        let ran = scope.spawn(|| {
            let machine = Machine::new();
            // A command without a name means the machine by its host name.
            unshare(CloneFlags::CLONE_NEWUTS).expect("root may have another host name");
            sethostname("nog").expect("it is this thread's own");
            for step in before {
                match *step {
                    BOOT => machine.boot("netbe/nodes/nog/envs/first/root"),
                    step => drop(machine.ok(step)),
                }
            }
            let inside = format!("chroot {} /bin/sh -c {line:?}", machine.root.display());
            let mut typed = std::process::Command::new("script");
            typed.args(["-qefc", &inside, "/dev/null"]).stdin(yes());
            typed.output().expect("script is there").into()
        });
        ran.join().unwrap()
    })
}

/// Returns an input with the answer of a person who agrees.
fn yes() -> std::process::Stdio {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"y\n").unwrap();
    file.rewind().unwrap();
    file.into()
}
