//! A file in the language of SYSLINUX, line by line, kept to the byte.
//!
//! Keywords in any case, one directive a line, those after a LABEL belong to it. Finding the label that
//! boots is strict: where two could be meant, that is an error. Not for INCLUDE.

use std::collections::HashSet;
use std::fmt;

use anyhow::{Result, bail};

pub(crate) const KERNEL: [&str; 2] = ["KERNEL", "LINUX"];
pub(crate) const INITRD: [&str; 1] = ["INITRD"];
pub(crate) const TREES: [&str; 2] = ["FDTDIR", "DEVICETREEDIR"];
const APPEND: [&str; 1] = ["APPEND"];
const DEFAULT: [&str; 1] = ["DEFAULT"];

/// The lines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Menu {
    lines: Vec<Directive>,
}

/// One line: `head` (blanks, keyword, blanks), the value, and `tail` (blanks and the line's end).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directive {
    head: String,
    keyword: String,
    value: String,
    tail: String,
}

/// A label, by the lines it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) name: String,
    start: usize,
    end: usize,
}

impl Menu {
    pub(crate) fn parse(text: &str) -> Self {
        let mut is_help = false;
        let lines = text.split_inclusive('\n').map(|line| {
            let mut parsed = directive(line);
            if is_help {
                is_help = !parsed.keyword.eq_ignore_ascii_case("ENDTEXT");
                parsed.keyword.clear();
            }
            is_help |= parsed.keyword.eq_ignore_ascii_case("TEXT");
            parsed
        });
        Self {
            lines: lines.collect(),
        }
    }

    /// Returns the label that boots when nobody touches a key.
    pub(crate) fn default_label(&self) -> Result<Label> {
        let labels = self.labels();
        let mut names = HashSet::new();
        if let Some(twice) = labels.iter().find(|l| !names.insert(l.name.as_str())) {
            bail!("the label {} is there twice", twice.name);
        }
        let named = self.directives(&DEFAULT, 0..self.lines.len()).last();
        let named = named.and_then(|d| labels.iter().find(|l| l.name == d.value));
        let marked: Vec<&Label> = labels.iter().filter(|l| self.is_marked(l)).collect();
        match (named, marked.as_slice(), labels.as_slice()) {
            (Some(label), [], _) | (None, [], [label]) => Ok(label.clone()),
            (None, [label], _) => Ok((*label).clone()),
            (Some(label), [marked], _) if label == *marked => Ok(label.clone()),
            (Some(label), [marked, ..], _) => bail!(
                "DEFAULT names the label {} and MENU DEFAULT the label {}",
                label.name,
                marked.name
            ),
            (None, [one, two, ..], _) => {
                bail!(
                    "MENU DEFAULT stands in the labels {} and {}",
                    one.name,
                    two.name
                )
            }
            (None, [], []) => bail!("it has no LABEL"),
            (None, [], [one, two, ..]) => bail!(
                "no DEFAULT says which label boots: {}, {}, …",
                one.name,
                two.name
            ),
        }
    }

    /// Returns the value of a label's directive by any of its names; the last one counts.
    pub(crate) fn value(&self, label: &Label, names: &[&str]) -> Option<&str> {
        let mut found = self.directives(names, label.start..label.end);
        found.next_back().map(|d| d.value.as_str())
    }

    /// Returns the arguments of a label: its own, else those before the first label; `-` is none.
    pub(crate) fn append(&self, label: &Label) -> Option<&str> {
        let first = self.labels().first().map_or(0, |l| l.start);
        let everywhere = || {
            self.directives(&APPEND, 0..first)
                .last()
                .map(|d| d.value.as_str())
        };
        let value = self.value(label, &APPEND).or_else(everywhere);
        value.filter(|v| *v != "-")
    }

    /// Replaces a label's arguments, in a line of its own where it had none.
    pub(crate) fn set_append(&mut self, label: &Label, value: &str) {
        self.set(label, &APPEND, Some(value));
    }

