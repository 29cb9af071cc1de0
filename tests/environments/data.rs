//! Data that belongs to the node: `set data=` and `destroy --data`.

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
fn a_path_becomes_data_as_the_active_environment_has_it() {
    let pool = with_two();
    let plan = pool.plans("set data=/home,/srv nog");
    for step in [
        "would copy /home of nog/a to data of nog, sharing its blocks\n",
        "would set data=/home,/srv on nog\n",
        "would have the fstab of nog/b mount the data of nog\n",
    ] {
        assert!(plan.contains(step), "{plan}");
    }
    let said = pool.netbe().run("set data=/home,/srv nog");
    assert_eq!(said.status, 0, "{said:#?}");
    assert!(said.stderr.contains("from its next boot on"), "{said:#?}");
    assert_eq!(
        said.stdout,
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
fn what_is_taken_off_stays_until_it_is_destroyed() {
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
    let said = pool.netbe().run("set data=/home,/srv nog");
    assert!(said.stderr.contains("as it was when"), "{said:#?}");
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
fn what_would_leave_a_node_without_its_data_is_refused() {
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
fn a_node_takes_its_data_along_and_does_not_go_without_a_word() {
    let pool = with_two();
    pool.netbe().ok("create ordo/x --from nog/a");
    let said = pool.netbe().run("create werda/x");
    assert!(said.stderr.contains("set data=default werda"), "{said:#?}");
    pool.netbe().ok("set data=/home ordo");
    fs::write(data(&pool, "ordo", "+home/ada/letter"), "ordo's").unwrap();
    pool.netbe().ok("rename ordo oslo");
    let letter = data(&pool, "oslo", "+home/ada/letter");
    assert_eq!(fs::read_to_string(&letter).unwrap(), "ordo's");
    let text = fs::read_to_string(pool.half("oslo/x", "root").join("etc/fstab")).unwrap();
    assert!(text.contains("/nodes/oslo/data/+home /home nfs"), "{text}");
    assert!(!pool.read("publish/exports").contains("/ordo/"));
    pool.assert_sound();
    pool.refuses(
        3,
        "destroy -y -r oslo",
        &["has data of its own: /home", "-r --data oslo"],
    );
    let plan = pool.plans("destroy -r --data oslo");
    assert!(
        plan.contains("would destroy the data of /home of oslo\n"),
        "{plan}"
    );
    pool.netbe().ok("destroy -y -r --data oslo");
    assert!(!pool.at("nodes/oslo").exists());
    pool.assert_sound();
}

#[test]
fn a_new_node_starts_with_what_its_template_has() {
    let pool = Pool::new();
    pool.import("base/stock", &system().file("srv/www/index", "hello"));
    pool.netbe().ok("set data=/srv base");
    assert!(!pool.at("nodes/base/data").exists());
    let plan = pool.plans("create nog/a");
    assert!(
        plan.contains("would copy /srv of base/stock to data of nog"),
        "{plan}"
    );
    pool.netbe().ok("create nog/a");
    assert_eq!(mounted(&pool, "nog/a"), ["/srv"]);
    let index = data(&pool, "nog", "+srv/www/index");
    assert_eq!(fs::read_to_string(index).unwrap(), "hello");
    assert_eq!(
        pool.netbe().ok("get -H data nog"),
        "nog\tdata\t/srv\tlocal\n"
    );
    pool.assert_sound();
    // A node can do without.
    pool.netbe().ok("set data=none nog");
    assert!(mounted(&pool, "nog/a").is_empty());
    pool.assert_sound();
}

#[test]
fn the_pools_value_is_for_every_node_that_has_none_itself() {
    let pool = with_two();
    pool.netbe().ok("create ordo/x");
    pool.netbe().ok("set data=/srv ordo");
    pool.import("other/stock", &System::debian());
    pool.netbe().ok("create werda/x --from other");
    let said = pool.netbe().run("set data=/home");
    // One cannot, and does not stop the others.
    assert_eq!(said.status, 3, "{said:#?}");
    assert!(
        said.stderr.contains("the data of werda stays as it was"),
        "{said:#?}"
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
    let said = pool.netbe().run("check --repair");
    assert!(
        said.stdout.contains("its record does not name"),
        "{said:#?}"
    );
    pool.netbe().ok("set data=/home,/opt,/srv nog");
    assert!(data(&pool, "nog", "+opt/app").exists());
    pool.assert_sound();
}

#[test]
fn what_a_node_writes_in_its_data_is_not_left_behind_and_in_the_old_place_it_is() {
    let pool = with_two();
    pool.netbe().ok("set ip=dhcp,10.0.0.5 nog");
    pool.boots("nog/a", "1");
    let home = pool.half("nog/a", "root").join("home/ada");
    fs::write(home.join("before"), "left behind").unwrap();
    let plan = pool.plans("activate nog/b");
    assert!(plan.contains("/home/ada"), "{plan}");
    pool.netbe().ok("set data=/home nog");
    assert!(!pool.plans("activate nog/b").contains("/home"));
    let old_places = || -> serde_json::Value {
        run(Command::new("sync").arg("-f").arg(pool.path()));
        let text = pool.netbe().ok("status nog --json");
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        document["nodes"][0]["old_places"].clone()
    };
    assert_eq!(old_places(), serde_json::json!([]));
    // It goes on in the environment until it has booted again; then that is still not in the data.
    fs::write(home.join("after"), "12345").unwrap();
    fs::write(home.join("letter"), "dear all, once more").unwrap();
    for boot in ["1", "2"] {
        pool.boots("nog/a", boot);
        let found = old_places();
        assert_eq!(
            (&found[0]["files"], &found[0]["bytes"]),
            (&2.into(), &24.into()),
            "{found}"
        );
        let text = pool.netbe().ok("status nog");
        assert!(
            text.contains("2 files (24 B) in a, where its data is now"),
            "{text}"
        );
        assert!(text.contains("  data     /home\n"), "{text}");
    }
    run(Command::new("cp")
        .arg("-au")
        .arg(home.join("."))
        .arg(data(&pool, "nog", "+home/ada")));
    assert_eq!(old_places(), serde_json::json!([]));
    let diff = pool.netbe().ok("diff --files nog/a nog/b");
    assert!(!diff.contains("/home"), "{diff}");
    pool.assert_sound();
}

#[test]
fn programs_see_a_copy_of_the_data_and_the_node_keeps_its_own() {
    let pool = with_two();
    pool.netbe().ok("set data=/home,/var/log nog");
    let letter = data(&pool, "nog", "+home/ada/letter");
    fs::write(&letter, "the newest").unwrap();
    let script = "cat /home/ada/letter > /seen; echo x > /home/ada/letter; echo x > /home/new; echo x > /var/log/new";
    for line in ["upgrade --node nog --name n --", "run nog/b --"] {
        let mut words: Vec<&str> = line.split(' ').collect();
        words.extend(["sh", "-c", script]);
        let said = pool.netbe().run_with(&words);
        assert_eq!(said.status, 0, "{said:#?}");
        // Logs do not count.
        let told = "thrown away with that: /home/ada/letter, /home/new\n";
        assert!(said.stderr.contains(told), "{said:#?}");
        assert_eq!(fs::read_to_string(&letter).unwrap(), "the newest");
        assert!(!data(&pool, "nog", "+home/new").exists());
    }
    for env in ["nog/n", "nog/b"] {
        let root = pool.half(env, "root");
        assert_eq!(fs::read_to_string(root.join("seen")).unwrap(), "the newest");
        assert!(!root.join("home/new").exists());
    }
    pool.assert_sound();
}

#[test]
fn the_data_is_kept_beside_an_environment_as_it_was_left() {
    let pool = with_two();
    pool.netbe().ok("set data=/home nog");
    let letter = |path: PathBuf| fs::read_to_string(path.join("+home/ada/letter")).unwrap();
    let now = data(&pool, "nog", "+home/ada/letter");
    let plan = pool.plans("activate nog/b");
    assert!(
        plan.contains("would keep the data of nog as it is beside nog/a\n"),
        "{plan}"
    );
    pool.netbe().ok("activate nog/b");
    fs::write(&now, "in b").unwrap();
    assert_eq!(letter(pool.half("nog/a", ".data")), "dear all");
    assert!(fs::write(pool.half("nog/a", ".data").join("+home/x"), "").is_err());
    pool.netbe().ok("rollback nog");
    assert_eq!(letter(pool.half("nog/b", ".data")), "in b");
    let said = pool.netbe().run("list --space nog");
    assert!(said.stderr.contains("note: the data of nog: "), "{said:#?}");
    fs::write(&now, "in a again").unwrap();
    pool.netbe().ok("rollback nog");
    assert_eq!(letter(pool.half("nog/a", ".data")), "in a again");
    assert_eq!(fs::read_to_string(&now).unwrap(), "in a again");
    pool.assert_sound();
    // It goes where the environment goes.
    pool.netbe().ok("set mac= nog");
    pool.netbe().ok("rename nog/a c");
    assert_eq!(letter(pool.half("nog/c", ".data")), "in a again");
    let before = pool.subvolumes().len();
    pool.netbe().ok("destroy -y nog/c");
    assert_eq!(pool.subvolumes().len(), before - 3);
    pool.netbe().ok("set data.snapshots=off");
    pool.netbe().ok("create nog/d -a");
    assert_eq!(letter(pool.half("nog/b", ".data")), "in b");
    pool.assert_sound();
}

#[test]
fn a_clone_takes_data_along_where_it_is_told_to() {
    let pool = with_two();
    pool.netbe().ok("create ordo/x");
    pool.refuses(3, "clone nog ordo/y --data", &["nog has no data"]);
    pool.netbe().ok("set data=/home nog");
    fs::write(data(&pool, "nog", "+home/ada/letter"), "of nog").unwrap();
    pool.netbe().ok("clone nog ordo/y");
    assert!(mounted(&pool, "ordo/y").is_empty());
    let plan = pool.plans("clone nog ordo/z --data");
    assert!(
        plan.contains("would copy /home of the data of nog to ordo\n"),
        "{plan}"
    );
    pool.netbe().ok("clone nog ordo/z --data");
    let letter = data(&pool, "ordo", "+home/ada/letter");
    assert_eq!(fs::read_to_string(&letter).unwrap(), "of nog");
    for env in ["ordo/x", "ordo/y", "ordo/z"] {
        assert_eq!(mounted(&pool, env), ["/home"]);
    }
    pool.refuses(
        3,
        "clone nog ordo/w --data",
        &["ordo has data of its own already"],
    );
    pool.assert_sound();
}
