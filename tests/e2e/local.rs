//! A PC that boots from its own disk, by GRUB, and is its own node: by a BIOS and by UEFI firmware, with the power cut in between.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::machine::{Machine, Running};
use crate::scene::{self, Logs};
use crate::server::DISK_OF_MACHINE;
use crate::support::{run, seclude, unmount};
use crate::systems;
use crate::trials;

/// Where the filesystem begins on the disk, in bytes: `local-disk`.
const FILESYSTEM: u64 = 528_384 * 512;
/// How the cursor goes down by a line.
const DOWN: &str = "\u{1b}[B";

/// A machine, and where it is logged.
pub(crate) struct Alone {
    pub(crate) machine: Machine,
    _logs: Logs,
}

/// Makes a machine `nog` that was installed on btrfs with a loader, with the netbe that was just built, and a repository of
/// packages in `/srv/apt`; a newer one waits beside it.
pub(crate) fn alone(name: &str, loader: &str) -> Alone {
    let disk = systems::local_disk(loader);
    let logs = Logs::new(name);
    seclude();
    let own = logs.directory().join(DISK_OF_MACHINE);
    run(Command::new("cp")
        .args(["--sparse=always", "--reflink=auto"])
        .args([&disk, &own]));
    let top = logs.directory().join("top");
    fs::create_dir(&top).unwrap();
    run(Command::new("mount")
        .args(["-o", &format!("loop,offset={FILESYSTEM}")])
        .args([&own, &top]));
    set_up(&top.join("@"));
    unmount(&top);
    Alone {
        machine: Machine::alone("nog", logs.directory(), &own),
        _logs: logs,
    }
}

fn set_up(root: &Path) {
    let program = root.join("usr/bin/netbe");
    fs::copy(env!("CARGO_BIN_EXE_netbe"), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join("etc/hostname"), "nog\n").unwrap();
    // The unit that has it be loaded rests.
    fs::write(root.join("etc/modules-load.d/tun.conf"), "tun\n").unwrap();
    let kernel = scene::is_whole().then(systems::newest_kernel);
    for (repository, version, other) in [
        ("srv/apt", "1.0", None),
        ("srv/newer", "2.0", kernel.as_deref()),
    ] {
        let repository = root.join(repository);
        fs::create_dir(&repository).unwrap();
        systems::make_greeting(&repository, version, other);
    }
    fs::write(
        root.join("etc/apt/sources.list"),
        "deb [trusted=yes] file:/srv/apt ./\n",
    )
    .unwrap();
    let _ = fs::remove_file(root.join("etc/apt/apt.conf.d/90outside"));
    let install = format!(
        "{}\napt-get -q update && apt-get -qy install netbe-greeting",
        systems::for_slow_machines()
    );
    run(Command::new("chroot")
        .arg(root)
        .args(["sh", "-ec", &install]));
}

impl Running {
    /// Has the packages of the newer repository be what an upgrade finds.
    pub(crate) fn offer_newer(&mut self) {
        self.ok("sed -i s,/srv/apt,/srv/newer, /etc/apt/sources.list");
    }

    /// Presses a key until it has this effect: a loader takes none while it draws.
    fn press(&mut self, key: &str, words: &str) {
        loop {
            self.console.send(key);
            match self.console.try_for(words, Duration::from_secs(5)) {
                Ok(_) => return,
                Err(why) => assert!(why.starts_with("waited"), "{words}: {why}"),
            }
        }
    }

    /// Makes an environment in which the first process does not go on.
    pub(crate) fn make_hanging(&mut self, id: &str) {
        self.ok(&format!("netbe create {id}"));
        self.ok(&format!(
            "netbe run {id} -- sh -ec 'rm /usr/sbin/init; printf \"#!/bin/sh\\necho here it stops; exec sleep infinity\\n\" \
             >/usr/sbin/init; chmod 755 /usr/sbin/init'"
        ));
    }

    /// Begins a command, and waits until it has said this.
    pub(crate) fn begin(&mut self, line: &str, words: &str) {
        self.console.send(&format!("{line}\n"));
        self.wait_for(words);
    }
}

