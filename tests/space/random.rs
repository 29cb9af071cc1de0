//! Anything done to environments, in any order: each time netbe says what is on the disk.
//!
//! `NETBE_SPACE=SEED` does it again, or once more otherwise; `NETBE_SPACE_ROUNDS` says how long.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use netbe::btrfs::dedupe;
use nix::fcntl::{FallocateFlags, copy_file_range, fallocate};

use super::ground::{self, environments, judge};
use super::support::{Pool, run};

/// Numbers without end, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below.max(1)
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        (!of.is_empty()).then(|| &of[self.roll(of.len())])
    }

    /// Returns content: random, or such as compresses.
    fn content(&mut self) -> Vec<u8> {
        let length = match self.roll(5) {
            0 => self.roll(200),
            1 | 2 => self.roll(2500),
            3 => self.roll(20_000),
            _ => self.roll(300_000),
        };
        match self.roll(2) {
            0 => {
                let words = (0..=length / 4).map(|_| (self.roll(1 << 32) as u32).to_le_bytes());
                let mut bytes: Vec<u8> = words.flatten().collect();
                bytes.truncate(length);
                bytes
            }
            _ => vec![b'a' + self.roll(20) as u8; length],
        }
    }
}

/// A pool something is done to.
struct Play {
    pool: Pool,
    dice: Dice,
    made: usize,
    /// Files without a name, kept open.
    open: Vec<File>,
}

impl Play {
    fn name(&mut self) -> String {
        self.made += 1;
        format!("x{}", self.made)
    }

    fn half(&mut self) -> PathBuf {
        let all = environments(&self.pool);
        let env = self.dice.one(&all).unwrap().clone();
        let half = ["root", "root", "boot"][self.dice.roll(3)];
        self.pool.half(&env, half)
    }

    /// Returns all directories, or files, of a half.
    fn within(top: &Path, directories: bool) -> Vec<PathBuf> {
        let (mut found, mut waiting) = (Vec::new(), vec![top.to_path_buf()]);
        while let Some(at) = waiting.pop() {
            for entry in fs::read_dir(&at).unwrap().flatten() {
                let kind = entry.file_type().unwrap();
                // Where another subvolume stood when this was made a snapshot, nothing can be made.
                if kind.is_dir() && entry.metadata().unwrap().ino() != 2 {
                    waiting.push(entry.path());
                } else if kind.is_file() && !directories {
                    found.push(entry.path());
                }
            }
            if directories {
                found.push(at);
            }
        }
        found.sort();
        found
    }

    fn directory(&mut self) -> PathBuf {
        let half = self.half();
        self.dice.one(&Self::within(&half, true)).unwrap().clone()
    }

    fn file(&mut self) -> Option<PathBuf> {
        let half = self.half();
        self.dice.one(&Self::within(&half, false)).cloned()
    }

    fn opened(&mut self) -> Option<(File, u64)> {
        let path = self.file()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        let length = file.metadata().unwrap().len();
        Some((file, length))
    }

    /// Does one thing; where there is nothing to do it to, nothing.
    fn act(&mut self) -> Option<()> {
        match self.dice.roll(26) {
            0..=4 => {
                let path = self.directory().join(self.name());
                fs::write(path, self.dice.content()).unwrap();
            }
            5 => {
                let path = self.directory().join(self.name());
                fs::create_dir(&path).unwrap();
                if self.dice.roll(3) == 0 {
                    run(Command::new("btrfs")
                        .args(["property", "set"])
                        .arg(path)
                        .args(["compression", "zstd"]));
                }
            }
            6 | 7 => {
                let (file, length) = self.opened()?;
                let at = self.dice.roll(length as usize + 5000) as u64;
                file.write_all_at(&self.dice.content(), at).unwrap();
            }
            8 => {
                let (file, length) = self.opened()?;
                let to = self.dice.roll(length as usize * 2);
                file.set_len(to as u64).unwrap();
            }
            9 | 10 => fs::remove_file(self.file()?).unwrap(),
            11 => {
                let (from, to) = (self.file()?, self.name());
                let half = self.half_of(&from);
                let directory = self.dice.one(&Self::within(&half, true))?.clone();
                // Into another subvolume a file is not renamed.
                let _ = fs::rename(from, directory.join(to));
            }
            12 => {
                let from = self.directory();
                let (half, to) = (self.half_of(&from), self.name());
                let directory = self.dice.one(&Self::within(&half, true))?.clone();
                let _ = fs::rename(from, directory.join(to));
            }
            13 => {
                let path = self.directory();
                if self.half_of(&path) != path {
                    let _ = fs::remove_dir_all(path);
                }
            }
            14 => {
                let (from, name) = (self.file()?, self.name());
                fs::hard_link(&from, from.with_file_name(name)).unwrap();
            }
            15 | 16 => {
                let to = self.directory().join(self.name());
                run(Command::new("cp")
                    .arg("--reflink=always")
                    .args([self.file()?, to]));
            }
            17 => self.share_part()?,
            18 => {
                let (file, length) = self.opened()?;
                let at = self.dice.roll(length as usize + 1) as i64;
                let size = self.dice.roll(60_000) as i64 + 1;
                let flags = [
                    FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE,
                    FallocateFlags::FALLOC_FL_KEEP_SIZE,
                    FallocateFlags::empty(),
                ];
                fallocate(&file, *self.dice.one(&flags)?, at, size).unwrap();
            }
            19 => {
                let to = self.directory().join(self.name());
                let from = self.file()?;
                fs::copy(&from, &to).unwrap();
                let (from, to) = (File::open(from).unwrap(), File::open(to).unwrap());
                let length = from.metadata().unwrap().len();
                if length > 0 {
                    dedupe::share(&from, &to, 0..length).unwrap();
                }
            }
            20 => {
                let file = self.file()?;
                let mode = 0o600 + self.dice.roll(64) as u32;
                fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
            }
            21 => {
                let file = self.file()?;
                self.open.push(File::open(&file).unwrap());
                fs::remove_file(file).unwrap();
            }
            22 => self.open.clear(),
            23 => run(Command::new("sync").arg("-f").arg(self.pool.path())),
            24 => {
                let path = self.directory().join(self.name());
                run(Command::new("btrfs")
                    .args(["-q", "subvolume", "create"])
                    .arg(&path));
                fs::write(path.join("nested"), self.dice.content()).unwrap();
            }
            _ => self.subvolumes()?,
        }
        Some(())
    }

