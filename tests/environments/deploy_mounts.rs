//! Mounts of local disks that rest while a root is on the network, and come back with a root on a disk: `deploy`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::deploy::on_disk;
use crate::deploy_meanwhile::run_with;
use crate::support::{self, Disk, MAC, Pool, System};

/// An empty btrfs with a label, on a disk of nog's.
fn labelled(pool: &Pool, label: &str) -> Disk {
    let disk = Disk::formatted(pool.beside());
    let mut command = Command::new("btrfs");
    command.args(["filesystem", "label"]).arg(disk.device());
    support::run(command.arg(label));
    disk
}

#[test]
fn lines_of_fstab_come_back_whose_disk_is_there() {
    let text =
        "UUID=1111-2222 /srv/more ext4 defaults 0 2\nLABEL=nodedata /home btrfs defaults 0 2\n";
    let pool = Pool::with_template_of(&System::debian().file("etc/fstab", text));
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    let fstab = || fs::read_to_string(pool.half("nog/a", "root").join("etc/fstab")).unwrap();
    assert!(fstab().contains("#netbe# LABEL=nodedata"), "{}", fstab());
    let disk = labelled(&pool, "nodedata");
    let said = pool.netbe().run(&format!("deploy nog {}", disk.show()));
    let told = "/home is mounted from LABEL=nodedata again: the disk was seen";
    assert!(said.stderr.contains(told), "{said:?}");
    assert!(fstab().contains("\nLABEL=nodedata /home"), "{}", fstab());
    assert!(fstab().contains("#netbe# UUID=1111-2222"), "{}", fstab());
    disk.with(false, |at| {
        let sent = fs::read_to_string(on_disk(at, "a").join("etc/fstab")).unwrap();
        assert!(sent.contains("\nLABEL=nodedata /home"), "{sent}");
    });
    // One made from it has its root on this server, and may be another node's: it waits for no disk.
    pool.netbe().ok("create kira/a --from nog/a");
    let copy = fs::read_to_string(pool.half("kira/a", "root").join("etc/fstab")).unwrap();
    assert!(copy.contains("#netbe# LABEL=nodedata"), "{copy}");
    pool.assert_sound();
}

#[test]
fn units_and_encrypted_disks_come_back_whose_disk_is_there() {
    const WANTS: &str = "etc/systemd/system/local-fs.target.requires";
    let unit = |name: &str, spec: &str| {
        (
            format!("etc/systemd/system/{name}.mount"),
            format!("[Mount]\nWhat={spec}\nWhere=/{name}\n"),
        )
    };
    let units = [
        unit("data", "/dev/disk/by-label/nodedata"),
        unit("other", "LABEL=other"),
        unit("vault", "/dev/mapper/vault"),
    ];
    let crypttab = "vault LABEL=nodedata /etc/vault.key luks\nlost LABEL=other /etc/key luks\n\
                    asks LABEL=nodedata none luks\nanew LABEL=nodedata /dev/urandom swap\n";
    let mut system = System::debian().file("etc/crypttab", crypttab).file(
        "etc/fstab",
        "/dev/mapper/vault /srv ext4\n/dev/mapper/lost /mnt ext4\n",
    );
    for (path, text) in &units {
        system = system.file(path, text).link(
            &format!("{WANTS}/{}", path.rsplit('/').next().unwrap()),
            &format!("../{}", path.rsplit('/').next().unwrap()),
        );
    }
    let pool = Pool::with_template_of(&system);
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    let started = |root: &Path| {
        let names = fs::read_dir(root.join(WANTS)).unwrap().flatten();
        let names = names.map(|entry| entry.file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    };
    let lines = |root: &Path| {
        let text = ["etc/crypttab", "etc/fstab"].map(|p| fs::read_to_string(root.join(p)).unwrap());
        let lines = text.iter().flat_map(|text| text.lines());
        let lines = lines.filter(|line| !line.starts_with('#') && !line.contains("x-netbe"));
        let first = lines.map(|line| line.split_whitespace().next().unwrap().to_string());
        first.collect::<Vec<_>>()
    };
    let root = pool.half("nog/a", "root");
    assert_eq!((started(&root), lines(&root)), (vec![], vec![]));
    let disk = labelled(&pool, "nodedata");
    let said = pool.netbe().run(&format!("deploy nog {}", disk.show()));
    for told in [
        "what /etc/crypttab opens on disks that were seen is opened again: vault",
        "data.mount is started again: its disk was seen",
        "/srv is mounted from /dev/mapper/vault again",
    ] {
        assert!(said.stderr.contains(told), "{said:?}");
    }
    let back = |root: &Path| {
        assert_eq!(started(root), ["data.mount", "vault.mount"]);
        assert_eq!(lines(root), ["vault", "/dev/mapper/vault"]);
    };
    back(&root);
    disk.with(false, |at| back(&on_disk(at, "a")));
    // One made from it waits for no disk.
    pool.netbe().ok("create kira/a --from nog/a");
    let copy = pool.half("kira/a", "root");
    assert_eq!((started(&copy), lines(&copy)), (vec![], vec![]));
    pool.assert_sound();
}

#[test]
fn what_was_opened_by_a_key_is_not_taken_for_a_disk_that_is_there() {
    let text = "LABEL=nodedata /home btrfs defaults 0 2\n";
    let pool = Pool::with_template_of(&System::debian().file("etc/fstab", text));
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    let disk = labelled(&pool, "nodedata");
    // A kernel without the device mapper has none: lsblk says so of this one.
    let line = format!("deploy nog {}", disk.show());
    let when = "[ \"$1\" = -nrso ] && echo crypt";
    let said = run_with(&pool, &line, "lsblk", when, "true");
    assert_eq!(said.status, 0, "{said:?}");
    let fstab = fs::read_to_string(pool.half("nog/a", "root").join("etc/fstab")).unwrap();
    assert!(fstab.contains("#netbe# LABEL=nodedata"), "{fstab}");
}
