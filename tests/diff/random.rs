//! Differences found by generations equal those of a full walk, after random changes.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use netbe::btrfs::compare::{self, Compared, How, OfFirst, Point};
use netbe::btrfs::subvolume;

use crate::support::{Garden, Numbers, Pool, noise, run};

/// Says what differs without where it lies on disk.
fn shown(compared: &Compared) -> Vec<String> {
    assert!(compared.unread.is_empty());
    let node = |node: &Option<compare::Node>| {
        node.as_ref().map(|n| {
            (
                n.kind,
                n.mode,
                n.owner,
                n.size,
                n.device,
                n.target.clone(),
                n.attributes.clone(),
            )
        })
    };
    let changes = compared.changes.iter();
    changes
        .map(|c| {
            format!(
                "{:?} {:?}\n  {:?}\n  {:?}",
                c.path,
                c.aspects,
                node(&c.before),
                node(&c.after)
            )
        })
        .collect()
}

#[test]
fn a_comparison_by_generations_equals_a_full_walk() {
    let pool = Pool::bare(1 << 30);
    for seed in 1..=12 {
        let mut numbers = Numbers::new(seed * 7919);
        let mut grow = |top: &Path, steps: usize| {
            let mut garden = Garden {
                top,
                numbers: &mut numbers,
            };
            (0..steps).for_each(|_| garden.step());
        };
        let at = |name: &str| pool.at(&format!("{name}{seed}"));
        let snapshot = |from: &str, to: &str| subvolume::snapshot(&at(from), &at(to)).unwrap();
        subvolume::create(&at("a")).unwrap();
        grow(&at("a"), 150);
        snapshot("a", "b");
        grow(&at("a"), 25);
        snapshot("a", "c");
        for name in ["a", "b", "c"] {
            grow(&at(name), 25);
        }
        snapshot("b", "d");
        grow(&at("d"), 25);
        subvolume::sync(pool.path()).unwrap();
        let made = |name: &str| subvolume::info(&at(name)).unwrap().made;
        for (one, other, since) in [
            ("a", "b", made("b")),
            ("c", "a", made("c")),
            ("b", "c", made("b").min(made("c"))),
            ("d", "c", made("b").min(made("c"))),
            ("d", "a", made("b")),
            ("d", "b", made("d")),
        ] {
            let compared = |how| shown(&compare::between(&at(one), &at(other), how).unwrap());
            let walked = compared(How::Files);
            assert_eq!(compared(How::All), walked, "{seed}: {one} {other}, all");
            assert_eq!(
                compared(How::Since(since)),
                walked,
                "{seed}: {one} {other}, since"
            );
        }
        // Sharing space is no difference, though every file that does was touched.
        let same = compare::between(&at("a"), &at("a"), How::All).unwrap();
        assert_eq!(shown(&same), [""; 0]);
    }
    run(Command::new("btrfs")
        .args(["filesystem", "sync"])
        .arg(pool.path()));
}

/// Returns a transaction, without a time.
fn point(transaction: u64) -> Point {
    Point {
        transaction,
        at: None,
    }
}

/// The size up to which a file's data may be in the tree, in bytes (`max_inline`, btrfs(5)).
const IN_THE_TREE: u64 = 2048;

