//! The sum of all commands that succeeded, compared with the pool.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::Value;

use super::NODES;
use super::writer::{Deed, Intent, destroyed, node_of};
use crate::judge::Faults;
use crate::report::against;
use crate::support::Pool;

/// Something that is set again and again, with all the values it was given.
#[derive(Debug, Default)]
struct Register(Vec<(Instant, Instant, String)>);

impl Register {
    fn set(&mut self, deed: &Deed, value: &str) {
        self.0.push((deed.began, deed.ended, value.to_string()));
    }

    /// Returns the values it can have now: of the commands after whose end no other one began.
    fn possible(&self, first: &str) -> BTreeSet<String> {
        let Some(last) = self.0.iter().map(|(began, ..)| *began).max() else {
            return BTreeSet::from([first.to_string()]);
        };
        let open = self.0.iter().filter(|(_, ended, _)| *ended >= last);
        open.map(|(.., value)| value.clone()).collect()
    }
}

/// The account of all that was done.
///
/// An environment is known by the name it was made with: a rename does not make it another one.
#[derive(Debug, Default)]
pub(super) struct Account {
    environments: BTreeSet<String>,
    nodes: BTreeSet<String>,
    /// The names that environments were made with, by those they were given.
    first_names: BTreeMap<String, String>,
    descriptions: BTreeMap<String, Register>,
    pins: BTreeMap<String, Register>,
    active: BTreeMap<String, Register>,
    pending: BTreeMap<String, Register>,
    cmdlines: BTreeMap<String, Register>,
    faults: Faults,
}

impl Account {
    /// Adds up what was reported as done.
    pub(super) fn of(deeds: &[Deed]) -> Self {
        let mut account = Self::default();
        for node in 0..NODES {
            account.environments.insert(format!("n{node}/base"));
        }
        let mut deeds: Vec<&Deed> = deeds
            .iter()
            .filter(|deed| deed.output.status == 0)
            .collect();
        // What gave a name ended before anybody could use it: nobody hears of it earlier.
        // But for what prunes, which finds names by itself, and takes them as they are in the end.
        deeds.sort_by_key(|deed| (matches!(deed.intent, Intent::Prune), deed.ended));
        // Names first: a rename may be told after what was done under the new name.
        let renames = deeds.iter().filter_map(|deed| match &deed.intent {
            Intent::Rename(old, new) => Some((new.clone(), old.clone())),
            _ => None,
        });
        account.first_names = renames.collect();
        for deed in deeds {
            account.add(deed);
        }
        account
    }

    fn add(&mut self, deed: &Deed) {
        match &deed.intent {
            Intent::Make(new) => drop(self.environments.insert(new.clone())),
            Intent::Take(old) => self.takes(deed, old),
            Intent::Prune => {
                for old in destroyed(&deed.output.stdout) {
                    self.takes(deed, old);
                }
            }
            Intent::Rename(old, new) => {
                self.takes(deed, old);
                self.environments.insert(new.clone());
            }
            Intent::MakeNode(new) => drop(self.nodes.insert(new.clone())),
            Intent::TakeNode(old) => self.takes_node(deed, old),
            Intent::RenameNode(old, new) => {
                self.takes_node(deed, old);
                self.nodes.insert(new.clone());
            }
            Intent::Describe(env, text) => {
                let env = self.first_name(env);
                self.descriptions.entry(env).or_default().set(deed, text);
            }
            Intent::Pin(env, pinned) => {
                let env = self.first_name(env);
                self.pins
                    .entry(env)
                    .or_default()
                    .set(deed, &pinned.to_string());
            }
            Intent::Activate(node) => {
                let env = self.first_name(&activated(&deed.output.stdout));
                self.active.entry(node.clone()).or_default().set(deed, &env);
                self.pending.entry(node.clone()).or_default().set(deed, "");
            }
            Intent::Once(env) => {
                let env_id = self.first_name(env);
                self.pending
                    .entry(node_of(env))
                    .or_default()
                    .set(deed, &env_id);
            }
            Intent::Cancel(node) => self.pending.entry(node.clone()).or_default().set(deed, ""),
            Intent::Set(node, value) => self
                .cmdlines
                .entry(node.clone())
                .or_default()
                .set(deed, value),
            Intent::Nothing => {}
        }
    }

