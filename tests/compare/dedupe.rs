//! `dedupe`: what is the same shares its space, and nothing else changes.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::{Fingerprint, Pool, output, run};
use super::{noise, used};

const MIB: usize = 1 << 20;

/// Returns a pool with nodes n1, n2, … of one template; each has the environment `a`.
fn pool(nodes: usize) -> Pool {
    let pool = Pool::with_template();
    for number in 1..=nodes {
        pool.netbe().ok(&format!("create n{number}/a"));
    }
    pool
}

fn data(pool: &Pool, node: &str) -> PathBuf {
    let data = pool.half(&format!("{node}/a"), "root").join("data");
    fs::create_dir_all(&data).unwrap();
    data
}

/// Returns every time of every file below a directory.
fn times(directory: &Path) -> Vec<(PathBuf, [i64; 6])> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            all.extend(times(&path));
        }
        let times = [
            (meta.atime(), meta.atime_nsec()),
            (meta.mtime(), meta.mtime_nsec()),
            (meta.ctime(), meta.ctime_nsec()),
        ];
        let [(a, b), (c, d), (e, f)] = times;
        all.push((path, [a, b, c, d, e, f]));
    }
    all.sort();
    all
}

/// Runs it, and makes sure that nothing changed but where on disk things lie.
fn dedupe(pool: &Pool, line: &str) -> String {
    let nodes = pool.at("nodes");
    // In this order: taking a fingerprint reads.
    let content = Fingerprint::of(&nodes);
    let before = times(&nodes);
    let said = pool.netbe().ok(line);
    assert_eq!(before, times(&nodes));
    content.assert_unchanged(&Fingerprint::of(&nodes));
    pool.assert_sound();
    said
}

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
        .strip_prefix("would gain ")
        .unwrap();
    let said = dedupe(&pool, "dedupe");
    assert_eq!(
        said,
        format!("Shared the space of 140 files in 7 of 9 environments: {gain} came back.\n")
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
        "Nothing to share: looked through 9 environments.\n"
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
fn what_is_not_quite_the_same_stays_as_it_is() {
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
    let said = dedupe(&pool, "dedupe");
    drop(writer);
    assert!(
        said.starts_with("Shared the space of 3 files in "),
        "{said}"
    );
    let again = pool.netbe().ok("dedupe");
    assert!(again.starts_with("Nothing to share"), "{again}");
    for node in [&one, &two] {
        run(Command::new("chattr").arg("-i").arg(node.join("immutable")));
    }
}

#[test]
fn a_compressed_copy_is_what_is_kept() {
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
    let said = dedupe(&pool, "dedupe");
    assert!(said.contains("1 file in 1 of 3 environments"), "{said}");
    // The large one went.
    let after = used(&pool);
    assert!(before - after > 4_000_000, "{before} {after}");
}

#[test]
fn what_a_snapshot_of_somebody_elses_holds_does_not_come_back() {
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
    let said = dedupe(&pool, "dedupe");
    assert_eq!(
        said,
        "Shared the space of 1 file in 1 of 3 environments: 0 B came back.\n"
    );
}

#[test]
fn nodes_by_name_are_compared_with_each_other_and_their_origins() {
    let pool = pool(3);
    for node in ["n1", "n2", "n3"] {
        fs::write(data(&pool, node).join("file"), noise(MIB, 1)).unwrap();
    }
    let stock = pool.half("base/stock", "root").join("data");
    fs::create_dir(&stock).unwrap();
    fs::write(stock.join("file"), noise(MIB, 1)).unwrap();
    let plan = pool.plans("dedupe n1");
    assert_eq!(plan, "would share 1 file of n1/a\nwould gain 1.0 MiB\n");
    let said = dedupe(&pool, "dedupe n1 n2");
    assert_eq!(
        said,
        "Shared the space of 2 files in 2 of 3 environments: 2.0 MiB came back.\n"
    );
    pool.netbe().fails(4, "dedupe n1 none");
    assert!(!pool.at("locks/none").exists());
}

#[test]
fn a_node_that_is_being_changed_is_left_out_and_told() {
    let pool = pool(3);
    for node in ["n1", "n2", "n3"] {
        fs::write(data(&pool, node).join("file"), noise(MIB, 1)).unwrap();
    }
    let held = File::open(pool.at("locks/n2")).unwrap();
    held.lock().unwrap();
    let outcome = pool.netbe().run("dedupe --wait 0");
    assert_eq!(outcome.status, 5, "{outcome:#?}");
    assert!(
        outcome
            .stdout
            .starts_with("Shared the space of 1 file in 1 of"),
        "{outcome:#?}"
    );
    assert!(
        outcome.stderr.contains("error: n2 is being changed"),
        "{outcome:#?}"
    );
    drop(held);
    let said = dedupe(&pool, "dedupe");
    assert!(
        said.starts_with("Shared the space of 1 file in 1 of"),
        "{said}"
    );
    let busy = File::create(pool.at("locks/DEDUPE")).unwrap();
    busy.lock().unwrap();
    pool.netbe().fails(5, "dedupe --wait 0");
}

#[test]
fn stopped_it_leaves_everything_as_it_was_and_says_what_it_did() {
    let pool = pool(2);
    for node in ["n1", "n2"] {
        let data = data(&pool, node);
        for file in 0..1500 {
            fs::write(data.join(format!("{file}")), noise(40_000, file)).unwrap();
        }
    }
    let content = Fingerprint::of(&pool.at("nodes"));
    let child = pool.netbe().spawn("dedupe", Stdio::null());
    let until = Instant::now() + Duration::from_secs(60);
    let first = pool.half("n2/a", "root").join("data/9");
    let extents = || output(Command::new("filefrag").arg("-v").arg(&first));
    let before = extents();
    while extents() == before && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    if output.status.code() != Some(0) {
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.starts_with("error: stopped by SIGINT; until then "),
            "{said}"
        );
    }
    content.assert_unchanged(&Fingerprint::of(&pool.at("nodes")));
    pool.netbe().ok("dedupe");
}

