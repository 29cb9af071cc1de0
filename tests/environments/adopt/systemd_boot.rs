//! A machine that boots by systemd-boot: what is on its partition, and what is not for want of room.
//!
//! The kernel here may have no FAT: the partition has ext4, and the machine was adopted with GRUB before its record says
//! systemd-boot. Firmware's variables are files, which `bootctl` is a script for. What boots is told in `tests/e2e`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::replaced;
use crate::support::{Machine, run};

const KERNEL: &str = "vmlinuz-6.1.0-50-amd64";
const VARIABLES: &str = "sys/firmware/efi/efivars";
const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Runs `first`, and has `second`.
fn machine() -> Machine {
    let machine = Machine::with_partition();
    machine.ok("netbe adopt nog --yes");
    let states = machine.disk.path().join("netbe/state");
    let state = fs::read_dir(states).unwrap().flatten().next().unwrap();
    let file = state.path().join("pool.json");
    let mut record: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let local = record["local"].as_object_mut().unwrap();
    let mut esp = local.remove("block").unwrap();
    esp.as_object_mut().unwrap().remove("file");
    local.insert("esp".to_string(), esp);
    fs::write(&file, record.to_string()).unwrap();
    let esp = machine.root.join("boot/efi");
    let _ = fs::remove_dir_all(esp.join("grub"));
    fs::create_dir(esp.join("loader")).unwrap();
    fs::write(
        esp.join("loader/loader.conf"),
        "timeout 3\ndefault nog-first.netbe.conf\n",
    )
    .unwrap();
    machine.boot("netbe/nodes/nog/envs/first/root");
    machine.give_firmware();
    machine.ok("netbe check --repair");
    machine.ok("netbe create nog/second");
    machine
}

impl Machine {
    fn esp(&self) -> PathBuf {
        self.root.join("boot/efi")
    }

    /// Gives it variables, and a program that sets one as the real one does.
    fn give_firmware(&self) {
        run(Command::new("mount")
            .args(["-t", "tmpfs", "tmpfs"])
            .arg(self.root.join("sys/firmware")));
        fs::create_dir_all(self.root.join(VARIABLES)).unwrap();
        let output = [b"\x07\0\0\0".as_slice(), b"s\0y\0\0\0"].concat();
        let variable = self
            .root
            .join(VARIABLES)
            .join(format!("LoaderInfo-{VENDOR}"));
        fs::write(variable, output).unwrap();
        let bootctl = self.root.join("usr/bin/bootctl");
        let script = format!(
            "#!/bin/sh\nfile=/{VARIABLES}/LoaderEntryOneShot-{VENDOR}\n[ \"$1\" = set-oneshot ] || exit 1\n\
             [ \"$2\" ] || {{ rm -f $file; exit; }}\n\
             {{ printf '\\007\\000\\000\\000'; printf %s \"$2\" | sed 's/./&@/g' | tr '@' '\\000'; }} >$file\n"
        );
        fs::write(&bootctl, script).unwrap();
        fs::set_permissions(&bootctl, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn names(&self, dir: &str) -> BTreeSet<String> {
        let found = fs::read_dir(self.esp().join(dir)).into_iter().flatten();
        let names = found
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned());
        names.filter(|name| name != "lost+found").collect()
    }

    /// Returns the entry that boots without a key, whose files are there.
    fn booted(&self) -> String {
        let conf = fs::read_to_string(self.esp().join("loader/loader.conf")).unwrap();
        let mut lines = conf
            .lines()
            .filter_map(|line| line.strip_prefix("default "));
        let id = lines.next().unwrap().trim().to_string();
        assert_eq!(lines.next(), None, "{conf}");
        let entry = fs::read_to_string(self.esp().join("loader/entries").join(&id)).unwrap();
        for line in entry.lines() {
            if let Some((_, file)) = line.split_once(" /netbe/") {
                assert!(self.esp().join("netbe").join(file).is_file(), "{entry}");
            }
        }
        id
    }

    /// Puts other bytes into the kernel of an environment; those of the system itself, of which it runs.
    fn change_kernel(&self, env: &str) {
        let kernel = self
            .disk
            .path()
            .join(format!("netbe/nodes/nog/envs/{env}/boot/{KERNEL}"));
        let bytes = fs::read(&kernel).unwrap();
        let text = format!("(for{env:_<4.4}");
        fs::write(&kernel, replaced(&bytes, b"(builder", text.as_bytes())).unwrap();
    }
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_string).collect()
}

