//! The rules that a pool is held to after any fault, whatever broke.
//!
//! A judge is made before the command; it knows how the pool may look afterwards, and what must not have
//! changed at all. Its answers are lists of faults, empty when all is well, so that a harness can go on to its
//! next point and count. It looks from outside: through the program's answers and at the disk itself, never
//! through netbe's own code.

#![allow(dead_code, reason = "each harness asks what it needs")]

mod card;
mod leftovers;
mod record;
mod rules;
mod steps;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::ground::Ground;
use crate::report::against;
use crate::support::{Fingerprint, Netbe};
use rules::{halves, offered};

use leftovers::{copies_in_data, half_replaced};
pub(crate) use leftovers::{leftovers, old_copies};
pub(crate) use record::is_uuid;
pub(crate) use rules::{environment_behind, rules};
pub(crate) use steps::Steps;
pub(crate) use view::{View, is_foreign, is_time, view};
use view::{differences, is_content, timeless, with_content, without_hidden, without_roots};

/// What is wrong, a sentence each; empty when nothing is.
pub(crate) type Faults = Vec<String>;

/// What a pool may be after a fault.
#[derive(Debug)]
pub(crate) struct Judge {
    netbe: Netbe,
    pool: PathBuf,
    /// How the pool may look, each as a whole: the old first, then what was added with [`Judge::allow`].
    views: Vec<View>,
    /// What is changed file by file on the way from the first of these to the last.
    steps: Steps,
    /// The identities of the environments that there were before: their halves are part of the views.
    known: BTreeSet<String>,
    /// Both halves of each environment that the command has nothing to do with.
    untouched: BTreeMap<PathBuf, Fingerprint>,
    /// What machines are offered in all of the views.
    offered: BTreeSet<String>,
    /// What was found in each state that was judged, and by what was done there.
    judged: Mutex<HashMap<(&'static str, [u8; 32]), Found>>,
}

/// What was found in a state, and which of the views it shows.
type Found = (Faults, Option<usize>);

impl Judge {
    /// Looks at a sound pool, mounted at `pool`, before the command.
    ///
    /// `touched` are the environments it may change, `"nog/b"`, or whole nodes, `"nog"`.
    pub(crate) fn new(netbe: &Netbe, pool: &Path, touched: &[&str], steps: Steps) -> Self {
        let view = view(netbe, pool).unwrap_or_else(|fault| panic!("before: {fault}"));
        let is_touched = |name: &str| {
            let of = |one: &&str| {
                name.strip_prefix(one)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            touched.iter().any(of)
        };
        let untouched = view
            .keys()
            .filter(|name| name.contains('/') && !is_touched(name))
            .flat_map(|name| halves(pool, name))
            .map(|half| (half.clone(), Fingerprint::of(&half)))
            .collect();
        let known = record::identities(pool);
        let known: BTreeSet<String> = known.of_all().map(|(uuid, _)| uuid.clone()).collect();
        let mut judge = Self {
            netbe: netbe.clone(),
            pool: pool.to_path_buf(),
            views: Vec::new(),
            steps,
            known,
            untouched,
            offered: offered(pool),
            judged: Mutex::default(),
        };
        judge.allow();
        let faults = judge.standing().0;
        assert!(faults.is_empty(), "before: {faults:#?}");
        judge
    }

    /// Allows what the pool is now: the new state, or one between where a command has two steps.
    pub(crate) fn allow(&mut self) {
        let seen = self.seen();
        self.views
            .push(seen.unwrap_or_else(|fault| panic!("allowed: {fault}")));
        let offered = offered(&self.pool);
        self.offered.retain(|one| offered.contains(one));
    }

    /// Returns what the pool is now.
    fn seen(&self) -> Result<View, String> {
        let view = view(&self.netbe, &self.pool)?;
        let mut seen = timeless(with_content(view, &self.pool, &self.known));
        without_hidden(&mut seen);
        Ok(seen)
    }

    /// Returns what may be seen afterwards, the old first.
    pub(crate) fn views(&self) -> &[View] {
        &self.views
    }

    /// Judges the pool as it stands, before any repair; returns also which of the views it shows; their number, where it is
    /// between two steps.
    pub(crate) fn standing(&self) -> Found {
        let mut faults = rules(&self.netbe, &self.pool);
        let found = match self.seen() {
            Ok(found) => found,
            Err(fault) => return (vec![fault], None),
        };
        // What is lent to an environment is told, and put back by a repair: its files are judged after that.
        let lent = record::with_lent_files(&self.pool);
        let settled = |view: &View| without_roots(view.clone(), &lent);
        let (found, views) = (settled(&found), self.views.iter().map(settled));
        let views: Vec<View> = views.collect();
        let is_between = || self.steps.allow(&views, &found);
        let which = views.iter().rposition(|view| *view == found);
        let which = which.or_else(|| is_between().then_some(views.len()));
        if which.is_none() {
            let told = views.iter().map(|view| differences(view, &found));
            let told: Vec<String> = told
                .enumerate()
                .map(|(number, lines)| format!("to state {number}:\n    {}", lines.join("\n    ")))
                .collect();
            let what = "neither the old state nor the new, nor one of those between";
            faults.push(against(9, format!("{what}: {}", told.join("\n  "))));
        }
        for one in self.offered.difference(&offered(&self.pool)) {
            faults.push(against(3, format!("{one} is not offered any more")));
        }
        for (half, before) in &self.untouched {
            if half.symlink_metadata().is_err() {
                faults.push(against(7, format!("{} is gone", half.display())));
                continue;
            }
            let changes = before.changes(&Fingerprint::of(half));
            if !changes.is_empty() {
                let what = format!("{} was changed:\n{}", half.display(), changes.join("\n"));
                faults.push(against(4, what));
            }
        }
        (faults, which)
    }

    /// Returns what is found where the pool is in this state, judging it unless the same was judged before, of which `how` says
    /// what was done there.
    ///
    /// Most of what fails leaves one of a few states, and to judge one takes several times as long as to come there.
    pub(crate) fn once(
        &self,
        how: &'static str,
        ground: &Ground,
        judging: impl FnOnce() -> Found,
    ) -> Found {
        if ground.has_disk() {
            // What is on the disk of a node is looked at, and not part of the state.
            return judging();
        }
        let key = (how, ground.state().lasting);
        if let Some(found) = self.judged.lock().unwrap().get(&key) {
            return found.clone();
        }
        let found = judging();
        self.judged.lock().unwrap().insert(key, found.clone());
        found
    }

    /// Runs `check --repair` and judges what it leaves: nothing hidden, nothing to find, nothing changed.
    pub(crate) fn repair(&self) -> Faults {
        let mut faults = self.taken_over();
        let before = self.seen().unwrap_or_default();
        let repaired = self.netbe.run("check --repair");
        if repaired.status != 0 {
            faults.push(against(9, format!("check --repair: {repaired:#?}")));
        }
        let mut left = leftovers(&self.pool);
        left.extend(old_copies(&self.pool));
        left.extend(copies_in_data(&self.pool));
        left.extend(half_replaced(&self.pool));
        if !left.is_empty() {
            faults.push(against(9, format!("check --repair left {left:?}")));
        }
        let second = self.netbe.run("check");
        // That nodes of one pool trust one another is told of a sound pool, too, and that a card is behind.
        let told = |line: &str| {
            line.starts_with("note: the root user of ") || line.contains(" boots from its card, ")
        };
        if second.status != 0 || !second.stderr.lines().all(told) {
            faults.push(against(9, format!("a second check: {second:#?}")));
        }
        let after = self.seen().unwrap_or_default();
        // Names and files it may put right, to one of the states that are allowed: that is judged below.
        let kept = |view: &View| -> View {
            let kept = view.iter().filter(|(key, _)| !is_content(key));
            // A mark of an unfinished rename, which a repair finishes.
            kept.map(|(key, shown)| (key.clone(), record::without_mark(shown)))
                .collect()
        };
        let changes = differences(&kept(&before), &kept(&after));
        if !changes.is_empty() {
            let changes = changes.join("\n    ");
            faults.push(against(
                9,
                format!("check --repair changed:\n    {changes}"),
            ));
        }
        faults.extend(self.standing().0);
        faults.dedup();
        faults
    }

    /// Has a pool taken over, where it is still not this server's: only then is there anything to repair.
    fn taken_over(&self) -> Faults {
        let is_foreign = || view(&self.netbe, &self.pool).is_ok_and(|view| is_foreign(&view));
        let mut faults = Faults::new();
        if !is_foreign() {
            return faults;
        }
        let refused = self.netbe.run("check --repair");
        if refused.status != 3 || !refused.stderr.contains("--take-over") {
            faults.push(against(9, format!("not taken over: {refused:#?}")));
        }
        let taken = self.netbe.run("init --take-over -y");
        if taken.status != 0 || is_foreign() {
            faults.push(against(9, format!("taken over: {taken:#?}")));
        }
        faults
    }

    /// Runs the same command again, which must succeed and lead to the last of the views, or say that it is done.
    ///
    /// `done` is what it may say when it had been done: words of the error.
    pub(crate) fn again(&self, arguments: &[&str], done: &[&str]) -> Faults {
        let output = self.netbe.run_with(arguments);
        let mut faults = Faults::new();
        let was_done = [1, 2, 3, 4].contains(&output.status)
            && done.iter().any(|word| output.stderr.contains(word));
        if output.status != 0 && !was_done || output.stderr.contains("panicked") {
            faults.push(against(9, format!("again: {output:#?}")));
        }
        let (standing, which) = self.standing();
        faults.extend(standing);
        if which != Some(self.views.len() - 1) && !was_done {
            faults.push(against(
                9,
                format!("run again, it is not done: {output:#?}"),
            ));
        }
        faults
    }
}
