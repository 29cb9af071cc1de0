//! Every command line of README, docs and manual pages is run as it stands, or marked with the reason why not.
//!
//! `not_run.rs` has the marks. A line in none of them that does not end with 0 fails the test, with where it stands and what it
//! printed; so does a mark that fits no line. Not for what a command does: that is the business of the other tests.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

mod format;
mod ground;
mod line;
mod man;
mod markdown;
mod not_run;
mod own;
mod pages;
mod paths;
mod scenes;
#[path = "../support/mod.rs"]
mod support;
mod surroundings;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ground::Ground;
use not_run::{How, TABLE};
use pages::Asked;
use scenes::Scene;
use support::Outcome;

/// How many commands run at once.
const WORKERS: usize = 6;

#[test]
fn every_documented_command_line_runs() {
    let (asked, mut wrong) = pages::all();
    let mut used = BTreeSet::new();
    for line in &asked {
        used.extend(line.mark);
    }
    for (number, (pattern, _)) in TABLE.iter().enumerate() {
        if !used.contains(&number) {
            wrong.push(format!("not_run.rs: no document has: {pattern}"));
        }
    }
    let reason = |line: &Asked| match line.how() {
        Some(How::NotRun(reason)) => Some(reason),
        _ => None,
    };
    for line in &asked {
        if let Some(reason) = reason(line) {
            println!("not run: {}: {reason}", line.text);
        }
    }
    // Some of them alone, by a part of the line or of where it stands.
    let only = std::env::var("NETBE_DOCUMENTED").unwrap_or_default();
    let is_meant =
        |line: &Asked| line.text.contains(&only) || line.places.join(" ").contains(&only);
    let is_run = |line: &&Asked| reason(line).is_none() && is_meant(line);
    let run: Vec<&Asked> = asked.iter().filter(is_run).collect();
    let ground = Ground::new();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (ground, next, failed, run) = (&ground, &next, &failed, &run);
            scope.spawn(move || {
                surroundings::network();
                let scenes = ground.of_worker(worker);
                while let Some(line) = run.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(said) = tried(ground, &scenes, line) {
                        failed.lock().unwrap().push(said);
                    }
                }
            });
        }
    });
    wrong.extend(failed.into_inner().unwrap());
    println!(
        "figures: {} documented command lines, {} run, {} not run for a reason",
        asked.len(),
        run.len(),
        asked.iter().filter(|line| reason(line).is_some()).count()
    );
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Runs a line on one day after the other, until it ends as it should; returns what is wrong where it never does.
fn tried(ground: &Ground, scenes: &std::path::Path, line: &Asked) -> Option<String> {
    let mut output = format!("{}: {}\n", line.places.join(", "), line.text);
    if let Some(How::Own(before)) = line.how() {
        let outcome = own::outcome(before, &line.run);
        return (outcome.status != 0).then(|| output + &failure_report(Scene::Later, &outcome));
    }
    for scene in Scene::TRIED {
        let (before, text, status): (&[&str], _, _) = match line.how() {
            Some(How::After(before) | How::Asks(before)) => (before, line.run.clone(), 0),
            Some(How::Ends(status, reason)) => {
                output += &format!("    it is to end with {status}: {reason}\n");
                (&[], line.run.clone(), status)
            }
            Some(How::Stays) => (&[], format!("timeout 2 {}", line.run), 124),
            _ => (&[], line.run.clone(), 0),
        };
        let other = match line.run.contains("ssh ") {
            true => scene.other(),
            false => "",
        };
        let before = format!("{other}\n{}", before.join("\n"));
        // In the same shell: they go into directories, and set variables.
        let text = match line.above.is_empty() {
            true => text,
            false => format!("set -e\n{}\nset +e\n{text}", line.above.join("\n")),
        };
        let outcome = ground.outcome(scenes, scene, &before, &text);
        if outcome.status == status {
            return None;
        }
        output += &failure_report(scene, &outcome);
    }
    Some(output)
}

fn failure_report(scene: Scene, outcome: &Outcome) -> String {
    let output = match outcome.stderr.is_empty() {
        true => &outcome.stdout,
        false => &outcome.stderr,
    };
    let last: Vec<&str> = output.lines().rev().take(4).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    format!(
        "    {scene:?}: status {}: {}\n",
        outcome.status,
        last.join("\n        ")
    )
}
