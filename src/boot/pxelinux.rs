//! The files that PXELINUX, or U-Boot's `pxe` command, loads from a boot half, and their configuration.
//!
//! In a user's `pxelinux.cfg/default` only the APPEND of the default label is edited. A file made by netbe is also
//! updated to the newest kernel. Menus, sounds and colours are ignored.

pub(crate) mod boots;
mod kernel_install;
pub(crate) mod kernels;
pub(crate) mod menu;
mod seed;

use anyhow::{Context, Result, anyhow, ensure};

use super::arch::{self, Arch};
use super::files::{BootFiles, is_there, text};
use super::initramfs::{Mounter, mounting};
use super::spec::Want;
use boots::Reader;
use kernel_install::Pair;
use menu::Menu;
use seed::{of_running, seed};

/// Directory of the configuration.
pub(crate) const DIR: &str = "pxelinux.cfg";
/// The file in it that is read for any node, after all others.
pub(crate) const DEFAULT: &str = "pxelinux.cfg/default";
/// The program a BIOS starts, and the one that it loads first.
pub(crate) const PROGRAMS: [&str; 2] = ["pxelinux.0", "ldlinux.c32"];
/// Paths of the same kind of file on a disk, for an imported system.
const EXTLINUX: [&str; 3] = [
    "extlinux/extlinux.conf",
    "extlinux.conf",
    "boot/extlinux/extlinux.conf",
];
/// The most configuration files for single nodes: each may be as long as any text.
const CONFIGURATIONS: usize = 32;
/// The most initramfs files of a label: each is read.
const INITRAMFS: usize = 16;
/// How many bytes of a menu program are read.
const PROGRAM_LIMIT: usize = 1 << 20;
/// Beginning of the first line of a file made by netbe.
pub(super) const MADE_BY: &str = "# made by netbe for ";

/// Returns whether a boot half is for PXELINUX: it has its files, or a kernel where those are put.
pub(crate) fn is_one(boot: &dyn BootFiles, names: &[String]) -> bool {
    is_there(boot, DEFAULT)
        || names.iter().any(|n| n == PROGRAMS[0])
        || EXTLINUX.iter().any(|path| is_there(boot, path))
        || !kernels::kernels(names).is_empty()
        || !kernel_install::installed(boot, names).is_empty()
        || !kernel_install::unified(boot).is_empty()
}

/// Returns the files of `pxelinux.cfg` that a node may read: `default`, and those for one address, which take
/// precedence.
///
/// # Errors
/// Also if there are more than a node can have.
pub(crate) fn configurations(boot: &dyn BootFiles) -> std::io::Result<Vec<String>> {
    let mut found: Vec<String> = boot
        .names(DIR)?
        .into_iter()
        .filter(|name| name == "default" || is_for_one_node(name))
        .map(|name| format!("{DIR}/{name}"))
        .collect();
    if found.len() > CONFIGURATIONS {
        return Err(std::io::Error::other(format!(
            "{DIR} holds more than {CONFIGURATIONS} files that a node would read"
        )));
    }
    found.sort();
    Ok(found)
}

fn is_for_one_node(name: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
    let mac = |name: &str| name.len() == 20 && name.starts_with("01-");
    let uuid = |name: &str| name.len() == 36 && name.matches('-').count() == 4;
    mac(name)
        || uuid(name)
        || name.starts_with("default-")
        || (name.len() <= 8 && name.bytes().all(hex))
}

/// Returns the menu in a configuration file, and whether netbe made it.
pub(crate) fn read(boot: &dyn BootFiles, path: &str) -> Result<Option<(Menu, bool)>> {
    let Some(text) = text(boot, path)? else {
        return Ok(None);
    };
    let is_made = text.starts_with(MADE_BY);
    let include = |path: &str| self::text(boot, path).ok().flatten();
    let mut menu = Menu::open(path, &text, &include);
    // A menu program reads the files it is started with; `~` is the one it was started from.
    let start = menu.setting(&["UI"]).or(menu.setting(&["DEFAULT"]));
    let mut words = start.unwrap_or_default().split_whitespace();
    let named: Vec<String> = match words.next().is_some_and(boots::is_menu) {
        true => words.filter(|w| *w != "~").map(str::to_string).collect(),
        false => Vec::new(),
    };
    for path in named {
        menu.include(&path, &include);
    }
    Ok(Some((menu, is_made)))
}

/// Returns the label of a menu that boots; see [`boots::choice`].
pub(crate) fn choice(
    menu: &Menu,
    boot: &dyn BootFiles,
    root: Option<&dyn BootFiles>,
) -> Result<boots::Choice> {
    boots::choice(menu, Reader::of(boot, root), &|path| is_there(boot, path))
}

