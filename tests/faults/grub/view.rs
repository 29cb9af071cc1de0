//! The boot of a machine that is its own node, as a reader of its disks finds it: the active environment, the menu of all
//! environments, and the one booted once.
//!
//! The reader is GRUB's own, or the running kernel's. Not for what else is in the pool.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::judge::Faults;
use crate::report::against;
use crate::support::Machine;

/// The pool, by its path from the top level of the filesystem.
const POOL: &str = "/netbe";

/// The files that boot something, by their names: each name has one content.
pub(crate) type Known = BTreeMap<String, Vec<u8>>;

/// Returns the kernels and initramfs that there are.
pub(crate) fn known(machine: &Machine) -> Known {
    let places = ["/@/boot", "/netbe/nodes/nog/active/boot"];
    let dirs = places.map(|place| live(machine, place));
    let entries = dirs.iter().filter_map(|dir| std::fs::read_dir(dir).ok());
    entries
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name, std::fs::read(entry.path()).ok()?))
        })
        .collect()
}

/// Returns where the running kernel has a path from the top level.
pub(crate) fn live(machine: &Machine, path: &str) -> PathBuf {
    machine.disk.path().join(path.trim_start_matches('/'))
}

/// A part of what boots the machine: each is changed in a step of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Configuration,
    Active,
    Offered,
    Once,
}

impl Part {
    const ALL: [Self; 4] = [Self::Configuration, Self::Active, Self::Offered, Self::Once];
}

/// What boots the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// GRUB's own configuration.
    configuration: Option<String>,
    /// What the active environment says.
    active: Option<String>,
    /// What those say that the menu offers, by their names.
    offered: BTreeMap<String, String>,
    /// What is booted once.
    once: Option<String>,
    /// What cannot be booted of these.
    broken: Vec<String>,
}

impl View {
    /// Returns what GRUB finds on the disks as they are.
    pub(crate) fn of_grub(machine: &Machine, known: &Known) -> Self {
        Self::read(known, &machine.grub_block(), |path| {
            machine.grub_finds(path)
        })
    }

    /// Returns what the running kernel finds.
    pub(crate) fn of_kernel(machine: &Machine, known: &Known) -> Self {
        let block = machine.block();
        let find = |path: &str| std::fs::read(live(machine, path)).ok();
        Self::read(known, &block, find)
    }

    fn read(known: &Known, block: &[u8], find: impl Fn(&str) -> Option<Vec<u8>>) -> Self {
        let text = |path: &str| {
            let bytes = find(path)?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let mut view = Self {
            configuration: text("/@/boot/grub/grub.cfg"),
            active: text(&format!("{POOL}/nodes/nog/active/boot/grub/netbe.cfg")),
            offered: BTreeMap::new(),
            once: once(block),
            broken: Vec::new(),
        };
        let menu = text(&format!("{POOL}/environments.cfg")).unwrap_or_default();
        for line in menu.lines() {
            let condition = line.strip_prefix("if [ -f ");
            let Some(file) = condition.and_then(|rest| rest.strip_suffix(" ]; then")) else {
                continue;
            };
            let name = Path::new(file).ancestors().nth(3).unwrap();
            let name = name.file_name().unwrap().to_string_lossy().into_owned();
            // Otherwise GRUB leaves the entry out.
            if let Some(output) = text(file) {
                let own = format!("{POOL}/nodes/nog/envs/{name}/boot/");
                view.broken.extend(broken(&output, &own, known, &find));
                view.offered.insert(name, output);
            }
        }
        if let Some(output) = &view.active {
            view.broken.extend(broken(output, POOL, known, &find));
        }
        view
    }

    /// Returns whether anything is active.
    pub(crate) fn has_active(&self) -> bool {
        self.active.is_some()
    }

    /// Returns what is booted once.
    pub(crate) fn once(&self) -> Option<&str> {
        self.once.as_deref()
    }

    /// Returns the names of the environments that are offered.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.offered.keys().map(String::as_str).collect()
    }

    /// Returns the faults of what GRUB finds after a command has said that this was done.
    pub(crate) fn after(&self, done: &Self) -> Faults {
        let mut faults = Faults::new();
        if self.active != done.active {
            let what = format!(
                "what is active is {:?}, and not {:?}",
                self.active, done.active
            );
            faults.push(against(2, what));
        }
        if self.configuration != done.configuration {
            let what = format!("GRUB's configuration is {:?}", self.configuration);
            faults.push(against(9, what));
        }
        if self.once != done.once {
            let what = format!("booted once is {:?}, and not {:?}", self.once, done.once);
            faults.push(against(9, what));
        }
        for name in done.offered.keys().chain(self.offered.keys()) {
            let output = [self, done].map(|view| view.offered.get(name));
            if output[0] != output[1] {
                let what = format!("{name} is {:?}, and not {:?}", output[0], output[1]);
                faults.push(against(9, what));
            }
        }
        faults
    }

