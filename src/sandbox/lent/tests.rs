//! Lent files, the changes that a program makes to them, and the state that a killed netbe leaves.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::*;

const LENT: &str = "nameserver 10.0.2.3\n";
const OWN: &str = "nameserver 192.0.2.1\n";
const PATH: &str = "etc/resolv.conf";

fn root() -> (tempfile::TempDir, Tree) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("etc")).unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    (dir, tree)
}

fn lend(tree: &Tree) -> Lent {
    let mut lent = planned(tree);
    lent.make(tree).unwrap();
    lent
}

fn planned(tree: &Tree) -> Lent {
    match find(tree, PATH, LENT, 0o644).unwrap() {
        Place::Lent(lent) => lent,
        Place::Fresh(path) => panic!("{path}"),
    }
}

/// What stands before: a name, and how it is made.
type Before = (&'static str, fn(&Path));

const BEFORE: &[Before] = &[
    ("nothing", |_| ()),
    ("a file", |path| {
        fs::write(path, OWN).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }),
    ("a link", |path| symlink("hostname", path).unwrap()),
    ("a link to nothing", |path| {
        symlink("/opt/none/resolv.conf", path).unwrap();
    }),
    ("a link into the kernel's", |path| {
        symlink("/proc/net/pnp", path).unwrap();
    }),
    ("a circle", |path| symlink("resolv.conf", path).unwrap()),
];

/// What is told of a directory: names, types, rights, owners, inode numbers and what is in them.
fn entries(dir: &Path) -> Vec<String> {
    let mut all: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    all.sort();
    let one = |path: &PathBuf| {
        let m = path.symlink_metadata().unwrap();
        let content = match m.is_file() {
            true => fs::read_to_string(path).unwrap(),
            false => format!("{:?}", fs::read_link(path)),
        };
        format!(
            "{} {:o} {} {} {content}",
            path.display(),
            m.mode(),
            m.uid(),
            m.ino()
        )
    };
    all.iter().map(one).collect()
}

#[test]
fn an_untouched_file_is_restored_exactly_after_every_step() {
    for (before, make) in BEFORE {
        for stopped in ["made", "put", "given back", "twice"] {
            let (dir, tree) = root();
            fs::write(dir.path().join("etc/hostname"), "nog\n").unwrap();
            make(&dir.path().join(PATH));
            let was = entries(&dir.path().join("etc"));
            let lent = lend(&tree);
            if stopped != "made" {
                lent.put(&tree).unwrap();
                assert_eq!(fs::read_to_string(dir.path().join(PATH)).unwrap(), LENT);
            }
            let times = if stopped == "twice" { 2 } else { 1 };
            for _ in 0..times {
                lent.give_back(&tree).unwrap();
            }
            assert_eq!(entries(&dir.path().join("etc")), was, "{before}, {stopped}");
        }
    }
}

#[test]
fn changes_by_a_program_are_kept() {
    let own = |before: &str| if before == "a file" { OWN } else { "" };
    for (before, make) in BEFORE {
        let begun = |act: &dyn Fn(&Path)| {
            let (dir, tree) = root();
            make(&dir.path().join(PATH));
            let lent = lend(&tree);
            lent.put(&tree).unwrap();
            act(&dir.path().join(PATH));
            // By what was recorded, as another netbe would do it later.
            let recorded: Lent =
                serde_json::from_str(&serde_json::to_string(&lent).unwrap()).unwrap();
            recorded.give_back(&tree).unwrap();
            recorded.give_back(&tree).unwrap();
            let left = fs::read_dir(dir.path().join("etc")).unwrap().count();
            (dir, left)
        };
        // A package's link.
        let (dir, left) = begun(&|path| {
            fs::remove_file(path).unwrap();
            symlink("../run/x/resolv.conf", path).unwrap();
        });
        let link = fs::read_link(dir.path().join(PATH)).unwrap();
        assert_eq!(
            (link.to_str(), left),
            (Some("../run/x/resolv.conf"), 1),
            "{before}"
        );
        // A file in its place, by a rename.
        let (dir, left) = begun(&|path| {
            let new = path.with_extension("new");
            fs::write(&new, format!("# new\n{LENT}")).unwrap();
            fs::rename(&new, path).unwrap();
        });
        let text = fs::read_to_string(dir.path().join(PATH)).unwrap();
        assert_eq!(
            (text, left),
            (format!("# new\n{}", own(before)), 1),
            "{before}"
        );
        // It is taken away.
        let (_dir, left) = begun(&|path| fs::remove_file(path).unwrap());
        assert_eq!(left, 0, "{before}");
        if before.starts_with("a circle") || before.contains("kernel") {
            continue;
        }
        // It is written.
        let (dir, _) = begun(&|path| fs::write(path, "nameserver 192.0.2.77\n").unwrap());
        let text = fs::read_to_string(dir.path().join("etc/hostname"))
            .or_else(|_| fs::read_to_string(dir.path().join(PATH)))
            .unwrap();
        assert_eq!(text, "nameserver 192.0.2.77\n", "{before}");
        // Something is added.
        let (dir, _) = begun(&|path| fs::write(path, format!("{LENT}search x\n")).unwrap());
        let text = fs::read_to_string(dir.path().join("etc/hostname"))
            .or_else(|_| fs::read_to_string(dir.path().join(PATH)))
            .unwrap();
        assert_eq!(text, format!("{}search x\n", own(before)), "{before}");
    }
}

#[test]
fn rights_that_were_changed_are_the_files_own() {
    let (dir, tree) = root();
    let path = dir.path().join(PATH);
    fs::write(&path, OWN).unwrap();
    let lent = lend(&tree);
    lent.put(&tree).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    lent.give_back(&tree).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), OWN);
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o640);
}

