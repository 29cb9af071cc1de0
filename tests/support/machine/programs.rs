//! The programs that a machine has: netbe, and those of GRUB, which run in its root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::run_for;

/// What the scripts of GRUB call, beside what a system has.
const COMMANDS: &str =
    "basename chroot cut dirname expr head mktemp paste printf rmdir sort tac tr uniq awk";
/// GRUB's own programs, and netbe's needs.
const PROGRAMS: [&str; 5] = [
    "/usr/sbin/grub-probe",
    "/usr/bin/grub-script-check",
    "/usr/sbin/grub-mkconfig",
    "/usr/sbin/blkid",
    "/usr/bin/cp",
];

/// Puts netbe and GRUB's programs into a root, with the libraries that they need.
pub(super) fn install(root: &Path) {
    for command in COMMANDS.split_whitespace() {
        let link = root.join("usr/bin").join(command);
        if link.symlink_metadata().is_err() {
            symlink("busybox", link).unwrap();
        }
    }
    let netbe = assert_cmd::cargo::cargo_bin!("netbe");
    copy(netbe, &root.join("usr/bin/netbe"));
    for program in PROGRAMS.map(Path::new) {
        copy(program, &root.join(program.strip_prefix("/").unwrap()));
    }
    for program in [
        netbe,
        Path::new(PROGRAMS[0]),
        Path::new(PROGRAMS[1]),
        Path::new(PROGRAMS[3]),
        Path::new(PROGRAMS[4]),
    ] {
        for library in run_for(Command::new("ldd").arg(program)).split_whitespace() {
            if let Ok(place) = Path::new(library).strip_prefix("/") {
                copy(Path::new(library), &root.join(place));
            }
        }
    }
    fs::create_dir_all(root.join("usr/share/grub")).unwrap();
    copy(
        Path::new("/usr/share/grub/grub-mkconfig_lib"),
        &root.join("usr/share/grub/grub-mkconfig_lib"),
    );
    copy(
        Path::new("/etc/grub.d/00_header"),
        &root.join("etc/grub.d/00_header"),
    );
    fs::create_dir_all(root.join("boot/grub")).unwrap();
    fs::write(root.join("boot/grub/grub.cfg"), "# not written yet\n").unwrap();
    fs::create_dir_all(root.join("etc/kernel")).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    // A link to another program.
    let _ = fs::remove_file(to);
    fs::copy(from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}
