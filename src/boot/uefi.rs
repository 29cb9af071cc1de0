//! Configurations for the programs that UEFI firmware boots, as a BIOS boots PXELINUX: Debian's signed shim and GRUB, or iPXE.
//!
//! They are made from the menu's default label, so that the command line is in one place. GRUB requests `grub/grub.cfg`,
//! which a system's own update-grub(8) writes for its disk: the TFTP server answers with [`GRUB_CONFIG`]. Pure. Not for the
//! menu, nor for which of the two a machine starts.

use std::io;

use super::efi_programs;
use super::files::{BootFiles, text};
use super::pxelinux::{Loads, MADE_BY, PROGRAMS};

/// GRUB's configuration in the boot half.
pub(crate) const GRUB_CONFIG: &str = "grub/netbe.cfg";
/// The name under which GRUB's network image asks for its configuration (its prefix is `/grub`).
pub(crate) const GRUB_ASKS_FOR: &str = "grub/grub.cfg";
/// iPXE's script.
pub const IPXE_SCRIPT: &str = "netbe.ipxe";

/// Returns the file that is served in place of the requested one.
pub fn served_as(file: &str) -> Option<&'static str> {
    (file == GRUB_ASKS_FOR).then_some(GRUB_CONFIG)
}

/// Returns whether a boot half is for UEFI firmware alone: it has its programs, and none of a BIOS.
pub(crate) fn is_one(boot: &dyn BootFiles, names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|n| n == name);
    !has(PROGRAMS[0]) && efi_programs::any_is_there(boot)
}

/// Returns the configuration of a GRUB that finds its files by paths from the top of its own disk.
pub(super) fn grub_on_disk(name: &str, loads: &Loads) -> String {
    grub(name, loads, false)
}

/// Returns the configurations of a boot half that netbe made.
pub(crate) fn made(boot: &dyn BootFiles) -> io::Result<Vec<&'static str>> {
    let mut made = Vec::new();
    for file in [GRUB_CONFIG, IPXE_SCRIPT, GRUB_ASKS_FOR] {
        let text = text(boot, file)?.unwrap_or_default();
        if text.lines().take(2).any(|line| line.starts_with(MADE_BY)) {
            made.push(file);
        }
    }
    Ok(made)
}

/// Returns the configurations, each with its path.
///
/// `name` is the environment's name. GRUB and iPXE add the same argument as IPAPPEND 2: the network card that booted.
pub(crate) fn configurations(name: &str, loads: &Loads) -> [(&'static str, String); 2] {
    let adds_card = loads.added & 2 != 0;
    [
        (GRUB_CONFIG, grub(name, loads, adds_card)),
        (IPXE_SCRIPT, ipxe(name, loads, adds_card)),
    ]
}

/// Returns the first line of both.
pub(super) fn origin(name: &str) -> String {
    format!("{MADE_BY}{name} from pxelinux.cfg/default, whose APPEND holds the arguments")
}

fn grub(name: &str, loads: &Loads, adds_card: bool) -> String {
    let mut words: Vec<String> = arguments(&loads.append)
        // GRUB quotes an argument with blanks by itself, and would escape a quote, which the kernel does not understand.
        .map(|token| quoted(&token.replace('"', "")))
        .collect();
    if adds_card {
        words.push("BOOTIF=01-$net_default_mac".to_string());
    }
    let mut text = format!(
        "{}\nset timeout=1\nmenuentry {} {{\n  linux {} {}\n",
        origin(name),
        quoted(name),
        path(&loads.kernel),
        words.join(" ")
    );
    if !loads.initramfs.is_empty() {
        let files: Vec<String> = loads.initramfs.iter().map(|file| path(file)).collect();
        text.push_str(&format!("  initrd {}\n", files.join(" ")));
    }
    text.push_str("}\n");
    text
}

fn ipxe(name: &str, loads: &Loads, adds_card: bool) -> String {
    let mut words: Vec<String> = arguments(&loads.append).map(str::to_string).collect();
    if adds_card {
        words.push("BOOTIF=01-${netX/mac:hexhyp}".to_string());
    }
    // The kernel's EFI stub finds the files that iPXE has loaded by these names.
    let base = |file: &String| file.rsplit('/').next().unwrap_or_default().to_string();
    words.extend(
        loads
            .initramfs
            .iter()
            .map(|f| format!("initrd={}", base(f))),
    );
    let mut text = format!(
        "#!ipxe\n{}\nkernel {} {}\n",
        origin(name),
        loads.kernel,
        words.join(" ")
    );
    for file in &loads.initramfs {
        text.push_str(&format!("initrd {file}\n"));
    }
    text.push_str("boot\n");
    text
}

/// Returns the arguments of the kernel in an APPEND, without the initramfs that PXELINUX takes from there.
pub(super) fn arguments(append: &str) -> impl Iterator<Item = &str> {
    tokens(append)
        .into_iter()
        .filter(|token| !token.starts_with("initrd="))
}

/// Splits at blanks that no double quote protects, as the kernel does.
fn tokens(line: &str) -> Vec<&str> {
    let mut is_quoted = false;
    line.split(|c: char| {
        is_quoted ^= c == '"';
        c.is_whitespace() && !is_quoted
    })
    .filter(|token| !token.is_empty())
    .collect()
}

/// Returns a file's path from the TFTP root, which is the boot half.
fn path(file: &str) -> String {
    quoted(&format!("/{}", file.trim_start_matches('/')))
}

/// Quotes a word for GRUB's shell.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=,+@%".contains(&b);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
