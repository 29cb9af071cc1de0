//! The kinds of cards and sticks that a machine boots from, and for each the one file, the switch, that selects what boots.
//!
//! A card has a directory for each boot half; the switch names one. Pure. Not for the order in which files are written.

use anyhow::{Context, Result};

use super::card_files::{CardFiles, ON_CARD};
use super::efi_programs;
use super::files::BootFiles;
use super::pxelinux::{self, Loads};
use super::rpi::card as rpi_card;
use super::spec::Loader;
use super::uefi;
use crate::failure::Failure;
use crate::fs::server_packages;

/// The directory of the program that UEFI firmware starts from a stick: UEFI specification 2.10, section 3.5.1.1.
const REMOVABLE: &str = "EFI/BOOT/";
/// The prefix of a switch's first line, if that names the directory in a comment.
const NAMES_DIRECTORY: &str = "# netbe card ";

/// The program that reads a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardKind {
    /// The firmware of a Raspberry Pi.
    RaspberryPi,
    /// UEFI firmware, which starts shim, which starts GRUB.
    Grub,
    /// U-Boot, which the board has in its own memory.
    UBoot,
}

impl CardKind {
    /// Returns the kind that a boot half can be written to.
    ///
    /// # Errors
    /// A refusal for one that only the network's loaders boot.
    pub fn of(boot: &dyn BootFiles, loader: Option<Loader>, env: &str) -> Result<Self> {
        if loader == Some(Loader::Rpi) {
            return Ok(Self::RaspberryPi);
        }
        if efi_programs::has_signed(boot) {
            return Ok(Self::Grub);
        }
        let menu = pxelinux::read(boot, pxelinux::DEFAULT)?;
        if menu.is_some() && !super::files::is_there(boot, pxelinux::PROGRAMS[0]) {
            return Ok(Self::UBoot);
        }
        let for_what = loader.map_or(String::new(), |loader| format!(" ({loader})"));
        Err(Failure::refused(format!(
            "{env}{for_what} has no loader for a card: a PC needs Debian's signed shim and GRUB in its boot half, for UEFI firmware"
        ))
        .hint(server_packages::install(efi_programs::EFI_X86_64.signed[0].name))
        .into())
    }

    /// Returns the path of the switch.
    pub fn switch(self) -> &'static str {
        match self {
            Self::RaspberryPi => "config.txt",
            Self::Grub => uefi::GRUB_ASKS_FOR,
            Self::UBoot => "extlinux/extlinux.conf",
        }
    }

    /// Returns the path on the card of a file that the firmware itself loads, outside the directory; `None` for any other file.
    pub fn firmware(self, path: &str) -> Option<String> {
        match self {
            Self::RaspberryPi => rpi_card::is_firmware(path).then(|| path.to_string()),
            Self::Grub => {
                let (name, is_shim) = efi_programs::signed_name(path)?;
                Some(match is_shim {
                    true => format!("{REMOVABLE}BOOT{}.EFI", name.to_uppercase()),
                    false => format!("{REMOVABLE}{path}"),
                })
            }
            Self::UBoot => None,
        }
    }

    /// Returns the directories, with a final slash, in which files are replaced.
    pub fn directories(self) -> &'static [&'static str] {
        match self {
            Self::RaspberryPi => &[""],
            Self::Grub => &[REMOVABLE, "grub/"],
            Self::UBoot => &["extlinux/"],
        }
    }

    /// Returns whether a file on a card is replaced by a deploy.
    pub fn is_replaced(self, path: Option<&str>) -> bool {
        path.is_some_and(|path| {
            let is_firmware = match self {
                Self::RaspberryPi => rpi_card::is_firmware(path),
                Self::Grub => path.starts_with(REMOVABLE),
                Self::UBoot => false,
            };
            path == self.switch() || is_firmware
        })
    }

    /// Returns the directory that a switch boots from, without the final slash; `None` if it is not netbe's.
    pub fn directory_of(self, switch: &str) -> Option<&str> {
        match self {
            Self::RaspberryPi => rpi_card::directory_of(switch),
            Self::Grub | Self::UBoot => {
                let directory = switch.lines().next()?.strip_prefix(NAMES_DIRECTORY)?;
                let name = directory.strip_prefix(ON_CARD)?;
                (!name.is_empty() && !name.contains('/')).then_some(directory)
            }
        }
    }

    /// Returns the files that make a boot half boot from `dir` (`netbe/NAME`) of a card, as `env`; `mac` is the address of the
    /// machine, if known.
    ///
    /// # Errors
    /// A refusal if other files would be loaded from the card.
    pub fn files(
        self,
        boot: &dyn BootFiles,
        dir: &str,
        env: &str,
        mac: Option<&str>,
    ) -> Result<CardFiles> {
        if self == Self::RaspberryPi {
            return rpi_card::card_files(boot, dir);
        }
        let menu = pxelinux::read(boot, pxelinux::DEFAULT)?;
        let (menu, _) = menu.context("it has no pxelinux.cfg/default")?;
        let mut loads = pxelinux::loads(&menu, pxelinux::DEFAULT, boot, None)?;
        if let Some(fault) = loads.faults.first() {
            return Err(Failure::refused(format!("from a card it would not boot: {fault}")).into());
        }
        let adds_card = std::mem::take(&mut loads.added) & 2 != 0;
        if let Some(mac) = mac.filter(|_| adds_card) {
            loads.append.push_str(&format!(" BOOTIF=01-{mac}"));
        }
        move_into(&mut loads, dir);
        let text = match self {
            Self::UBoot => extlinux(&loads),
            _ => uefi::grub_on_disk(env, &loads),
        };
        Ok(CardFiles {
            switch: format!("{NAMES_DIRECTORY}{dir}\n{text}"),
            readmes: Vec::new(),
        })
    }
}