    fn takes(&mut self, deed: &Deed, old: &str) {
        if !self.environments.remove(old) {
            let what = format!("crowd: {} is done, of what was not there", deed.line);
            self.faults.push(against(11, what));
        }
    }

    fn takes_node(&mut self, deed: &Deed, old: &str) {
        if !self.nodes.remove(old) {
            let what = format!("crowd: {} is done, of what was not there", deed.line);
            self.faults.push(against(11, what));
        }
    }

    fn first_name(&self, name: &str) -> String {
        let mut name = name;
        while let Some(before) = self.first_names.get(name) {
            name = before;
        }
        name.to_string()
    }

    /// Returns where the pool differs from it.
    pub(super) fn compare(mut self, pool: &Pool) -> Faults {
        let mut faults = std::mem::take(&mut self.faults);
        let text = pool.netbe().ok("list --json");
        let document: Value = serde_json::from_str(&text).unwrap();
        let listed = document["environments"].as_array().unwrap();
        let name = |env: &Value| {
            format!(
                "{}/{}",
                env["node"].as_str().unwrap(),
                env["name"].as_str().unwrap()
            )
        };
        let found: BTreeSet<_> = listed
            .iter()
            .map(name)
            .filter(|name| !name.starts_with("base/"))
            .collect();
        let wanted = self.nodes.iter().map(|node| format!("{node}/base"));
        let wanted: BTreeSet<_> = self.environments.iter().cloned().chain(wanted).collect();
        for lost in wanted.difference(&found) {
            faults.push(against(11, format!("crowd: {lost} is lost")));
        }
        for surplus in found.difference(&wanted) {
            let what = format!("crowd: {surplus} is there, and nobody made it or somebody took it");
            faults.push(against(11, what));
        }
        let mut pending: BTreeMap<String, String> = BTreeMap::new();
        for env in listed {
            let (name, node) = (name(env), env["node"].as_str().unwrap());
            let first = self.first_name(&name);
            let own = |register: &BTreeMap<String, Register>, key: &str, default: &str| {
                register.get(key).map_or_else(
                    || BTreeSet::from([default.to_string()]),
                    |r| r.possible(default),
                )
            };
            let mut expect = |what: &str, found: String, possible: &BTreeSet<String>| {
                if !possible.contains(&found) {
                    let what =
                        format!("crowd: {what} of {name} is {found:?}, and can be {possible:?}");
                    faults.push(against(11, what));
                }
            };
            expect(
                "description",
                env["description"].as_str().unwrap().to_string(),
                &own(&self.descriptions, &first, ""),
            );
            expect(
                "pin",
                env["pinned"].to_string(),
                &own(&self.pins, &first, "false"),
            );
            if env["active"] == true && node.starts_with('n') {
                expect(
                    "place",
                    first.clone(),
                    &own(&self.active, node, &format!("{node}/base")),
                );
            }
            if env["pending"] == "once" {
                pending.insert(node.to_string(), first);
            }
        }
        for (node, register) in &self.pending {
            let (found, possible) = (
                pending.get(node).cloned().unwrap_or_default(),
                register.possible(""),
            );
            if !possible.contains(&found) {
                let what = format!("crowd: before {node} is {found:?}, and can be {possible:?}");
                faults.push(against(11, what));
            }
        }
        for (node, register) in &self.cmdlines {
            let row = pool.netbe().ok(&format!("get cmdline {node} -H"));
            let (found, possible) = (
                row.split('\t').nth(2).unwrap_or_default().to_string(),
                register.possible(""),
            );
            if !possible.contains(&found) {
                let what =
                    format!("crowd: cmdline of {node} is {found:?}, and can be {possible:?}");
                faults.push(against(11, what));
            }
        }
        faults
    }
}

/// Returns what became active, from `Activated NODE/ENV; …` or `NODE/ENV is active.`.
fn activated(answer: &str) -> String {
    let words: Vec<&str> = answer.split_whitespace().collect();
    let word = match words.as_slice() {
        ["Activated", env, ..] => env.trim_end_matches([';', '.']),
        [env, ..] => env,
        [] => "",
    };
    word.to_string()
}