#[test]
fn environments_can_be_destroyed_and_changed_meanwhile() {
    let pool = pool(4);
    for node in ["n1", "n2", "n3", "n4"] {
        let data = data(&pool, node);
        for file in 0..300 {
            fs::write(data.join(format!("{file}")), noise(50_000, file)).unwrap();
        }
    }
    pool.netbe().ok("create n4/b -a");
    let lines = [
        "dedupe",
        "destroy -y n4/a",
        "destroy -r -y n3",
        "rename n2/a c",
        "dedupe -n",
    ];
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    for outcome in pool.at_once(&lines) {
        assert_eq!(outcome.status, 0, "{outcome:#?}");
        assert_eq!(outcome.stderr, "", "{outcome:#?}");
    }
    pool.assert_sound();
    dedupe(&pool, "dedupe");
    let kept = pool.half("n4/b", "root").join("data/7");
    assert_eq!(fs::read(kept).unwrap(), noise(50_000, 7));
}

#[test]
fn what_a_node_plants_leads_nowhere() {
    let pool = pool(2);
    let outside = pool.beside().join("outside");
    fs::create_dir(&outside).unwrap();
    let (one, two) = (data(&pool, "n1"), data(&pool, "n2"));
    for directory in [&one, &outside] {
        fs::create_dir_all(directory.join("d")).unwrap();
        fs::write(directory.join("d/file"), noise(MIB, 1)).unwrap();
    }
    symlink(outside.join("d"), two.join("d")).unwrap();
    let pipe = two.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(one.join("pipe"), noise(MIB, 2)).unwrap();
    fs::set_permissions(&one, fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(
        dedupe(&pool, "dedupe"),
        "Nothing to share: looked through 3 environments.\n"
    );
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
    let said = dedupe(&pool, "dedupe");
    assert_eq!(
        said,
        "Shared the space of 3 files in 3 of 5 environments: 60.0 MiB came back.\n"
    );
    assert!(plan.ends_with("would gain 60.0 MiB\n"), "{plan}");
    let after = used(&pool);
    assert!(before - after > 59 * MIB as u64, "{before} {after}");
    assert_eq!(
        pool.netbe().ok("dedupe"),
        "Nothing to share: looked through 5 environments.\n"
    );
}