/// Returns a menu for a boot half without one, with the APPEND of the imported system.
pub(crate) fn made(boot: &dyn BootFiles, root: &dyn BootFiles, want: &Want<'_>) -> Result<Menu> {
    let pair = newest(boot, None)?;
    let mut text = format!("{MADE_BY}{}", want.name);
    text.push_str("; KERNEL, INITRD and FDTDIR follow the newest kernel, APPEND is kept\n");
    // IPAPPEND 2 tells an initramfs which network card booted (BOOTIF).
    text.push_str("DEFAULT netbe\nPROMPT 0\nTIMEOUT 10\n\nLABEL netbe\n  KERNEL ");
    text.push_str(&format!(
        "{}\n  IPAPPEND 2\n  APPEND {}",
        pair.kernel,
        want.started_with
            .map_or_else(|| seed(boot, root), of_running)
    ));
    text.truncate(text.trim_end().len());
    text.push('\n');
    let mut menu = Menu::open(DEFAULT, &text, &|_| None);
    follow(&mut menu, boot, root, want)?;
    if !arch::of_root(root).is_some_and(Arch::is_x86) {
        for (name, value) in named_trees(boot) {
            let label = choice(&menu, boot, Some(root))?.label;
            menu.set(&label, &[name], Some(&value));
        }
    }
    Ok(menu)
}

/// Updates a menu made by netbe to the newest kernel and the environment's name.
pub(crate) fn follow(
    menu: &mut Menu,
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    want: &Want<'_>,
) -> Result<()> {
    menu.rename(MADE_BY, want.name);
    let label = |menu: &Menu| choice(menu, boot, Some(root)).map(|choice| choice.label);
    let pair = newest(boot, menu.value(&label(menu)?, &menu::KERNEL))?;
    menu.set(&label(menu)?, &menu::KERNEL, Some(&pair.kernel));
    menu.set(&label(menu)?, &menu::INITRD, pair.initrd.as_deref());
    // mkinitcpio's net hook makes `ip=dhcp::eth0` of it, which its ipconfig rejects.
    if mounting(root, pair.initrd.is_some()).mounter == Mounter::Mkinitcpio {
        menu.set(&label(menu)?, &menu::ADDED, None);
    }
    let trees = kernels::tree_dir(boot, pair.version.as_deref());
    let trees = trees.filter(|_| !arch::of_root(root).is_some_and(Arch::is_x86));
    menu.set(&label(menu)?, &menu::TREES, trees.as_deref());
    Ok(())
}

fn newest(boot: &dyn BootFiles, current: Option<&str>) -> Result<Pair> {
    kernels::newest(boot, current)?.ok_or_else(|| kernel_install::no_kernel(boot).into())
}

/// Returns the menu by which an imported system booted from its disk, and the label that booted.
fn extlinux(boot: &dyn BootFiles) -> Option<(Menu, boots::Choice)> {
    EXTLINUX.iter().find_map(|path| {
        let (menu, _) = read(boot, path).ok().flatten()?;
        let choice = boots::choice(&menu, Reader::UBoot, &|_| false).ok()?;
        Some((menu, choice))
    })
}

/// Returns the device tree and overlays that the imported menu named, if they are in the boot half.
fn named_trees(boot: &dyn BootFiles) -> Vec<(&'static str, String)> {
    let Some((menu, choice)) = extlinux(boot) else {
        return Vec::new();
    };
    // A path from the top of the disk, or relative to the file.
    let here = |path: &str| {
        let path = path.trim_start_matches("../").trim_start_matches('/');
        let path = path.strip_prefix("boot/").unwrap_or(path);
        is_there(boot, path).then(|| path.to_string())
    };
    let tree = menu.value(&choice.label, &menu::TREE).and_then(here);
    let overlays = menu.value(&choice.label, &menu::OVERLAYS);
    let overlays: Vec<String> = overlays
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(here)
        .collect();
    let overlays = (!overlays.is_empty()).then(|| overlays.join(" "));
    tree.map(|tree| (menu::TREE[0], tree))
        .into_iter()
        .chain(overlays.map(|overlays| (menu::OVERLAYS[0], overlays)))
        .collect()
}

