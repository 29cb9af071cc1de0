//! One who gives commands, one after another, and notes what became of each.

use std::sync::Mutex;
use std::time::Instant;

use super::NODES;
use crate::report::against;
use crate::support::{Netbe, Outcome};

/// What a command was to do, in the terms the account is kept in. Environments and nodes by their names.
#[derive(Debug, Clone)]
pub(super) enum Intent {
    /// An environment comes to be.
    Make(String),
    /// One goes, perhaps under another name.
    Take(String),
    /// Old ones go; which, the answer says.
    Prune,
    /// One gets another name.
    Rename(String, String),
    /// A node with its one environment comes to be.
    MakeNode(String),
    /// One gets another name.
    RenameNode(String, String),
    /// One goes.
    TakeNode(String),
    /// A description is written.
    Describe(String, String),
    /// A pin is set, or taken off.
    Pin(String, bool),
    /// Something becomes active; which one, the answer says.
    Activate(String),
    /// One is to be booted once.
    Once(String),
    /// A node has nothing before it any more.
    Cancel(String),
    /// A property of a node is set.
    Set(String, String),
    /// Nothing that is seen.
    Nothing,
}

/// A command that has ended.
#[derive(Debug, Clone)]
pub(super) struct Deed {
    pub(super) line: String,
    pub(super) intent: Intent,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) output: Outcome,
}

impl Deed {
    /// Returns why it did not end as one that meets others may.
    pub(super) fn unfair(&self) -> Option<String> {
        let told = self.output.stderr.contains("error: ");
        let fair = match self.output.status {
            0 => true,
            3..=5 => told,
            _ => false,
        };
        let panicked = self.output.stderr.contains("panicked");
        let unfair = || {
            against(
                11,
                format!("crowd: {} ended so: {:#?}", self.line, self.output),
            )
        };
        (!fair || panicked).then(unfair)
    }
}

/// The environments that somebody may still find, `NODE/ENV`, and the nodes beside the ten.
#[derive(Debug, Default)]
pub(super) struct Names {
    environments: Vec<String>,
    nodes: Vec<String>,
}

impl Names {
    pub(super) fn add(&mut self, environment: &str) {
        self.environments.push(environment.to_string());
    }

    /// Takes over what a command has done.
    fn learn(&mut self, intent: &Intent, answer: &str) {
        match intent {
            Intent::Make(new) => self.add(new),
            Intent::Take(old) => self.environments.retain(|name| name != old),
            Intent::Prune => {
                let old: Vec<&str> = destroyed(answer).collect();
                self.environments
                    .retain(|name| !old.contains(&name.as_str()));
            }
            Intent::Rename(old, new) => {
                self.environments.retain(|name| name != old);
                self.add(new);
            }
            Intent::MakeNode(new) => self.nodes.push(new.clone()),
            Intent::TakeNode(old) => self.nodes.retain(|name| name != old),
            Intent::RenameNode(old, new) => {
                self.nodes.retain(|name| name != old);
                self.nodes.push(new.clone());
            }
            _ => {}
        }
    }
}