#[test]
fn links_into_run_are_not_replaced() {
    for target in [
        "/run/systemd/resolve/stub-resolv.conf",
        "../run/systemd/resolve/stub-resolv.conf",
        "/var/run/systemd/resolve/stub-resolv.conf",
        "../../../../run/systemd/resolve/stub-resolv.conf",
    ] {
        let (dir, tree) = root();
        symlink(target, dir.path().join(PATH)).unwrap();
        let place = find(&tree, PATH, LENT, 0o644).unwrap();
        let want = Place::Fresh("run/systemd/resolve/stub-resolv.conf".into());
        assert_eq!(place, want, "{target}");
        assert!(!dir.path().join("run").exists());
    }
}

#[test]
fn a_directory_is_refused_and_existing_hidden_files_stay() {
    let (dir, tree) = root();
    fs::create_dir(dir.path().join(PATH)).unwrap();
    let error = find(&tree, PATH, LENT, 0o644).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
    let (dir, tree) = root();
    fs::write(dir.path().join("etc/.resolv.conf.netbe-own"), "mine").unwrap();
    let lent = lend(&tree);
    lent.put(&tree).unwrap();
    lent.give_back(&tree).unwrap();
    let kept = fs::read_to_string(dir.path().join("etc/.resolv.conf.netbe-own")).unwrap();
    assert_eq!(kept, "mine");
}

#[test]
fn directories_that_were_made_for_it_go_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    let Place::Lent(mut lent) = find(&tree, "usr/sbin/policy-rc.d", "x", 0o755).unwrap() else {
        panic!("it is in the environment");
    };
    lent.make(&tree).unwrap();
    lent.put(&tree).unwrap();
    lent.give_back(&tree).unwrap();
    // As after a kill before it was noted that this was done.
    lent.give_back(&tree).unwrap();
    assert!(!dir.path().join("usr").exists());
}

#[test]
fn a_file_moved_by_a_program_is_the_environments_own() {
    for (moved, is_open) in [
        ("etc/resolv.conf.old", true),
        ("etc/resolv.conf.old", false),
        ("kept/old", true),
    ] {
        for (before, make) in BEFORE {
            for then in ["nothing", "a file", "a copy"] {
                let (dir, tree) = root();
                fs::create_dir(dir.path().join("kept")).unwrap();
                let (path, moved) = (dir.path().join(PATH), dir.path().join(moved));
                make(&path);
                let own = path.symlink_metadata().ok().map(|m| m.ino());
                let lent = lend(&tree);
                let open = lent.open(&tree).filter(|_| is_open);
                lent.put(&tree).unwrap();
                fs::rename(&path, &moved).unwrap();
                match then {
                    "a file" => fs::write(&path, "nameserver 192.0.2.77\n").unwrap(),
                    "a copy" => drop(fs::copy(&moved, &path).unwrap()),
                    _ => {}
                }
                lent.give_back_from(&tree, open.as_ref()).unwrap();
                lent.give_back_from(&tree, open.as_ref()).unwrap();
                let there = moved.symlink_metadata().ok().map(|m| m.ino());
                assert_eq!(there, own, "{before}, {then}");
                let now = fs::read_to_string(&path).ok();
                let want = match then {
                    "a file" => Some("nameserver 192.0.2.77\n"),
                    "a copy" if *before == "a file" => Some(OWN),
                    "a copy" => Some(""),
                    _ => None,
                };
                assert_eq!(now.as_deref(), want, "{before}, {then}");
                let left = fs::read_dir(dir.path().join("etc")).unwrap();
                let is_aside = |name: &str| name.contains("netbe-own");
                let names = left.map(|e| e.unwrap().file_name().into_string().unwrap());
                assert!(!names.into_iter().any(|n| is_aside(&n)), "{before}, {then}");
            }
        }
    }
}

