//! A command of a package manager, with a description for progress.

/// A command of a full upgrade.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Description for progress: `updating package lists`; empty for a user's command.
    pub what: &'static str,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Exit statuses other than 0 that mean success, each with a request to the user, or empty.
    pub also_done: &'static [(i32, &'static str)],
}

impl Step {
    /// Returns whether an exit status means success.
    pub fn is_done(&self, status: i32) -> bool {
        status == 0 || self.also_done.iter().any(|(also, _)| *also == status)
    }

    /// Returns the request to the user of an exit status, if there is one.
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

/// Description for progress.
pub(super) const LISTS: &str = "updating package lists";

/// Description for progress.
pub(super) const KEYS: &str = "updating the distribution's keys";

/// Description for progress.
pub(super) const PACKAGES: &str = "upgrading packages";

/// The download directory: a separate mount, with packages from the pool's cache.
pub(super) const CACHE: &str = "/run/netbe/packages";

/// Description for progress.
pub(super) const FINDING: &str = "finding out what is wanted";
/// Description for progress.
pub(super) const FETCHING: &str = "downloading packages";

/// Description for progress.
pub(super) const INSTALLING: &str = "installing packages";
/// Description for progress.
pub(super) const REMOVING: &str = "removing packages";

/// Returns a step that installs packages.
pub(super) fn installing(
    make: impl Fn(&'static str, &[&str]) -> Step,
    words: &[&str],
    names: &[String],
) -> Step {
    with_names(INSTALLING, make, words, names)
}

/// Returns a step that removes packages.
pub(super) fn removing(
    make: impl Fn(&'static str, &[&str]) -> Step,
    words: &[&str],
    names: &[String],
) -> Step {
    with_names(REMOVING, make, words, names)
}

fn with_names(
    what: &'static str,
    make: impl Fn(&'static str, &[&str]) -> Step,
    words: &[&str],
    names: &[String],
) -> Step {
    let names = names.iter().map(String::as_str);
    let words: Vec<&str> = words.iter().copied().chain(names).collect();
    make(what, &words)
}
