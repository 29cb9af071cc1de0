//! The files of a card, in the order in which they are written.
//!
//! Promises that the switch (`config.txt` of a Raspberry Pi) names a directory with all its files at every instant, also after a
//! power cut: one rename replaces the switch, after the new directory is durable, and the old directory is removed after the
//! switch is durable. Files that are not netbe's stay. Not for the content of the files.

use std::fs::File;
use std::io::Write;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::syncfs;

use crate::boot::{CardKind, ON_CARD};
use crate::failure::Failure;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;
use crate::fs::same_content;
use crate::fs::shown_path::quoted;

/// The suffix of the name under which the switch from before the first deploy is kept.
const FOREIGN: &str = ".before-netbe";
/// The file that marks a directory as netbe's and names its environment.
pub(crate) const MANIFEST: &str = "card.json";
/// The suffix of a new file's name before it replaces another.
const NEW: &str = ".netbe-new";
/// The maximum depth of directories: links inside a boot half can form loops.
const DEPTH: usize = 16;

/// A file of a boot half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BootFile {
    pub(crate) path: String,
    pub(crate) length: u64,
}

/// The files on a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    kind: CardKind,
    /// The directory from which the card boots.
    current: Option<String>,
    /// The content of a switch that is not netbe's.
    foreign: Option<String>,
    /// netbe's directories.
    directories: Vec<String>,
    /// New files that an interrupted deploy has not renamed into place.
    leftovers: Vec<String>,
    /// Firmware files that already equal those of the boot half. They are not replaced, so they cannot end up half replaced.
    same_firmware: Vec<String>,
    /// The node and the identity of the environment that the card boots.
    pub(crate) owner: Option<(String, String)>,
}

/// One change of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Copies a file of the boot half.
    Copy { from: String, to: String },
    /// Writes a file.
    Write { to: String, content: String },
    /// Makes everything so far durable.
    Sync,
    /// Replaces a file by its new version.
    Replace(String),
    /// Removes one of netbe's directories.
    Remove(String),
    /// Removes a new file that has not replaced the old one.
    RemoveFile(String),
}

/// The files to be written.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) kind: CardKind,
    pub(crate) directory: String,
    pub(crate) manifest: String,
    pub(crate) switch: String,
    pub(crate) readmes: Vec<String>,
    pub(crate) files: Vec<BootFile>,
}

/// Returns the files of a boot half, or of a directory that ends with a slash, links followed inside it.
///
/// # Errors
/// A refusal for names that a FAT filesystem cannot have.
pub(crate) fn boot_files(boot: &Tree, dir: &str) -> Result<Vec<BootFile>> {
    let mut files = Vec::new();
    collect(boot, dir, DEPTH, &mut files)?;
    Ok(files)
}

fn collect(boot: &Tree, dir: &str, depth: usize, files: &mut Vec<BootFile>) -> Result<()> {
    let mut seen: Vec<String> = Vec::new();
    for name in boot.names(dir)? {
        interrupt::check()?;
        let path = format!("{dir}{name}");
        let Some(status) = boot.metadata(&path)? else {
            continue;
        };
        if !status.is_dir() && !status.is_file() {
            continue;
        }
        let folded = name.to_lowercase();
        let bad = |c: char| c.is_control() || "\"*/:<>?\\|".contains(c);
        if name.contains(bad) || name.ends_with(['.', ' ']) || seen.contains(&folded) {
            return Err(Failure::refused(format!(
                "{} cannot be written to a card: the name is not valid on FAT, or FAT takes it for that of another file",
                boot.path().join(&path).display()
            ))
            .hint(format!("ls {}", quoted(&boot.path().join(dir))))
            .into());
        }
        seen.push(folded);
        if status.is_file() {
            let length = status.len();
            files.push(BootFile { path, length });
        } else if depth == 0 {
            return Err(Failure::refused(format!(
                "{} is more than {DEPTH} directories deep",
                boot.path().join(&path).display()
            ))
            .into());
        } else {
            collect(boot, &format!("{path}/"), depth - 1, files)?;
        }
    }
    Ok(())
}

/// Examines a card, and compares its firmware with that of a boot half.
pub(crate) fn look(kind: CardKind, card: &Tree, boot: &Tree) -> Result<Found> {
    let (mut same_firmware, mut leftovers) = (Vec::new(), Vec::new());
    for name in boot.names("")? {
        let Some(place) = kind.firmware(&name) else {
            continue;
        };
        if is_same(card, &place, boot, &name)? {
            same_firmware.push(name);
        }
    }
    let switch = card.read_text(kind.switch())?;
    let current = switch.as_deref().and_then(|text| kind.directory_of(text));
    let current = current.map(str::to_string);
    let mut directories = Vec::new();
    for name in card.names(ON_CARD)? {
        let dir = format!("{ON_CARD}{name}");
        if card.metadata(&format!("{dir}/{MANIFEST}"))?.is_some() {
            directories.push(dir);
        }
    }
    for dir in kind.directories() {
        let paths = card.names(dir)?.into_iter();
        let paths = paths.map(|name| format!("{dir}{name}"));
        leftovers.extend(paths.filter(|path| kind.is_replaced(path.strip_suffix(NEW))));
    }
    let owner = match &current {
        Some(dir) => card
            .read_text(&format!("{dir}/{MANIFEST}"))?
            .and_then(|text| owner(&text)),
        None => None,
    };
    Ok(Found {
        kind,
        foreign: switch.filter(|_| current.is_none()),
        current,
        directories,
        leftovers,
        same_firmware,
        owner,
    })
}