/// One who gives commands.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    netbe: Netbe,
    number: usize,
    made: usize,
    random: u64,
    names: &'a Mutex<Names>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(netbe: Netbe, number: usize, seed: u64, names: &'a Mutex<Names>) -> Self {
        // Neighbouring numbers must not begin alike; and the generator must not begin with 0.
        let random = (seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1;
        Self {
            netbe,
            number,
            made: 0,
            random,
            names,
        }
    }

    /// Gives commands until a moment; returns all, as they ended.
    pub(super) fn work_until(mut self, end: Instant) -> Vec<Deed> {
        let mut deeds = Vec::new();
        while Instant::now() < end {
            let (line, intent) = self.next();
            let began = Instant::now();
            let output = self.netbe.run(&line);
            let ended = Instant::now();
            if output.status == 0 {
                self.names.lock().unwrap().learn(&intent, &output.stdout);
            }
            deeds.push(Deed {
                line,
                intent,
                began,
                ended,
                output,
            });
        }
        deeds
    }

    fn next(&mut self) -> (String, Intent) {
        let env = self.environment();
        let node = format!("n{}", self.below(NODES));
        match self.below(41) {
            0..=5 => self.create(&env, &node),
            6..=8 => (format!("destroy -y {env}"), Intent::Take(env)),
            9..=11 => {
                let new = self.new_name();
                let (of, _) = env.split_once('/').unwrap();
                let to = format!("{of}/{new}");
                (format!("rename {env} {new}"), Intent::Rename(env, to))
            }
            12..=15 => (format!("activate {env}"), Intent::Activate(node_of(&env))),
            16..=17 => (format!("activate --once {env}"), Intent::Once(env)),
            18 => (format!("activate --cancel {node}"), Intent::Cancel(node)),
            19..=20 => (format!("rollback {node}"), Intent::Activate(node)),
            21 => (format!("confirm {node}"), Intent::Activate(node)),
            22..=25 => {
                let text = self.new_name();
                (
                    format!("describe {env} {text}"),
                    Intent::Describe(env, text),
                )
            }
            26..=27 => (format!("pin {env}"), Intent::Pin(env, true)),
            28..=29 => (format!("unpin {env}"), Intent::Pin(env, false)),
            30..=31 => {
                let value = self.new_name();
                (
                    format!("set cmdline={value} {node}"),
                    Intent::Set(node, value),
                )
            }
            32 => (
                format!("set nfs.options=actimeo={}", 1 + self.below(90)),
                Intent::Nothing,
            ),
            33 => self.upgrade(&node),
            34..=37 => self.of_nodes(),
            38 => (format!("prune {node} --keep 8"), Intent::Prune),
            39 => ("publish".to_string(), Intent::Nothing),
            _ => ("reconcile".to_string(), Intent::Nothing),
        }
    }

    fn create(&mut self, env: &str, node: &str) -> (String, Intent) {
        let new = format!("{node}/{}", self.new_name());
        let line = match self.below(3) {
            0 => format!("create {new}"),
            1 => format!("create {new} --from {env}"),
            _ => format!("clone {env} {new}"),
        };
        (line, Intent::Make(new))
    }

    fn upgrade(&mut self, node: &str) -> (String, Intent) {
        let name = self.new_name();
        (
            format!("upgrade {node} --name {name} -- touch /etc/{name}"),
            Intent::Make(format!("{node}/{name}")),
        )
    }

    fn of_nodes(&mut self) -> (String, Intent) {
        let new = format!("m{}", self.new_name());
        let names = self.names.lock().unwrap().nodes.clone();
        let one = names.get(self.below(names.len().max(1))).cloned();
        match (self.below(4), one) {
            (0, Some(old)) => (format!("rename {old} {new}"), Intent::RenameNode(old, new)),
            (1, Some(old)) => (format!("destroy -y -r {old}"), Intent::TakeNode(old)),
            _ => (format!("create {new}/base"), Intent::MakeNode(new)),
        }
    }

    /// Returns an environment that was there a moment ago.
    fn environment(&mut self) -> String {
        let names = self.names.lock().unwrap().environments.clone();
        names[self.below(names.len())].clone()
    }

    /// Returns a name that nobody gives again.
    fn new_name(&mut self) -> String {
        self.made += 1;
        format!("w{}-{}", self.number, self.made)
    }

    /// Returns a number below another; xorshift, which nobody has to guess.
    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from((self.random >> 16) % limit as u64).unwrap()
    }
}

/// Returns what was destroyed, from `Destroyed NODE/ENV, NODE/ENV.`.
pub(super) fn destroyed(answer: &str) -> impl Iterator<Item = &str> {
    let names = answer.strip_prefix("Destroyed ").unwrap_or_default();
    let names = names.trim_end().trim_end_matches('.');
    names.split(", ").filter(|name| !name.is_empty())
}

/// Returns the node of an environment.
pub(super) fn node_of(environment: &str) -> String {
    environment
        .split('/')
        .next()
        .unwrap_or_default()
        .to_string()
}
