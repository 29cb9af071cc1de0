//! Single things, each with the numbers that are so; by the program itself.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use nix::fcntl::{FallocateFlags, copy_file_range, fallocate};

use super::ground::judge;
use super::support::{Pool, run};

/// Returns what `list -H --space` says of an environment: unique, referenced.
pub(crate) fn listed_sizes(pool: &Pool, environment: &str) -> (u64, u64) {
    let line = pool.netbe().ok(&format!("list -H --space {environment}"));
    let fields: Vec<&str> = line.trim_end().split('\t').collect();
    (fields[5].parse().unwrap(), fields[6].parse().unwrap())
}

/// A pool of `nog/a` and `nog/b`, the second made of the first, and what both say before anything is done.
pub(crate) struct Two {
    pub(crate) pool: Pool,
    before: [(u64, u64); 2],
}

impl Two {
    pub(crate) fn new() -> Self {
        let pool = Pool::with_node();
        pool.netbe().ok("create nog/b");
        let before = [listed_sizes(&pool, "nog/a"), listed_sizes(&pool, "nog/b")];
        Self { pool, before }
    }

    pub(crate) fn path(&self, environment: &str, file: &str) -> PathBuf {
        self.pool.half(environment, "root").join(file)
    }

    /// Holds how much more is unique and referenced now; what is inline in leaves written anew set aside.
    fn grew(&self, a: (u64, u64), b: (u64, u64)) {
        let slack = 16 << 10;
        let now = [
            listed_sizes(&self.pool, "nog/a"),
            listed_sizes(&self.pool, "nog/b"),
        ];
        for ((before, now), want) in self.before.iter().zip(now).zip([a, b]) {
            let grew = now.0.saturating_sub(before.0);
            assert!(
                (want.0..=want.0 + slack).contains(&grew),
                "unique {grew}: {want:?}"
            );
            let grew = now.1 - before.1;
            assert!(
                (want.1..=want.1 + slack).contains(&grew),
                "referenced {grew}: {want:?}"
            );
        }
        judge(&self.pool, true, "given");
    }
}

/// Returns bytes that do not compress.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    File::open("/dev/urandom")
        .unwrap()
        .read_exact_at(&mut bytes, 0)
        .unwrap();
    bytes
}

fn sync(pool: &Pool) {
    run(Command::new("sync").arg("-f").arg(pool.path()));
}

pub(crate) const MIB: u64 = 1 << 20;

#[test]
fn files_just_written_count() {
    let two = Two::new();
    fs::write(two.path("nog/b", "new"), noise(MIB as usize)).unwrap();
    two.grew((0, 0), (MIB, MIB));
}

#[test]
fn a_file_removed_from_one_environment_is_unique_to_the_other() {
    let two = Two::new();
    fs::write(two.path("nog/a", "new"), noise(MIB as usize)).unwrap();
    two.pool.netbe().ok("create nog/c --from nog/a");
    sync(&two.pool);
    two.grew((0, MIB), (0, 0));
    fs::remove_file(two.path("nog/c", "new")).unwrap();
    two.grew((MIB, MIB), (0, 0));
}

#[test]
fn a_reflink_to_another_environment_is_nobodys_alone() {
    let two = Two::new();
    fs::write(two.path("nog/a", "new"), noise(MIB as usize)).unwrap();
    two.grew((MIB, MIB), (0, 0));
    run(Command::new("cp")
        .arg("--reflink=always")
        .args([two.path("nog/a", "new"), two.path("nog/b", "copy")]));
    two.grew((0, MIB), (0, MIB));
    // Within one it is still that one's.
    fs::remove_file(two.path("nog/a", "new")).unwrap();
    run(Command::new("cp")
        .arg("--reflink=always")
        .args([two.path("nog/b", "copy"), two.path("nog/b", "again")]));
    two.grew((0, 0), (MIB, MIB));
    let boot = two.pool.half("nog/b", "boot").join("in-the-other-half");
    run(Command::new("cp")
        .arg("--reflink=always")
        .args([two.path("nog/b", "copy"), boot]));
    two.grew((0, 0), (MIB, MIB));
}

#[test]
fn space_held_by_other_subvolumes_is_not_freed() {
    let two = Two::new();
    fs::write(two.path("nog/b", "new"), noise(MIB as usize)).unwrap();
    fs::write(two.path("nog/b", "kept"), noise(MIB as usize)).unwrap();
    two.grew((0, 0), (2 * MIB, 2 * MIB));
    // A file of the pool's own, and a snapshot made by hand.
    let packages = two.pool.at(".packages");
    fs::create_dir_all(&packages).unwrap();
    run(Command::new("cp")
        .arg("--reflink=always")
        .args([two.path("nog/b", "kept"), packages.join("x.deb")]));
    two.grew((0, 0), (MIB, 2 * MIB));
    run(Command::new("btrfs")
        .args(["-q", "subvolume", "snapshot", "-r"])
        .args([two.pool.half("nog/b", "root"), two.pool.at("mine")]));
    two.grew((0, 0), (0, 2 * MIB));
}

