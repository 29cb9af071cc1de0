//! Many at once: what any of them reported as done is done, and nothing else; readers never see half a thing.
//!
//! Writers take commands from a generator, all verbs mixed, over ten nodes. Each notes when a command began, when it
//! ended and with which status; at the end the pool has to be what these notes add up to. No name is used twice, so
//! that what exists does not depend on an order nobody knows; of what is set again and again, the last value has to
//! be of a command after whose end no other one began. Readers look all the while.
//!
//! The same commands again: `NETBE_FAULT=crowd:SEED cargo test --test faults crowd`; in which order they meet is the
//! machine's choice.

mod account;
mod writer;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::asked;
use crate::judge::{self, Faults};
use crate::report::{against, figures};
use crate::support::{MAC, Netbe, Pool};
use account::Account;
use writer::{Deed, Names, Writer};

/// How many nodes the writers share.
const NODES: usize = 10;

/// What the generator begins with when nobody says.
const SEED: u64 = 20_261_121;

/// How many readers look on.
const READERS: usize = 3;

#[test]
fn invariants_1_to_3_and_9_to_11_hold_in_a_crowd() {
    let Some(asked) = asked::of("crowd") else {
        return;
    };
    let seed = match asked.as_str() {
        "" => SEED,
        seed => seed.parse().expect("a seed is a number"),
    };
    let full = asked::is_full();
    let (writers, time) = if full { (64, 60) } else { (16, 10) };
    let pool = Pool::with_template();
    let names = Mutex::new(Names::default());
    for node in 0..NODES {
        // Every other one is served: nobody may take away what a machine perhaps runs.
        let mac = if node % 2 == 0 {
            format!(" --mac {}{node}", &MAC[..MAC.len() - 1])
        } else {
            String::new()
        };
        pool.netbe().ok(&format!("create n{node}/base{mac}"));
        names.lock().unwrap().add(&format!("n{node}/base"));
    }
    let (end, done, looks) = (
        Instant::now() + Duration::from_secs(time),
        AtomicBool::new(false),
        AtomicUsize::new(0),
    );
    let (deeds, mut faults) = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                scope.spawn({
                    let (netbe, done, looks) = (pool.netbe(), &done, &looks);
                    move || look_on(reader, &netbe, done, looks)
                })
            })
            .collect();
        let writing: Vec<_> = (0..writers)
            .map(|number| {
                let writer = Writer::new(pool.netbe(), number, seed, &names);
                scope.spawn(move || writer.work_until(end))
            })
            .collect();
        let deeds: Vec<Deed> = writing
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect();
        done.store(true, Ordering::Relaxed);
        let faults: Faults = readers
            .into_iter()
            .flat_map(|reader| reader.join().unwrap())
            .collect();
        (deeds, faults)
    });
    faults.extend(deeds.iter().filter_map(Deed::unfair));
    faults.extend(Account::of(&deeds).compare(&pool));
    faults.extend(judge::rules(&pool.netbe(), pool.path()));
    faults.extend(
        judge::leftovers(pool.path())
            .into_iter()
            .chain(judge::old_copies(pool.path()))
            .map(|left| against(9, format!("left behind: {left}"))),
    );
    let sound = pool.netbe().run("check");
    if sound.status != 0 {
        faults.push(against(9, format!("check: {sound:#?}")));
    }
    figures(&format!(
        "crowd: {}, {} looks, seed {seed}, {} faults",
        summary(&deeds),
        looks.into_inner(),
        faults.len()
    ));
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

fn summary(deeds: &[Deed]) -> String {
    let of = |status: i32| {
        deeds
            .iter()
            .filter(|deed| deed.output.status == status)
            .count()
    };
    let (done, refused, missing, waited) = (of(0), of(3), of(4), of(5));
    format!(
        "{} commands ({done} done, {refused} refused, {missing} not found, {waited} waited too long)",
        deeds.len()
    )
}

/// Reads all that can be read until the writers are done; returns what was wrong.
fn look_on(reader: usize, netbe: &Netbe, done: &AtomicBool, looks: &AtomicUsize) -> Faults {
    let mut faults = Faults::new();
    let lines = [
        "list --json",
        "status --json",
        "list --tree",
        "check --json",
    ];
    for line in lines.iter().cycle().skip(reader) {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let output = netbe.run(line);
        looks.fetch_add(1, Ordering::Relaxed);
        let why = match serde_json::from_str::<Value>(&output.stdout) {
            _ if output.status != 0 => Some("it failed".to_string()),
            Ok(document) if *line == "list --json" => half_listed(&document),
            Ok(document) if *line == "status --json" => half_told(&document),
            Err(error) if line.ends_with("--json") => Some(error.to_string()),
            _ => None,
        };
        faults.extend(why.map(|why| against(10, format!("crowd: {line}: {why}: {output:#?}"))));
    }
    faults
}

/// Returns what a list shows that no list may show.
fn half_listed(document: &Value) -> Option<String> {
    let Some(environments) = document["environments"].as_array() else {
        return Some("it lists nothing".to_string());
    };
    let is_half = |env: &&Value| env["complete"] != true || env["kernel"].is_null();
    if let Some(half) = environments.iter().find(is_half) {
        return Some(format!("not complete, or without its kernel: {half}"));
    }
    (0..NODES).map(|node| format!("n{node}")).find_map(|node| {
        let is_active = |env: &&Value| env["node"] == *node && env["active"] == true;
        let number = environments.iter().filter(is_active).count();
        (number != 1).then(|| format!("{node} has {number} active environments"))
    })
}

/// Returns what a status tells that no status may tell.
fn half_told(document: &Value) -> Option<String> {
    let Some(nodes) = document["nodes"].as_array() else {
        return Some("it tells of nothing".to_string());
    };
    (0..NODES).map(|node| format!("n{node}")).find_map(|name| {
        let Some(node) = nodes.iter().find(|node| node["node"] == *name) else {
            return Some(format!("{name} is not there"));
        };
        let problems = node["problems"].as_array()?;
        let half = problems.iter().find(|p| {
            !p.as_str()
                .is_some_and(|p| p.starts_with("no machine can ask"))
        })?;
        Some(format!("{name}: {half}"))
    })
}