#[test]
fn changes_of_the_first_tree_are_all_listed_and_changes_of_the_second_alone_are_not() {
    let pool = Pool::bare(1 << 30);
    let mut alone = 0;
    for seed in 1..=12 {
        let mut numbers = Numbers::new(seed * 104_729);
        let at = |name: &str| pool.at(&format!("{name}{seed}"));
        subvolume::create(&at("a")).unwrap();
        let mut grow = |name: &str, steps: usize| {
            let mut garden = Garden {
                top: &at(name),
                numbers: &mut numbers,
            };
            (0..steps).for_each(|_| garden.step());
        };
        grow("a", 150);
        subvolume::snapshot_read_only(&at("a"), &at("base")).unwrap();
        subvolume::snapshot(&at("a"), &at("b")).unwrap();
        grow("a", 25);
        grow("b", 25);
        subvolume::sync(pool.path()).unwrap();
        let after = subvolume::info(&at("base")).unwrap().made;
        let made = subvolume::info(&at("b")).unwrap().made;
        let compared = |one: &str, other: &str, how| {
            let compared = compare::between(&at(one), &at(other), how).unwrap();
            assert!(compared.unread.is_empty());
            compared.changes
        };
        let how = How::SinceInFirst(OfFirst {
            after: point(after),
            parted: Some(point(made)),
            second_alone: None,
            is_bounded: true,
        });
        let told: Vec<PathBuf> = compared("a", "b", how)
            .into_iter()
            .map(|change| change.path)
            .collect();
        let of_first = compared("base", "a", How::All);
        let was_cut_in_the_tree = |change: &compare::Change| match (&change.before, &change.after) {
            (Some(before), Some(after)) => after.size < before.size && before.size <= IN_THE_TREE,
            _ => false,
        };
        let of_second = compared("base", "b", How::All);
        // What was replaced there by another file of that name is not known to have been here.
        let was_replaced = |change: &compare::Change| {
            change.after.is_none() && of_second.iter().any(|c| change.path.starts_with(&c.path))
        };
        for difference in compared("a", "b", How::All) {
            let change = of_first.iter().find(|c| c.path == difference.path);
            let is_told = told.contains(&difference.path);
            match change {
                Some(change) if !was_cut_in_the_tree(change) && !was_replaced(change) => {
                    assert!(is_told, "{seed}: {change:?}");
                }
                Some(_) => {}
                None => alone += u32::from(!is_told),
            }
        }
    }
    assert!(
        alone > 30,
        "only {alone} of the second's changes were left out"
    );
}

#[test]
fn a_new_time_the_same_content_and_shared_space_are_no_change_of_the_first() {
    let pool = Pool::bare(1 << 30);
    let at = |name: &str| pool.at(name);
    subvolume::create(&at("a")).unwrap();
    let files = [
        "small", "large", "mode", "written", "same", "gone", "moved", "cut",
    ];
    for name in files {
        let size = if name == "large" { 70_000 } else { 100 };
        fs::write(at("a").join(name), noise(size, 1)).unwrap();
    }
    fs::write(at("a/cut"), noise(3 * 4096, 1)).unwrap();
    subvolume::snapshot(&at("a"), &at("b")).unwrap();
    let made = subvolume::info(&at("b")).unwrap().made;
    // The second changes them all; one it does not.
    for name in files.iter().filter(|name| **name != "same") {
        fs::write(at("b").join(name), noise(200, 2)).unwrap();
    }
    fs::write(at("b/new"), "b").unwrap();
    let path = |name: &str| at("a").join(name);
    for name in ["small", "large"] {
        let file = File::options().write(true).open(path(name)).unwrap();
        file.set_modified(std::time::SystemTime::now()).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(path("mode"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path("written"), noise(300, 3)).unwrap();
    fs::write(path("same"), noise(100, 1)).unwrap();
    fs::remove_file(path("gone")).unwrap();
    fs::rename(path("moved"), path("there")).unwrap();
    File::options()
        .write(true)
        .open(path("cut"))
        .unwrap()
        .set_len(4096)
        .unwrap();
    subvolume::sync(pool.path()).unwrap();
    let how = How::SinceInFirst(OfFirst {
        after: point(made),
        parted: Some(point(made)),
        second_alone: None,
        is_bounded: true,
    });
    let told: Vec<String> = compare::between(&at("a"), &at("b"), how)
        .unwrap()
        .changes
        .iter()
        .map(|c| format!("{} {:?}", c.path.display(), c.aspects))
        .collect();
    assert_eq!(
        told,
        [
            "cut [Content]",
            "gone []",
            "mode [Mode]",
            "moved []",
            "there []",
            "written [Content]"
        ]
    );
}

#[test]
fn how_much_one_of_two_wrote_does_not_decide_how_long_it_takes() {
    let pool = Pool::bare(1 << 30);
    let (a, b) = (pool.at("a"), pool.at("b"));
    subvolume::create(&a).unwrap();
    subvolume::snapshot(&a, &b).unwrap();
    let made = subvolume::info(&b).unwrap().made;
    fs::create_dir(a.join("many")).unwrap();
    for number in 0..=50_000 {
        symlink("x", a.join(format!("many/{number}"))).unwrap();
    }
    fs::write(a.join("other"), "x").unwrap();
    subvolume::sync(pool.path()).unwrap();
    let how = How::SinceInFirst(OfFirst {
        after: point(made),
        parted: Some(point(made)),
        second_alone: None,
        is_bounded: true,
    });
    let compared = compare::between(&a, &b, how).unwrap();
    assert!(compared.more);
}
