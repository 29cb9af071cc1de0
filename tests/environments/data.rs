//! Data that belongs to the node: `set data=` and `destroy --data`.

mod carried;
mod old_place;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use crate::machine::Machine;
use crate::support::{MAC, Pool, SERVER, System, run};

/// A pool with the served node `nog`: `a` active, `b` beside it, both of a system that mounts NFS.
fn with_two() -> Pool {
    let pool = Pool::new();
    pool.import("base/stock", &system());
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    let home = pool.half("nog/a", "root").join("home/ada");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("letter"), "dear all").unwrap();
    fs::set_permissions(home.join("letter"), fs::Permissions::from_mode(0o640)).unwrap();
    pool.netbe().ok("create nog/b");
    pool
}

fn system() -> System {
    System::debian().program("usr/sbin/mount.nfs", b"\x7fELF")
}

fn data(pool: &Pool, node: &str, name: &str) -> PathBuf {
    pool.at(&format!("nodes/{node}/data/{name}"))
}

/// Returns what an fstab mounts of data, a word each.
fn mounted(pool: &Pool, env: &str) -> Vec<String> {
    let text = fs::read_to_string(pool.half(env, "root").join("etc/fstab")).unwrap();
    let own = text.lines().filter(|line| line.contains("x-netbe-data"));
    let path = |line: &str| line.split_whitespace().nth(1).unwrap().to_string();
    let mut paths: Vec<String> = own.map(path).collect();
    paths.sort();
    paths
}

#[test]
fn data_starts_with_the_content_of_the_active_environment() {
    let pool = with_two();
    let plan = pool.plans("set data=/home,/srv nog");
    for step in [
        "would copy /home of nog/a to data of nog, sharing its blocks\n",
        "would set data=/home,/srv on nog\n",
        "would have the fstab of nog/b mount the data of nog\n",
    ] {
        assert!(plan.contains(step), "{plan}");
    }
    let output = pool.netbe().run("set data=/home,/srv nog");
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(
        output.stderr.contains("from its next boot on"),
        "{output:#?}"
    );
    assert_eq!(
        output.stdout,
        "Set data=/home,/srv on nog.\nWrote the fstab of 2 environments.\n"
    );
    let letter = data(&pool, "nog", "+home/ada/letter");
    assert_eq!(fs::read_to_string(&letter).unwrap(), "dear all");
    assert_eq!(letter.metadata().unwrap().mode() & 0o7777, 0o640);
    for env in ["nog/a", "nog/b"] {
        assert_eq!(mounted(&pool, env), ["/home", "/srv"]);
        let root = pool.half(env, "root");
        let text = fs::read_to_string(root.join("etc/fstab")).unwrap();
        let line = format!(
            "{SERVER}:{} /home nfs defaults,vers=4.2,_netdev,x-netbe-data 0 0\n",
            data(&pool, "nog", "+home").display()
        );
        assert!(text.contains(&line), "{text}");
        let units = root.join("etc/systemd/system");
        assert!(units.join("home.mount.d/netbe-data.conf").exists());
        let target = fs::read_to_string(units.join("local-fs.target.d/netbe-data.conf")).unwrap();
        assert!(
            target.ends_with("RequiresMountsFor=/home /srv\n"),
            "{target}"
        );
    }
    // A template's environments have what its nodes start with.
    assert!(mounted(&pool, "base/stock").is_empty());
    let exports = pool.read("publish/exports");
    let uuid = pool.subvolume_uuid("nodes/nog/data/+home");
    let line = exports
        .lines()
        .find(|line| line.contains("/data/+home\""))
        .unwrap();
    assert!(line.contains(&format!("fsid={uuid}")), "{line}");
    pool.assert_sound();
    // What is made later mounts it too, and the same again changes nothing.
    pool.netbe().ok("create nog/c -a");
    assert_eq!(mounted(&pool, "nog/c"), ["/home", "/srv"]);
    fs::write(&letter, "newer").unwrap();
    let again = pool.netbe().ok("set data=/home,/srv nog");
    assert_eq!(again, "Set data=/home,/srv on nog.\n");
    assert_eq!(fs::read_to_string(&letter).unwrap(), "newer");
    pool.netbe().ok("rollback nog");
    assert_eq!(fs::read_to_string(&letter).unwrap(), "newer");
    pool.assert_sound();
}

