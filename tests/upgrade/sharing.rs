//! Files that an upgrade rewrites with equal content share the origin's space; changed ones do not.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use netbe::btrfs::changed_since::{Paths, Written};
use netbe::btrfs::subvolume;

use super::support::{Fingerprint, Netbe, Outcome, Pool, run};
use super::{assert_ok, debian, upgrade};

const MIB: usize = 1 << 20;

/// Returns bytes that no compression makes smaller, the same for the same seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A pool whose node nog has files of its own in `/data` of its first environment.
struct Scene {
    pool: Pool,
    netbe: Netbe,
    data: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let pool = debian();
        let data = pool.half("nog/first", "root").join("data");
        fs::create_dir(&data).unwrap();
        Self {
            netbe: pool.netbe(),
            pool,
            data,
        }
    }

    /// Gives the first environment a file.
    fn file(&self, name: impl AsRef<Path>, content: &[u8]) {
        fs::write(self.data.join(name), content).unwrap();
    }

    /// Upgrades nog to `nog/next`, by a script that runs in `/data`; the first environment must not notice.
    fn upgrade(&self, script: &str) -> Outcome {
        subvolume::sync(self.pool.path()).unwrap();
        let first = self.pool.path().join("nodes/nog/envs/first");
        let before = Fingerprint::of(&first);
        let times = times(&self.data);
        let outcome = upgrade(
            &self.netbe,
            "--name next",
            &format!("set -e; cd /data; {script}"),
        );
        assert_ok(&outcome);
        before.assert_unchanged(&Fingerprint::of(&first));
        assert_eq!(times, self::times(&self.data));
        self.netbe.ok("check");
        outcome
    }

    fn next(&self, name: impl AsRef<Path>) -> PathBuf {
        self.pool.half("nog/next", "root").join("data").join(name)
    }

    /// Returns what the record of `nog/next` says: bytes changed, bytes shared again.
    fn recorded_sizes(&self) -> (u64, u64) {
        let path = self.pool.path().join("nodes/nog/envs/next/env.json");
        let record: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let number = |name: &str| record["shared"][name].as_u64().unwrap();
        (number("changed"), number("shared_again"))
    }
}

/// Returns when each file in a directory was last changed.
fn times(directory: &Path) -> BTreeSet<(PathBuf, i64, i64, i64, i64)> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let meta = path.symlink_metadata().unwrap();
            let (m, c) = (meta.mtime_nsec(), meta.ctime_nsec());
            (path, meta.mtime(), m, meta.ctime(), c)
        })
        .collect()
}

