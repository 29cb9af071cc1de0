//! The other verbs on a machine that is its own node: each works as on any node, or says why not.

use std::fs;
use std::time::Duration;

use crate::support::{Machine, Pool, wait_until};

fn machine() -> Machine {
    let machine = Machine::with_partition();
    machine.ok("netbe adopt nog --yes");
    machine.boot("netbe/nodes/nog/envs/first/root");
    machine.ok("netbe set upgrade.network=host nog");
    machine.ok("netbe create nog/b");
    machine
}

impl Machine {
    /// Returns whether GRUB's menu offers an environment.
    fn offers(&self, env: &str) -> bool {
        let menu = self.grub_reads("/netbe/environments.cfg");
        menu.contains(&format!("--id netbe-{env} "))
    }
}

#[test]
fn copies_are_made_compared_and_looked_into() {
    let machine = machine();
    assert_eq!(
        machine.ok("netbe clone nog/b nog/c"),
        "Created nog/c from nog/b.\n"
    );
    machine.ok("netbe run nog/b -- touch /etc/new");
    machine.ok("echo mine >/etc/mine; netbe merge nog/first nog/b --name merged");
    assert!(["c", "merged"].iter().all(|env| machine.offers(env)));
    let merged = machine.grub_reads("/netbe/nodes/nog/envs/merged/boot/grub/netbe.cfg");
    assert!(merged.contains("rootflags=subvol=netbe/nodes/nog/envs/merged/root"));
    let differs = machine.ok("netbe diff --files nog/first nog/merged");
    assert!(
        differs.contains("/etc/new") && !differs.contains("/etc/mine"),
        "{differs}"
    );
    let seen = machine.ok("mkdir /mnt; netbe mount nog/merged /mnt; cat /mnt/etc/mine; ls /mnt/boot; netbe umount /mnt");
    assert!(
        seen.contains("mine\n") && seen.contains("vmlinuz-"),
        "{seen}"
    );
    machine.ok("netbe describe nog/b words; netbe pin nog/b");
    assert!(machine.ok("netbe list").contains("words"));
    machine.ok("netbe check");
}

#[test]
fn invariant_11_a_new_one_comes_into_the_menu_by_the_lock_of_the_pool() {
    let machine = machine();
    let pool = machine.disk.path().join("netbe");
    let state = fs::read_dir(pool.join("state")).unwrap().next().unwrap();
    let lock = fs::File::open(state.unwrap().path().join("locks/POOL")).unwrap();
    lock.lock().unwrap();
    let mut making = machine
        .command(&["netbe", "create", "nog/c"])
        .spawn()
        .unwrap();
    wait_until("it is made", || pool.join("nodes/nog/envs/c").exists());
    std::thread::sleep(Duration::from_millis(300));
    // Another command may be writing the menu now.
    let menu = fs::read_to_string(pool.join("environments.cfg")).unwrap();
    assert!(
        menu.contains("netbe-b ") && !menu.contains("netbe-c "),
        "{menu}"
    );
    drop(lock);
    assert!(making.wait().unwrap().success());
    assert!(machine.offers("c"));
}

#[test]
fn an_upgrade_names_loader_files_outside_of_the_copy() {
    let machine = machine();
    let status = "/var/lib/dpkg/status";
    let entries: String = ["grub-pc", "shim-signed", "bash"]
        .map(|name| {
            format!(
                "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\n\n"
            )
        })
        .concat();
    let nog_b = machine.disk.path().join("netbe/nodes/nog/envs/b/root");
    fs::create_dir_all(nog_b.join("var/lib/dpkg")).unwrap();
    fs::write(nog_b.join(&status[1..]), entries).unwrap();
    let newer = format!("sed -i 's/^Version: 1.0$/Version: 2.0/' {status}");
    let output = machine.ok(&format!(
        "netbe upgrade nog/b --name up -- sh -c \"{newer}\" 2>&1"
    ));
    for words in [
        "grub-pc was upgraded in nog/up",
        "in a boot sector, and stays the old one: once nog/up runs, dpkg-reconfigure grub-pc",
        "shim-signed was upgraded in nog/up",
        "on the EFI system partition, and stays the old one: once nog/up runs, grub-install",
    ] {
        assert!(output.contains(words), "{words}: {output}");
    }
    assert!(!output.contains("bash was upgraded"), "{output}");
}

#[test]
fn the_properties_are_those_that_can_be_set() {
    let machine = machine();
    let table = machine.ok("netbe get -H all nog");
    let names: Vec<&str> = table
        .lines()
        .filter_map(|line| line.split('\t').nth(1))
        .collect();
    assert!(names.contains(&"packages.before"), "{table}");
    for name in names {
        machine.ok(&format!("netbe set {name}= nog"));
    }
    assert!(!table.contains("\tmac\t"), "{table}");
    machine.fails(3, "netbe set mac=52:54:00:00:00:01 nog");
}