    /// Sets a label's directive, keeping the word used for it; `None` takes it out.
    pub(crate) fn set(&mut self, label: &Label, names: &[&str], value: Option<&str>) {
        let places: Vec<usize> = (label.start..label.end)
            .filter(|&i| self.lines[i].is_any(names))
            .collect();
        match (value, places.last()) {
            (Some(value), Some(&at)) => self.lines[at].value = value.to_string(),
            (Some(value), None) => self.insert(label, names[0], value),
            (None, _) => {
                for at in places.into_iter().rev() {
                    self.lines.remove(at);
                }
            }
        }
    }

    /// Renews the first line of a file netbe made: what stands between `before` and the next `;`.
    pub(crate) fn rename(&mut self, before: &str, name: &str) {
        if let Some(line) = self.lines.first_mut() {
            let text = line.to_string();
            if let Some(rest) = text.strip_prefix(before).and_then(|r| r.split_once(';')) {
                *line = directive(&format!("{before}{name};{}", rest.1));
            }
        }
    }

    /// Puts a directive behind the kernel's, or the label's own line, indented as its neighbours are.
    fn insert(&mut self, label: &Label, keyword: &str, value: &str) {
        let kernel = (label.start..label.end).rfind(|&i| self.lines[i].is_any(&KERNEL));
        let place = kernel.unwrap_or(label.start);
        let indent = match kernel {
            Some(at) => {
                let head = &self.lines[at].head;
                head[..head.len() - head.trim_start().len()].to_string()
            }
            None => "  ".to_string(),
        };
        let end = if self.lines[place].tail.ends_with("\r\n") {
            "\r\n"
        } else {
            "\n"
        };
        if !self.lines[place].tail.ends_with('\n') {
            self.lines[place].tail.push_str(end);
        }
        let line = directive(&format!("{indent}{keyword} {value}{end}"));
        self.lines.insert(place + 1, line);
    }

    fn labels(&self) -> Vec<Label> {
        let starts: Vec<usize> = (0..self.lines.len())
            .filter(|&i| self.lines[i].is_any(&["LABEL"]))
            .collect();
        let ends = starts.iter().skip(1).copied().chain([self.lines.len()]);
        starts
            .iter()
            .zip(ends)
            .map(|(&start, end)| Label {
                name: self.lines[start].value.clone(),
                start,
                end,
            })
            .collect()
    }

    fn is_marked(&self, label: &Label) -> bool {
        self.directives(&["MENU"], label.start..label.end)
            .any(|d| d.value.trim().eq_ignore_ascii_case("DEFAULT"))
    }

    fn directives(
        &self,
        names: &[&str],
        lines: std::ops::Range<usize>,
    ) -> impl DoubleEndedIterator<Item = &Directive> {
        self.lines[lines].iter().filter(move |d| d.is_any(names))
    }
}

impl Directive {
    fn is_any(&self, names: &[&str]) -> bool {
        names
            .iter()
            .any(|name| self.keyword.eq_ignore_ascii_case(name))
    }
}

fn directive(line: &str) -> Directive {
    let body = line.trim_end();
    let start = body.len() - body.trim_start().len();
    let end = body[start..]
        .find(char::is_whitespace)
        .map_or(body.len(), |i| start + i);
    let value = end + (body[end..].len() - body[end..].trim_start().len());
    let keyword = &body[start..end];
    Directive {
        head: body[..value].to_string(),
        keyword: if keyword.starts_with('#') {
            ""
        } else {
            keyword
        }
        .to_string(),
        value: body[value..].to_string(),
        tail: line[body.len()..].to_string(),
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gap = self.head.ends_with(char::is_whitespace)
            || self.value.is_empty()
            || self.head.is_empty();
        let gap = if gap { "" } else { " " };
        write!(f, "{}{gap}{}{}", self.head, self.value, self.tail)
    }
}

impl fmt::Display for Menu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| line.fmt(f))
    }
}
