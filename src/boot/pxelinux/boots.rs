//! Determines the label that a menu boots without a key press, and what prevents that.
//!
//! PXELINUX evaluates UI, DEFAULT, PROMPT, TIMEOUT and ONTIMEOUT, and a menu program has rules of its own
//! (`com32/elflink/ldlinux` of syslinux 6.04); in U-Boot the last DEFAULT or ONTIMEOUT names the label
//! (`boot/pxe_utils.c`). Not for the label's files.

use std::collections::HashSet;

use anyhow::{Result, bail};

use super::PROGRAMS;
use super::menu::{KERNEL, Label, Menu};
use crate::boot::arch::{self, Arch};
use crate::boot::files::{BootFiles, is_there};

/// The program that reads a menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// PXELINUX, on a machine with a BIOS.
    Pxelinux,
    /// U-Boot's `pxe` command.
    UBoot,
}

impl Reader {
    /// Returns the reader of a boot half's menu, by the architecture of the root half or else by the boot half's files.
    pub(crate) fn of(boot: &dyn BootFiles, root: Option<&dyn BootFiles>) -> Self {
        let is_x86 = root.and_then(arch::of_root).map(Arch::is_x86);
        match is_x86.unwrap_or_else(|| is_there(boot, PROGRAMS[0])) {
            true => Self::Pxelinux,
            false => Self::UBoot,
        }
    }
}

/// The label that is edited and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) label: Label,
    /// The arguments after the label's name in the directive that calls it, added to the label's own.
    pub(crate) extra: String,
    /// Why the label is not what boots, a sentence each.
    pub(crate) faults: Vec<String>,
    /// Notes, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// The directives of which the last in a label determines what it starts.
const STARTS: [&str; 9] = [
    "KERNEL",
    "LINUX",
    "LOCALBOOT",
    "COM32",
    "CONFIG",
    "BOOT",
    "BSS",
    "PXE",
    "FDIMAGE",
];

/// Returns the label a menu boots; `has` returns whether a file is in the boot half.
///
/// # Errors
/// When the label cannot be determined.
pub(crate) fn choice(menu: &Menu, reader: Reader, has: &dyn Fn(&str) -> bool) -> Result<Choice> {
    let labels = menu.labels();
    let mut names = HashSet::new();
    if let Some(twice) = labels.iter().find(|l| !names.insert(l.name.as_str())) {
        bail!("the label {} is there twice", twice.name);
    }
    match reader {
        Reader::Pxelinux => pxelinux(menu, &labels, has),
        Reader::UBoot => u_boot(menu, &labels),
    }
}

/// Returns the directive that starts a program to show the menu, and the program.
pub(crate) fn program(menu: &Menu) -> Option<(&'static str, &str)> {
    let ui = menu.setting(&["UI"]).map(|value| ("UI", value));
    let start = ui.or_else(|| menu.setting(&["DEFAULT"]).map(|v| ("DEFAULT", v)))?;
    let word = first_word(start.1).0;
    let is_label = start.0 == "DEFAULT" && menu.labels().iter().any(|l| l.name == word);
    (word.ends_with(".c32") && !is_label).then_some((start.0, word))
}

/// Returns whether a program, by its name, shows a menu of labels.
pub(crate) fn is_menu(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    matches!(name, "menu.c32" | "vesamenu.c32")
}

fn pxelinux(menu: &Menu, labels: &[Label], has: &dyn Fn(&str) -> bool) -> Result<Choice> {
    let program = program(menu);
    let shows_menu = program.is_some_and(|(_, program)| is_menu(program));
    let waits = shows_menu || menu.number("PROMPT") != 0;
    let is_timed = menu.number("TIMEOUT") != 0 || menu.number("TOTALTIMEOUT") != 0;
    let default = menu.setting(&["DEFAULT"]);
    let on_timeout = menu.setting(&["ONTIMEOUT"]).filter(|v| !v.is_empty());
    let mut faults = Vec::new();
    let missing = menu.missing.iter();
    let mut notes: Vec<String> = missing
        .map(|file| format!("it includes {file}, which is not in the boot folder"))
        .collect();
    if let Some((directive, program)) = program.filter(|_| !shows_menu) {
        faults.push(format!(
            "{directive} starts {program}, and what that boots is not known here"
        ));
    }
    if waits && !is_timed {
        notes.push(
            "it waits for a key, however long: TIMEOUT 50 lets the machine boot by itself after five seconds"
                .to_string(),
        );
    }
    let by_default = match shows_menu {
        true => in_menu(menu, labels, default).map(|label| ("the menu", label.name.as_str())),
        false => default.map(|command| ("DEFAULT", command)),
    };
    // Without a DEFAULT, PXELINUX waits at its prompt, where the timeout applies.
    let times_out = is_timed && (waits || by_default.is_none());
    let called = match on_timeout.filter(|_| times_out) {
        Some(command) => Some(("ONTIMEOUT, when no key is pressed,", command)),
        None => by_default,
    };
    let mut tried = Vec::new();
    match called {
        Some(called) => tried.push(called),
        None => faults.push(
            "neither DEFAULT nor UI says what boots, and PXELINUX waits at its prompt".to_string(),
        ),
    }
    tried.extend(by_default.filter(|by_default| Some(*by_default) != called));
    let mut chosen = None;
    for (at, (by, command)) in tried.into_iter().enumerate() {
        match started(menu, labels, by, command, has) {
            Ok(found) => {
                chosen = Some(found);
                break;
            }
            Err(why) if at == 0 && program.is_none_or(|_| shows_menu) => faults.push(why),
            Err(_) => {}
        }
    }
    let (label, extra) = match chosen {
        Some((label, extra)) => (label.clone(), extra.to_string()),
        None => (only(menu, labels)?.clone(), String::new()),
    };
    Ok(Choice {
        label,
        extra,
        faults,
        notes,
    })
}

