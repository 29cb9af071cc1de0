//! What is told by generations is what a walk of everything tells, whatever was done.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use netbe::btrfs::compare::{self, Compared, How};
use netbe::btrfs::subvolume;

use crate::support::{Numbers, Pool, noise, run};

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

/// A tree that things are done to.
struct Garden<'a> {
    top: &'a Path,
    numbers: &'a mut Numbers,
}

impl Garden<'_> {
    fn all(&self, directories: bool) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut waiting = vec![self.top.to_path_buf()];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let is_directory = path.symlink_metadata().unwrap().is_dir();
                if is_directory {
                    waiting.push(path.clone());
                }
                if is_directory == directories {
                    found.push(path);
                }
            }
        }
        if directories {
            found.push(self.top.to_path_buf());
        }
        found.sort();
        found
    }

    fn any(&mut self, directories: bool) -> Option<PathBuf> {
        let all = self.all(directories);
        (!all.is_empty()).then(|| all[self.numbers.below(all.len())].clone())
    }

    fn fresh(&mut self) -> PathBuf {
        let directory = self.any(true).unwrap();
        let mut name = format!("n{}", self.numbers.below(12)).into_bytes();
        if self.numbers.below(8) == 0 {
            name.extend(b"\xff\n");
        }
        directory.join(OsString::from_vec(name))
    }

    /// Does one thing; what cannot be done is not.
    fn step(&mut self) {
        let size = [0, 100, 3000, 5000, 70_000][self.numbers.below(5)];
        let seed = self.numbers.below(4) as u64;
        let fresh = self.fresh();
        let Some(file) = self.any(false) else {
            let _ = fs::write(&fresh, noise(size, seed));
            return;
        };
        let is_plain = file.symlink_metadata().is_ok_and(|m| m.is_file());
        let directory = self.any(true).unwrap();
        match self.numbers.below(17) {
            // A pipe would wait for a reader.
            0 | 1 if fresh.symlink_metadata().is_err() => {
                fs::write(&fresh, noise(size, seed)).unwrap();
            }
            2 => drop(fs::create_dir(&fresh)),
            3 => drop(symlink(format!("to{seed}"), &fresh)),
            4 if is_plain => {
                let open = File::options().write(true).open(&file).unwrap();
                let at = self.numbers.below(50_000) as u64;
                open.write_all_at(&noise(100, seed), at).unwrap();
            }
            5 if is_plain => {
                let open = File::options().write(true).open(&file).unwrap();
                open.set_len(self.numbers.below(80_000) as u64).unwrap();
            }
            6 => drop(fs::remove_file(&file)),
            7 if directory != self.top => drop(fs::remove_dir_all(&directory)),
            8 | 9 => drop(fs::rename(&file, &fresh)),
            10 if directory != self.top => drop(fs::rename(&directory, &fresh)),
            11 => drop(fs::hard_link(&file, &fresh)),
            12 if is_plain => {
                let mode = [0o644, 0o600, 0o4755][self.numbers.below(3)];
                fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            }
            13 => drop(chown(&directory, Some(self.numbers.below(3) as u32), None)),
            14 if is_plain => xattr::set(&file, "user.x", &[seed as u8]).unwrap(),
            // The same content once more.
            15 if is_plain => {
                let content = fs::read(&file).unwrap();
                fs::write(&file, content).unwrap();
            }
            16 => {
                let fifo = nix::sys::stat::Mode::S_IRUSR;
                let _ = nix::unistd::mkfifo(&fresh, fifo);
            }
            _ => {}
        }
    }
}

#[test]
fn generations_tell_what_a_walk_of_everything_does() {
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

/// The size up to which a file's data may be in the tree, in bytes (`max_inline`, btrfs(5)).
const IN_THE_TREE: u64 = 2048;

#[test]
fn what_the_first_of_two_changed_is_all_told_and_what_only_the_second_did_is_not() {
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
        let how = How::SinceInFirst {
            after,
            parted: Some(made),
        };
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
    let how = How::SinceInFirst {
        after: made,
        parted: Some(made),
    };
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
    let how = How::SinceInFirst {
        after: made,
        parted: Some(made),
    };
    let compared = compare::between(&a, &b, how).unwrap();
    assert!(compared.more);
}
