//! Plans the changes to a boot half so that it boots as wanted.
//!
//! [`plan`] contains only files that change, so it is empty after it was applied. It does not check the rest of the
//! boot half: that is [`super::verify`].

use anyhow::{Context, Result, bail, ensure};

use super::arch;
use super::cmdline::{self, Edited};
use super::files::{BootFiles, is_there, text};
use super::initramfs::{self, Mounter, Mounting, mounting};
use super::kernel;
use super::nfs;
use super::pxelinux::{self, menu::Menu};
use super::rpi;
use super::spec::{Loader, NfsVersion, Plan, Program, RootPlace, Want};
use super::uefi::{self, EfiPrograms};
use crate::failure::Failure;
use crate::fs::server_packages;

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
/// The root half tells what mounts the root, and the architecture. Errors name the file and the reason why it cannot
/// be edited.
pub fn plan(boot: &dyn BootFiles, root: &dyn BootFiles, want: &Want<'_>) -> Result<Plan> {
    let loader = want.loader.or_else(|| recognise(boot)).ok_or_else(|| {
        Failure::failed(
            "the boot folder holds the files of no loader that netbe knows: look whether the right one was brought in, or set the \
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
        Loader::Pxelinux | Loader::GrubEfi => plan_pxelinux(boot, root, want, &mut plan)?,
    }
    if matches!(want.root, RootPlace::Nfs { .. }) {
        let how = mounting_of(boot, root, want.loader, want.serial);
        plan.notes.extend(initramfs::note(boot, root, want, how));
    }
    if matches!(want.root, RootPlace::Nfs { .. }) && !has_mount_nfs(root) {
        plan.notes.push(
            "there is no mount.nfs in the root: the node cannot mount its boot folder, and its own kernel \
             upgrades would not reach it (package nfs-common or nfs-utils)"
                .to_string(),
        );
    }
    Ok(plan)
}

/// Returns the version of NFS by which the root of an environment is mounted where none is asked for.
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
        Some(Loader::Pxelinux | Loader::GrubEfi) => match pxelinux::read(boot, pxelinux::DEFAULT) {
            Ok(Some((menu, _))) => pxelinux::loads(&menu, pxelinux::DEFAULT, boot, Some(root))
                .is_ok_and(|loads| !loads.initramfs.is_empty()),
            _ => pxelinux::kernels::newest(boot, None)
                .is_ok_and(|pair| pair.is_some_and(|p| p.initrd.is_some())),
        },
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

fn plan_pxelinux(
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    want: &Want<'_>,
    plan: &mut Plan,
) -> Result<()> {
    let mut files = pxelinux::configurations(boot)?;
    if files.is_empty() {
        files.push(pxelinux::DEFAULT.to_string());
    }
    let mut first = None;
    for file in &files {
        let (old, menu) = match pxelinux::read(boot, file)? {
            Some((mut menu, is_made)) => {
                let old = menu.texts();
                if is_made {
                    pxelinux::follow(&mut menu, boot, root, want)
                        .with_context(|| format!("editing {file}"))?;
                }
                (old, menu)
            }
            None => (Vec::new(), pxelinux::made(boot, root, want)?),
        };
        let new = with_arguments(menu, file, boot, root, want, plan)?;
        if file == pxelinux::DEFAULT || first.is_none() {
            first = Some(pxelinux::loads(&new, file, boot, Some(root))?);
        }
        for (path, text) in new.texts() {
            if old.contains(&(path.clone(), text.clone())) {
                continue;
            }
            // Several menus may include one file.
            match plan.writes.iter().find(|(written, _)| *written == path) {
                None => plan.writes.push((path, text.into_bytes())),
                Some((_, same)) if *same == text.as_bytes() => {}
                Some(_) => {
                    bail!("{path} is included twice, and each time another label of it boots")
                }
            }
        }
    }
    programs(boot, root, want, plan)?;
    match first {
        Some(loads) => for_uefi(boot, root, want, &loads, plan),
        None => Ok(()),
    }
}

/// Adds what UEFI firmware's programs read, where they are there or are put there.
fn for_uefi(
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    want: &Want<'_>,
    loads: &pxelinux::Loads,
    plan: &mut Plan,
) -> Result<()> {
    let Some(programs) = EfiPrograms::of(root) else {
        return Ok(());
    };
    if want.loader == Some(Loader::Pxelinux) || !programs.are_in(boot, &want.programs) {
        return Ok(());
    }
    let made = uefi::configurations(want.name, loads);
    // For other TFTP servers than netbe's, until the system writes its own there.
    let grub = made[0].1.clone();
    for (path, new) in made.into_iter().chain([(uefi::GRUB_ASKS_FOR, grub)]) {
        let old = text(boot, path)?;
        let is_ours = |old: &String| old.starts_with(pxelinux::MADE_BY);
        if path == uefi::GRUB_ASKS_FOR && !old.as_ref().is_none_or(is_ours) {
            continue;
        }
        if old.as_deref() != Some(new.as_str()) {
            plan.writes.push((path.to_string(), new.into_bytes()));
        }
    }
    Ok(())
}

fn with_arguments(
    mut menu: Menu,
    file: &str,
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    want: &Want<'_>,
    plan: &mut Plan,
) -> Result<Menu> {
    let loads = pxelinux::loads(&menu, file, boot, Some(root))?;
    plan.notes.extend(loads.notes.iter().cloned());
    plan.notes.extend(trees_missing(boot, &loads));
    let label = pxelinux::choice(&menu, boot, Some(root))?.label;
    let append = menu.append(&label).unwrap_or_default();
    let how = mounting(root, !loads.initramfs.is_empty());
    let edited =
        cmdline::edit(append, want, how).with_context(|| format!("editing APPEND in {file}"))?;
    add_findings(plan, file, &edited, how, PXE_LIMIT)?;
    if let Some(text) = &edited.text {
        menu.set_append(&label, text);
    }
    Ok(menu)
}

/// Returns notes of device trees that U-Boot looks for and goes on without.
fn trees_missing(boot: &dyn BootFiles, loads: &pxelinux::Loads) -> Vec<String> {
    let overlays = loads.overlays.iter().filter(|path| !is_there(boot, path));
    let mut notes: Vec<String> = overlays
        .map(|path| {
            format!("the device tree overlay {path} is not in the boot folder: U-Boot goes on without it")
        })
        .collect();
    let dir = loads.tree_dir.iter();
    let dir = dir.filter(|dir| {
        boot.names(dir.trim_matches('/'))
            .is_ok_and(|n| n.is_empty())
    });
    notes.extend(dir.map(|dir| {
        format!("the folder {dir} of device trees (FDTDIR) is not in the boot folder: U-Boot takes its own")
    }));
    notes
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

/// Adds the programs of a PC, and tells of those of PXELINUX that are missing.
fn programs(
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    want: &Want<'_>,
    plan: &mut Plan,
) -> Result<()> {
    let arch = arch::of_root(root);
    let is_x86 = arch.is_none_or(arch::Arch::is_x86);
    let is_started = |program: &&Program| is_x86 || !pxelinux::PROGRAMS.contains(&program.name);
    for program in want.programs.iter().filter(is_started) {
        let limit = program.bytes.len() + 1;
        if boot.head(program.name, limit)?.as_ref() != Some(&program.bytes) {
            let (name, bytes) = (program.name.to_string(), program.bytes.clone());
            plan.writes.push((name, bytes));
        }
    }
    if !is_x86 {
        if let Some(note) = trees_out_of_reach(boot, root) {
            plan.notes.push(note);
        }
        return Ok(());
    }
    let is_uefi = want.loader == Some(Loader::GrubEfi)
        || EfiPrograms::of(root).is_some_and(|programs| programs.are_in(boot, &want.programs));
    if arch.is_some() && !is_uefi {
        let is_put = |name: &str| want.programs.iter().any(|program| program.name == name);
        let missing = pxelinux::PROGRAMS
            .iter()
            .filter(|name| !is_there(boot, name) && !is_put(name));
        plan.notes.extend(missing.map(|name| {
            format!(
                "{name} is not in the boot folder, and a BIOS would find nothing to start (it comes from this server: {})",
                server_packages::install("pxelinux.0")
            )
        }));
    }
    Ok(())
}

/// Returns a note if a Debian kernel's device trees are in the root half, which TFTP does not serve.
fn trees_out_of_reach(boot: &dyn BootFiles, root: &dyn BootFiles) -> Option<String> {
    let pair = pxelinux::kernels::newest(boot, None).ok()??;
    let version = pair.version?;
    if pxelinux::kernels::tree_dir(boot, Some(&version)).is_some()
        || !kernel::has_modules(root, &version)
    {
        return None;
    }
    let dir = format!("usr/lib/linux-image-{version}");
    let names = root.names(&dir).ok()?;
    (!names.is_empty()).then(|| {
        format!("the device trees of {version} are in /{dir}, which TFTP does not serve: copy them to dtbs/{version} in the boot folder if the node's own is not enough")
    })
}

fn has_mount_nfs(root: &dyn BootFiles) -> bool {
    let dirs = ["usr/sbin", "sbin", "usr/bin"];
    dirs.iter()
        .any(|dir| is_there(root, &format!("{dir}/mount.nfs")))
}
