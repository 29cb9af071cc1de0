//! The system that documents import, and what a command sees of the machine around it: network and mounts.
//!
//! Everything is the calling thread's own, and ends with it. Not for pools: see `ground.rs`.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::support::{System, run};

/// Returns a Debian with what documents use in one.
pub(crate) fn system() -> System {
    let mut system = System::debian()
        .program("usr/bin/apt-get", APT_GET.as_bytes())
        .program("usr/sbin/mount.nfs", b"#!/bin/sh\n")
        .directory("var/lib/postgresql", 0o755)
        .file("etc/initramfs-tools/initramfs.conf", "MODULES=most\n");
    for program in [
        "bin/systemctl",
        "sbin/update-initramfs",
        "sbin/pivot_root",
        "sbin/chroot",
        "bin/md5sum",
    ] {
        system = system.program(&format!("usr/{program}"), b"#!/bin/sh\n");
    }
    let overlay = format!(
        "usr/lib/modules/{}/kernel/fs/overlayfs/overlay.ko",
        system.version()
    );
    system.file(&overlay, "module\n")
}

/// Gives the calling thread a network of its own, with the addresses that documents use.
pub(crate) fn network() {
    unshare(CloneFlags::CLONE_NEWNET).expect("root may make a network namespace");
    for line in [
        "link set lo up",
        "link add eth0 type veth peer name wire",
        "link set wire up",
        "link set eth0 up",
        "address add 10.0.0.1/24 dev eth0",
        "address add 10.0.0.2/24 dev eth0",
        "route add default via 10.0.0.254",
    ] {
        run(Command::new("ip").args(line.split(' ')));
    }
}

/// Shows a directory at a place, where what is written goes to memory.
pub(crate) fn lay_over(below: &Path, place: &Path) {
    let upper = Path::new("/srv");
    memory(upper);
    for name in ["upper", "work"] {
        fs::create_dir(upper.join(name)).unwrap();
    }
    let options = format!(
        "lowerdir={},upperdir=/srv/upper,workdir=/srv/work",
        below.display()
    );
    mount(
        Some("overlay"),
        place,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .expect("overlayfs is there");
    // The overlay keeps what it was made of.
    umount2(upper, MntFlags::MNT_DETACH).unwrap();
}

pub(crate) fn memory(place: &Path) {
    fs::create_dir_all(place).unwrap();
    mount(
        Some("tmpfs"),
        place,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755"),
    )
    .expect("tmpfs is there");
}

pub(crate) fn copy(from: &Path, to: &Path) {
    run(Command::new("cp")
        .args(["-a", "--sparse=auto"])
        .args([from, to]));
}

/// The distribution's upgrade: a package in another version, and one more.
const APT_GET: &str = "#!/bin/sh
case \" $* \" in
*' dist-upgrade '*)
    grep -q 'Version: 12.5' /var/lib/dpkg/status && exit 0
    sed -i 's/^Version: 12.4.*/Version: 12.5/' /var/lib/dpkg/status ;;
esac
";