#[test]
fn invariant_7_destroyed_environments_leave_the_menu_and_active_ones_stay() {
    let machine = machine();
    machine.ok("netbe create nog/c; netbe create nog/d; netbe pin nog/b");
    machine.ok("netbe destroy -y nog/c nog/d");
    assert!(!machine.offers("c") && !machine.offers("d"));
    machine
        .ok("netbe create nog/c; netbe create nog/d; netbe activate nog/d; netbe prune --keep 1");
    assert!(!machine.offers("c"));
    assert!(["first", "b", "d"].iter().all(|env| machine.offers(env)));
    let refused = machine.fails(3, "netbe destroy -y -r nog");
    assert!(refused.contains("it has to boot another"), "{refused}");
}

#[test]
fn verbs_for_other_machines_are_refused() {
    let machine = machine();
    let none = "offers nothing to other machines";
    for (line, words) in [
        ("netbe clone nog/b kira/c", none),
        ("netbe create kira/c", none),
        ("netbe deploy nog/b /dev/null", none),
        ("netbe set root=iscsi nog", none),
        ("netbe set server=192.0.2.1", none),
        ("netbe init /run/netbe/local", "which netbe adopt makes"),
    ] {
        let output = machine.fails(3, line);
        assert!(output.contains(words), "{line}\n{output}");
    }
    let status = machine.ok("netbe status nog");
    assert!(
        !status.contains("asks as") && !status.contains("address"),
        "{status}"
    );
}

#[test]
fn invariant_9_a_broken_menu_and_a_wrong_block_are_repaired() {
    let machine = machine();
    let block = machine.root.join("boot/efi/grub/netbe.env");
    let menu = machine.disk.path().join("netbe/environments.cfg");
    let whole = fs::read(&menu).unwrap();
    let once =
        "printf '# GRUB Environment Block\\nnetbe_once=b\\n%0986d' 0 >/boot/efi/grub/netbe.env";
    for line in [
        "echo broken >/run/netbe/local/environments.cfg",
        "rm /run/netbe/local/environments.cfg",
        "head -c 1024 /dev/zero >/boot/efi/grub/netbe.env",
        "rm /boot/efi/grub/netbe.env",
        once,
    ] {
        machine.ok(line);
        let found = machine.run("netbe check");
        assert_eq!(found.status, 1, "{line} {found:#?}");
        machine.ok("netbe check --repair");
        machine.ok("netbe check");
        assert_eq!(fs::read(&menu).unwrap(), whole, "{line}");
        let now = fs::read_to_string(&block).unwrap();
        assert!(
            now.starts_with("# GRUB Environment Block\n#"),
            "{line} {now}"
        );
    }
    machine.ok("netbe activate --once nog/b; rm /boot/efi/grub/netbe.env");
    machine.ok("netbe check --repair");
    assert!(
        fs::read_to_string(&block)
            .unwrap()
            .contains("\nnetbe_once=b\n")
    );
}

#[test]
fn a_stream_goes_to_a_pool_of_other_machines_and_comes_back() {
    let machine = machine();
    let others = Pool::another(&machine.disk);
    machine.ok("netbe export nog/b -o /b.netbe");
    let stream = machine.root.join("b.netbe");
    let import = format!("import web/b {}", stream.display());
    others.netbe().ok(&import);
    let fstab = fs::read_to_string(others.half("web/b", "root").join("etc/fstab")).unwrap();
    let is_own = |line: &str| line.contains("netbe/nodes/nog") && !line.starts_with('#');
    assert!(!fstab.lines().any(is_own), "{fstab}");
    let back = machine.root.join("back.netbe");
    others
        .netbe()
        .ok(&format!("export web/b -o {}", back.display()));
    machine.ok("netbe import nog/back /back.netbe");
    let own = machine.grub_reads("/netbe/nodes/nog/envs/back/boot/grub/netbe.cfg");
    assert!(
        own.contains("rootflags=subvol=netbe/nodes/nog/envs/back/root"),
        "{own}"
    );
    assert!(!own.contains("nfsroot"), "{own}");
    let fstab = machine.ok("cat /run/netbe/local/nodes/nog/envs/back/root/etc/fstab");
    for words in [
        " / btrfs noatime,subvol=/netbe/nodes/nog/envs/back/root 0 0\n",
        "subvol=/netbe/nodes/nog/envs/back/boot,x-netbe 0 0\n",
        " /var/lib/portables btrfs defaults,subvol=/@/var/lib/portables 0 0\n",
    ] {
        assert!(fstab.contains(words), "{words}: {fstab}");
    }
    machine.ok("netbe check");
    machine.ok("netbe activate nog/back");
}