/// The files and arguments of the default label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loads {
    pub(crate) kernel: String,
    pub(crate) initramfs: Vec<String>,
    pub(crate) append: String,
    /// The configuration of a FIT image.
    pub(crate) configuration: Option<String>,
    /// The arguments that the loader adds, as bits: 1 for `ip=`, 2 for `BOOTIF=`.
    pub(crate) added: u64,
    /// The device tree and its overlays, if the menu names them, and the directory in which U-Boot looks for one.
    pub(crate) tree: Option<String>,
    pub(crate) overlays: Vec<String>,
    pub(crate) tree_dir: Option<String>,
    /// The reasons why the label does not boot, and notes, a sentence each.
    pub(crate) faults: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// Returns what a menu's default label loads.
pub(crate) fn loads(
    menu: &Menu,
    path: &str,
    boot: &dyn BootFiles,
    root: Option<&dyn BootFiles>,
) -> Result<Loads> {
    let reader = Reader::of(boot, root);
    let chosen = choice(menu, boot, root).with_context(|| path.to_string())?;
    let label = &chosen.label;
    let kernel = menu
        .value(label, &menu::KERNEL)
        .ok_or_else(|| anyhow!("{path}: the label {} names no kernel", label.name))?;
    let append = menu.append(label).unwrap_or_default();
    let in_append = append
        .split_whitespace()
        .find_map(|t| t.strip_prefix("initrd="));
    let files = menu
        .value(label, &menu::INITRD)
        .or(in_append)
        .unwrap_or_default();
    let relative = |file: &str| file.trim().trim_start_matches("./").to_string();
    let files = files.split(',').filter(|f| !f.trim().is_empty());
    let initramfs: Vec<String> = files.map(relative).take(INITRAMFS + 1).collect();
    ensure!(
        initramfs.len() <= INITRAMFS,
        "{path}: the label that boots names more than {INITRAMFS} initramfs files"
    );
    // In U-Boot, the text after a # names a configuration in a FIT image.
    let (kernel, configuration) = match (reader, kernel.split_once('#')) {
        (Reader::UBoot, Some((file, name))) => (file, Some(name)),
        _ => (kernel, None),
    };
    let for_u_boot = |names: &[&str]| match reader {
        Reader::UBoot => menu.value(label, names),
        Reader::Pxelinux => None,
    };
    let overlays = for_u_boot(&menu::OVERLAYS).unwrap_or_default();
    let with_path = |why: Vec<String>| why.into_iter().map(|why| format!("{path}: {why}"));
    Ok(Loads {
        kernel: relative(kernel),
        initramfs,
        append: match chosen.extra.as_str() {
            "" => append.to_string(),
            extra => format!("{append} {extra}"),
        },
        configuration: configuration.map(str::to_string),
        added: menu.added(label),
        tree: for_u_boot(&menu::TREE).map(relative),
        overlays: overlays.split_whitespace().map(relative).collect(),
        tree_dir: for_u_boot(&menu::TREES).map(relative),
        faults: with_path(chosen.faults).collect(),
        notes: with_path(chosen.notes).collect(),
    })
}

/// Returns the missing files of a menu program, a sentence each: the program itself, or a library it is linked with.
pub(crate) fn program_missing(menu: &Menu, path: &str, boot: &dyn BootFiles) -> Vec<String> {
    let Some((directive, program)) = boots::program(menu) else {
        return Vec::new();
    };
    let dirs = menu.setting(&["PATH"]).unwrap_or_default().split(':');
    let places: Vec<String> = dirs
        .map(|dir| dir.trim().trim_matches('/'))
        .filter(|dir| !dir.is_empty())
        .map(|dir| format!("{dir}/"))
        .chain([String::new()])
        .collect();
    let place = |name: &str| {
        let name = name.trim_start_matches("./");
        places
            .iter()
            .map(|dir| format!("{dir}{name}"))
            .find(|path| is_there(boot, path))
    };
    let remedy = "PXELINUX would stop at its prompt (package syslinux-common or syslinux has it)";
    let Some(found) = place(program) else {
        return vec![format!(
            "{path}: {directive} starts {program}, which is not in the boot folder: {remedy}"
        )];
    };
    let Ok(Some(bytes)) = boot.head(&found, PROGRAM_LIMIT) else {
        return Vec::new();
    };
    // The programs of syslinux 4 and before are no ELF files, and need no libraries.
    if !bytes.starts_with(b"\x7fELF") {
        return Vec::new();
    }
    let libraries = bytes
        .split(|b| *b == 0)
        .filter_map(|word| std::str::from_utf8(word).ok())
        .filter(|word| word.starts_with("lib") && word.ends_with(".c32"));
    libraries
        .filter(|library| place(library).is_none())
        .map(|library| {
            format!("{path}: {program} needs {library}, which is not in the boot folder: {remedy}")
        })
        .collect()
}