#[test]
fn a_part_overwritten_keeps_the_whole_extent() {
    let two = Two::new();
    fs::write(two.path("nog/a", "new"), noise(MIB as usize)).unwrap();
    two.pool.netbe().ok("create nog/c --from nog/a");
    sync(&two.pool);
    // 64 KiB of it are written anew in one: that one still refers to all of the old extent.
    let file = File::options()
        .write(true)
        .open(two.path("nog/c", "new"))
        .unwrap();
    file.write_all_at(&noise(64 << 10), 256 << 10).unwrap();
    let before = listed_sizes(&two.pool, "nog/c").0;
    assert!((64 << 10..80 << 10).contains(&before), "{before}");
    two.grew((0, MIB), (0, 0));
    // As a few blocks of it do elsewhere.
    let (from, to) = (
        File::open(two.path("nog/a", "new")).unwrap(),
        File::create(two.path("nog/b", "part")).unwrap(),
    );
    let copied = copy_file_range(&from, Some(&mut 4096), &to, None, 8192).unwrap();
    assert_eq!(copied, 8192);
    two.grew((0, MIB), (0, MIB));
}

#[test]
fn holes_and_space_set_aside() {
    let two = Two::new();
    let file = File::create(two.path("nog/b", "sparse")).unwrap();
    file.set_len(1 << 40).unwrap();
    file.write_all_at(&noise(64 << 10), 1 << 30).unwrap();
    two.grew((0, 0), (64 << 10, 64 << 10));
    let aside = File::create(two.path("nog/b", "aside")).unwrap();
    fallocate(&aside, FallocateFlags::empty(), 0, MIB as i64).unwrap();
    two.grew((0, 0), (MIB + (64 << 10), MIB + (64 << 10)));
    let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(&file, hole, 1 << 30, 64 << 10).unwrap();
    two.grew((0, 0), (MIB, MIB));
}

#[test]
fn compressed_files_count_by_their_size_on_disk() {
    let two = Two::new();
    let directory = two.path("nog/b", "small-on-disk");
    fs::create_dir(&directory).unwrap();
    run(Command::new("btrfs")
        .args(["property", "set"])
        .arg(&directory)
        .args(["compression", "zstd"]));
    fs::write(directory.join("zeros"), vec![b'x'; 4 * MIB as usize]).unwrap();
    // An extent of 128 KiB becomes a block.
    two.grew((0, 0), (32 * 4096, 32 * 4096));
}

#[test]
fn small_files_count_in_the_leaves_they_are_in() {
    let two = Two::new();
    let directory = two.path("nog/b", "small");
    fs::create_dir(&directory).unwrap();
    for i in 0..200 {
        fs::write(directory.join(i.to_string()), vec![b'y'; 1000]).unwrap();
    }
    two.grew((0, 0), (200_000, 200_000));
    two.pool.netbe().ok("create nog/c --from nog/b");
    // But for those in a leaf that has something else in it.
    let (unique, _) = listed_sizes(&two.pool, "nog/b");
    assert!(unique < 50_000, "{unique}");
    judge(&two.pool, true, "a third");
}

#[test]
fn nested_subvolumes_count_with_their_environment() {
    let two = Two::new();
    two.pool.subvolume("nodes/nog/envs/b/root/srv/containers");
    two.pool
        .subvolume("nodes/nog/envs/b/root/srv/containers/one");
    let deep = two.path("nog/b", "srv/containers/one/file");
    fs::write(deep, noise(MIB as usize)).unwrap();
    two.grew((0, 0), (MIB, MIB));
    // What is hidden beside the halves is no other's either.
    let base = two.pool.at("nodes/nog/envs/b/.base");
    fs::create_dir(&base).unwrap();
    run(Command::new("btrfs")
        .args(["-q", "subvolume", "snapshot", "-r"])
        .args([two.pool.half("nog/b", "root"), base.join("root")]));
    fs::write(two.path("nog/b", "new"), noise(MIB as usize)).unwrap();
    two.grew((0, 0), (2 * MIB, 2 * MIB));
}

#[test]
fn an_environment_shares_with_the_origin_of_its_destroyed_origin() {
    let two = Two::new();
    for i in 0..100 {
        fs::write(two.path("nog/a", &format!("s{i}")), vec![b'z'; 1500]).unwrap();
    }
    sync(&two.pool);
    for (from, to) in [("a", "c"), ("c", "d")] {
        two.pool
            .netbe()
            .ok(&format!("create nog/{to} --from nog/{from}"));
    }
    two.pool.netbe().ok("destroy -y nog/c");
    let (unique, _) = listed_sizes(&two.pool, "nog/d");
    // Of 150,000, what shares a leaf with what was written into it.
    assert!(unique < 50_000, "{unique}");
    judge(&two.pool, true, "the one between is gone");
}

#[test]
fn a_balance_does_not_change_sizes() {
    let two = Two::new();
    for i in 0..300 {
        fs::write(two.path("nog/a", &format!("s{i}")), vec![b'z'; 1500]).unwrap();
    }
    fs::write(two.path("nog/a", "new"), noise(MIB as usize)).unwrap();
    two.pool.netbe().ok("create nog/c --from nog/a");
    fs::remove_file(two.path("nog/c", "new")).unwrap();
    let before = listed_sizes(&two.pool, "nog/a");
    for which in ["-d", "-m"] {
        run(Command::new("btrfs")
            .args(["balance", "start", which])
            .arg(two.pool.path()));
        let after = listed_sizes(&two.pool, "nog/a");
        assert_eq!(after.1, before.1);
        // A few small files, in leaves that were the environment's own, are not told apart any more.
        assert!(
            (MIB..=before.0 + (16 << 10)).contains(&after.0),
            "{before:?}, {after:?}"
        );
        let copy = listed_sizes(&two.pool, "nog/c");
        // Of 450,000, what shares a leaf with what was written into it.
        assert!(
            copy.0 < 64 << 10,
            "{which}: {copy:?}, {before:?}, {after:?}"
        );
    }
}
