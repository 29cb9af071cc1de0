//! What PXELINUX, or U-Boot's `pxe` command, would load from a boot half, and the file that says so.
//!
//! A `pxelinux.cfg/default` that somebody wrote is theirs: only the APPEND of the label that boots is
//! edited. One that netbe made follows the newest kernel besides. Not for menus, sounds and colours.

pub(crate) mod kernels;
pub(crate) mod menu;

use anyhow::{Context, Result, anyhow, ensure};

use super::arch::{self, Arch};
use super::files::{BootFiles, is_there, text};
use super::spec::Want;
use crate::failure::Failure;
use kernels::Pair;
use menu::Menu;

/// Where PXELINUX and U-Boot look for their configuration.
pub(crate) const DIR: &str = "pxelinux.cfg";
/// The last name they try in it, for any node.
pub(crate) const DEFAULT: &str = "pxelinux.cfg/default";
/// The program a BIOS fetches, and what that loads first.
pub(crate) const PROGRAMS: [&str; 2] = ["pxelinux.0", "ldlinux.c32"];
/// Where the same kind of file lies on a disk, for a system that is brought in.
const EXTLINUX: [&str; 3] = [
    "extlinux/extlinux.conf",
    "extlinux.conf",
    "boot/extlinux/extlinux.conf",
];
/// How many files for single nodes are looked at: one boot half is one node's, and each may be as long as any text.
const CONFIGURATIONS: usize = 32;
/// How many files a label may have loaded as its initramfs: each is looked into.
const INITRAMFS: usize = 16;
/// How the first line of a file netbe made begins.
pub(super) const MADE_BY: &str = "# made by netbe for ";

/// Returns whether a boot half is one for PXELINUX: its files are there, or a kernel by a usual name.
pub(crate) fn is_one(boot: &dyn BootFiles, names: &[String]) -> bool {
    is_there(boot, DEFAULT)
        || names.iter().any(|n| n == PROGRAMS[0])
        || EXTLINUX.iter().any(|path| is_there(boot, path))
        || !kernels::kernels(names).is_empty()
}

/// Returns the files of `pxelinux.cfg` that some node would read: `default`, and those named for one
/// address, which go before it.
///
/// # Errors
/// Also where there are more than any node has.
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

/// Returns the menu a configuration holds, and whether netbe made it.
pub(crate) fn read(boot: &dyn BootFiles, path: &str) -> Result<Option<(Menu, bool)>> {
    let Some(text) = text(boot, path)? else {
        return Ok(None);
    };
    let is_made = text.starts_with(MADE_BY);
    Ok(Some((Menu::parse(&text), is_made)))
}

/// Returns a menu for a boot half without one, its APPEND taken over from what the system booted by.
pub(crate) fn made(boot: &dyn BootFiles, root: &dyn BootFiles, want: &Want<'_>) -> Result<Menu> {
    let pair = newest(boot, None)?;
    let mut text = format!("{MADE_BY}{}", want.name);
    text.push_str("; KERNEL, INITRD and FDTDIR follow the newest kernel, APPEND is kept\n");
    // IPAPPEND 2 tells an initramfs which of several network cards booted (BOOTIF).
    text.push_str("DEFAULT netbe\nPROMPT 0\nTIMEOUT 10\n\nLABEL netbe\n  KERNEL ");
    text.push_str(&format!(
        "{}\n  IPAPPEND 2\n  APPEND {}",
        pair.kernel,
        seed(boot, root)
    ));
    text.truncate(text.trim_end().len());
    text.push('\n');
    let mut menu = Menu::parse(&text);
    follow(&mut menu, boot, root, want)?;
    Ok(menu)
}

/// Brings a menu that netbe made up to the newest kernel, and to the environment's name.
pub(crate) fn follow(
    menu: &mut Menu,
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    want: &Want<'_>,
) -> Result<()> {
    menu.rename(MADE_BY, want.name);
    let label = menu.default_label()?;
    let pair = newest(boot, menu.value(&label, &menu::KERNEL))?;
    menu.set(&label, &menu::KERNEL, Some(&pair.kernel));
    let label = menu.default_label()?;
    menu.set(&label, &menu::INITRD, pair.initrd.as_deref());
    let label = menu.default_label()?;
    let trees = kernels::tree_dir(boot, pair.version.as_deref());
    let trees = trees.filter(|_| !arch::of_root(root).is_some_and(Arch::is_x86));
    menu.set(&label, &menu::TREES, trees.as_deref());
    Ok(())
}

fn newest(boot: &dyn BootFiles, current: Option<&str>) -> Result<Pair> {
    kernels::newest(boot, current)?.ok_or_else(|| {
        Failure::failed(
            "there is no kernel in the boot folder: vmlinuz-VERSION, vmlinuz-linux, Image, …",
        )
        .hint("put the kernel and its initramfs into the environment's boot folder")
        .into()
    })
}

/// Returns the arguments a system that is brought in booted with, where that can be known.
///
/// From an `extlinux.conf`, else from what GRUB adds to every entry: that is where a serial console is.
fn seed(boot: &dyn BootFiles, root: &dyn BootFiles) -> String {
    for (files, path) in EXTLINUX.iter().map(|path| (boot, *path)) {
        if let Ok(Some((menu, _))) = read(files, path)
            && let Ok(label) = menu.default_label()
        {
            let append = menu.append(&label).unwrap_or_default();
            let is_initrd = |t: &&str| !t.starts_with("initrd=") && !t.contains("${");
            return append
                .split_whitespace()
                .filter(is_initrd)
                .collect::<Vec<_>>()
                .join(" ");
        }
    }
    let grub = text(root, "etc/default/grub")
        .ok()
        .flatten()
        .unwrap_or_default();
    let set = grub
        .lines()
        .rev()
        .find_map(|l| l.trim().strip_prefix("GRUB_CMDLINE_LINUX="));
    let value = set.unwrap_or_default().trim().trim_matches(['"', '\'']);
    match value.contains(['$', '`', '"', '\\', '\'']) {
        true => String::new(),
        false => value.to_string(),
    }
}

/// What the label that boots would load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loads {
    pub(crate) kernel: String,
    pub(crate) initramfs: Vec<String>,
    pub(crate) append: String,
}

/// Returns what a menu's label that boots would load.
pub(crate) fn loads(menu: &Menu, path: &str) -> Result<Loads> {
    let label = menu.default_label().with_context(|| path.to_string())?;
    let kernel = menu
        .value(&label, &menu::KERNEL)
        .ok_or_else(|| anyhow!("{path}: the label {} names no kernel", label.name))?;
    let append = menu.append(&label).unwrap_or_default();
    let in_append = append
        .split_whitespace()
        .find_map(|t| t.strip_prefix("initrd="));
    let files = menu
        .value(&label, &menu::INITRD)
        .or(in_append)
        .unwrap_or_default();
    let relative = |file: &str| file.trim().trim_start_matches("./").to_string();
    let files = files.split(',').filter(|f| !f.trim().is_empty());
    let initramfs: Vec<String> = files.map(relative).take(INITRAMFS + 1).collect();
    ensure!(
        initramfs.len() <= INITRAMFS,
        "{path}: the label that boots names more than {INITRAMFS} initramfs files"
    );
    Ok(Loads {
        kernel: relative(kernel),
        initramfs,
        append: append.to_string(),
    })
}