/// Returns how many bytes of what a path holds nothing else refers to.
fn exclusive(path: &Path) -> u64 {
    let output = Command::new("btrfs")
        .args(["filesystem", "du", "--raw", "-s"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let fields = text.lines().nth(1).unwrap_or_default();
    let field = fields.split_whitespace().nth(1);
    field
        .and_then(|f| f.parse().ok())
        .unwrap_or_else(|| panic!("{output:?}"))
}

/// What a package manager does: beside it, then in its place.
const REPLACE: &str = "replace() { cat \"$1\" > \"$1.new\"; mv \"$1.new\" \"$1\"; };";

#[test]
fn rewritten_equal_content_shares_extents_with_the_origin() {
    let scene = Scene::new();
    let odd = OsStr::from_bytes(b"not UTF-8 \xff\nnor one line");
    let big = noise(40 * MIB, 1);
    scene.file("big", &big);
    scene.file("tail", &noise(3 * MIB + 123, 2));
    scene.file(odd, &noise(MIB, 3));
    scene.file("linked", &noise(MIB, 4));
    fs::hard_link(scene.data.join("linked"), scene.data.join("other")).unwrap();
    let sparse = File::create(scene.data.join("sparse")).unwrap();
    sparse.set_len(64 * MIB as u64 + 5).unwrap();
    sparse
        .write_all_at(&noise(MIB, 5), 32 * MIB as u64)
        .unwrap();
    drop(sparse);

    let outcome = scene.upgrade(&format!(
        "{REPLACE} cat big > copy; cat copy > big; rm copy; \
         replace tail; replace \"$(echo not*)\"; replace linked; ln -f linked other; replace sparse"
    ));
    let (changed, shared_again) = scene.recorded_sizes();
    assert_eq!(changed, 0);
    // Zeros that were written out came to be the origin's holes again.
    assert_eq!(shared_again, (40 + 3 + 1 + 1 + 64) * MIB as u64 + 8192);
    let sentence = ": 0 B changed, 109.0 MiB shared again. To boot it next: ";
    assert!(outcome.stdout.contains(sentence), "{outcome:#?}");
    for name in ["big", "tail", "linked", "sparse"].map(OsStr::new) {
        assert_eq!(exclusive(&scene.next(name)), 0, "{}", name.display());
    }
    assert_eq!(exclusive(&scene.next(odd)), 0);
    for entry in fs::read_dir(&scene.data).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(
            fs::read(scene.data.join(&name)).unwrap() == fs::read(scene.next(&name)).unwrap(),
            "{}",
            name.display()
        );
    }
    let number = |name: &str| scene.next(name).metadata().unwrap().ino();
    assert_eq!(number("linked"), number("other"));
    // Each on its own from here on.
    let mut changed = big;
    changed[20 * MIB] ^= 1;
    fs::write(scene.next("big"), &changed).unwrap();
    assert!(fs::read(scene.data.join("big")).unwrap() != changed);
}

#[test]
fn changed_content_is_counted_and_kept() {
    let scene = Scene::new();
    let old = noise(8 * MIB, 1);
    scene.file("big", &old);
    scene.file("grown", &noise(MIB, 2));
    scene.file("shrunk", &noise(MIB, 3));
    scene.file("gone", &noise(MIB, 4));
    let outcome = scene.upgrade(
        "busybox dd if=/dev/zero of=big bs=64k seek=64 count=1 conv=notrunc; \
         head -c 65536 shrunk >> grown; \
         head -c 1000000 shrunk > new; cat new > shrunk; rm gone; mv new added",
    );
    // Of the file that became shorter nothing is as it was at its end, so nothing of that extent.
    let (changed, shared_again) = scene.recorded_sizes();
    let block = |bytes: u64| bytes.next_multiple_of(4096);
    assert_eq!(changed, 65_536 + 65_536 + 2 * block(1_000_000));
    assert_eq!(shared_again, 0, "{outcome:#?}");
    let mut want = old;
    want[64 * 65_536..65 * 65_536].fill(0);
    assert!(fs::read(scene.next("big")).unwrap() == want);
    assert_eq!(exclusive(&scene.next("big")), 65_536);
    assert_eq!(fs::read(scene.next("added")).unwrap(), noise(1_000_000, 3));
}

#[test]
fn compressed_files_are_shared_by_extent() {
    let scene = Scene::new();
    run(Command::new("btrfs")
        .args(["property", "set"])
        .arg(&scene.data)
        .args(["compression", "zstd"]));
    // Half of it noise, so that it is worth compressing and does not vanish.
    let mut text = Vec::new();
    for (i, chunk) in noise(8 * MIB, 6).chunks(2048).enumerate() {
        text.extend(chunk);
        text.extend(format!("{i:02048}").as_bytes());
    }
    text.truncate(16 * MIB - 77);
    scene.file("text", &text);
    let outcome = scene.upgrade(
        "cat text > new; echo other | busybox dd of=new bs=1 seek=8000000 conv=notrunc; mv new text",
    );
    let (changed, shared_again) = scene.recorded_sizes();
    // Pieces of 128 KiB, each compressed for itself.
    assert!(changed > 0 && changed <= 2 * 131_072, "{outcome:#?}");
    assert!(shared_again > 7 * MIB as u64, "{outcome:#?}");
    assert!(shared_again < 10 * MIB as u64, "{outcome:#?}");
    text[8_000_000..8_000_006].copy_from_slice(b"other\n");
    assert!(fs::read(scene.next("text")).unwrap() == text);
}

#[test]
fn files_stored_without_checksums_are_left_alone() {
    let scene = Scene::new();
    scene.file("file", &noise(MIB, 7));
    // Files made in it from now on have no checksums; the one that is there has.
    run(Command::new("chattr").arg("+C").arg(&scene.data));
    let outcome = scene.upgrade(&format!("{REPLACE} replace file"));
    assert_eq!(scene.recorded_sizes(), (MIB as u64, 0));
    assert!(!outcome.stderr.contains("warning: "), "{outcome:#?}");
    assert!(fs::read(scene.next("file")).unwrap() == noise(MIB, 7));
}

#[test]
fn files_stored_without_checksums_in_both_share() {
    let scene = Scene::new();
    run(Command::new("chattr").arg("+C").arg(&scene.data));
    scene.file("file", &noise(MIB, 7));
    scene.upgrade(&format!("{REPLACE} replace file"));
    assert_eq!(scene.recorded_sizes(), (0, MIB as u64));
}

#[test]
fn inside_stays_inside() {
    let scene = Scene::new();
    let content = noise(MIB, 8);
    let canary = scene.pool.path().join("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), &content).unwrap();
    // Where the origin's links lead, on the server and from the environment's own top.
    symlink(&canary, scene.data.join("directory")).unwrap();
    symlink(canary.join("file"), scene.data.join("file")).unwrap();
    symlink("elsewhere", scene.data.join("inner")).unwrap();
    scene.file("elsewhere", &content);
    nix::unistd::mkfifo(&scene.data.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(scene.data.join("folder")).unwrap();
    subvolume::sync(scene.pool.path()).unwrap();
    let before = Fingerprint::of(&canary);
    let links = scene.upgrade(&format!(
        "rm -r directory file inner pipe folder; mkdir directory; \
         for f in directory/file file inner pipe folder; do cat elsewhere > $f; done; \
         cat elsewhere > new; rm elsewhere; ln -s {} elsewhere",
        canary.join("file").display()
    ));
    assert_eq!(scene.recorded_sizes(), (6 * MIB as u64, 0), "{links:#?}");
    before.assert_unchanged(&Fingerprint::of(&canary));
    for name in ["directory/file", "file", "inner", "pipe", "folder", "new"] {
        assert_eq!(exclusive(&scene.next(name)), MIB as u64, "{name}");
        assert!(fs::read(scene.next(name)).unwrap() == content, "{name}");
    }
}

#[test]
fn the_boot_half_is_shared() {
    let scene = Scene::new();
    let initrd = scene
        .pool
        .half("nog/first", "boot")
        .join("initrd.img-6.1.0-50-amd64");
    let mut content = fs::read(&initrd).unwrap();
    content.extend(noise(2 * MIB, 9));
    fs::write(&initrd, &content).unwrap();
    scene.upgrade(&format!(
        "{REPLACE} cd /boot; for f in initrd.img-*; do replace $f; done"
    ));
    assert_eq!(scene.recorded_sizes(), (0, 2 * MIB as u64 + 4096));
}

#[test]
fn exactly_the_written_files_are_found() {
    let pool = Pool::bare(1 << 30);
    let (old, new) = (pool.path().join("old"), pool.path().join("new"));
    subvolume::create(&old).unwrap();
    fs::write(old.join("untouched"), noise(MIB, 1)).unwrap();
    fs::write(old.join("touched"), noise(MIB, 2)).unwrap();
    subvolume::sync(pool.path()).unwrap();
    subvolume::snapshot(&old, &new).unwrap();
    // Not of the copy, and as new.
    fs::write(old.join("origin's own"), noise(MIB, 3)).unwrap();

    let mut want = BTreeSet::new();
    for d in 0..30 {
        let directory = format!("a/directory {d}/deeper");
        fs::create_dir_all(new.join(&directory)).unwrap();
        for f in 0..100 {
            let path = format!("{directory}/file {f}");
            fs::write(new.join(&path), noise(5000, 1000 + f)).unwrap();
            want.insert(PathBuf::from(path));
        }
    }
    // So many long names that they do not fit into one item.
    let linked = PathBuf::from("a/directory 0/deeper/file 0");
    for i in 0..300 {
        let name = PathBuf::from(format!("a/{i:0200}"));
        fs::hard_link(new.join(&linked), new.join(&name)).unwrap();
        want.insert(name);
    }
    let touched = File::options()
        .write(true)
        .open(new.join("touched"))
        .unwrap();
    touched.write_all_at(b"x", 500_000).unwrap();
    want.insert("touched".into());
    fs::write(new.join("small"), "stands in the tree").unwrap();
    let removed = File::create(new.join("removed")).unwrap();
    removed.write_all_at(&noise(MIB, 4), 0).unwrap();
    fs::remove_file(new.join("removed")).unwrap();
    fs::rename(new.join("untouched"), new.join("renamed")).unwrap();
    subvolume::sync(pool.path()).unwrap();

    let top = File::open(&new).unwrap();
    let written = Written::after(&top, subvolume::info(&new).unwrap().made).unwrap();
    let mut paths = Paths::new(&top);
    let mut found = BTreeSet::new();
    for file in &written.files {
        let of = paths.paths(file.inode).unwrap();
        if of.is_empty() {
            assert_eq!(file.inode, removed.metadata().unwrap().ino());
        }
        found.extend(of);
    }
    assert!(found == want, "{:?}", found.symmetric_difference(&want));
    assert_eq!(written.files.len(), 3002);
    assert_eq!(written.bytes(), 3000 * 8192 + 4096 + MIB as u64);
    let number = new.join("touched").metadata().unwrap().ino();
    let touched = written.files.iter().find(|f| f.inode == number).unwrap();
    let block = 499_712..503_808;
    assert_eq!(touched.ranges, std::slice::from_ref(&block));
    let nothing = Written::after(&top, subvolume::info(&new).unwrap().generation).unwrap();
    assert!(nothing.files.is_empty() && nothing.extents.is_empty());
}
