//! Plans the changes to a boot half so that it boots as wanted.
//!
//! [`plan`] contains only files that change, so it is empty after it was applied. It does not check the rest of the
//! boot half: that is [`super::verify`].

mod menus;

use anyhow::{Context, Result, ensure};

use super::cmdline::{self, Edited};
use super::files::{BootFiles, is_there, text};
use super::initramfs::{self, Mounter, Mounting, mounting};
use super::kernel;
use super::nfs;
use super::pxelinux;
use super::rpi;
use super::spec::{Loader, NfsVersion, Plan, RootPlace, Want};
use super::summary_for;
use super::uefi;
use crate::failure::Failure;

/// Bytes of `cmdline.txt` that a Raspberry Pi's firmware reads.
pub(crate) const RPI_LIMIT: usize = 1024;
/// Length from which on the firmware's own arguments may not fit.
const RPI_CROWDED: usize = 774;
/// The kernel's limit on x86 and 64-bit ARM, less the final NUL.
pub(crate) const PXE_LIMIT: usize = 2047;
/// Initial `cmdline.txt` if there is none: output on screen and serial port.
const RPI_CONSOLES: &str = "console=serial0,115200 console=tty1\n";

/// Detects the loader of a boot half by its files; `None` if unknown.
pub fn recognise(boot: &dyn BootFiles) -> Option<Loader> {
    let names = boot.names("").ok()?;
    if rpi::is_one(&names) {
        return Some(Loader::Rpi);
    }
    if !pxelinux::is_one(boot, &names) {
        return None;
    }
    Some(match uefi::is_one(boot, &names) {
        true => Loader::GrubEfi,
        false => Loader::Pxelinux,
    })
}

/// Returns what to write to the boot half so that it boots as wanted.
///
/// The mounter of the root and the architecture are detected in the root half. Errors name the file and the reason why
/// it cannot be edited.
pub fn plan(boot: &dyn BootFiles, root: &dyn BootFiles, want: &Want<'_>) -> Result<Plan> {
    let loader = want.loader.or_else(|| recognise(boot)).ok_or_else(|| {
        Failure::failed(
            "the boot folder has the files of no loader that netbe knows: check that the right system was imported, or set the \
             property loader to rpi, pxelinux or grub-efi",
        )
    })?;
    let mut plan = Plan {
        loader,
        writes: Vec::new(),
        stripped: Vec::new(),
        notes: Vec::new(),
    };
    match loader {
        Loader::Rpi => plan_rpi(boot, root, want, &mut plan)?,
        Loader::Pxelinux | Loader::GrubEfi | Loader::Grub => {
            menus::plan_pxelinux(boot, root, want, &mut plan)?;
        }
    }
    if loader != Loader::Rpi {
        let kernel = summary_for(boot, root, want.serial).kernel_file;
        plan.notes
            .extend(kernel.and_then(|path| kernel::unknown_format_note(boot, &path)));
    }
    if matches!(want.root, RootPlace::Nfs { .. }) {
        let how = mounting_of(boot, root, want.loader, want.serial);
        plan.notes.extend(initramfs::note(boot, root, want, how));
    }
    if want.root.mounts_boot() && !has_mount_nfs(root) {
        plan.notes.push(
            "there is no mount.nfs in the root: the node cannot mount its boot folder, and its own kernel \
             upgrades would not reach it (package nfs-common or nfs-utils)"
                .to_string(),
        );
    }
    Ok(plan)
}

/// Returns the default NFS version of an environment's root.
pub fn nfs_version(
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    loader: Option<Loader>,
    serial: Option<&str>,
) -> NfsVersion {
    nfs::default_version(mounting_of(boot, root, loader, serial))
}

/// Returns what mounts the root of an environment.
///
/// If loaders or models differ, an initramfs of any counts: the kernel can mount what it can.
pub(super) fn mounting_of(
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    loader: Option<Loader>,
    serial: Option<&str>,
) -> Mounting {
    let has_initramfs = match loader.or_else(|| recognise(boot)) {
        Some(Loader::Rpi) => rpi::config(boot, serial)
            .and_then(|config| rpi::loads(boot, &config))
            .is_ok_and(|loads| loads.iter().any(|l| !l.initramfs.is_empty())),
        Some(Loader::Pxelinux | Loader::GrubEfi | Loader::Grub) => {
            match pxelinux::read(boot, pxelinux::DEFAULT) {
                Ok(Some((menu, _))) => pxelinux::loads(&menu, pxelinux::DEFAULT, boot, Some(root))
                    .is_ok_and(|loads| !loads.initramfs.is_empty()),
                _ => pxelinux::kernels::newest(boot, None)
                    .is_ok_and(|pair| pair.is_some_and(|p| p.initrd.is_some())),
            }
        }
        None => false,
    };
    mounting(root, has_initramfs)
}

fn plan_rpi(
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    want: &Want<'_>,
    plan: &mut Plan,
) -> Result<()> {
    let config = rpi::config(boot, want.serial).context("reading config.txt")?;
    let loads = rpi::loads(boot, &config).context("looking for what config.txt leads to")?;
    let how = mounting_of(boot, root, Some(Loader::Rpi), want.serial);
    plan.notes
        .extend(rpi::notes(boot, &config, &loads, want.hostname));
    let mut files: Vec<&str> = loads.iter().map(|l| l.cmdline.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    for file in files {
        // Otherwise an edit of the command line would change which file it is.
        ensure!(
            !config.is_read_from(file),
            "config.txt takes {file} for the command line, which is part of the configuration"
        );
        let old = text(boot, file)?;
        let base = old.as_deref().unwrap_or(RPI_CONSOLES);
        let edited = cmdline::edit(base, want, how).with_context(|| format!("editing {file}"))?;
        add_findings(plan, file, &edited, how, RPI_LIMIT)?;
        if edited.width > RPI_CROWDED {
            plan.notes.push(format!(
                "{file} is {} bytes long, and the firmware adds up to 250 to it: past {RPI_LIMIT} they are lost",
                edited.width
            ));
        }
        if let Some(text) = edited.text.or(old.is_none().then(|| base.to_string())) {
            plan.writes.push((file.to_string(), text.into_bytes()));
        }
    }
    Ok(())
}

/// Adds the notes of an edit to the plan; fails for a line that is too long.
fn add_findings(
    plan: &mut Plan,
    file: &str,
    edited: &Edited,
    how: Mounting,
    limit: usize,
) -> Result<()> {
    if edited.width > limit {
        return Err(Failure::failed(format!(
            "{file} would hold a command line of {} bytes, and {limit} are read: take arguments out of it, or of the property \
             cmdline",
            edited.width
        ))
        .into());
    }
    for token in &edited.stripped {
        if !plan.stripped.contains(token) {
            plan.stripped.push(token.clone());
        }
    }
    if how.mounter == Mounter::InitramfsTools {
        plan.notes.extend(edited.quoted.iter().map(|token| {
            format!("{file}: initramfs-tools splits {token} at its blanks, quotes or not; the kernel does not")
        }));
    }
    Ok(())
}

fn has_mount_nfs(root: &dyn BootFiles) -> bool {
    let dirs = ["usr/sbin", "sbin", "usr/bin"];
    dirs.iter()
        .any(|dir| is_there(root, &format!("{dir}/mount.nfs")))
}
