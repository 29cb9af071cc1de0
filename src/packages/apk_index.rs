//! What apk is about to install, and what its indexes say of that.
//!
//! An index names for each package the checksum of its control part. By that apk knows it, whether it comes from a
//! repository or from a cache: see [`super::apk_archive`]. Text in, values out, but for what looks into an
//! environment. What makes no sense is left out; apk downloads it. Not for indexes of apk 3's own format: Alpine's
//! repositories have none so far.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, BufReader, Read};
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding};

use super::repo_index;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;

/// A package in a repository of Alpine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apk {
    /// Its name, without its version.
    pub name: String,
    /// What apk calls it in a cache.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// SHA-1 of its control part, as it is packed.
    pub control: [u8; 20],
    /// Whether the indexes have it in this version alone, so that its name says which is meant.
    pub alone: bool,
}

/// Where apk keeps indexes: in the first where that is a directory, or leads to one; else in the second.
const CACHES: [&str; 2] = ["etc/apk/cache", "var/cache/apk"];

/// How many indexes are looked at: apk knows 32 repositories at most.
const INDEXES: usize = 64;

/// How far behind the clock a file's times may be.
const CLOCK: Duration = Duration::from_millis(20);

/// How long a line of an index may be, in bytes: there are packages that provide thousands of things.
const LINE_LIMIT: u64 = 1 << 20;

/// Returns whether a version of apk-tools can be told where its cache is, and fetches an index that it misses there.
///
/// Some older ones can, too; which is not known.
pub(super) fn has_cache(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(2)), Some(Ok(minor))) => minor >= 10,
        (Some(Ok(3)), Some(Ok(_))) => true,
        _ => false,
    }
}

/// Returns the names and versions that `apk upgrade --simulate` says are to be installed.
pub(super) fn told(text: &str) -> Vec<(String, String)> {
    text.lines().filter_map(change).collect()
}

/// Reads `(1/2) Upgrading NAME (OLD -> NEW)` or `(2/2) Installing NAME@TAG (NEW)`.
fn change(line: &str) -> Option<(String, String)> {
    let (_, rest) = line.trim().strip_prefix('(')?.split_once(") ")?;
    let (verb, rest) = rest.split_once(' ')?;
    let new = matches!(
        verb,
        "Installing" | "Upgrading" | "Downgrading" | "Replacing" | "Reinstalling"
    );
    let (name, versions) = rest.strip_suffix(')')?.split_once(" (")?;
    let name = name.split('@').next()?;
    let version = versions.split(" -> ").last()?;
    (new && is_word(name) && is_word(version)).then(|| (name.to_string(), version.to_string()))
}

/// Returns whether a text is a package's name or version, and nothing else in a path or on a command line.
fn is_word(text: &str) -> bool {
    text.len() < 100
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"._+-~".contains(&c))
}

/// Returns the indexes that an environment's apk has fetched since some time, from the environment's root.
///
/// `apk update` fetches all of its repositories' anew; others may be of some that it has no more.
pub(super) fn indexes(root: &Tree, since: SystemTime) -> io::Result<Vec<String>> {
    let at = |path: &str| root.metadata(path).ok().flatten();
    let is_there = |path| at(path).is_some_and(|at| at.is_dir());
    let Some(cache) = CACHES.into_iter().find(|path| is_there(path)) else {
        return Ok(Vec::new());
    };
    // Not the other way: a file's time can be any, and too much to add to.
    let since = since - CLOCK;
    let is_new = |path: &String| {
        let modified = at(path).and_then(|at| at.modified().ok());
        modified.is_some_and(|modified| modified >= since)
    };
    let names = root.names(cache)?.into_iter();
    Ok(names
        .filter(|name| name.starts_with("APKINDEX.") && name.ends_with(".tar.gz"))
        .map(|name| format!("{cache}/{name}"))
        .filter(is_new)
        .take(INDEXES)
        .collect())
}

