//! Files that are shared, files that are not, and the space that is freed.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::process::Command;

use crate::support::{noise, run};
use crate::{MIB, data, dedupe, pool, used};

#[test]
fn eight_nodes_upgraded_each_by_itself_take_hardly_more_than_one() {
    let pool = pool(8);
    for number in 1..=8 {
        let data = data(&pool, &format!("n{number}"));
        for file in 0..20 {
            fs::write(data.join(format!("library{file}")), noise(MIB + 123, file)).unwrap();
        }
        fs::write(data.join("log"), noise(20_000, 1000 + number)).unwrap();
    }
    let before = used(&pool);
    let plan = pool.plans("dedupe");
    assert!(plan.contains("would share 20 files of n8/a\n"), "{plan}");
    assert_eq!(plan.lines().count(), 8, "{plan}");
    let gain = plan
        .lines()
        .last()
        .unwrap()
        .strip_prefix("would free ")
        .unwrap();
    let output = dedupe(&pool, "dedupe");
    assert_eq!(
        output,
        format!("Shared 140 files in 7 of 9 environments: {gain} freed.\n")
    );
    let eight = used(&pool);
    // Seven times twenty files of 257 blocks.
    let expected = 7 * 20 * 257 * 4096;
    assert!(
        before - eight > expected - expected / 50,
        "{before} {eight}"
    );
    assert_eq!(
        pool.netbe().ok("dedupe"),
        "Nothing to share: compared 9 environments.\n"
    );
    assert_eq!(pool.netbe().ok("dedupe -n"), "");
    assert_eq!(pool.netbe().ok("dedupe -q"), "");
    for number in 2..=8 {
        pool.netbe().ok(&format!("destroy -r -y n{number}"));
    }
    let one = used(&pool);
    assert!(
        eight as f64 <= 1.1 * one as f64,
        "{eight} for eight, {one} for one"
    );
}

#[test]
fn files_that_differ_are_not_shared() {
    let pool = pool(2);
    let (one, two) = (data(&pool, "n1"), data(&pool, "n2"));
    let both = |name: &str, first: &[u8], second: &[u8]| {
        fs::write(one.join(name), first).unwrap();
        fs::write(two.join(name), second).unwrap();
    };
    let same = noise(300_001, 1);
    both("same", &same, &same);
    let mut last = same.clone();
    *last.last_mut().unwrap() ^= 1;
    both("last-byte", &same, &last);
    both("longer", &same, &[&same[..], b"x"].concat());
    both("inline", b"small", b"small");
    both("empty", b"", b"");
    // Holes on one side, zeros on the other.
    let holes = File::create(one.join("holes")).unwrap();
    holes.set_len(4 * MIB as u64).unwrap();
    holes.write_all_at(&same, MIB as u64).unwrap();
    let mut zeros = vec![0; 4 * MIB];
    zeros[MIB..MIB + same.len()].copy_from_slice(&same);
    fs::write(two.join("holes"), &zeros).unwrap();
    // Under another path, or another type of thing under the same.
    fs::write(one.join("here"), &same).unwrap();
    fs::write(two.join("there"), &same).unwrap();
    fs::write(one.join("kind"), &same).unwrap();
    symlink("same", two.join("kind")).unwrap();
    // Two names of one file.
    both("linked", &noise(MIB, 7), &noise(MIB, 7));
    fs::hard_link(one.join("linked"), one.join("other")).unwrap();
    fs::hard_link(two.join("linked"), two.join("other")).unwrap();
    // What must not be written, and what is being written.
    both("immutable", &noise(MIB, 8), &noise(MIB, 8));
    run(Command::new("chattr").arg("+i").arg(one.join("immutable")));
    run(Command::new("chattr").arg("+i").arg(two.join("immutable")));
    let writer = File::options().append(true).open(two.join("same")).unwrap();
    let output = dedupe(&pool, "dedupe");
    drop(writer);
    assert!(output.starts_with("Shared 3 files in "), "{output}");
    let again = pool.netbe().ok("dedupe");
    assert!(again.starts_with("Nothing to share"), "{again}");
    for node in [&one, &two] {
        run(Command::new("chattr").arg("-i").arg(node.join("immutable")));
    }
}

#[test]
fn the_compressed_copy_is_kept() {
    let pool = pool(2);
    let (one, two) = (data(&pool, "n1"), data(&pool, "n2"));
    run(Command::new("btrfs")
        .args(["property", "set"])
        .arg(&two)
        .args(["compression", "zstd"]));
    let text = "the same words again\n".repeat(200_000);
    for node in [&one, &two] {
        fs::write(node.join("text"), &text).unwrap();
    }
    let before = used(&pool);
    let output = dedupe(&pool, "dedupe");
    assert!(output.contains("1 file in 1 of 3 environments"), "{output}");
    // The large one went.
    let after = used(&pool);
    assert!(before - after > 4_000_000, "{before} {after}");
}

#[test]
fn space_held_by_other_snapshots_is_not_counted_as_freed() {
    let pool = pool(2);
    for node in ["n1", "n2"] {
        fs::write(data(&pool, node).join("file"), noise(8 * MIB, 1)).unwrap();
    }
    for node in ["n1", "n2"] {
        run(Command::new("btrfs")
            .args(["-q", "subvolume", "snapshot"])
            .arg(pool.half(&format!("{node}/a"), "root"))
            .arg(pool.at(&format!("kept-{node}"))));
    }
    let output = dedupe(&pool, "dedupe");
    assert_eq!(output, "Shared 1 file in 1 of 3 environments: 0 B freed.\n");
}

#[test]
fn large_files_that_nearly_are_the_same_share_the_rest() {
    let pool = pool(4);
    let cache = noise(20 * MIB + 77, 1);
    for (number, node) in ["n1", "n2", "n3", "n4"].iter().enumerate() {
        let mut own = cache.clone();
        own[677] ^= 1 + number as u8 / 2;
        own[9 * MIB] = number as u8 / 2;
        *own.last_mut().unwrap() = number as u8 / 2;
        fs::write(data(&pool, node).join("cache"), own).unwrap();
        // Half of it is another matter.
        let mut half = noise(2 * MIB, 9);
        half[..MIB].copy_from_slice(&noise(MIB, 10 + number as u64));
        fs::write(data(&pool, node).join("half"), half).unwrap();
    }
    let before = used(&pool);
    let plan = pool.plans("dedupe");
    let output = dedupe(&pool, "dedupe");
    assert_eq!(
        output,
        "Shared 3 files in 3 of 5 environments: 60.0 MiB freed.\n"
    );
    assert!(plan.ends_with("would free 60.0 MiB\n"), "{plan}");
    let after = used(&pool);
    assert!(before - after > 59 * MIB as u64, "{before} {after}");
    assert_eq!(
        pool.netbe().ok("dedupe"),
        "Nothing to share: compared 5 environments.\n"
    );
}
