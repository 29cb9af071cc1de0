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
