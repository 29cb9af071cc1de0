//! A local node beside a pool of other machines, and beside the package managers of the running system.

use std::fs;
use std::process::Command;

use crate::support::{Machine, Pool, run};

#[test]
fn beside_a_pool_of_other_machines_commands_mean_this_machine_and_all_pools_are_both() {
    let machine = Machine::new();
    machine.ok("netbe adopt nog --yes");
    machine.boot("netbe/nodes/nog/envs/first/root");
    let others = Pool::bare(256 << 20);
    let place = machine.root.join("srv/netbe");
    fs::create_dir_all(&place).unwrap();
    run(Command::new("mount")
        .arg("--bind")
        .args([others.path(), &place]));
    machine.ok("netbe --pool /srv/netbe init /srv/netbe --server 192.0.2.1");
    assert!(machine.ok("netbe list -H").starts_with("nog\tfirst\t"));
    for count in 1..7 {
        machine.ok(&format!("netbe create nog/e{count}"));
    }
    assert_eq!(machine.ok("netbe prune -q --all-pools"), "");
    // The running one, the newest four.
    assert_eq!(machine.ok("netbe list -H").lines().count(), 5);
    machine.ok("netbe reconcile --all-pools");
    run(Command::new("umount").arg(&place));
}

#[test]
fn the_records_of_a_servers_pools_are_shared_by_its_own_environments() {
    let machine = Machine::new();
    let others = Pool::bare(256 << 20);
    let place = machine.root.join("srv/netbe");
    fs::create_dir_all(&place).unwrap();
    let bind = |place: &std::path::Path| {
        run(Command::new("mount")
            .arg("--bind")
            .args([others.path(), place]));
    };
    bind(&place);
    machine.ok("netbe --pool /srv/netbe init /srv/netbe --server 192.0.2.1");
    let before = machine.ok(
        "cd /var/lib/netbe && find . -type f ! -path '*/locks/*' | sort | xargs cat | sha256sum",
    );
    // A killed one left this.
    machine.ok("mkdir -p /var/lib/.netbe-records/x");
    let planned = machine.ok("netbe adopt nog -n");
    assert!(
        planned.contains("make /var/lib/netbe a subvolume"),
        "{planned}"
    );
    machine.ok("netbe adopt nog --yes");
    let same =
        "cd /var/lib/netbe && find . -type f ! -path '*/locks/*' | sort | xargs cat | sha256sum";
    assert_eq!(machine.ok(same), before);
    assert_eq!(machine.ok("stat -c %a /var/lib/netbe"), "700\n");
    assert_eq!(machine.ok("ls -A /var/lib | grep netbe"), "netbe\n");
    machine.ok("netbe --pool /srv/netbe list");

    run(Command::new("umount").arg(&place));
    machine.boot("netbe/nodes/nog/envs/first/root");
    let fstab = fs::read_to_string(machine.root.join("etc/fstab")).unwrap();
    let line = " /var/lib/netbe btrfs defaults,subvol=/@/var/lib/netbe 0 0\n";
    assert!(fstab.contains(line), "{fstab}");
    assert_eq!(machine.ok("ls -A /var/lib/netbe"), "");
    let device = machine.ok("sed -n 's/^\\([^ ]*\\) \\/ btrfs.*/\\1/p' /proc/mounts | tail -n 1");
    run(Command::new("mount")
        .args(["-o", "subvol=/@/var/lib/netbe", device.trim()])
        .arg(machine.root.join("var/lib/netbe")));
    bind(&machine.root.join("srv/netbe"));
    machine.ok("netbe --pool /srv/netbe list");
    // It holds after a rollback, too.
    machine.ok("netbe create nog/second -a");
    machine.ok("netbe --pool /srv/netbe set keep=7");
    machine.ok("netbe rollback nog");
    assert!(
        machine
            .ok("netbe --pool /srv/netbe get -H keep")
            .contains("\t7\t")
    );
}

#[test]
fn package_managers_keep_the_system_as_it_was_where_they_are_to() {
    let machine = Machine::new();
    let apt = machine.root.join("etc/apt/apt.conf.d/80netbe");
    fs::create_dir_all(apt.parent().unwrap()).unwrap();
    machine.ok("netbe adopt nog --yes");
    machine.boot("netbe/nodes/nog/envs/first/root");
    let text = fs::read_to_string(&apt).unwrap();
    let (_, line) = text.split_once("{ \"").unwrap();
    let line = line.split_once("\"; }").unwrap().0;
    let count = || machine.ok("netbe list -H").lines().count();
    machine.ok(line);
    assert_eq!(count(), 1);
    machine.ok("netbe set packages.before=on keep=3");
    fs::write(machine.root.join("etc/mark"), "1").unwrap();
    machine.ok(line);
    let made = machine.ok("netbe list -H");
    assert!(made.contains("\tbefore packages were changed"), "{made}");
    let name = made.lines().last().unwrap().split('\t').nth(1).unwrap();
    let copy = format!("netbe/nodes/nog/envs/{name}/root/etc/mark");
    assert_eq!(
        fs::read_to_string(machine.disk.path().join(copy)).unwrap(),
        "1"
    );
    // Nothing but the copy: what boots next is what runs.
    assert!(made.contains("nog\tfirst\tNR\t"), "{made}");
    for _ in 0..3 {
        // Names are times, in seconds.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        machine.ok(line);
    }
    assert_eq!(count(), 3);
    // In what the machine was installed as, nothing is kept, and undoing takes it away.
    machine.boot("@");
    machine.ok(line);
    assert_eq!(count(), 3);
    machine.ok("netbe adopt --undo");
    assert!(!apt.exists() && !machine.root.join("etc/netbe/before-packages").exists());
}