/// Returns those of the packages which an index has; none of which there are two that differ.
pub(super) fn wanted(
    root: &Tree,
    told: Vec<(String, String)>,
    since: SystemTime,
) -> io::Result<Vec<Apk>> {
    let names: HashSet<String> = told.iter().map(|(name, _)| name.clone()).collect();
    let mut found: HashMap<_, Vec<Apk>> = told.into_iter().map(|t| (t, Vec::new())).collect();
    let mut several = HashSet::new();
    let ration = repo_index::Ration::new();
    for path in indexes(root, since)? {
        interrupt::check_io()?;
        let Ok(Some(index)) = repo_index::open(root, &path, &ration) else {
            continue;
        };
        // Of one that is damaged apk says what is to be said.
        let _ = each(
            index,
            &mut |version, apk| match found.get_mut(&(apk.name.clone(), version)) {
                Some(same) if same.len() < 2 && !same.contains(&apk) => same.push(apk),
                None if names.contains(&apk.name) => drop(several.insert(apk.name)),
                _ => {}
            },
        );
    }
    let one = |same: Vec<Apk>| <[Apk; 1]>::try_from(same).ok();
    let mut wanted: Vec<Apk> = found.into_values().filter_map(one).flatten().collect();
    for apk in &mut wanted {
        apk.alone = !several.contains(&apk.name);
    }
    wanted.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(wanted)
}

/// Reads an index, unpacked: an archive with a file `APKINDEX` in it; each package comes with its version.
fn each(index: impl Read, offer: &mut dyn FnMut(String, Apk)) -> io::Result<()> {
    // Raw: names are short, and a long one would be held in memory whatever its length.
    for entry in tar::Archive::new(index).entries()?.raw(true) {
        let entry = entry?;
        if *entry.path_bytes() == *b"APKINDEX" {
            return stanzas(BufReader::new(entry), offer);
        }
    }
    Ok(())
}

/// What is said of one package.
#[derive(Debug, Default)]
struct Said {
    name: Option<String>,
    version: Option<String>,
    size: Option<u64>,
    control: Option<[u8; 20]>,
}

impl Said {
    fn hear(&mut self, line: &str) {
        match line.split_once(':') {
            Some(("C", checksum)) => self.control = sha1(checksum),
            Some(("P", name)) if is_word(name) => self.name = Some(name.to_string()),
            Some(("V", version)) if is_word(version) => self.version = Some(version.to_string()),
            Some(("S", size)) => self.size = size.parse().ok(),
            _ => {}
        }
    }

    fn whole(self) -> Option<(String, Apk)> {
        let (name, version, control) = (self.name?, self.version?, self.control?);
        let [a, b, c, d, ..] = control;
        let apk = Apk {
            file: format!("{name}-{version}.{a:02x}{b:02x}{c:02x}{d:02x}.apk"),
            size: self.size?,
            name,
            control,
            alone: true,
        };
        Some((version, apk))
    }
}

/// Reads the list itself: stanzas of `P:name`, `V:version` and much else, with empty lines between.
fn stanzas(mut text: impl BufRead, offer: &mut dyn FnMut(String, Apk)) -> io::Result<()> {
    let (mut said, mut line) = (Said::default(), Vec::new());
    loop {
        line.clear();
        let length = text
            .by_ref()
            .take(LINE_LIMIT)
            .read_until(b'\n', &mut line)?;
        if length as u64 == LINE_LIMIT {
            return Err(io::Error::other("a line of the index has no end"));
        }
        let field = String::from_utf8_lossy(&line);
        match field.trim_end_matches('\n') {
            "" => {
                if let Some((version, apk)) = std::mem::take(&mut said).whole() {
                    offer(version, apk);
                }
            }
            field => said.hear(field),
        }
        if length == 0 {
            return Ok(());
        }
    }
}

/// Reads a checksum as apk writes a SHA-1: `Q1` and base64.
fn sha1(text: &str) -> Option<[u8; 20]> {
    let mut sum = [0; 20];
    let decoded = Base64::decode(text.strip_prefix("Q1")?, &mut sum).ok()?;
    (decoded.len() == 20).then_some(sum)
}

#[cfg(test)]
mod tests;