#[test]
fn data_taken_off_the_list_stays_until_it_is_destroyed() {
    let pool = with_two();
    pool.boots("nog/a", "1");
    pool.netbe().ok("set data=/home,/srv nog");
    pool.refuses(
        3,
        "destroy -y --data nog /home",
        &["mount /home", "set data=/srv nog"],
    );
    let before = pool.subvolume_uuid("nodes/nog/data/+home");
    pool.netbe().ok("set data=/srv nog");
    assert_eq!(mounted(&pool, "nog/a"), ["/srv"]);
    let units = pool.half("nog/a", "root").join("etc/systemd/system");
    assert!(!units.join("home.mount.d").exists());
    // A machine that has not booted since may have it mounted.
    assert!(pool.read("publish/exports").contains("/data/+home\""));
    pool.refuses(
        3,
        "destroy -y --data nog /home",
        &["may still have /home mounted"],
    );
    pool.assert_sound();
    // Back again, it is what it was.
    let output = pool.netbe().run("set data=/home,/srv nog");
    assert!(
        output.stderr.contains("its content from when"),
        "{output:#?}"
    );
    assert_eq!(pool.subvolume_uuid("nodes/nog/data/+home"), before);
    assert_eq!(mounted(&pool, "nog/b"), ["/home", "/srv"]);
    pool.netbe().ok("set data=/srv nog");
    pool.boots("nog/a", "2");
    pool.refuses(4, "destroy -y --data nog /opt", &["no data of /opt"]);
    pool.refuses(2, "destroy -y --data nog", &["a node and its paths"]);
    pool.refuses(2, "destroy -y nog/b /home", &["is a path"]);
    let plan = pool.plans("destroy --data nog /home");
    assert_eq!(plan, "would destroy the data of /home of nog\n");
    assert_eq!(
        pool.netbe().ok("destroy -y --data nog /home"),
        "Destroyed the data of /home of nog.\n"
    );
    assert!(!data(&pool, "nog", "+home").exists());
    assert!(!pool.read("publish/exports").contains("+home"));
    pool.assert_sound();
}

#[test]
fn values_that_would_lose_data_are_refused() {
    let pool = Pool::with_node();
    pool.refuses(
        3,
        "set data=/home nog",
        &["no mount.nfs", "apt-get install -y nfs-common"],
    );
    let pool = with_two();
    let root = pool.half("nog/a", "root");
    symlink("home", root.join("people")).unwrap();
    fs::create_dir_all(root.join("opt/nas")).unwrap();
    let fstab = root.join("etc/fstab");
    let text = fs::read_to_string(&fstab).unwrap();
    fs::write(&fstab, format!("{text}nas:/x /opt/nas nfs defaults 0 0\n")).unwrap();
    for (status, line, words) in [
        (2, "set data=/ nog", "the system itself"),
        (2, "set data=/usr/share nog", "belongs to the system"),
        (2, "set data=/var/lib nog", "package manager"),
        (2, "set data=/home,/home/ada nog", "/home/ada is in /home"),
        (3, "set data=/people nog", "/people is a link"),
        (3, "set data=/people/ada nog", "goes through one"),
        (3, "set data=/nowhere nog", "there is no /nowhere"),
        (2, "set data=/etc/../home nog", "without . and .."),
        (3, "set data=/opt nog", "mounts nas:/x at /opt/nas"),
        (3, "set root=LABEL=x data=/home nog", "a disk of its own"),
    ] {
        pool.refuses(status, line, &[words]);
    }
    // The usual ones are those that are there.
    pool.netbe().ok("set data=default nog");
    assert_eq!(
        mounted(&pool, "nog/b"),
        ["/home", "/root", "/srv", "/var/log"]
    );
    pool.assert_sound();
}

