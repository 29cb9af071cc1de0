//! The edits that give two halves the wanted configuration: computed before anything is written.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::Wanted;
use crate::boot::{self, Loader, Remembered, RootPlace, Watched, fstab};
use crate::fs::rooted::Tree;
use crate::staged::data;
use crate::staged::local_disks;
use crate::staged::local_disks::FSTAB;
use crate::staged::pc_programs::pc_programs;
use crate::staged::read_only_root;

/// Files with their content, by path in their half.
type Files = BTreeMap<String, Vec<u8>>;

/// The edits.
pub(super) struct Edits {
    pub(super) boot: boot::Plan,
    pub(super) fstab: Option<String>,
}

impl Edits {
    pub(super) fn new(wanted: &Wanted, root: &Tree, boot: &Tree) -> Result<Self> {
        let (root_seen, boot_seen) = (Watched::new(root), Watched::new(boot));
        let what = || format!("writing the boot files of {}", wanted.name);
        let programs = match wanted.loader.or_else(|| boot::recognise(&boot_seen)) {
            Some(Loader::Rpi | Loader::Grub) => Vec::new(),
            _ => pc_programs(root, boot, wanted.loader).with_context(what)?,
        };
        let planned = boot::plan(
            &Remembered::new(&boot_seen),
            &Remembered::new(&root_seen),
            &wanted.for_boot(programs),
        );
        // An unreadable file is the cause if something seems to be missing.
        boot_seen
            .ended()
            .and(root_seen.ended())
            .with_context(what)?;
        let fstab =
            fstab_of(wanted, root).with_context(|| format!("writing the fstab of {}", wanted.name));
        Ok(Self {
            boot: planned.with_context(what)?,
            fstab: fstab?,
        })
    }

    /// Returns the files as they would be written, of the boot half and of the root half.
    pub(super) fn files(self, wanted: &Wanted, root: &Tree) -> Result<(Files, Files)> {
        let fstab = self.fstab.map(|text| (FSTAB.to_string(), text));
        let units = data::units(root, &wanted.data)?;
        let program = read_only_root::file(wanted.read_only);
        let of_root = fstab.into_iter().chain(units).chain(program);
        let of_root = of_root.map(|(path, text)| (path, text.into_bytes()));
        Ok((self.boot.writes.into_iter().collect(), of_root.collect()))
    }
}

impl Wanted {
    /// Returns the disks that the machine is known to have, with the devices that crypttab opens on them.
    pub(super) fn there(&self, root: &Tree) -> Result<Vec<String>> {
        match &self.root {
            RootPlace::Disk(disk) => local_disks::there(root, &disk.beside),
            _ => Ok(Vec::new()),
        }
    }
}

/// Returns the wanted fstab of a root; `None` if the root has it.
fn fstab_of(wanted: &Wanted, root: &Tree) -> Result<Option<String>> {
    let text = root.read_text(FSTAB)?.unwrap_or_default();
    if let Some(own) = wanted.root.own() {
        return fstab::edit_own(&text, own, &wanted.boot_mount);
    }
    let want = fstab::Want {
        boot_spec: wanted.root.mounts_boot().then_some(&wanted.boot_spec),
        boot_mount: &wanted.boot_mount,
        version: wanted.version,
        read_only: wanted.read_only.is_some(),
        rest: wanted.rests(root)?,
        there: &wanted.there(root)?,
    };
    let edited = fstab::edit(&text, &want)?;
    let now = edited.as_deref().unwrap_or(&text);
    Ok(fstab::edit_data(now, &wanted.data, wanted.version).or(edited))
}
