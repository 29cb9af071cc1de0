//! A new user: from `apt install` on a machine that Debian was just installed on to a node that was upgraded, by the README alone.
//!
//! Every line of its sections Install and The first hour is typed as it stands there, and nothing else; but the archive of a
//! system is made elsewhere, by the README's line. The address of nog's card is the README's. DHCP is another machine's, a
//! router's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::fresh_machine::{self, FreshMachine, PASSWORD};
use crate::line::{Found, Kind};
use crate::machine::{Machine, PATIENCE};
use crate::running::Running;
use crate::scene::Logs;
use crate::support::{output, seclude};
use crate::{markdown, systems};

/// Returns the code blocks of a section of the README, each as its command lines.
fn blocks(heading: &str) -> Vec<Vec<Found>> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(readme).unwrap();
    let is_heading = |line: &&str| line.starts_with("## ");
    let from = text.lines().position(|line| line == heading);
    let from = from.unwrap_or_else(|| panic!("the README has no {heading:?}")) + 1;
    let length = text
        .lines()
        .skip(from)
        .take_while(|l| !is_heading(l))
        .count();
    let lines = markdown::lines("README.md", &text);
    let mut blocks: Vec<(usize, Vec<Found>)> = Vec::new();
    for line in lines {
        let Kind::Block(block) = line.kind else {
            continue;
        };
        if !(from..=from + length).contains(&line.number) {
            continue;
        }
        match blocks.last_mut() {
            Some((number, lines)) if *number == block => lines.push(line),
            _ => blocks.push((block, vec![line])),
        }
    }
    blocks.into_iter().map(|(_, lines)| lines).collect()
}

