//! `-n` says what is done: every changing command is run with it and then for real, on pools that are the same.
//!
//! Both refuse the same, in the same words; and whatever changed on disk was named by a step.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::support::{MAC, Outcome, Pool, System};

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

fn nothing(_: &Pool) {}

fn written(pool: &Pool) {
    fs::write(pool.half("nog/a", "root").join("etc/new"), "x").unwrap();
}

const DONE: &[(&str, Prepare)] = &[
    ("create nog/c", nothing),
    ("create nog/c -a -d text", nothing),
    ("create nog/c --from nog/bare", nothing),
    ("create werda/w --mac 02:00:00:00:00:09", nothing),
    ("create werda/w --from nog", nothing),
    ("clone nog/b nog/c", nothing),
    ("clone nog/b ordo/z -a", nothing),
    ("create ordo/z --from nog -a", nothing),
    ("create nog/t --from ordo --try", nothing),
    ("create nog/t --from base --merge -a", nothing),
    ("create ordo/z werda/z --from nog", nothing),
    ("import fresh/one SYSTEM", nothing),
    ("import nog/one SYSTEM -d text", nothing),
    ("import nog/one BESIDE/stream", exported),
    ("import far/one BESIDE/stream", exported),
    ("activate nog/b", nothing),
    ("activate nog/a", nothing),
    ("activate nog/bare --force", nothing),
    ("activate --once nog/b", nothing),
    ("activate --try nog/b", nothing),
    ("activate --try nog/b", with_trial),
    ("activate nog --cancel", with_trial),
    ("activate nog --cancel", astray),
    ("confirm nog", with_trial),
    ("rollback nog", with_b_active),
    ("destroy -y nog/b", nothing),
    ("destroy -y nog/b nog/bare", nothing),
    ("destroy -y -r ordo", nothing),
    ("rename nog/b c", nothing),
    ("rename nog/bare c", nothing),
    ("rename ordo/x z", nothing),
    ("rename ordo werda", nothing),
    ("describe nog/b text", nothing),
    ("pin nog/b", nothing),
    ("unpin nog/kept", nothing),
    ("set cmdline=quiet nog", nothing),
    ("set keep=3 cmdline=quiet", nothing),
    ("set server=192.0.2.2 --existing", nothing),
    ("set mac= nog", nothing),
    ("init --server 192.0.2.9", nothing),
    ("set data=/home,/srv nog", with_helper),
    ("set data=default", with_helper),
    ("set data=none ordo", with_data),
    ("destroy -y --data ordo /home", with_data),
    ("destroy -y -r --data ordo", with_data),
    ("rename ordo werda", with_data),
    ("create werda/w --from ordo", with_data),
    ("clone ordo nog/z --data", with_data),
    ("set mac=02:00:00:00:00:08 ordo", nothing),
    ("upgrade --node nog --name n -- touch /etc/new", nothing),
    ("upgrade --node nog --name n -a -- touch /etc/new", nothing),
    ("upgrade nog/b --name n --once -- touch /etc/new", nothing),
    ("upgrade nog/b --name n --try -- touch /etc/new", nothing),
    ("upgrade --all --name n -- touch /etc/new", nothing),
    ("upgrade --all --name n -a -- touch /etc/new", nothing),
    ("merge nog/a nog/b --name m", written),
    ("run nog/b -- true", nothing),
    ("mount nog/b BESIDE/mnt", nothing),
    ("umount nog/b", mounted),
    ("export nog/b -o BESIDE/out", nothing),
    ("publish", nothing),
    ("prune nog --keep 1", nothing),
    ("dedupe", nothing),
    ("check --repair", with_leftovers),
    ("check --repair", stale),
    ("check --repair", without_record),
    ("check --repair", without_active),
    ("reconcile", with_trial),
    ("reconcile", astray),
];

const REFUSED: &[(&str, i32, Prepare)] = &[
    ("create nog/b", 3, nothing),
    ("create nog/c --from nog/none", 4, nothing),
    ("create nog/c --from nog/bare -a", 3, nothing),
    ("create nog/c --mac 02:00:00:00:00:09", 2, nothing),
    ("create werda/w --from nog/bare", 3, nothing),
    ("create werda/w --from nog --try", 3, nothing),
    ("create ordo/z --from nog --once", 3, nothing),
    ("create werda/z --from nog --merge", 3, nothing),
    ("create nog/c --from nog/b --merge", 2, nothing),
    ("create nog/b ordo/y --from base", 3, nothing),
    ("create werda/w --mac dc:a6:32:01:02:03", 3, nothing),
    ("clone nog/bare ordo/z -a", 3, nothing),
    ("clone nog/b nog/kept", 3, nothing),
    ("import nog/b SYSTEM", 3, nothing),
    ("import nog/c BESIDE/mnt", 1, nothing),
    ("activate nog/bare", 3, nothing),
    ("activate nog/none", 4, nothing),
    ("activate --once nog/a", 3, nothing),
    ("activate --try nog/bare", 3, nothing),
    ("activate --once ordo/y", 3, nothing),
    ("confirm nog", 3, nothing),
    ("rollback nog", 3, nothing),
    ("destroy -y nog/a", 3, nothing),
    ("destroy -y nog/kept", 3, nothing),
    ("destroy -y nog/b", 3, with_trial),
    ("destroy -y nog/b", 3, mounted),
    ("destroy -y -r nog", 3, nothing),
    ("destroy -y nog/none", 4, nothing),
    ("rename nog/a c", 3, nothing),
    ("rename nog/b kept", 3, nothing),
    ("rename nog/b c", 3, mounted),
    ("rename nog werda", 3, nothing),
    ("rename ordo nog", 3, nothing),
    ("describe nog/none text", 4, nothing),
    ("pin nog/none", 4, nothing),
    ("set mac=dc:a6:32:01:02:03 ordo", 3, nothing),
    ("set nonsense=1 nog", 2, nothing),
    ("set mac=02:00:00:00:00:08 base", 3, nothing),
    ("set keep=many", 2, nothing),
    ("set data=/home nog", 3, nothing),
    ("set data=/usr nog", 2, nothing),
    ("set data=/nowhere nog", 3, with_helper),
    ("destroy -y --data ordo /srv", 3, with_data),
    ("destroy -y --data ordo /opt", 4, with_data),
    ("destroy -y -r ordo", 3, with_data),
    ("upgrade --node nog --name b -- true", 3, nothing),
    ("upgrade nog/none -- true", 4, nothing),
    ("upgrade --node ordo --once -- true", 3, nothing),
    ("merge nog/a nog/none", 4, nothing),
    ("merge nog/a nog/a", 2, nothing),
    ("merge nog/a ordo/x", 3, nothing),
    ("merge nog/a nog/b --name kept", 3, nothing),
    ("run nog/a -- true", 125, nothing),
    ("run nog/none -- true", 125, nothing),
    ("run nog/b -- true", 125, with_trial),
    ("mount nog/none", 4, nothing),
    ("umount nog/b", 4, nothing),
    ("export nog/b --since nog/a -o BESIDE/out", 3, nothing),
    ("prune none", 4, nothing),
];

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