#[test]
fn an_environment_that_would_come_up_without_the_data_is_not_activated() {
    let pool = with_two();
    pool.netbe().ok("set data=/home nog");
    let fstab = pool.half("nog/b", "root").join("etc/fstab");
    let text = fs::read_to_string(&fstab).unwrap();
    for broken in [
        text.replace("x-netbe-data", "nofail,x-netbe-data"),
        String::new(),
    ] {
        fs::write(&fstab, &broken).unwrap();
        pool.refuses(3, "activate nog/b", &["nog/b would not boot", "/home"]);
    }
    let without: String = text
        .split_inclusive('\n')
        .filter(|line| !line.contains("x-netbe-data"))
        .collect();
    // Where all of it is missing, all is written again.
    for (broken, mends) in [("", "set --existing nog"), (&*without, "check --repair")] {
        fs::write(&fstab, broken).unwrap();
        let (problem, remedy) = pool.findings().remove(0);
        assert!(problem.contains("does not mount"), "{problem}");
        assert_eq!(remedy, format!("netbe {mends}"));
        pool.netbe().ok(mends);
        pool.assert_sound();
    }
    pool.netbe().ok("activate nog/b");
    fs::remove_file(pool.half("nog/a", "root").join("usr/sbin/mount.nfs")).unwrap();
    pool.refuses(3, "rollback nog", &["no mount.nfs"]);
}

#[test]
fn the_pools_value_holds_for_nodes_without_a_value() {
    let pool = with_two();
    pool.netbe().ok("create ordo/x");
    pool.netbe().ok("set data=/srv ordo");
    pool.import("other/stock", &System::debian());
    pool.netbe().ok("create werda/x --from other");
    let output = pool.netbe().run("set data=/home");
    // One cannot, and does not stop the others.
    assert_eq!(output.status, 3, "{output:#?}");
    assert!(
        output.stderr.contains("the data of werda stays as it was"),
        "{output:#?}"
    );
    assert_eq!(mounted(&pool, "nog/a"), ["/home"]);
    assert_eq!(mounted(&pool, "ordo/x"), ["/srv"]);
    assert!(mounted(&pool, "werda/x").is_empty());
    let found = pool.findings();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].0.starts_with("werda: its data is not as"),
        "{found:?}"
    );
    pool.netbe().ok("set data=none werda");
    pool.netbe().ok("create last/x --from base");
    assert_eq!(mounted(&pool, "last/x"), ["/home"]);
    pool.assert_sound();
}

#[test]
fn invariant_9_a_subvolume_that_no_record_names_is_a_leftover() {
    let pool = with_two();
    pool.netbe().ok("set data=/srv nog");
    pool.subvolume("nodes/nog/data/+home");
    fs::write(data(&pool, "nog", "+home/stale"), "").unwrap();
    let read_only = |name: &str| {
        let mut set = Command::new("btrfs");
        set.args(["property", "set"])
            .arg(data(&pool, "nog", name))
            .args(["ro", "true"]);
        run(&mut set);
    };
    read_only("+home");
    let (problem, _) = pool.findings().remove(0);
    assert!(
        problem.contains("+home: an interrupted command"),
        "{problem}"
    );
    // The same command again takes its place.
    pool.netbe().ok("set data=/home,/srv nog");
    assert!(!data(&pool, "nog", "+home/stale").exists());
    pool.assert_sound();
    pool.subvolume("nodes/nog/data/+opt");
    read_only("+opt");
    pool.netbe().ok("check --repair");
    assert!(!data(&pool, "nog", "+opt").exists());
    pool.assert_sound();
    // One that can be written to has been in use, whatever a record of another time says: it comes back as it was.
    pool.subvolume("nodes/nog/data/+opt");
    fs::create_dir(pool.half("nog/a", "root").join("opt")).unwrap();
    fs::write(data(&pool, "nog", "+opt/app"), "").unwrap();
    let output = pool.netbe().run("check --repair");
    assert!(
        output.stdout.contains("its record does not name"),
        "{output:#?}"
    );
    pool.netbe().ok("set data=/home,/opt,/srv nog");
    assert!(data(&pool, "nog", "+opt/app").exists());
    pool.assert_sound();
}