/// Returns the archive that a line of the README makes, as a user's own for a slow machine with a serial console.
///
/// It is made on this machine: in User Mode Linux, where each program starts ten times as slowly, it would take longer than
/// all the rest.
fn archive(line: &str) -> PathBuf {
    let settings = format!(
        "{}
         systemctl enable serial-getty@ttyS0.service
         echo 'deb [trusted=yes] file:/srv/apt ./' >/etc/apt/sources.list
         apt-get -q update && apt-get -qy install netbe-greeting=1.0",
        systems::for_slow_machines()
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/own-archive");
    let made = output(Command::new(script).args([line, &settings]));
    PathBuf::from(String::from_utf8_lossy(&made).trim())
}

/// Logs in at a node's console, which asks for the password.
fn log_in(nog: &mut Running) {
    nog.console.wait_for("login: ", PATIENCE);
    println!(
        "nog boots in {:.0} s",
        nog.console.since.elapsed().as_secs_f32()
    );
    nog.console.send("root\n");
    nog.console.wait_for("Password: ", PATIENCE);
    nog.console.send(&format!("{PASSWORD}\n"));
    nog.console.wait_for("# ", PATIENCE);
    nog.take_shell();
}

/// Types a line of the README on the server, and returns what it printed.
fn type_line(server: &mut FreshMachine, line: &Found) -> String {
    println!("{}:{}: {}", line.file, line.number, line.text);
    match line.text.as_str() {
        text @ "sudo -i" => {
            server.become_root(text);
            String::new()
        }
        text if text.starts_with("sudo apt install") => server.answers(text, &[("? [Y/n] ", "")]),
        text if text.ends_with("-- passwd") => {
            let asked = ["New password: ", "Retype new password: "];
            server.answers(text, &asked.map(|question| (question, PASSWORD)))
        }
        text => server.ok(text),
    }
}

/// What `status` says of nog in this line.
fn status(server: &mut FreshMachine, line: &str) -> String {
    let status = server.ok("netbe status nog");
    let found = status.lines().find_map(|l| l.trim().strip_prefix(line));
    found
        .unwrap_or_else(|| panic!("{status}"))
        .trim()
        .to_string()
}

/// Waits until nog has reported the boot of an environment.
fn wait_until_reported(server: &mut FreshMachine, environment: &str) {
    let since = Instant::now();
    let starts = format!("{environment}, since ");
    loop {
        let booted = status(server, "booted");
        if booted.starts_with(&starts) && booted.contains("it reported a completed boot") {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "nog has not reported: {booted}");
        sleep(Duration::from_secs(2));
    }
}

/// A server that a node of is to be powered on.
struct Served {
    server: FreshMachine,
    machine: Machine,
    /// What is typed once the node is up.
    use_it: Vec<Found>,
    _logs: Logs,
}

/// Follows the README on a fresh machine with a release of Debian, until it says that a node is to be powered on.
fn set_up(name: &str, suite: &str) -> Served {
    let install = blocks("## Install").swap_remove(0);
    let [set_up, use_it] = <[_; 2]>::try_from(blocks("## The first hour")).expect("two blocks");
    let makes_archive = |line: &Found| line.text.starts_with("mmdebstrap ");
    let archive_line = set_up.iter().find(|line| makes_archive(line));
    let own = archive(
        &archive_line
            .expect("it says where a system comes from")
            .text,
    );
    let logs = Logs::new(name);
    seclude();
    let package = fresh_machine::package(logs.directory());
    let archive = logs.directory().join("debian.tar.zst");
    fs::copy(&own, &archive).unwrap();

    let mut server = FreshMachine::start(suite, &[&package, &archive], &logs);
    server.log_in("user");
    for line in &install {
        type_line(&mut server, line);
    }
    let mut mac = None;
    for line in &set_up {
        if makes_archive(line) {
            server.ok("mv /home/user/debian.tar.zst .");
            continue;
        }
        let output = type_line(&mut server, line);
        if let Some((_, given)) = line.text.split_once(" --mac ") {
            mac = Some(given.to_string());
        }
        if line.text == "netbe check" {
            assert!(output.ends_with("Everything is sound.\n"), "{output}");
        }
    }
    server.network.tap("nog", "shared");
    let mac = mac.expect("a node is made");
    Served {
        server,
        machine: Machine::new("nog", "nog", &mac, logs.directory()),
        use_it,
        _logs: logs,
    }
}

/// Powers the node on, logs in, and waits until it has reported; returns it with the name of its environment.
fn first_boot(served: &mut Served) -> (Running, String) {
    let mut nog = served.machine.power_on();
    log_in(&mut nog);
    assert_eq!(nog.ok("hostname"), "nog\n");
    assert_eq!(nog.ok("findmnt -n -o FSTYPE /boot"), "nfs4\n");
    let first = status(&mut served.server, "active");
    assert_eq!(nog.environment(), first);
    wait_until_reported(&mut served.server, &first);
    (nog, first)
}

#[test]
#[ignore = "scripts/test --e2e boots it: a hundred packages are installed where programs start slowly"]
fn a_new_user_gets_to_an_upgraded_node_by_the_readme_alone() {
    let mut served = set_up("fresh", "bookworm");
    let (mut nog, first) = first_boot(&mut served);
    let server = &mut served.server;
    let greeting = "dpkg-query -f '${Version}\\n' -W netbe-greeting";
    assert_eq!(nog.ok(greeting), "1.0\n");
    for line in &served.use_it {
        let output = type_line(server, line);
        if line.text == "netbe upgrade nog" {
            assert!(output.contains("netbe-greeting"), "{output}");
        }
    }
    assert_eq!(status(server, "active"), first);
    nog.restart();
    log_in(&mut nog);
    assert_eq!(nog.ok(greeting), "2.0\n");
    let second = nog.environment();
    assert_ne!(second, first);
    wait_until_reported(server, &second);
    assert_eq!(status(server, "active"), second);
    let output = server.ok("netbe check");
    assert!(output.ends_with("Everything is sound.\n"), "{output}");
    assert_eq!(server.ok("systemctl is-system-running"), "running\n");
}

#[test]
#[ignore = "scripts/test --e2e boots it: a hundred packages are installed where programs start slowly"]
fn on_debian_13_a_new_user_gets_to_a_booted_node() {
    first_boot(&mut set_up("fresh_13", "trixie"));
}