    fn half_of(&self, path: &Path) -> PathBuf {
        let below = path.strip_prefix(self.pool.path()).unwrap();
        self.pool
            .path()
            .join(below.iter().take(5).collect::<PathBuf>())
    }

    /// Shares some blocks of one file with another, at other places.
    fn share_part(&mut self) -> Option<()> {
        let ((from, length), (to, _)) = (self.opened()?, self.opened()?);
        let mut at = (self.dice.roll(length as usize) / 4096 * 4096) as i64;
        let mut onto = (self.dice.roll(200_000) / 4096 * 4096) as i64;
        let size = (self.dice.roll(100_000) / 4096 + 1) * 4096;
        // A file with itself where the two overlap is refused.
        let _ = copy_file_range(&from, Some(&mut at), &to, Some(&mut onto), size);
        Some(())
    }

    fn subvolumes(&mut self) -> Option<()> {
        let all = environments(&self.pool);
        let env = self.dice.one(&all)?.clone();
        match self.dice.roll(8) {
            0..=3 => {
                let name = format!("{}/{}", ["n", "m"][self.dice.roll(2)], self.name());
                ground::snapshot(&self.pool, &env, &name);
            }
            4 | 5 if all.len() > 2 => {
                // While a file in it is open, a subvolume that is deleted stays, and waiting for its end has none.
                self.open.clear();
                let half = self.pool.half(&env, "root");
                netbe::pool::stage::remove(half.parent()?).unwrap();
            }
            6 => {
                // One somebody made by hand, which keeps what it has.
                let name = self.name();
                let to = self.pool.at(&name);
                run(Command::new("btrfs")
                    .args(["-q", "subvolume", "snapshot", "-r"])
                    .args([self.pool.half(&env, "root"), to]));
            }
            _ => {
                let base = self.pool.half(&env, ".base");
                let _ = fs::create_dir(&base);
                let to = base.join(self.name());
                run(Command::new("btrfs")
                    .args(["-q", "subvolume", "snapshot", "-r"])
                    .args([self.pool.half(&env, "root"), to]));
                let kept = fs::read_dir(&base).unwrap().count();
                if kept > 1 {
                    for old in fs::read_dir(&base).unwrap().flatten() {
                        ground::delete(&old.path());
                    }
                    fs::remove_dir(&base).unwrap();
                }
            }
        }
        Some(())
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn after_random_changes_the_sums_equal_the_blocks_on_disk() {
    let seed = number("NETBE_SPACE", 1);
    let pool = Pool::new();
    ground::make(&pool, "n/a");
    let mut play = Play {
        pool,
        dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        made: 0,
        open: Vec::new(),
    };
    // Trees of several leaves, or nothing is shared that is inline.
    for _ in 0..300 {
        let path = play.directory().join(play.name());
        match play.dice.roll(8) {
            0 => fs::create_dir(path).unwrap(),
            _ => fs::write(path, play.dice.content()).unwrap(),
        }
    }
    run(Command::new("sync").arg("-f").arg(play.pool.path()));
    ground::snapshot(&play.pool, "n/a", "n/b");
    let rounds = number("NETBE_SPACE_ROUNDS", 12);
    for round in 0..rounds {
        for _ in 0..5 + play.dice.roll(60) {
            play.act();
        }
        let when = format!("NETBE_SPACE={seed}, round {round}");
        judge(&play.pool, round % 4 == 3, &when);
    }
}
