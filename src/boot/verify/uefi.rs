//! Verifies the programs that UEFI firmware starts, and that their configurations agree with the menu.

use crate::boot::efi_programs::EfiPrograms;
use crate::boot::files::{BootFiles, is_there, text};
use crate::boot::model::Model;
use crate::boot::pxelinux::{self, Loads};
use crate::boot::spec::{Loader, Want};
use crate::boot::uefi;
use crate::fs::server_packages;

/// The programs of a boot half for UEFI firmware.
pub(super) struct Uefi {
    /// The programs for its architecture.
    programs: Option<EfiPrograms>,
    is_there: bool,
    /// The wanted loader, by the property `loader` or by the machine.
    loader: Option<Loader>,
}

impl Uefi {
    pub(super) fn new(boot: &dyn BootFiles, root: &dyn BootFiles, want: &Want<'_>) -> Self {
        let programs = EfiPrograms::of(root);
        Self {
            is_there: programs.is_some_and(|programs| programs.is_there(boot)),
            programs,
            // Without the property, the machine's firmware determines the loader.
            loader: want.loader.or(match want.model {
                Some(Model::PcBios) => Some(Loader::Pxelinux),
                Some(Model::PcEfi) => Some(Loader::GrubEfi),
                _ => None,
            }),
        }
    }

    /// Returns the reason if the programs are wanted and missing.
    pub(super) fn missing(&self) -> Option<String> {
        if self.loader != Some(Loader::GrubEfi) || self.is_there {
            return None;
        }
        let Some(programs) = self.programs else {
            return Some(
                "a PC with UEFI firmware (loader=grub-efi) runs x86_64 or aarch64, and the programs in the root are for another processor"
                    .to_string(),
            );
        };
        let [shim, grub] = programs.signed;
        Some(format!(
            "{} and {}, which a PC with UEFI firmware starts, are not in the boot folder: install them in the environment or on this server ({})",
            shim.name,
            grub.name,
            server_packages::install(shim.name)
        ))
    }

    /// Returns whether the boot half needs no programs for a BIOS besides.
    pub(super) fn stands_alone(&self, boot: &dyn BootFiles) -> bool {
        match self.loader {
            Some(Loader::GrubEfi) => true,
            Some(_) => false,
            // A file of PXELINUX means that it is for a BIOS too.
            None => self.is_there && !pxelinux::PROGRAMS.iter().any(|name| is_there(boot, name)),
        }
    }

    /// Returns the differences from the menu, a sentence each; none if a BIOS may boot it as it is.
    pub(super) fn faults(
        &self,
        boot: &dyn BootFiles,
        want: &Want<'_>,
        loads: &Loads,
    ) -> Vec<String> {
        if !self.is_there || !self.stands_alone(boot) {
            return Vec::new();
        }
        let mut faults = Vec::new();
        for (path, wanted) in uefi::configurations(want.name, loads) {
            match text(boot, path) {
                Ok(Some(found)) if of_any_boot(&found) == of_any_boot(&wanted) => {}
                Ok(found) => {
                    let is = match found {
                        Some(_) => {
                            "says something else than pxelinux.cfg/default, from which it is made"
                        }
                        None => "is missing, which is made from pxelinux.cfg/default",
                    };
                    faults.push(format!(
                        "{path}, which UEFI firmware boots by, {is}: netbe set --existing {}",
                        want.hostname
                    ));
                }
                Err(e) => faults.push(format!("{path} cannot be read: {e}")),
            }
        }
        faults
    }
}

/// Returns a configuration without a trial's arguments: a failure may leave them in only one of the files, and each boots.
fn of_any_boot(text: &str) -> String {
    let words = text.split_inclusive([' ', '\n']);
    words.filter(|word| !word.starts_with("panic=")).collect()
}
