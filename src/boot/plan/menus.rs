//! Plans the changes to the boot half of a PC, or of a board with U-Boot: menus, programs, and configurations for UEFI.
//!
//! Not for the command line itself, nor for Raspberry Pis.

use anyhow::{Context, Result, bail};

use super::{PXE_LIMIT, add_findings};
use crate::boot::arch;
use crate::boot::cmdline;
use crate::boot::efi_programs::EfiPrograms;
use crate::boot::files::{BootFiles, is_there, text};
use crate::boot::grub;
use crate::boot::initramfs::mounting;
use crate::boot::kernel;
use crate::boot::local_root::OwnRoot;
use crate::boot::pxelinux::{self, menu::Menu};
use crate::boot::spec::{Loader, Plan, Program, Want};
use crate::boot::uefi;
use crate::fs::server_packages;

pub(super) fn plan_pxelinux(
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
    if let (Some(loads), Some(own)) = (&first, want.root.own()) {
        return for_grub(boot, want, loads, own, plan);
    }
    programs(boot, root, want, plan)?;
    match first {
        Some(loads) => for_uefi(boot, root, want, &loads, plan),
        None => Ok(()),
    }
}

/// Adds the entry that GRUB reads on the machine's own disk.
fn for_grub(
    boot: &dyn BootFiles,
    want: &Want<'_>,
    loads: &pxelinux::Loads,
    own: &OwnRoot,
    plan: &mut Plan,
) -> Result<()> {
    let new = grub::of_environment(want.name, loads, own);
    if text(boot, grub::CONFIG)?.as_deref() != Some(new.as_str()) {
        plan.writes
            .push((grub::CONFIG.to_string(), new.into_bytes()));
    }
    Ok(())
}

/// Adds the configurations of UEFI firmware's programs, if these exist or will be added.
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
    if want.loader == Some(Loader::Pxelinux) || !programs.are_in(boot, &put(want)) {
        return Ok(());
    }
    let made = uefi::configurations(want.name, loads);
    // For TFTP servers other than netbe's, until the system writes its own file there.
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

/// Adds the programs of a PC, and notes about missing ones of PXELINUX.
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
    let put = put(want);
    let is_uefi = want.loader == Some(Loader::GrubEfi)
        || EfiPrograms::of(root).is_some_and(|programs| programs.are_in(boot, &put));
    if arch.is_some() && !is_uefi {
        let missing = pxelinux::PROGRAMS
            .iter()
            .filter(|name| !is_there(boot, name) && !put.contains(name));
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

/// Returns the names of the programs that will be put into the boot half.
fn put(want: &Want<'_>) -> Vec<&'static str> {
    want.programs.iter().map(|program| program.name).collect()
}