#[test]
fn a_pc_on_btrfs_is_upgraded_and_goes_back_also_when_its_power_is_cut() {
    let Alone { machine, _logs } = alone("local", "grub");
    let mut nog = machine.power_on_from_disk();
    nog.wait_until_up();
    let kernel = nog.ok("uname -r");
    nog.ok("netbe adopt --yes");
    nog.restart();
    let output = nog.wait_until_up();
    assert!(output.contains("This is nog, environment first, greeting 1.0."));
    assert_eq!(nog.environment(), "first");
    nog.is_well();
    assert!(nog.ok("netbe list -H").starts_with("nog\tfirst\tNR\t"));
    nog.ok("netbe check");

    // The power is cut in the middle of an upgrade.
    nog.offer_newer();
    nog.begin("netbe -v upgrade --name second", "netbe-greeting");
    drop(nog);
    let mut nog = machine.power_on_from_disk();
    nog.wait_until_up();
    assert_eq!(nog.environment(), "first");
    nog.run("netbe check --repair");
    nog.ok("netbe check");
    let table = nog.ok("netbe upgrade --name second");
    assert!(table.contains("netbe-greeting"), "{table}");
    assert!(nog.ok("dpkg-query -W netbe-greeting").contains("1.0"));
    // And as soon as it is told to be active: GRUB does not read the log of the filesystem. The firmware is another one now.
    nog.ok("netbe activate nog/second");
    drop(nog);
    let mut nog = machine.power_on_by_uefi();
    let output = nog.wait_until_up();
    assert!(output.contains("This is nog, environment second, greeting 2.0."));
    assert_eq!(nog.environment(), "second");
    if scene::is_whole() {
        assert_ne!(nog.ok("uname -r"), kernel);
    }
    nog.ok("test -d /lib/modules/$(uname -r) && test -e /boot/initrd.img-$(uname -r)");
    // The loader has forgotten a trial when it begins.
    let on = || machine.power_on_from_disk();
    let nog = trials::one_that_hangs_is_left(nog, &on, "second");
    if scene::is_whole() {
        goes_back(&machine, nog, &kernel);
    }
}

/// By a command, by the menu, and by a command that the power is cut in.
fn goes_back(machine: &Machine, mut nog: Running, kernel: &str) {
    nog.is_well();
    nog.ok("netbe rollback");
    nog.restart();
    let output = nog.wait_until_up();
    assert!(output.contains("This is nog, environment first, greeting 1.0."));
    assert_eq!(nog.ok("uname -r"), kernel);
    // The upgrade has left nothing in it.
    assert_eq!(nog.ok("ls /lib/modules").trim(), kernel.trim());
    assert_eq!(nog.ok("ls /boot | grep -c vmlinuz"), "1\n");
    // The menu of all environments has the newest first.
    nog.restart();
    nog.wait_for("*nog: active environment");
    nog.press(DOWN, "*nog: all environments");
    nog.press("\r", "*second (");
    nog.press("\r", "This is nog, environment second");
    nog.wait_until_up();
    assert_eq!(nog.environment(), "second");
    assert!(nog.ok("netbe list -H").contains("nog\tsecond\tN\t"));
    nog.ok("netbe create nog/third");
    trials::one_that_comes_up_is_active(&mut nog, "third");
    nog.ok("netbe rollback");
    let on = || machine.power_on_from_disk();
    let mut nog = trials::cut_while_it_activates(nog, &on, "first", "third");
    // What it was installed as is in the menu as well, and takes the menu away.
    nog.restart();
    nog.wait_for("*nog: active environment");
    nog.press(DOWN, "*nog: all environments");
    nog.press(DOWN, "*Debian GNU/Linux");
    nog.press("\r", "This is nog, environment @");
    nog.wait_until_up();
    assert!(nog.ok("findmnt -n -o SOURCE /").contains("[/@]"));
    nog.ok("netbe adopt --undo");
    drop(nog);
    // And by UEFI, which it is adopted under again.
    let mut nog = machine.power_on_by_uefi();
    nog.wait_until_up();
    assert!(nog.ok("findmnt -n -o SOURCE /").contains("[/@]"));
    nog.ok("test -d /sys/firmware/efi");
    nog.ok("netbe adopt --yes");
    nog.restart();
    nog.wait_until_up();
    assert_eq!(nog.environment(), "first");
}
