//! Two commands at once, and twenty.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Outcome, Pool};

/// Fails when a command did not end as one that lost a race may: refused or not found, saying why.
fn lost_fairly(ended: &Outcome) {
    assert!([3, 4].contains(&ended.status), "{ended:#?}");
    assert!(ended.stderr.contains("error: "), "{ended:#?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:#?}");
}

fn wins(ended: &[Outcome]) -> usize {
    ended.iter().filter(|e| e.status == 0).count()
}

#[test]
fn of_twenty_creates_of_one_name_one_wins() {
    let pool = Pool::with_node();
    let ended = pool.at_once(&vec!["create nog/x --wait 60".to_string(); 20]);
    assert_eq!(wins(&ended), 1, "{ended:#?}");
    for lost in ended.iter().filter(|e| e.status != 0) {
        assert_eq!(lost.status, 3, "{lost:#?}");
        assert!(lost.stderr.contains("nog/x already exists"), "{lost:#?}");
    }
    assert_eq!(pool.names("nog"), ["a", "x"]);
    assert_eq!(pool.subvolumes().len(), 6, "{:?}", pool.subvolumes());
    pool.assert_sound();
}

#[test]
fn of_ten_creates_of_one_new_node_one_wins() {
    let pool = Pool::with_template();
    let ended = pool.at_once(&vec!["create nog/x --wait 60".to_string(); 10]);
    assert_eq!(wins(&ended), 1, "{ended:#?}");
    ended.iter().filter(|e| e.status != 0).for_each(lost_fairly);
    assert_eq!(pool.subvolumes().len(), 4, "{:?}", pool.subvolumes());
    pool.assert_sound();
}

#[test]
fn creates_of_different_names_all_win() {
    let pool = Pool::with_node();
    let lines: Vec<_> = (0..6)
        .map(|i| format!("create nog/e{i} --wait 60"))
        .chain((0..6).map(|i| format!("create node{i}/first --wait 60")))
        .collect();
    let ended = pool.at_once(&lines);
    assert_eq!(wins(&ended), 12, "{ended:#?}");
    assert_eq!(pool.names("nog").len(), 7);
    pool.assert_sound();
}

#[test]
fn create_and_destroy_of_one_name() {
    let pool = Pool::with_node();
    for _ in 0..3 {
        pool.netbe().ok("create nog/x");
        let lines: Vec<_> = [
            "destroy -y nog/x",
            "create nog/y --from nog/x",
            "destroy -y nog/x",
            "create nog/x",
        ]
        .map(str::to_string)
        .to_vec();
        let ended = pool.at_once(&lines);
        ended.iter().filter(|e| e.status != 0).for_each(lost_fairly);
        pool.assert_sound();
        for name in ["x", "y"] {
            if pool.names("nog").iter().any(|n| n == name) {
                pool.netbe().ok(&format!("destroy -y nog/{name}"));
            }
        }
    }
}

#[test]
fn activations_of_two_end_with_one_of_them() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    for _ in 0..3 {
        let lines = ["activate nog/a", "activate nog/b", "rollback nog"].map(str::to_string);
        for ended in pool.at_once(&lines) {
            assert!([0, 3].contains(&ended.status), "{ended:#?}");
        }
        assert!(["a", "b"].contains(&pool.active("nog").as_str()));
        pool.assert_sound();
    }
}

#[test]
fn two_machines_are_given_one_mac_once() {
    let pool = Pool::with_node();
    pool.netbe().ok("create ordo/x");
    let ended =
        pool.at_once(&["nog", "ordo"].map(|node| format!("set mac=dc:a6:32:01:02:03 {node}")));
    assert_eq!(wins(&ended), 1, "{ended:#?}");
    pool.assert_sound();
}

#[test]
fn two_new_machines_are_given_one_mac_once() {
    let pool = Pool::with_template();
    let ended = pool.at_once(
        &["a", "b", "c", "d"].map(|node| format!("create {node} --mac dc:a6:32:01:02:03")),
    );
    assert_eq!(wins(&ended), 1, "{ended:#?}");
    ended.iter().filter(|e| e.status != 0).for_each(lost_fairly);
    assert_eq!(pool.subvolumes().len(), 4, "{:?}", pool.subvolumes());
    pool.assert_sound();
}

#[test]
fn a_list_is_valid_whatever_happens_meanwhile() {
    let pool = Pool::with_served_node();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) || looks < 3 {
                let text = pool.netbe().ok("list --json");
                let document: serde_json::Value =
                    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
                let envs = document["environments"].as_array().unwrap();
                let active = |e: &&serde_json::Value| e["node"] == "nog" && e["active"] == true;
                assert_eq!(envs.iter().filter(active).count(), 1, "{text}");
                for env in envs {
                    assert_eq!(env["complete"], true, "{text}");
                }
                looks += 1;
            }
        });
        for _ in 0..3 {
            pool.netbe().ok("create nog/b");
            pool.netbe().ok("rename nog/b c");
            pool.netbe().ok("create ordo/x");
            pool.netbe().ok("destroy -y nog/c");
            pool.netbe().ok("destroy -y -r ordo");
        }
        done.store(true, Ordering::Relaxed);
        watch.join().unwrap();
    });
    pool.assert_sound();
}