fn is_same(card: &Tree, place: &str, boot: &Tree, name: &str) -> Result<bool> {
    let (Some(there), Some(its)) = (card.open_file(place)?, boot.open_file(name)?) else {
        return Ok(false);
    };
    let size = its.metadata()?.len();
    Ok(there.metadata()?.len() == size && same_content::same(&there, &its, size)?)
}

/// Returns the node and the environment's identity that a manifest names.
fn owner(manifest: &str) -> Option<(String, String)> {
    let manifest: serde_json::Value = serde_json::from_str(manifest).ok()?;
    let text = |key: &str| manifest[key].as_str().map(str::to_string);
    Some((text("node")?, text("uuid")?))
}

impl Found {
    /// Returns the state of an empty card.
    pub(crate) fn nothing(kind: CardKind) -> Self {
        Self {
            kind,
            current: None,
            foreign: None,
            directories: Vec::new(),
            leftovers: Vec::new(),
            same_firmware: Vec::new(),
            owner: None,
        }
    }

    /// Returns the directories that are no longer needed: those of an interrupted deploy, and those before the current one.
    pub(crate) fn unneeded(&self) -> Vec<&String> {
        let unneeded = |dir: &&String| Some(*dir) != self.current.as_ref();
        self.directories.iter().filter(unneeded).collect()
    }

    /// Returns the changes after which the card boots from the new directory, in order.
    pub(crate) fn steps(&self, wanted: &Wanted) -> Vec<Step> {
        let dir = &wanted.directory;
        let write = |to: String, content: &str| Step::Write {
            to,
            content: content.to_string(),
        };
        // The directory before the current one: that frees space, and the switch does not name it.
        let mut steps: Vec<Step> = self
            .unneeded()
            .into_iter()
            .cloned()
            .map(Step::Remove)
            .collect();
        steps.extend(self.leftovers.iter().cloned().map(Step::RemoveFile));
        // First, so that the manifest marks an unfinished directory as netbe's.
        steps.push(write(format!("{dir}/{MANIFEST}"), &wanted.manifest));
        for BootFile { path, .. } in &wanted.files {
            if self.kind.firmware(path).is_none() {
                let to = format!("{dir}/{path}");
                steps.push(Step::Copy {
                    from: path.clone(),
                    to,
                });
            }
        }
        for path in &wanted.readmes {
            let text = "The firmware takes overlays from here because this file is here.\n";
            steps.push(write(format!("{dir}/{path}"), text));
        }
        if let Some(foreign) = &self.foreign {
            steps.push(write(format!("{}{FOREIGN}", self.kind.switch()), foreign));
        }
        let firmware = wanted.files.iter().map(|file| &file.path);
        let firmware: Vec<(&String, String)> = firmware
            .filter(|path| !self.same_firmware.contains(path))
            .filter_map(|path| Some((path, self.kind.firmware(path)?)))
            .collect();
        for (path, place) in &firmware {
            steps.push(Step::Copy {
                from: (*path).clone(),
                to: format!("{place}{NEW}"),
            });
        }
        steps.push(Step::Sync);
        for (_, place) in firmware {
            steps.push(Step::Replace(place));
        }
        let switch = self.kind.switch();
        steps.push(write(format!("{switch}{NEW}"), &wanted.switch));
        steps.push(Step::Sync);
        steps.push(Step::Replace(switch.to_string()));
        steps.push(Step::Sync);
        steps
    }
}

/// Makes one change of a card.
pub(crate) fn take(card: &Tree, boot: &Tree, step: &Step) -> Result<()> {
    interrupt::check()?;
    match step {
        Step::Copy { from, to } => {
            let Some(source) = boot.open_file(from)? else {
                return Ok(());
            };
            let mut source = interrupt::Reader::new(source);
            let mut file = new_file(card, to)?;
            std::io::copy(&mut source, &mut file).with_context(|| format!("writing {to}"))?;
            file.sync_all().with_context(|| format!("writing {to}"))
        }
        Step::Write { to, content } => {
            let mut file = new_file(card, to)?;
            file.write_all(content.as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| format!("writing {to}"))
        }
        Step::Sync => syncfs(top(card)?).context("making what was written durable"),
        Step::Replace(path) => {
            let name = path.rsplit('/').next().unwrap_or(path);
            Ok(card.rename(&format!("{path}{NEW}"), name)?)
        }
        Step::Remove(dir) => remove(card, dir, DEPTH),
        Step::RemoveFile(path) => Ok(card.remove_file(path)?),
    }
}

fn top(card: &Tree) -> Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    Ok(File::from(card.open_at("", flags, Mode::empty())?))
}

fn new_file(card: &Tree, path: &str) -> Result<File> {
    if let Some((dir, _)) = path.rsplit_once('/') {
        card.make_dirs(dir)?;
    }
    card.remove_file(path)?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
    let mode = Mode::from_bits_truncate(0o644);
    Ok(File::from(card.open_at(path, flags, mode)?))
}

/// Removes a directory, its manifest last.
fn remove(card: &Tree, dir: &str, depth: usize) -> Result<()> {
    let mut names = card.names(dir)?;
    names.sort_by_key(|name| name == MANIFEST);
    for name in names {
        interrupt::check()?;
        let path = format!("{dir}/{name}");
        match card.symlink_metadata(&path)? {
            Some(status) if status.is_dir() && depth > 0 => remove(card, &path, depth - 1)?,
            _ => card.remove_file(&path)?,
        }
    }
    Ok(card.remove_dir(dir)?)
}

#[cfg(test)]
mod tests;