#[test]
fn each_environment_has_an_entry_and_shared_kernels_are_stored_once() {
    let machine = machine();
    assert_eq!(machine.booted(), "nog-first.netbe.conf");
    let entries = set(["nog-first.netbe.conf", "nog-second.netbe.conf"]);
    assert_eq!(machine.names("loader/entries"), entries);
    // A kernel and its initramfs.
    assert_eq!(machine.names("netbe").len(), 2);
    let entry = fs::read_to_string(machine.esp().join("loader/entries/nog-second.netbe.conf"));
    let entry = entry.unwrap();
    assert!(
        entry.contains(" rootflags=subvol=netbe/nodes/nog/envs/second/root"),
        "{entry}"
    );

    machine.change_kernel("second");
    machine.ok("netbe activate nog/second");
    assert_eq!(machine.booted(), "nog-second.netbe.conf");
    assert_eq!(machine.names("netbe").len(), 3);
    // One sector of the disk differs: the line has its place.
    let conf = machine.esp().join("loader/loader.conf");
    let before = fs::metadata(&conf).unwrap();
    machine.ok("netbe rollback");
    let after = fs::metadata(&conf).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!((before.ino(), before.len()), (after.ino(), after.len()));
    assert_eq!(machine.booted(), "nog-first.netbe.conf");
    machine.ok("netbe check");
    machine.ok("netbe destroy -y nog/second");
    assert_eq!(
        machine.names("loader/entries"),
        set(["nog-first.netbe.conf"])
    );
    assert_eq!(machine.names("netbe").len(), 2);
    // Somebody empties the partition.
    run(Command::new("rm")
        .arg("-r")
        .arg(machine.esp().join("netbe")));
    let output = machine.run("netbe check");
    assert!(
        output.status == 1 && output.stdout.contains("copy "),
        "{output:#?}"
    );
    machine.ok("netbe check --repair");
    assert_eq!(machine.booted(), "nog-first.netbe.conf");
}

#[test]
fn once_is_a_variable_of_the_firmware() {
    let machine = machine();
    let variable = machine
        .root
        .join(VARIABLES)
        .join(format!("LoaderEntryOneShot-{VENDOR}"));
    machine.ok("netbe activate --once nog/second");
    let bytes = fs::read(&variable).unwrap();
    let text: Vec<u8> = bytes[4..].iter().copied().filter(|b| *b != 0).collect();
    assert_eq!(String::from_utf8_lossy(&text), "nog-second.netbe.conf");
    machine.ok("netbe activate --cancel nog");
    assert!(!variable.exists());
    // What overrides netbe is told.
    let default = variable.with_file_name(format!("LoaderEntryDefault-{VENDOR}"));
    fs::write(&default, b"\x07\0\0\0d\0\0\0").unwrap();
    let output = machine.run("netbe check");
    assert!(
        output.status == 1 && output.stdout.contains("bootctl set-default"),
        "{output:#?}"
    );
    fs::remove_file(&default).unwrap();
    machine.ok("netbe check");
    machine.ok("netbe activate --try nog/second");
    // The loader forgets it, and boots it.
    machine.boot("netbe/nodes/nog/envs/second/root");
    machine.give_firmware();
    assert!(!variable.exists());
    machine.ok("netbe publish");
    assert!(!variable.exists());
    machine.ok("mkdir -p /run/netbe; : >/run/netbe/came-up; netbe reconcile");
    assert_eq!(machine.booted(), "nog-second.netbe.conf");
    assert!(machine.ok("netbe list -H").contains("nog\tsecond\tNR\t"));
}

#[test]
fn invariant_2_an_activation_without_room_changes_nothing() {
    let machine = machine();
    // One whose trial failed stays in the menu, and has to have room as well.
    machine.ok("netbe activate --try nog/second");
    machine.boot("netbe/nodes/nog/envs/first/root");
    machine.give_firmware();
    machine.ok("netbe reconcile");
    assert!(machine.ok("netbe list -H").contains("nog\tsecond\t!"));
    machine.ok("netbe publish");
    assert!(
        machine
            .names("loader/entries")
            .contains("nog-second.netbe.conf")
    );
    let fill = machine.esp().join("other");
    let free = |machine: &Machine| {
        let found = nix::sys::statvfs::statvfs(&machine.esp()).unwrap();
        found.blocks_available() * found.fragment_size()
    };
    machine.change_kernel("second");
    // Less than a kernel.
    let length = fs::metadata(machine.root.join("boot").join(KERNEL))
        .unwrap()
        .len();
    let room = free(&machine) - length / 2;
    fs::write(&fill, vec![1; usize::try_from(room).unwrap()]).unwrap();
    let refused = machine.fails(3, "netbe activate --force nog/second");
    assert!(
        refused.contains("nothing was changed")
            && refused.contains("has no room for the kernel of nog/second"),
        "{refused}"
    );
    assert_eq!(machine.booted(), "nog-first.netbe.conf");
    assert!(machine.ok("netbe list -H").contains("nog\tfirst\tNR\t"));
    let refused = machine.fails(3, "netbe activate --once nog/second");
    assert!(refused.contains("has no room"), "{refused}");
    assert!(!machine.ok("netbe status").contains("pending"));
    fs::remove_file(&fill).unwrap();
    machine.ok("netbe activate --force nog/second");
    assert_eq!(machine.booted(), "nog-second.netbe.conf");
}