/// Changes the paths of a menu's files to a directory.
fn move_into(loads: &mut Loads, dir: &str) {
    let moved = |file: &String| format!("/{dir}/{}", file.trim_start_matches('/'));
    loads.kernel = moved(&loads.kernel);
    for files in [&mut loads.initramfs, &mut loads.overlays] {
        files.iter_mut().for_each(|file| *file = moved(file));
    }
    loads.tree = loads.tree.as_ref().map(moved);
    loads.tree_dir = loads.tree_dir.as_ref().map(moved);
}

/// Returns a menu of one label, as U-Boot reads it: doc/develop/bootstd and doc/README.pxe of U-Boot.
fn extlinux(loads: &Loads) -> String {
    let configuration = loads.configuration.as_ref();
    let kernel = match configuration {
        Some(name) => format!("{}#{name}", loads.kernel),
        None => loads.kernel.clone(),
    };
    let mut lines = vec![
        "DEFAULT netbe".to_string(),
        "TIMEOUT 10".to_string(),
        "LABEL netbe".to_string(),
        format!("  KERNEL {kernel}"),
    ];
    let mut tell = |word: &str, value: Option<String>| {
        let value = value.filter(|value| !value.is_empty());
        lines.extend(value.map(|value| format!("  {word} {value}")));
    };
    tell("INITRD", loads.initramfs.first().cloned());
    tell("FDT", loads.tree.clone());
    tell("FDTDIR", loads.tree_dir.clone());
    tell("FDTOVERLAYS", Some(loads.overlays.join(" ")));
    let words = loads.append.split_whitespace();
    let words = words.filter(|word| !word.starts_with("initrd="));
    tell("APPEND", Some(words.collect::<Vec<_>>().join(" ")));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const MENU: &str = "DEFAULT netbe\nLABEL netbe\n  KERNEL vmlinuz-6.1\n  INITRD initrd.img-6.1\n  IPAPPEND 2\n  \
                        APPEND root=/dev/nfs nfsroot=10.0.0.1:/p/root,vers=3 rw ip=dhcp\n";

    fn half(menu: &str, more: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let names = ["vmlinuz-6.1", "initrd.img-6.1"];
        let files = names.iter().chain(more);
        let mut half: BTreeMap<_, _> = files.map(|n| (n.to_string(), b"x".to_vec())).collect();
        half.insert("pxelinux.cfg/default".to_string(), menu.into());
        half
    }

    #[test]
    fn grub_names_the_card_directory_on_a_pc_with_uefi() {
        let half = half(MENU, &["shimx64.efi", "grubx64.efi", "pxelinux.0"]);
        let kind = CardKind::of(&half, Some(Loader::Pxelinux), "nog/a").unwrap();
        assert_eq!(kind, CardKind::Grub);
        let files = kind
            .files(&half, "netbe/a-1", "nog/a", Some("52-54-00-01-02-03"))
            .unwrap();
        assert_eq!(kind.directory_of(&files.switch), Some("netbe/a-1"));
        for line in [
            "\n  linux /netbe/a-1/vmlinuz-6.1 root=/dev/nfs nfsroot=10.0.0.1:/p/root,vers=3 rw ip=dhcp BOOTIF=01-52-54-00-01-02-03\n",
            "\n  initrd /netbe/a-1/initrd.img-6.1\n",
        ] {
            assert!(files.switch.contains(line), "{}", files.switch);
        }
        let at = |file| kind.firmware(file);
        assert_eq!(at("shimx64.efi").as_deref(), Some("EFI/BOOT/BOOTX64.EFI"));
        assert_eq!(at("grubx64.efi").as_deref(), Some("EFI/BOOT/grubx64.efi"));
        assert_eq!(at("shimaa64.efi").as_deref(), Some("EFI/BOOT/BOOTAA64.EFI"));
        assert_eq!(at("snponly.efi"), None);
    }

    #[test]
    fn extlinux_names_the_card_directory_on_a_board_with_u_boot() {
        let menu = MENU.replace("  IPAPPEND 2\n", "  FDTDIR dtbs/\n");
        let half = half(&menu, &["dtbs/board.dtb"]);
        let kind = CardKind::of(&half, Some(Loader::Pxelinux), "nog/a").unwrap();
        assert_eq!(kind, CardKind::UBoot);
        let switch = kind
            .files(&half, "netbe/a-1", "nog/a", None)
            .unwrap()
            .switch;
        assert_eq!(
            switch,
            "# netbe card netbe/a-1\nDEFAULT netbe\nTIMEOUT 10\nLABEL netbe\n  KERNEL /netbe/a-1/vmlinuz-6.1\n  \
             INITRD /netbe/a-1/initrd.img-6.1\n  FDTDIR /netbe/a-1/dtbs/\n  \
             APPEND root=/dev/nfs nfsroot=10.0.0.1:/p/root,vers=3 rw ip=dhcp\n"
        );
        assert_eq!(kind.directory_of(&switch), Some("netbe/a-1"));
        assert_eq!(kind.directory_of("# netbe card netbe/a/b\n"), None);
        assert_eq!(kind.directory_of("DEFAULT other\n"), None);
    }

    #[test]
    fn a_pc_without_uefi_is_refused() {
        let half = half(MENU, &["pxelinux.0", "ldlinux.c32"]);
        let refused = CardKind::of(&half, Some(Loader::Pxelinux), "nog/a").unwrap_err();
        assert!(refused.to_string().contains("UEFI"), "{refused}");
    }
}
