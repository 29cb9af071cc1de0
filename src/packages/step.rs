//! One command of a package manager's, and what it does in words.
//!
//! Not for running it.

/// One command of a full upgrade.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// What it does, as progress is told: `updating package lists`; nothing of a command of somebody's.
    pub what: &'static str,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables it wants.
    pub env: Vec<(String, String)>,
    /// Exit statuses besides 0 that mean it was done, each with what it asks of people, in words; nothing where that is nothing.
    pub also_done: &'static [(i32, &'static str)],
}

impl Step {
    /// Returns whether an exit status means that it was done.
    pub fn is_done(&self, status: i32) -> bool {
        status == 0 || self.also_done.iter().any(|(also, _)| *also == status)
    }

    /// Returns what a status asks of people, in words, where it does.
    pub fn asks(&self, status: i32) -> Option<&'static str> {
        let asks = self.also_done.iter().find(|(also, _)| *also == status)?.1;
        (!asks.is_empty()).then_some(asks)
    }

    pub(super) fn new(what: &'static str, words: &[&str], env: &[(&str, &str)]) -> Self {
        Self {
            what,
            argv: words.iter().map(|word| (*word).to_string()).collect(),
            env: env
                .iter()
                .map(|(k, v)| ((*k).to_string(), (*v).to_string()))
                .collect(),
            also_done: &[],
        }
    }
}

/// What a step does, in words.
pub(super) const LISTS: &str = "updating package lists";

/// What a step does, in words.
pub(super) const KEYS: &str = "updating the distribution's keys";

/// What a step does, in words.
pub(super) const PACKAGES: &str = "upgrading packages";

/// Where packages are downloaded to: a mount of its own, empty or with what the pool has of them.
pub(super) const CACHE: &str = "/run/netbe/packages";

/// What a step does, in words.
pub(super) const FINDING: &str = "finding out what is wanted";
/// What a step does, in words.
pub(super) const FETCHING: &str = "downloading packages";
