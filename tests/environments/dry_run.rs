//! `-n` says what is done: every changing command is run with it and then for real, on pools that are the same.
//!
//! Both refuse the same, in the same words; and whatever changed on disk was named by a step.

mod lines;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;

use self::lines::{DONE, REFUSED};

use crate::support::{self, MAC, Outcome, Pool, System};

/// What a command line is run on, besides the pool that [`scene`] makes.
type Prepare = fn(&Pool);

/// Returns a pool with the served node `nog` (`a` active, `b`, `bare` without modules, `kept` pinned), and `ordo`, which no
/// machine asks for.
fn scene() -> Pool {
    let pool = Pool::with_template();
    let netbe = pool.netbe();
    netbe.ok(&format!("create nog/a --mac {MAC}"));
    for env in ["b", "bare", "kept"] {
        netbe.ok(&format!("create nog/{env}"));
    }
    netbe.ok("pin nog/kept");
    fs::remove_dir_all(pool.half("nog/bare", "root").join("usr/lib/modules")).unwrap();
    netbe.ok("create ordo/x");
    netbe.ok("create ordo/y");
    System::debian().build(&pool.beside().join("system"));
    fs::create_dir(pool.beside().join("mnt")).unwrap();
    pool
}

/// Returns what can be told of a pool from outside, a fact each.
fn facts(pool: &Pool) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let list: Value = serde_json::from_str(&pool.netbe().ok("list --json")).unwrap();
    for env in list["environments"].as_array().unwrap() {
        let (node, name) = (env["node"].as_str().unwrap(), env["name"].as_str().unwrap());
        let mut fact =
            |what: &str, value: String| facts.insert(format!("{what} {node}/{name}"), value);
        fact("environment", env["uuid"].to_string());
        fact("description", env["description"].to_string());
        fact("pinned", env["pinned"].to_string());
        let link = fs::read_link(pool.at(&format!("nodes/{node}/active")));
        facts.insert(format!("active {node}"), format!("{link:?}"));
        for file in ["node.json", "pending.json"] {
            let text = fs::read_to_string(pool.at(&format!("nodes/{node}/{file}")));
            facts.insert(format!("{file} {node}"), text.unwrap_or_default());
        }
    }
    facts.insert("pool.json".into(), pool.read("pool.json"));
    for entry in fs::read_dir(pool.at("tftp")).unwrap().flatten() {
        let to = fs::read_link(entry.path()).unwrap();
        let name = entry.file_name().into_string().unwrap();
        facts.insert(format!("tftp {name}"), to.display().to_string());
    }
    facts
}

/// Returns what differs, a fact each.
fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let all = before.keys().chain(after.keys());
    let mut changed: Vec<String> = all
        .filter(|fact| before.get(*fact) != after.get(*fact))
        .cloned()
        .collect();
    changed.sort();
    changed.dedup();
    changed
}

/// Returns whether a step names a fact that changed.
fn names(step: &str, fact: &str) -> bool {
    let (what, of) = fact.split_once(' ').unwrap_or((fact, ""));
    let node = of.split('/').next().unwrap_or(of);
    let says = |words: &[&str]| words.iter().any(|word| step.contains(word));
    match what {
        "environment" | "description" | "pinned" => {
            says(&[of]) || (says(&["environments of", "destroy node"]) && says(&[node]))
        }
        "active" => says(&[of]) && says(&["boot", "activate", "make", "destroy", "lead"]),
        "pending.json" => says(&[of]) && says(&["boot", "lead", "make", "destroy"]),
        "node.json" => says(&[of]),
        "pool.json" => says(&["the pool"]),
        // What leads machines there goes with what they are led to.
        _ => says(&[
            "boot", "activate", "make", "destroy", "lead", "link", "publish", "set",
        ]),
    }
}

fn run(pool: &Pool, line: &str) -> Outcome {
    let line = line
        .replace(
            "SYSTEM",
            &pool.beside().join("system").display().to_string(),
        )
        .replace("BESIDE", &pool.beside().display().to_string());
    pool.netbe().run(&line)
}

/// Returns a command line with `-n`, before the program that it runs.
fn planning(line: &str) -> String {
    match line.split_once(" -- ") {
        Some((netbe, program)) => format!("{netbe} -n -- {program}"),
        None => format!("{line} -n"),
    }
}

/// Returns the words of an error and its hint, without what is made of the time.
fn error(outcome: &Outcome) -> Vec<String> {
    let lines = outcome.stderr.lines();
    lines
        .filter(|l| l.starts_with("error: ") || l.starts_with("hint: "))
        .map(str::to_string)
        .collect()
}

fn with_trial(pool: &Pool) {
    pool.netbe().ok("activate --try nog/b");
}

fn with_b_active(pool: &Pool) {
    pool.netbe().ok("activate nog/b");
}

fn mounted(pool: &Pool) {
    run(pool, "mount nog/b BESIDE/mnt");
}

fn exported(pool: &Pool) {
    run(pool, "export nog/a -o BESIDE/stream");
}

fn exported_with_data(pool: &Pool) {
    with_data(pool);
    run(pool, "export ordo/x --data -o BESIDE/stream");
}

fn with_leftovers(pool: &Pool) {
    pool.netbe().ok("destroy -y nog/bare");
    fs::create_dir(pool.at("nodes/nog/.staged-z-64c0ffee1")).unwrap();
}

