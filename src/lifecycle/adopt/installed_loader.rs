//! The loader that starts this machine, as it is installed.
//!
//! Reads only. Not for the loader's configuration.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::mounted::Mounted;
use super::probe::{is_there, uuid_of};
use crate::failure::Failure;
use crate::fs::efi_variable;
use crate::pool::record::Esp;

/// Where an EFI system partition is mounted.
const PLACES: [&str; 3] = ["/boot/efi", "/efi", "/boot"];

/// A loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InstalledLoader {
    /// GRUB.
    Grub(Grub),
    /// systemd-boot.
    SystemdBoot {
        /// The EFI system partition that it reads.
        esp: Esp,
        /// The mount point of that.
        place: String,
    },
}

/// GRUB, as it is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grub {
    /// Its configuration, as a path without links.
    pub configuration: PathBuf,
    /// The program that generates it.
    pub program: &'static str,
}

impl std::fmt::Display for Grub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -o {}", self.program, self.configuration.display())
    }
}

impl InstalledLoader {
    /// Finds the loader.
    ///
    /// # Errors
    /// A refusal if neither of the two boots this machine.
    pub(super) fn find(mounted_at: impl Fn(&str) -> Option<Mounted>) -> Result<Self> {
        if variable("LoaderInfo")?.is_some_and(|said| said.starts_with("systemd-boot")) {
            return systemd_boot(mounted_at);
        }
        match grub()? {
            Some(grub) => Ok(Self::Grub(grub)),
            None => Err(Failure::refused(
                "this machine has no GRUB that writes its own configuration (/etc/grub.d and /boot/grub/grub.cfg), and was not \
                 started by systemd-boot",
            )
            .hint("ls -l /boot")
            .into()),
        }
    }
}

fn systemd_boot(mounted_at: impl Fn(&str) -> Option<Mounted>) -> Result<InstalledLoader> {
    if variable("LoaderEntryDefault")?.is_some_and(|id| !id.is_empty()) {
        return Err(Failure::refused(
            "the firmware variable LoaderEntryDefault overrides the configuration of systemd-boot",
        )
        .hint("bootctl set-default \"\"")
        .into());
    }
    let has_loader = |place: &str| {
        let dir = Path::new(place);
        dir.join("loader").is_dir() || dir.join("EFI/systemd").is_dir()
    };
    let found = PLACES.iter().find_map(|place| {
        let mounted = mounted_at(place)?;
        (mounted.kind == "vfat" && has_loader(place)).then_some((place, mounted))
    });
    let filesystem = match &found {
        Some((_, mounted)) => uuid_of(mounted)?,
        None => None,
    };
    match (found, filesystem) {
        (Some((place, mounted)), Some(filesystem)) => Ok(InstalledLoader::SystemdBoot {
            esp: Esp {
                filesystem,
                kind: mounted.kind,
            },
            place: (*place).to_string(),
        }),
        _ => Err(Failure::refused(
            "this machine was started by systemd-boot, and its EFI system partition is mounted neither at /boot/efi nor at /efi \
             nor at /boot",
        )
        .hint("bootctl status")
        .into()),
    }
}

fn variable(name: &str) -> Result<Option<String>> {
    let reading = || format!("reading {}", efi_variable::path(name).display());
    efi_variable::read(name).with_context(reading)
}

/// Returns GRUB, where it is installed so that it has a configuration.
fn grub() -> Result<Option<Grub>> {
    let mut configuration = None;
    for path in ["/boot/grub2/grub.cfg", "/boot/grub/grub.cfg"] {
        if is_there(path)? && is_there("/etc/grub.d")? {
            configuration = Some(path);
        }
    }
    let Some(configuration) = configuration else {
        return Ok(None);
    };
    let found = |program: &str| {
        let dirs = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        let mut dirs = dirs.iter();
        dirs.any(|dir| Path::new(dir).join(program).exists())
    };
    let programs = ["grub-mkconfig", "grub2-mkconfig"];
    let Some(program) = programs.into_iter().find(|program| found(program)) else {
        return Ok(None);
    };
    let configuration = Path::new(configuration).canonicalize();
    Ok(Some(Grub {
        configuration: configuration.context("finding GRUB's configuration")?,
        program,
    }))
}
