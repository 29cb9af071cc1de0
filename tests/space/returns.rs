//! The announced space against the freed space; and a pool that changes during a measurement.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::given::listed_sizes;
use super::support::{Pool, output, run};
use super::truth::settle;

/// Returns what the filesystem's data takes, in bytes; blocks of trees are apart from it.
fn data(pool: &Pool) -> u64 {
    settle(pool);
    let shown = output(
        Command::new("btrfs")
            .args(["filesystem", "df", "--raw"])
            .arg(pool.path()),
    );
    let shown = String::from_utf8_lossy(&shown).into_owned();
    let line = shown.lines().find(|l| l.starts_with("Data")).unwrap();
    line.rsplit("used=").next().unwrap().trim().parse().unwrap()
}

/// Returns the bytes that `destroy -n` says come back.
fn promised(pool: &Pool, operands: &str) -> u64 {
    let plan = pool.plans(&format!("destroy {operands}"));
    let line = plan.lines().last().unwrap();
    let (start, end) = (line.find('(').unwrap(), line.find(" bytes)").unwrap());
    assert!(line.starts_with("would free "), "{plan}");
    line[start + 1..end].parse().unwrap()
}

fn noise(path: &Path, length: usize) {
    let mut bytes = vec![0; length];
    File::open("/dev/urandom")
        .unwrap()
        .read_exact_at(&mut bytes, 0)
        .unwrap();
    fs::write(path, bytes).unwrap();
}

/// A node with environments that share in all kinds of ways; everything in extents.
fn pool() -> Pool {
    let pool = Pool::with_node();
    let file = |env: &str, name: &str| pool.half(env, "root").join(name);
    noise(&file("nog/a", "of-all"), 1 << 20);
    noise(&file("nog/a", "to-go"), 2 << 20);
    for env in ["b", "c", "d"] {
        pool.netbe().ok(&format!("create nog/{env} --from nog/a"));
    }
    noise(&file("nog/b", "own"), 3 << 20);
    run(Command::new("cp")
        .arg("--reflink=always")
        .args([file("nog/b", "own"), file("nog/c", "b-and-c")]));
    noise(&pool.half("nog/c", "boot").join("own"), 4 << 20);
    for env in ["nog/a", "nog/d"] {
        fs::remove_file(file(env, "to-go")).unwrap();
    }
    pool
}

#[test]
fn destroy_frees_the_announced_space() {
    for operands in [
        "nog/b",
        "nog/c",
        "nog/b nog/c",
        "nog/d nog/b",
        "nog/b nog/c nog/d",
    ] {
        let pool = pool();
        let before = data(&pool);
        let promise = promised(&pool, operands);
        if let [one] = operands.split(' ').collect::<Vec<_>>()[..] {
            assert_eq!(listed_sizes(&pool, one).0, promise);
        }
        pool.netbe().ok(&format!("destroy -y {operands}"));
        let back = before - data(&pool);
        // Small files are in blocks of trees, and no data.
        let inline = promise.checked_sub(back).unwrap();
        assert!(
            inline < 64 << 10,
            "{operands}: {promise} promised, {back} came back"
        );
    }
}

#[test]
fn several_give_back_more_than_each_by_itself() {
    let pool = pool();
    let (b, c) = (promised(&pool, "nog/b"), promised(&pool, "nog/c"));
    let both = promised(&pool, "nog/b nog/c");
    // What only these two have: 3 MiB of the one's, 2 MiB that the others removed.
    let more = both - b - c;
    assert!((5 << 20..(5 << 20) + (64 << 10)).contains(&more), "{more}");
    assert_eq!(both, promised(&pool, "nog/c nog/b nog/c"));
}

#[test]
fn a_node_gives_back_all_it_has() {
    let pool = pool();
    pool.subvolume("nodes/nog/.staged-x-64c0ffee1");
    noise(&pool.at("nodes/nog/.staged-x-64c0ffee1/half-done"), 1 << 20);
    let before = data(&pool);
    let promise = promised(&pool, "-r nog");
    pool.netbe().ok("destroy -ry nog");
    let back = before - data(&pool);
    let inline = promise.checked_sub(back).unwrap();
    assert!(inline < 64 << 10, "{promise} promised, {back} came back");
}

#[test]
fn refused_environments_are_not_counted_as_freed() {
    let pool = pool();
    let output = pool.netbe().run("destroy -n nog/a");
    assert_eq!((output.status, output.stdout.as_str()), (3, ""));
    let both = pool.netbe().run("destroy -n nog/a nog/b");
    let one = pool.netbe().run("destroy -n nog/b");
    assert_eq!((both.status, one.status), (3, 0));
    assert_eq!(both.stdout, one.stdout);
}

#[test]
fn a_pool_that_changes_meanwhile_is_still_listed() {
    let pool = pool();
    let busy: Vec<_> = (0..2)
        .map(|i| {
            let script = format!(
                "for n in $(seq 12); do \"$0\" create nog/t{i}-$n --from nog/b && \
                 rm \"$NETBE_POOL/nodes/nog/envs/t{i}-$n/root/own\" && \"$0\" destroy -y nog/t{i}-$n; done"
            );
            let mut plain = pool.netbe().plain();
            let program = plain.get_program().to_owned();
            let variables: Vec<_> = plain
                .get_envs()
                .filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned())))
                .collect();
            plain = Command::new("bash");
            plain.env_clear().envs(variables).arg("-ec").arg(script).arg(program);
            plain.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut seen = 0;
    let mut busy = busy.into_iter().map(Some).collect::<Vec<_>>();
    while busy.iter().any(Option::is_some) {
        let text = pool.netbe().ok("list -H --space");
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            assert_eq!(fields.len(), 9, "{line}");
            if fields[1] == "c" {
                assert!(fields[5].parse::<u64>().unwrap() >= 4 << 20, "{line}");
            }
        }
        seen += 1;
        for one in &mut busy {
            if one
                .as_mut()
                .is_some_and(|c| c.try_wait().unwrap().is_some())
            {
                let ended = one.take().unwrap().wait_with_output().unwrap();
                let text = String::from_utf8_lossy(&ended.stderr).into_owned();
                assert!(ended.status.success(), "{text}");
            }
        }
    }
    assert!(seen > 3, "looked at {seen} times only");
}
