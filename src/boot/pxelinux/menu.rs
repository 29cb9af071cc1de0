//! Parses a SYSLINUX configuration, without loss.
//!
//! Keywords in any case, one directive a line; those after a LABEL belong to it. Files in INCLUDE and MENU
//! INCLUDE are read in place, and each line records its file. Not for which label boots:
//! that is [`super::boots`].

use std::fmt;

pub(crate) const KERNEL: [&str; 2] = ["KERNEL", "LINUX"];
pub(crate) const INITRD: [&str; 1] = ["INITRD"];
pub(crate) const TREES: [&str; 2] = ["FDTDIR", "DEVICETREEDIR"];
pub(crate) const TREE: [&str; 2] = ["FDT", "DEVICETREE"];
pub(crate) const OVERLAYS: [&str; 2] = ["FDTOVERLAYS", "DEVICETREE-OVERLAY"];
pub(crate) const ADDED: [&str; 2] = ["IPAPPEND", "SYSAPPEND"];
const APPEND: [&str; 1] = ["APPEND"];
/// How deep INCLUDE is followed: PXELINUX goes to 8 safely, U-Boot to 16.
const INCLUDE_DEPTH: usize = 16;
/// How many files are included in all, and how long they may be together: a file may include itself.
const INCLUDES: usize = 64;
const INCLUDED_LIMIT: usize = 1 << 20;

/// The lines of a file and of those it includes, in the order a loader sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Menu {
    lines: Vec<Directive>,
    /// The files of the lines; the first is the menu's own.
    files: Vec<String>,
    /// Included files that do not exist.
    pub(crate) missing: Vec<String>,
    /// How much was included.
    included: (usize, usize),
}

/// One line: `head` (blanks, keyword, blanks), the value, and `tail` (blanks and the line's end).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directive {
    head: String,
    keyword: String,
    value: String,
    tail: String,
    /// The index of its file; `None` if the file was included before.
    file: Option<usize>,
}

/// A function that reads an included file, by its path in the boot half.
type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A label and its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) name: String,
    start: usize,
    end: usize,
}

impl Menu {
    /// Parses one file, and none that it includes.
    pub(crate) fn parse(text: &str) -> Self {
        let mut menu = Self {
            lines: Vec::new(),
            files: vec![String::new()],
            missing: Vec::new(),
            included: (0, 0),
        };
        menu.take_in(Some(0), text, &|_| None, INCLUDE_DEPTH);
        menu.missing.clear();
        menu
    }

    /// Parses a file, by its path, and all it includes.
    pub(crate) fn open(path: &str, text: &str, read: Read<'_>) -> Self {
        let mut menu = Self {
            lines: Vec::new(),
            files: vec![path.to_string()],
            missing: Vec::new(),
            included: (0, 0),
        };
        menu.take_in(Some(0), text, read, 0);
        menu
    }

    /// Takes in a file as if it were included at the end.
    pub(crate) fn include(&mut self, path: &str, read: Read<'_>) {
        self.include_at(path, read, 0);
    }

    /// Returns the whole text of each file, by its path.
    pub(crate) fn texts(&self) -> Vec<(String, String)> {
        let paths = self.files.iter().enumerate();
        paths
            .map(|(file, path)| (path.clone(), self.text_of(file)))
            .collect()
    }

    fn text_of(&self, file: usize) -> String {
        let lines = self.lines.iter().filter(|line| line.file == Some(file));
        lines.map(Directive::to_string).collect()
    }

    fn take_in(&mut self, file: Option<usize>, text: &str, read: Read<'_>, depth: usize) {
        let mut is_help = false;
        for line in text.split_inclusive('\n') {
            let mut parsed = directive(line);
            parsed.file = file;
            if is_help {
                is_help = !parsed.keyword.eq_ignore_ascii_case("ENDTEXT");
                parsed.keyword.clear();
            }
            is_help |= parsed.keyword.eq_ignore_ascii_case("TEXT");
            let included = parsed.included().map(str::to_string);
            self.lines.push(parsed);
            if let Some(path) = included {
                self.include_at(&path, read, depth);
            }
        }
    }

