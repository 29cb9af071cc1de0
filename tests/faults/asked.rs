//! What alone is to be tried: `NETBE_FAULT`, the name of a harness and what it knows, with colons between.
//!
//! A name that no harness has, or no scene, is a fault of who asks, and fails: nothing would be tried. Not for which points
//! there are: the harnesses know.

/// The names of the harnesses, as `NETBE_FAULT` begins.
const HARNESSES: [&str; 9] = [
    "killed", "failing", "power", "grub", "full", "crowd", "reading", "damaged", "fuzz",
];

/// Returns what is asked for, if anything is.
pub(crate) fn asked() -> Option<String> {
    let asked = std::env::var("NETBE_FAULT").ok()?;
    if asked.is_empty() {
        return None;
    }
    let harness = asked.split(':').next().unwrap_or_default();
    assert!(
        HARNESSES.contains(&harness),
        "NETBE_FAULT={asked}: no harness is named {harness:?}; there are {HARNESSES:?}"
    );
    Some(asked)
}

/// Returns what is asked of this harness, beyond its name: nothing where another one is asked for, and an empty text where
/// all of it is to be tried.
pub(crate) fn of(harness: &str) -> Option<String> {
    let Some(asked) = asked() else {
        return Some(String::new());
    };
    let (first, rest) = asked.split_once(':').unwrap_or((&asked, ""));
    (first == harness).then(|| rest.to_string())
}

/// Returns whether everything is to be tried.
pub(crate) fn is_full() -> bool {
    form().is_some_and(|form| form == "full" || form == CHANGES)
}

/// Returns whether of a program's calls only those are to be tried before which another has, or may have, changed something.
/// Killed at the others, it leaves the same.
pub(crate) fn only_after_changes() -> bool {
    form().is_some_and(|form| form == CHANGES)
}

const CHANGES: &str = "changes";

fn form() -> Option<String> {
    std::env::var("NETBE_FAULTS").ok()
}

/// One command, or all; one place in it, or all of them.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) full: bool,
    pub(crate) scene: Option<String>,
    pub(crate) number: Option<usize>,
}

impl Choice {
    /// Returns what is asked of this harness, whose commands have these names; nothing where another one is asked for.
    pub(crate) fn of(harness: &str, scenes: &[&str]) -> Option<Self> {
        let asked = of(harness)?;
        let mut words = asked.split(':').filter(|word| !word.is_empty());
        let scene = words.next().map(str::to_string);
        if let Some(name) = &scene {
            assert!(
                scenes.contains(&name.as_str()),
                "{harness} has no command {name:?}; there are {scenes:?}"
            );
        }
        let number = words.next().map(|word| {
            let number = word.parse();
            number.unwrap_or_else(|_| panic!("{harness}: {word:?} is no number of a place"))
        });
        Some(Self {
            full: scene.is_some() || is_full(),
            scene,
            number,
        })
    }

    /// Returns whether a command is to be tried.
    pub(crate) fn has(&self, scene: &str) -> bool {
        self.scene.as_ref().is_none_or(|name| name == scene)
    }
}
