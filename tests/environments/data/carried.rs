//! The data when environments and nodes are made, left, run in and copied.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{data, mounted, system, with_two};
use crate::machine::{Machine, PC};
use crate::support::{Pool, run};

#[test]
fn a_node_takes_its_data_along_and_does_not_go_without_a_word() {
    let pool = with_two();
    pool.netbe().ok("create ordo/x --from nog/a");
    let output = pool.netbe().run("create werda/x");
    assert!(
        output.stderr.contains("set data=default werda"),
        "{output:#?}"
    );
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
fn a_new_node_starts_with_the_data_of_its_template() {
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
fn files_in_the_data_are_not_left_behind_and_files_in_the_old_place_are() {
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
            text.contains("2 files (24 B) in a, under its data, that the data does not have"),
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
        let output = pool.netbe().run_with(&words);
        assert_eq!(output.status, 0, "{output:#?}");
        // Logs do not count.
        let told = "thrown away with that: /home/ada/letter, /home/new\n";
        assert!(output.stderr.contains(told), "{output:#?}");
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
    let output = pool.netbe().run("list --space nog");
    assert!(
        output.stderr.contains("note: the data of nog: "),
        "{output:#?}"
    );
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
fn a_failed_trial_keeps_a_snapshot_of_the_data_beside_its_environment() {
    let pool = with_two();
    pool.netbe().ok("set data=/home ip=dhcp,10.0.0.5 nog");
    let now = data(&pool, "nog", "+home/ada/letter");
    let kept = pool.half("nog/b", ".data").join("+home/ada/letter");
    let before = pool.half("nog/a", ".data").join("+home/ada/letter");
    for (text, snapshots) in [("by b", "on"), ("by b again", "off")] {
        pool.netbe().ok(&format!("set data.snapshots={snapshots}"));
        fs::write(&now, "before").unwrap();
        pool.netbe().ok("activate --try=5m nog/b");
        pool.fetches(&PC);
        pool.age(20);
        pool.netbe().ok("reconcile");
        fs::write(&now, text).unwrap();
        pool.age(300);
        let plan = pool.plans("reconcile");
        let keeps = plan.contains("would keep the data of nog as it is beside nog/b\n");
        assert_eq!(keeps, snapshots == "on", "{plan}");
        let output = pool.netbe().ok("reconcile");
        assert!(output.contains("The trial of nog/b is over"), "{output}");
        assert_eq!(pool.active("nog"), "a");
        assert_eq!(fs::read_to_string(&kept).unwrap(), "by b");
    }
    assert_eq!(fs::read_to_string(&before).unwrap(), "before");
}

#[test]
fn a_trial_keeps_a_snapshot_of_the_data_from_before() {
    let pool = with_two();
    pool.netbe().ok("set data=/home nog");
    let now = data(&pool, "nog", "+home/ada/letter");
    let kept = pool.half("nog/a", ".data").join("+home/ada/letter");
    for (how, text) in [("--once", "before once"), ("--try", "before a trial")] {
        fs::write(&now, text).unwrap();
        let plan = pool.plans(&format!("activate {how} nog/b"));
        assert!(
            plan.contains("would keep the data of nog as it is beside nog/a\n"),
            "{plan}"
        );
        pool.netbe().ok(&format!("activate {how} nog/b"));
        assert_eq!(fs::read_to_string(&kept).unwrap(), text);
    }
    fs::write(&now, "by what was tried").unwrap();
    pool.netbe().ok("confirm nog");
    assert_eq!(pool.active("nog"), "b");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "before a trial");
    pool.assert_sound();
}

#[test]
fn clone_data_copies_the_data() {
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

#[test]
fn a_dry_run_of_clone_data_foresees_what_would_not_mount_it() {
    let pool = with_two();
    pool.netbe().ok("create ordo/x");
    pool.netbe().ok("set data=/home nog");
    let fstab = pool.half("ordo/x", "root").join("etc/fstab");
    let own = fs::read_to_string(&fstab).unwrap() + "/dev/sdb1 /home ext4 defaults 0 2\n";
    fs::write(&fstab, own).unwrap();
    for line in ["clone -n nog ordo/z --data", "clone nog ordo/z --data"] {
        let output = pool.netbe().run(line);
        assert_eq!(output.status, 3, "{line}: {output:#?}");
        assert!(
            output.stderr.contains("ordo/x does not mount the data"),
            "{line}: {output:#?}"
        );
        assert!(
            !output.stdout.contains("fstab of ordo/x"),
            "{line}: {output:#?}"
        );
    }
    assert_eq!(mounted(&pool, "ordo/z"), ["/home"]);
}