    /// Returns the faults of what was found between two states, where both are whole: it is one of them, or one of those on
    /// the way in which one part after another becomes the new.
    pub(crate) fn between(&self, old: &Self, new: &Self, order: &[Part]) -> Faults {
        let mut faults = Faults::new();
        faults.extend(self.broken.iter().map(|what| against(1, what)));
        let leads = self
            .configuration
            .as_ref()
            .is_some_and(|text| text.contains("netbe-active"));
        if leads && self.active.is_none() {
            faults.push(against(3, "GRUB's entry of what is active leads nowhere"));
        }
        if !self.is_on_the_way(old, new, order) {
            let told = Part::ALL.map(|part| format!("{part:?} {}", self.told(part, old, new)));
            faults.push(against(
                9,
                format!("neither old nor new: {}", told.join(", ")),
            ));
        }
        let stays =
            |name: &&String| new.offered.contains_key(*name) && !self.offered.contains_key(*name);
        for name in old.offered.keys().filter(stays) {
            faults.push(against(7, format!("{name} is not in the menu")));
        }
        let least = old.offered.len().min(new.offered.len());
        if self.offered.len() < least {
            let names: Vec<&String> = self.offered.keys().collect();
            faults.push(against(7, format!("only {names:?} are in the menu")));
        }
        faults
    }

    /// Returns whether so many of the parts are the new, in their order, and all others the old; of the menu, which is a file
    /// for each environment, each while it is its turn.
    fn is_on_the_way(&self, old: &Self, new: &Self, order: &[Part]) -> bool {
        let is = |whole: &Self, part: Part| match part {
            Part::Configuration => self.configuration == whole.configuration,
            Part::Active => self.active == whole.active,
            Part::Offered => self.offered == whole.offered,
            Part::Once => self.once == whole.once,
        };
        let after = |done: usize| {
            Part::ALL
                .iter()
                .all(|part| match order.iter().position(|one| one == part) {
                    Some(turn) if turn < done => is(new, *part),
                    Some(turn) if turn == done && *part == Part::Offered => {
                        self.offers_either(old, new)
                    }
                    _ => is(old, *part),
                })
        };
        Part::ALL.iter().all(|part| is(new, *part)) || (0..=order.len()).any(after)
    }

    /// Returns whether each environment that is offered says what it says in one of both.
    fn offers_either(&self, old: &Self, new: &Self) -> bool {
        let is_known = |(name, said): (&String, &String)| {
            let mut whole = [old, new].into_iter();
            whole.any(|whole| whole.offered.get(name) == Some(said))
        };
        self.offered.iter().all(is_known)
    }

    /// Returns in words what a part is.
    fn told(&self, part: Part, old: &Self, new: &Self) -> String {
        let shown = |view: &Self| match part {
            Part::Configuration => format!("{:?}", view.configuration),
            Part::Active => format!("{:?}", view.active),
            Part::Offered => format!("{:?}", view.offered),
            Part::Once => format!("{:?}", view.once),
        };
        let now = shown(self);
        match (now == shown(old), now == shown(new)) {
            (true, true) => "is unchanged".to_string(),
            (true, false) => "is the old".to_string(),
            (false, true) => "is the new".to_string(),
            (false, false) if part == Part::Offered && self.offers_either(old, new) => {
                "is partly the new".to_string()
            }
            (false, false) => format!("is {now}"),
        }
    }
}

/// Returns what an environment block says of what is booted once, as GRUB reads it.
fn once(block: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(block);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("netbe_once="))?;
    (!line.is_empty()).then(|| line.to_string())
}

/// Returns what of an environment that says this cannot be booted: all that it names is in a directory.
fn broken(
    said: &str,
    dir: &str,
    known: &Known,
    find: impl Fn(&str) -> Option<Vec<u8>>,
) -> Vec<String> {
    let mut broken = Vec::new();
    let mut kernels = 0;
    for line in said.lines() {
        let mut words = line.split(' ');
        let files: Vec<&str> = match words.next() {
            Some("linux") => words.take(1).collect(),
            Some("initrd") => words.collect(),
            _ => continue,
        };
        kernels += usize::from(line.starts_with("linux "));
        for file in files {
            let name = file.rsplit('/').next().unwrap_or_default();
            let found = find(file);
            if !file.starts_with(dir) {
                broken.push(format!("{file} is not in {dir}"));
            } else if found.is_none() {
                broken.push(format!("{file} cannot be read"));
            } else if found.as_ref() != known.get(name) {
                broken.push(format!("{file} is not what it is in the running system"));
            }
        }
    }
    if kernels != 1 {
        broken.push(format!("it names {kernels} kernels: {said:?}"));
    }
    broken
}