    fn include_at(&mut self, path: &str, read: Read<'_>, depth: usize) {
        let path = path.trim_start_matches("./");
        let (count, length) = self.included;
        if depth >= INCLUDE_DEPTH || count >= INCLUDES || length >= INCLUDED_LIMIT {
            return;
        }
        let Some(text) = read(path) else {
            self.missing.push(path.to_string());
            return;
        };
        self.included = (count + 1, length + text.len());
        // A file that is included twice is edited at its first place.
        let file = (!self.files.iter().any(|f| f == path)).then_some(self.files.len());
        if file.is_some() {
            self.files.push(path.to_string());
        }
        self.take_in(file, &text, read, depth + 1);
    }

    /// Returns the value of the last of these directives, wherever it stands.
    pub(crate) fn setting(&self, names: &[&str]) -> Option<&str> {
        let mut found = self.directives(names, 0..self.lines.len());
        found.next_back().map(|d| d.value.as_str())
    }

    /// Returns a setting as a number; 0 if it is not set.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let value = self.setting(&[name]).unwrap_or_default();
        value.trim().parse().unwrap_or(0)
    }

    /// Returns the last of a label's directives that has one of these names: the name, in capitals, and its value.
    pub(crate) fn last_of(&self, label: &Label, names: &[&str]) -> Option<(String, &str)> {
        let mut found = self.directives(names, label.start..label.end);
        found
            .next_back()
            .map(|d| (d.keyword.to_ascii_uppercase(), d.value.as_str()))
    }

    /// Returns whether a label's MENU directives have this word.
    pub(crate) fn has_menu_word(&self, label: &Label, word: &str) -> bool {
        self.directives(&["MENU"], label.start..label.end)
            .any(|d| d.value.trim().eq_ignore_ascii_case(word))
    }

    /// Returns whether there is a MENU directive before the first label.
    pub(crate) fn begins_with_menu(&self) -> bool {
        let first = self.labels().first().map_or(self.lines.len(), |l| l.start);
        self.directives(&["MENU"], 0..first).next().is_some()
    }

    /// Returns the value of a label's directive by any of its names; the last one counts.
    pub(crate) fn value(&self, label: &Label, names: &[&str]) -> Option<&str> {
        let mut found = self.directives(names, label.start..label.end);
        found.next_back().map(|d| d.value.as_str())
    }

    /// Returns the arguments that the loader adds to a label's, as bits: by its IPAPPEND, else by that before the first label.
    pub(crate) fn added(&self, label: &Label) -> u64 {
        let first = self.labels().first().map_or(0, |l| l.start);
        let everywhere = self.directives(&ADDED, 0..first).last();
        let value = self
            .value(label, &ADDED)
            .or(everywhere.map(|d| d.value.as_str()));
        let value = value.unwrap_or_default().trim();
        match value.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).unwrap_or(0),
            None => value.parse().unwrap_or(0),
        }
    }

    /// Returns a label's arguments, or those before the first label; `-` stands for none.
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

    /// Replaces a label's arguments, or adds a line for them.
    pub(crate) fn set_append(&mut self, label: &Label, value: &str) {
        self.set(label, &APPEND, Some(value));
    }

    /// Sets a label's directive under its existing name; `None` removes it.
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

    /// Replaces the text between `before` and the next `;` in the first line of a file made by netbe.
    pub(crate) fn rename(&mut self, before: &str, name: &str) {
        if let Some(line) = self.lines.first_mut() {
            let text = line.to_string();
            if let Some(rest) = text.strip_prefix(before).and_then(|r| r.split_once(';')) {
                *line = directive(&format!("{before}{name};{}", rest.1));
                line.file = Some(0);
            }
        }
    }

    /// Inserts a directive after the kernel's, or the label's own line, with the same indentation.
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
        let mut line = directive(&format!("{indent}{keyword} {value}{end}"));
        line.file = self.lines[place].file;
        self.lines.insert(place + 1, line);
    }

    /// Returns all labels, in order.
    pub(crate) fn labels(&self) -> Vec<Label> {
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

    /// Returns the file this line has read.
    fn included(&self) -> Option<&str> {
        let mut words = self.value.split_whitespace();
        if self.is_any(&["INCLUDE"]) {
            return words.next();
        }
        let is_include = self.is_any(&["MENU"]) && words.next()?.eq_ignore_ascii_case("INCLUDE");
        words.next().filter(|_| is_include)
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
        file: None,
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
        f.write_str(&self.text_of(0))
    }
}
