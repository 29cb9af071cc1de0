//! Roots on a disk that their initramfs would not find: `deploy`, and the property `root`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Disk, MAC, Outcome, Pool, System};

const MODULES: [&str; 4] = [
    "kernel/fs/nfs/nfs.ko",
    "kernel/fs/btrfs/btrfs.ko",
    "kernel/drivers/nvme/host/nvme.ko",
    "kernel/drivers/scsi/sd_mod.ko",
];

/// A pool with the served node `nog`, whose initramfs has what mounts NFS and these modules of its kernel's.
fn with_initramfs(modules: &[&str]) -> Pool {
    let system = System::debian()
        .program("usr/sbin/update-initramfs", b"#!/bin/sh\n")
        .file("etc/initramfs-tools/modules", "");
    let dir = format!("usr/lib/modules/{}", system.version());
    let own = modules.iter().map(|path| format!("{dir}/{path}"));
    let names = ["init", "scripts/nfs", "bin/nfsmount"].map(str::to_string);
    let all: Vec<String> = names.into_iter().chain(own).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let pool = Pool::with_template_of(&system.modules(&MODULES, &all));
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    pool
}

/// Runs a deploy by an ssh that is none, on a machine that says of this disk that it is one of a SCSI controller.
fn deploy_to_scsi(pool: &Pool, disk: &Disk) -> Outcome {
    let own = pool.beside().join("programs");
    fs::create_dir_all(&own).unwrap();
    let ssh = format!(
        "#!/bin/sh\nfor line; do :; done\nPATH={}:$PATH exec sh -c \"$line\"\n",
        own.display()
    );
    let readlink = "#!/bin/sh\ncase \"$*\" in\n\
        '-f /sys/class/block/'*) echo /sys/devices/pci/ata1/host0/0:0:0:0 ;;\n\
        */0:0:0:0/driver) echo ../bus/scsi/drivers/sd ;;\n\
        */ata1/driver/module) echo ../module/$(echo reboot) ;;\n\
        /sys/devices/*) exit 1 ;;\n\
        *) exec /usr/bin/readlink \"$@\" ;;\nesac\n";
    for (name, text) in [("ssh", ssh.as_str()), ("readlink", readlink)] {
        fs::write(own.join(name), text).unwrap();
        fs::set_permissions(own.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = pool.netbe().plain();
    command.env(
        "PATH",
        format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", own.display()),
    );
    command.args(["deploy", "nog", &format!("ssh://root@node{}", disk.show())]);
    command.output().unwrap().into()
}

#[test]
fn a_disk_whose_driver_the_initramfs_lacks_gets_no_root() {
    let pool = with_initramfs(&MODULES[..3]);
    let disk = Disk::formatted(pool.beside());
    let said = deploy_to_scsi(&pool, &disk);
    assert_eq!(said.status, 3, "{said:?}");
    for told in [
        "the initramfs has no sd_mod.ko, without which the root on the node's disk is not found",
        "netbe run nog/a -- sh -c 'printf \"%s\\n\" sd_mod >>/etc/initramfs-tools/modules",
    ] {
        assert!(said.stderr.contains(told), "{said:?}");
    }
    disk.with(false, |at| assert!(!at.join("netbe").exists()));
    assert!(pool.boot_text("nog/a").contains("nfsroot="));
    // In this server it may be attached to something else than in its machine.
    pool.netbe().ok(&format!("deploy nog {}", disk.show()));
    pool.assert_sound();
}

#[test]
fn a_disk_whose_driver_the_initramfs_has_is_remembered_with_it() {
    let pool = with_initramfs(&MODULES);
    let disk = Disk::formatted(pool.beside());
    let said = deploy_to_scsi(&pool, &disk);
    assert_eq!(said.status, 0, "{said:?}");
    pool.assert_sound();
    // An initramfs that its own upgrade makes without it is told.
    let initramfs = fs::read_dir(pool.half("nog/a", "boot")).unwrap().flatten();
    let mut initramfs = initramfs.filter(|e| e.file_name().to_str().unwrap().starts_with("initrd"));
    let path = initramfs.next().unwrap().path();
    let text = fs::read(&path).unwrap();
    let at = text.windows(6).position(|w| w == b"sd_mod").unwrap();
    let mut without = text.clone();
    without[at..at + 6].copy_from_slice(b"no_mod");
    fs::write(&path, without).unwrap();
    let said = pool.netbe().run("check nog");
    assert!(said.stdout.contains("has no sd_mod.ko"), "{said:?}");
}

#[test]
fn an_initramfs_for_nfs_alone_has_no_root_on_any_disk() {
    let pool = with_initramfs(&MODULES[..2]);
    let disk = Disk::formatted(pool.beside());
    let why = ["has no driver of any disk", "MODULES=most"];
    pool.refuses(3, &format!("deploy nog {}", disk.show()), &why);
    pool.netbe().ok("set --force root=UUID=1111-2222 nog");
    pool.netbe().ok("create nog/b");
    pool.refuses(3, "activate nog/b", &why);
    pool.netbe().ok("activate --force nog/b");
}

#[test]
fn an_initramfs_without_the_filesystem_gets_no_root() {
    let pool = with_initramfs(&[MODULES[0], MODULES[2]]);
    let disk = Disk::formatted(pool.beside());
    let deploy = format!("deploy nog {}", disk.show());
    pool.refuses(3, &deploy, &["has no btrfs.ko, without which"]);
}
