//! All command lines of all pages, each once, with what `not_run.rs` has about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::line::{Found, Kind};
use super::not_run::{How, TABLE, WORDS};
use super::{man, markdown};

/// What blocks begin with that show no commands.
const LISTINGS: &[&str] = &[
    "/srv/netbe/",
    "place.json",
    "pool.json",
    "table inet netbe {",
];

/// What a line begins with that is a command.
const PROGRAMS: &[&str] = &[
    "netbe",
    "fsfreeze",
    "scripts/package",
    "rpmbuild",
    "makepkg",
    "for",
    "sync",
    "xargs",
    "sudo",
    "apt",
    "apt-get",
    "btrfs",
    "mount",
    "umount",
    "mv",
    "ln",
    "cp",
    "ls",
    "cat",
    "rm",
    "mkdir",
    "ssh",
    "systemctl",
    "exportfs",
    "install",
    "cargo",
    "truncate",
    "losetup",
    "tar",
    "vi",
    "mmdebstrap",
    "dnsmasq",
    "nft",
    "curl",
    "journalctl",
    "findmnt",
    "showmount",
    "rpcinfo",
    "tcpdump",
    "setfacl",
    "git",
    "mkfs.btrfs",
    "sed",
    "test",
    "grep",
    "export",
    "cd",
    "less",
];

/// A command line of one or more pages.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// As it stands.
    pub text: String,
    /// As it is run: with the words filled in that stand for others.
    pub run: String,
    /// What is run before it: on pages of section 7, the commands above it in its block.
    pub above: Vec<String>,
    /// Where it stands: `FILE:LINE`.
    pub places: Vec<String>,
    /// Which entry of the table is about it.
    pub mark: Option<usize>,
}

impl Asked {
    /// Returns what the table has about it.
    pub(crate) fn how(&self) -> Option<How> {
        self.mark.map(|mark| TABLE[mark].1)
    }
}

/// Returns every command line of the repository's pages, and what in their blocks is neither command nor output.
pub(crate) fn all() -> (Vec<Asked>, Vec<String>) {
    let (mut lines, mut wrong, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for file in files() {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap();
        let is_man = !file.ends_with(".md");
        let found = if is_man {
            man::lines(&file, &text)
        } else {
            markdown::lines(&file, &text)
        };
        // What is bold in a generated page is its synopsis.
        let is_generated = file.ends_with(".8");
        let found = found
            .into_iter()
            .filter(|line| !is_generated || line.kind != Kind::Inline);
        let (commands, others): (Vec<_>, Vec<_>) = found.partition(is_command);
        // The blocks of generated pages are help texts, with sentences in them.
        for line in others
            .iter()
            .filter(|line| !is_generated && line.kind != Kind::Inline)
        {
            let is_of_block = |other: &&Found| other.kind == line.kind;
            let first = others.iter().find(is_of_block).expect("it is one of them");
            let is_among = commands.iter().any(|command| command.kind == line.kind);
            match LISTINGS.iter().position(|text| *text == first.text) {
                Some(at) if !is_among => drop(seen.insert(at)),
                None if !is_among && first.number != line.number => {}
                _ => wrong.push(format!(
                    "{}:{}: neither a command (PROGRAMS in pages.rs) nor of a listing (LISTINGS): {}",
                    line.file, line.number, line.text
                )),
            }
        }
        lines.extend(commands);
    }
    for (at, text) in LISTINGS.iter().enumerate() {
        if !seen.contains(&at) {
            wrong.push(format!("LISTINGS in pages.rs: no block begins so: {text}"));
        }
    }
    let mut asked: BTreeMap<(String, String, Vec<String>), Asked> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        let above = match line.file.ends_with(".7") && line.kind != Kind::Inline {
            true => above(&lines[..at], line),
            false => Vec::new(),
        };
        let place = format!("{}:{}", line.file, line.number);
        let one = asked
            .entry((line.text.clone(), filled(line), above.clone()))
            .or_insert_with(|| Asked {
                run: filled(line),
                above,
                mark: mark(line),
                text: line.text.clone(),
                places: Vec::new(),
            });
        one.places.push(place);
    }
    (asked.into_values().collect(), wrong)
}

/// Returns what is run of the commands above a line in its block.
fn above(before: &[Found], line: &Found) -> Vec<String> {
    let is_above = |other: &&Found| other.file == line.file && other.kind == line.kind;
    let is_run =
        |other: &&Found| !matches!(mark(other).map(|mark| TABLE[mark].1), Some(How::NotRun(_)));
    let above = before.iter().filter(is_above).filter(is_run);
    let with_before = |other: &Found| {
        let before: &[&str] = match mark(other).map(|mark| TABLE[mark].1) {
            Some(How::After(before) | How::Asks(before)) => before,
            _ => &[],
        };
        let mut all: Vec<String> = before.iter().map(ToString::to_string).collect();
        all.push(filled(other));
        all
    };
    above.flat_map(with_before).collect()
}

/// Returns the first entry of the table that is about a line; a mention of a command is run as another line.
fn mark(line: &Found) -> Option<usize> {
    (0..TABLE.len()).find(|&at| fits(TABLE[at].0, &line.text) && !is_mention(line))
}

fn files() -> Vec<String> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec!["README.md".to_string(), "SECURITY.md".to_string()];
    let mut waiting = vec!["docs".to_string(), "man".to_string()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(top.join(&directory)).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = format!("{directory}/{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => waiting.push(name),
                false if [".md", ".7", ".8"].iter().any(|end| name.ends_with(end)) => {
                    found.push(name);
                }
                false => {}
            }
        }
    }
    found.sort();
    found
}

fn is_command(line: &Found) -> bool {
    let mut words = line
        .text
        .split([' ', ';'])
        .filter(|word| !word.contains('='));
    let first = words.next().unwrap_or_default();
    match line.kind {
        Kind::Inline => {
            ["netbe", "sudo"].contains(&first)
                && line.text.starts_with(&format!("{first} "))
                && line.text.contains("netbe ")
        }
        Kind::Block(_) if first.is_empty() => !line.text.is_empty(),
        Kind::Block(_) => PROGRAMS.contains(&first) || first.starts_with("scripts/"),
    }
}

/// Returns whether running text names a command and no more.
fn is_mention(line: &Found) -> bool {
    line.kind == Kind::Inline
        && line.text.split(' ').count() == 2
        && line.text.starts_with("netbe ")
}

/// Returns what is run for a line: a mention of a command is its help; words in capitals stand for others.
fn filled(line: &Found) -> String {
    if is_mention(line) {
        return format!("{} --help", line.text);
    }
    let fill = |text: String, (word, value): &(&str, &str)| text.replace(word, value);
    let run = WORDS.iter().fold(line.text.clone(), fill);
    match mark(line).map(|mark| TABLE[mark].1) {
        // As one types it who then answers yes.
        Some(How::Asks(_)) => format!("printf 'y\\n' | script -qefc {run:?} /dev/null"),
        _ => run,
    }
}

/// Returns whether a text is as a pattern has it, in which `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in between {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