/// Takes away the record of an environment that nothing else is told by.
fn without_record(pool: &Pool) {
    pool.netbe().ok("destroy -y nog/bare");
    fs::remove_file(pool.at("nodes/ordo/envs/y/env.json")).unwrap();
}

/// Takes away the link of a node with one complete environment.
fn without_active(pool: &Pool) {
    pool.netbe().ok("destroy -y nog/bare ordo/y");
    fs::remove_file(pool.at("nodes/ordo/active")).unwrap();
}

/// As [`astray`], where nothing else is to be found.
fn stale(pool: &Pool) {
    pool.netbe().ok("destroy -y nog/bare");
    astray(pool);
}

/// Leads a machine to an environment that is not active, as a crash at the end of a trial does.
fn astray(pool: &Pool) {
    let name = pool.at(&format!("tftp/{}", MAC.replace(':', "-")));
    fs::remove_file(&name).unwrap();
    symlink("../nodes/nog/envs/b/boot", &name).unwrap();
}

/// Lets the systems of `nog` and `ordo` mount data.
fn with_helper(pool: &Pool) {
    pool.netbe().ok("destroy -y nog/bare");
    for env in ["nog/a", "nog/b", "nog/kept", "ordo/x", "ordo/y"] {
        fs::write(pool.half(env, "root").join("usr/sbin/mount.nfs"), "").unwrap();
    }
}

fn with_data(pool: &Pool) {
    with_helper(pool);
    pool.netbe().ok("set data=/home,/srv ordo");
    pool.netbe().ok("set data=/srv ordo");
}

/// Makes a Raspberry Pi `pi` with `a` active and `b`, which boots from a card in the directory `card`.
fn with_card(pool: &Pool) {
    let at = pool.beside().join("card");
    fs::create_dir(&at).unwrap();
    let mut mount = Command::new("mount");
    support::run(mount.args(["-t", "tmpfs", "card"]).arg(&at));
    let system = pool.beside().join("raspi");
    System::raspberry_pi().build(&system);
    pool.netbe()
        .ok(&format!("import raspi/base {}", system.display()));
    pool.netbe()
        .ok("create pi/a --from raspi --mac 02:00:00:00:00:11");
    pool.netbe().ok("create pi/b");
    pool.netbe()
        .ok(&format!("deploy pi --boot {}", at.display()));
}

/// Mounts the disk of a node in the directory `node`.
fn with_disk(pool: &Pool) {
    let (file, at) = (pool.beside().join("disk"), pool.beside().join("node"));
    fs::File::create(&file).unwrap().set_len(256 << 20).unwrap();
    fs::create_dir(&at).unwrap();
    support::run(Command::new("mkfs.btrfs").arg("-q").arg(&file));
    support::run(Command::new("mount").arg(&file).arg(&at));
}

fn read_only(pool: &Pool) {
    support::run(
        Command::new("mount")
            .args(["-o", "remount,bind,ro"])
            .arg(pool.path()),
    );
}

fn nothing(_: &Pool) {}

fn written(pool: &Pool) {
    fs::write(pool.half("nog/a", "root").join("etc/new"), "x").unwrap();
}

#[test]
fn a_dry_run_names_whatever_is_done_and_changes_nothing() {
    for (line, prepare) in DONE {
        let pool = scene();
        prepare(&pool);
        let before = facts(&pool);
        let all = pool.fingerprint();
        let planned = run(&pool, &planning(line));
        // What is found is there until it is mended.
        let status = i32::from(line.starts_with("check"));
        assert_eq!(planned.status, status, "{line} -n: {planned:#?}");
        all.assert_unchanged(&pool.fingerprint());
        let is_step = |line: &&str| line.starts_with("would ");
        let steps: Vec<&str> = planned.stdout.lines().filter(is_step).collect();
        let done = run(&pool, line);
        assert_eq!(done.status, 0, "{line}: {done:#?}");
        for fact in changes(&before, &facts(&pool)) {
            assert!(
                steps.iter().any(|step| names(step, &fact)),
                "netbe {line} changed {fact}, and no step says so: {steps:#?}"
            );
        }
    }
}

#[test]
fn a_dry_run_refuses_what_is_refused_in_the_same_words() {
    for (line, status, prepare) in REFUSED {
        let pool = scene();
        prepare(&pool);
        let before = facts(&pool);
        let planned = run(&pool, &planning(line));
        let done = run(&pool, line);
        assert_eq!(
            (planned.status, done.status),
            (*status, *status),
            "{line}: {planned:#?} {done:#?}"
        );
        assert_eq!(error(&planned), error(&done), "{line}");
        assert_eq!(
            changes(&before, &facts(&pool)),
            Vec::<String>::new(),
            "{line}"
        );
    }
}

#[test]
fn an_import_looks_at_the_beginning_of_its_source() {
    let pool = Pool::with_template();
    for content in ["no system at all\n".repeat(9000), String::new()] {
        let path = pool.beside().join("source");
        fs::write(&path, content).unwrap();
        for line in ["import -n debian", "import debian"] {
            let line = format!("{line} {}", path.display());
            let said = pool.netbe().fails(1, &line);
            assert!(
                said.contains("is not an operating system netbe can read"),
                "{said}"
            );
        }
    }
}
