//! Pools that are damaged in one place: everything that looks still answers, and names it; nothing else is touched.
//!
//! A table: each place there is, in each state it can be in, under each command. The pool is a fresh copy for each
//! damage. `NETBE_FAULT=damaged:PLACE:STATE` runs one again, such as `damaged:nodes/nog/envs/b/env.json:pipe`.

mod ground;
mod judge;
mod spoil;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::asked;
use crate::report::figures;
use ground::Ground;
use spoil::{Damage, damages};

#[test]
fn invariants_5_and_10_hold_whatever_is_damaged() {
    let Some(only) = asked::of("damaged") else {
        return;
    };
    let only = only.as_str();
    let full = asked::is_full();
    let mut work: Vec<Damage> = damages()
        .into_iter()
        .filter(|d| d.name().starts_with(only) && (full || !only.is_empty() || d.is_telling()))
        .collect();
    assert!(!work.is_empty(), "there is no damage {only}");
    work.reverse();
    let damaged = work.len();
    let (work, faults, points) = (
        Mutex::new(work),
        Mutex::new(Vec::new()),
        AtomicUsize::new(0),
    );
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let ground = Ground::new();
                while let Some(damage) = { work.lock().unwrap().pop() } {
                    let judged = judge::judge(&ground, &damage, full);
                    points.fetch_add(judged.points, Ordering::Relaxed);
                    for fault in judged.faults {
                        // At once: a run that is stopped has told what it found.
                        let told = format!("damaged:{}: {fault}", damage.name());
                        eprintln!("{told}");
                        faults.lock().unwrap().push(told);
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    let points = points.into_inner();
    figures(&format!(
        "damaged: {damaged} damages, {points} points, {} faults",
        faults.len()
    ));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