#[test]
fn what_was_planned_is_removed_at_whichever_step_making_it_ends() {
    for (name, before) in BEFORE {
        for text in [None, Some(""), Some("names"), Some(LENT)] {
            let (dir, tree) = root();
            before(&dir.path().join(PATH));
            let as_before = entries(&dir.path().join("etc"));
            let lent = planned(&tree);
            assert_eq!(
                entries(&dir.path().join("etc")),
                as_before,
                "{name}: a plan"
            );
            if let Some(text) = text {
                fs::write(dir.path().join(lent.aside_path()), text).unwrap();
            }
            give_all_back(&tree, std::slice::from_ref(&lent)).unwrap();
            assert_eq!(
                entries(&dir.path().join("etc")),
                as_before,
                "{name}: {text:?}"
            );
        }
    }
}

#[test]
fn what_a_node_has_under_the_name_of_a_planned_file_stays() {
    let (dir, tree) = root();
    let lent = planned(&tree);
    let aside = dir.path().join(lent.aside_path());
    fs::write(&aside, "of the node").unwrap();
    give_all_back(&tree, std::slice::from_ref(&lent)).unwrap();
    assert_eq!(fs::read_to_string(&aside).unwrap(), "of the node");
    fs::remove_file(&aside).unwrap();
    symlink("hostname", &aside).unwrap();
    give_all_back(&tree, &[lent]).unwrap();
    assert!(aside.is_symlink());
}

#[test]
fn directories_that_were_planned_are_removed_if_nothing_is_in_them() {
    let (dir, tree) = root();
    let path = "etc/initramfs-tools/conf.d/zz-netbe";
    let mut lent = Lent::plan(&tree, path, LENT, 0o644).unwrap();
    assert_eq!(
        lent.made,
        ["etc/initramfs-tools", "etc/initramfs-tools/conf.d"]
    );
    let recorded = lent.clone();
    lent.make(&tree).unwrap();
    give_all_back(&tree, std::slice::from_ref(&recorded)).unwrap();
    assert!(!dir.path().join("etc/initramfs-tools").exists());
    fs::create_dir_all(dir.path().join("etc/initramfs-tools/scripts")).unwrap();
    give_all_back(&tree, &[recorded]).unwrap();
    assert!(dir.path().join("etc/initramfs-tools/scripts").exists());
}

#[test]
fn what_a_program_wrote_in_place_of_a_link_is_kept_at_whichever_step_putting_back_ends() {
    let written = format!("{LENT}search example.org\n");
    let merged = format!("{OWN}search example.org\n");
    for step in 0..3 {
        let (dir, tree) = root();
        let path = dir.path().join(PATH);
        fs::write(dir.path().join("etc/real"), OWN).unwrap();
        symlink("real", &path).unwrap();
        let lent = lend(&tree);
        lent.put(&tree).unwrap();
        fs::write(&path, &written).unwrap();
        // What was done before netbe was killed.
        if step > 0 {
            tree.write(PATH, merged.as_bytes()).unwrap();
        }
        if step > 1 {
            tree.write(&lent.aside_path(), merged.as_bytes()).unwrap();
        }
        lent.give_back(&tree).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), merged, "{step}");
        assert_eq!(path.is_symlink(), step == 0, "{step}");
        let aside = dir.path().join(lent.aside_path());
        assert!(aside.symlink_metadata().is_err(), "{step}");
    }
}