/// Returns the entry that a menu program selects: that of DEFAULT, else the last with MENU DEFAULT, else the first.
fn in_menu<'a>(menu: &Menu, labels: &'a [Label], default: Option<&str>) -> Option<&'a Label> {
    let named = default.and_then(|name| labels.iter().find(|l| l.name == name));
    let shown = || {
        let hidden = ["HIDE", "DISABLE", "DISABLED"];
        labels
            .iter()
            .filter(move |l| !hidden.iter().any(|word| menu.has_menu_word(l, word)))
    };
    named
        .or_else(|| shown().rfind(|l| menu.has_menu_word(l, "DEFAULT")))
        .or_else(|| shown().next())
}

/// Returns the label that a command starts and the arguments it adds, or why it starts no Linux kernel.
fn started<'a>(
    menu: &Menu,
    labels: &'a [Label],
    by: &str,
    command: &'a str,
    has: &dyn Fn(&str) -> bool,
) -> Result<(&'a Label, &'a str), String> {
    let (word, extra) = first_word(command);
    let Some(label) = labels.iter().find(|l| l.name == word) else {
        if has(word) {
            return Err(format!(
                "{by} boots the file {word} by itself: netbe leads a machine by a LABEL with KERNEL and APPEND"
            ));
        }
        // PXELINUX runs ONERROR if the kernel is missing.
        let on_error = menu.setting(&["ONERROR"]).unwrap_or_default();
        let (name, _) = first_word(on_error);
        return match labels.iter().find(|l| l.name == name) {
            Some(label) => Ok((label, "")),
            None => Err(format!(
                "{by} boots {word}, and there is no such LABEL and no such file"
            )),
        };
    };
    match menu.last_of(label, &STARTS) {
        Some((directive, _)) if directive == "LOCALBOOT" => Err(format!(
            "{by} boots the label {word}, which is LOCALBOOT: the machine's own disk"
        )),
        Some((directive, value))
            if directive != "LINUX" && (directive != "KERNEL" || !is_kernel_name(value)) =>
        {
            Err(format!(
                "{by} boots the label {word}, which starts {value}, no Linux kernel"
            ))
        }
        _ => Ok((label, extra)),
    }
}

/// Returns whether PXELINUX loads a file, by its name, as a Linux kernel.
fn is_kernel_name(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    let others = [".c32", ".0", ".bin", ".bs", ".bss", ".com", ".cbt"];
    // linux.c32 starts the kernel in its arguments.
    name == "linux.c32" || !others.iter().any(|end| name.ends_with(end))
}

fn u_boot(menu: &Menu, labels: &[Label]) -> Result<Choice> {
    let mut notes = Vec::new();
    let named = menu.setting(&["DEFAULT", "ONTIMEOUT"]);
    let found = match named {
        Some(name) => labels.iter().find(|l| l.name == name),
        None => labels.iter().find(|l| menu.has_menu_word(l, "DEFAULT")),
    };
    let Some(label) = found.or(labels.first()) else {
        bail!("it has no LABEL");
    };
    if let (Some(name), None) = (named, found) {
        notes.push(format!(
            "there is no LABEL {name}: U-Boot boots the first, {}",
            label.name
        ));
    }
    if menu.begins_with_menu() && menu.number("TIMEOUT") == 0 {
        notes.push(
            "it waits for a key, however long: TIMEOUT 50 lets the machine boot by itself after five seconds"
                .to_string(),
        );
    }
    let mut faults: Vec<String> = menu
        .missing
        .iter()
        .map(|file| {
            format!("it includes {file}, which is not in the boot folder, and U-Boot then gives up")
        })
        .collect();
    if menu.last_of(label, &["LOCALBOOT"]).is_none() {
        return Ok(Choice {
            label: label.clone(),
            extra: String::new(),
            faults,
            notes,
        });
    }
    faults.push(format!(
        "the label {} boots, which is LOCALBOOT: the machine's own disk",
        label.name
    ));
    Ok(Choice {
        label: only(menu, labels)?.clone(),
        extra: String::new(),
        faults,
        notes,
    })
}

/// Returns the only label with a kernel, if none boots by itself.
fn only<'a>(menu: &Menu, labels: &'a [Label]) -> Result<&'a Label> {
    let mut with_kernel = labels
        .iter()
        .filter(|label| menu.value(label, &KERNEL).is_some_and(is_kernel_name));
    match (with_kernel.next(), with_kernel.next()) {
        (Some(label), None) => Ok(label),
        (Some(one), Some(two)) => {
            let marked = labels.iter().filter(|l| menu.has_menu_word(l, "DEFAULT"));
            match marked.collect::<Vec<_>>().as_slice() {
                [label] if menu.value(label, &KERNEL).is_some() => Ok(label),
                _ => bail!(
                    "no DEFAULT says which label boots: {}, {}, …",
                    one.name,
                    two.name
                ),
            }
        }
        (None, _) => match labels {
            [] => bail!("it has no LABEL"),
            [label, ..] => Ok(label),
        },
    }
}

fn first_word(command: &str) -> (&str, &str) {
    let command = command.trim();
    command
        .split_once(char::is_whitespace)
        .map_or((command, ""), |(word, rest)| (word, rest.trim()))
}
