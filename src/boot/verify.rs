//! Verifies that a pair of halves would boot as wanted.
//!
//! Each reason is a sentence that names a file. Unusual settings are no reason: users would learn to force. What the
//! server exports is not checked.

mod files;
mod fstab;
mod grub;
mod line;
mod mounts;
mod remedy;
mod starts;
mod uefi;

use std::collections::HashSet;

use anyhow::Result;

use super::arch::{self, Arch};
use super::files::{BootFiles, Presence, is_there, presence, text};
use super::initramfs::mounting;
use super::kernel;
use super::model::Model;
use super::plan::{PXE_LIMIT, RPI_LIMIT, recognise};
use super::pxelinux::{self, boots::Reader};
use super::read_only;
use super::rpi;
use super::spec::{Loader, RootPlace, Want};
use crate::fs::server_packages;
use starts::Starter;

/// Limits: number of reasons, and characters of each.
const MOST: usize = 50;
const LONGEST: usize = 500;

/// One way to boot a boot half: a model of Raspberry Pi, or a label.
struct Way {
    /// The machine, in brackets after a file's name; empty if there is only one.
    model: String,
    /// The kernel's path; `None` if its absence is a reason already.
    kernel: Option<String>,
    initramfs: Vec<String>,
    /// The command line and its file.
    file: String,
    line: Option<String>,
    limit: usize,
    starter: Starter,
    /// The arguments that the loader adds to the line: IPAPPEND's bits.
    added: u64,
}

impl Way {
    fn loads_as(&self, other: &Self) -> bool {
        self.kernel == other.kernel
            && self.initramfs == other.initramfs
            && self.file == other.file
            && self.line == other.line
            && self.limit == other.limit
            && self.starter == other.starter
    }
}

/// Returns why this pair of halves would not boot as wanted, a sentence each.
///
/// `boot_mount` and `boot_spec` must be in the root's fstab: `/boot/firmware`, and `10.0.0.1:/srv/netbe/…/boot`. An
/// unreadable file is a reason, not an error.
pub fn verify(
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    want: &Want<'_>,
    boot_mount: &str,
    boot_spec: &str,
) -> Result<Vec<String>> {
    let mut reasons = Vec::new();
    let is_nfs = matches!(want.root, RootPlace::Nfs { .. });
    let ways = match want.loader.or_else(|| recognise(boot)) {
        None => {
            reasons.push("the boot folder has the files of no loader that netbe knows".to_string());
            Vec::new()
        }
        Some(Loader::Rpi) => rpi_ways(boot, want, &mut reasons),
        Some(Loader::Pxelinux | Loader::GrubEfi | Loader::Grub) => {
            pxe_ways(boot, root, want, &mut reasons)
        }
    };
    for way in &ways {
        let mut how = mounting(root, !way.initramfs.is_empty());
        let (faults, found) = files::check(boot, root, way, want, how);
        reasons.extend(faults);
        if is_nfs {
            let seen = mounts::check(root, way, want, how, found.as_ref());
            how = seen.how;
            reasons.extend(seen.reasons);
        }
        let cmdline = way.line.as_deref().unwrap_or_default();
        reasons.extend(read_only::reasons_against(root, cmdline, want));
        match &way.line {
            None => reasons.push(format!("{} is missing", way.file)),
            Some(text) => reasons.extend(line::check(way, text, want, how)),
        }
    }
    fstab::check(root, want, boot_mount, boot_spec, &mut reasons);
    Ok(few(reasons))
}

/// Returns the Raspberry Pis that a boot half is for, if it is only for some: the first of them, and a sentence.
pub fn which_models(boot: &dyn BootFiles, serial: Option<&str>) -> Option<(rpi::Model, String)> {
    if recognise(boot) != Some(Loader::Rpi) {
        return None;
    }
    let config = rpi::config(boot, serial).ok()?;
    let (boots, others) = rpi::families(boot, &config).ok()?;
    let first = *boots.first().filter(|_| !others.is_empty())?;
    let list = |models: &[rpi::Model]| {
        let names: Vec<String> = models.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    let sentence = format!("it boots on {}, and not on {}", list(&boots), list(&others));
    Some((first, sentence))
}

/// Returns the damaged files of a boot half that some Raspberry Pis load, a sentence each.
pub fn damage(boot: &dyn BootFiles, serial: Option<&str>) -> Vec<String> {
    if recognise(boot) != Some(Loader::Rpi) {
        return Vec::new();
    }
    let config = rpi::config(boot, serial);
    config
        .and_then(|config| rpi::damage(boot, &config))
        .unwrap_or_default()
}

/// Returns the distinct reasons, limited in number and length: they are stored with the environment, and a node can
/// cause any number.
fn few(reasons: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut few: Vec<String> = Vec::new();
    for reason in reasons {
        let mut short: String = reason.chars().take(LONGEST).collect();
        if short.len() < reason.len() {
            short.push('…');
        }
        if seen.insert(reason) && few.len() < MOST {
            few.push(short);
        }
    }
    if seen.len() > MOST {
        few.push(format!("and {} more of the kind", seen.len() - MOST));
    }
    few
}

fn rpi_ways(boot: &dyn BootFiles, want: &Want<'_>, reasons: &mut Vec<String>) -> Vec<Way> {
    match presence(boot, rpi::CONFIG) {
        // All settings have defaults, so an empty file is valid.
        Presence::There | Presence::Empty => {}
        Presence::Missing => reasons.push("config.txt is missing".to_string()),
        Presence::Unreadable(_) => {}
    }
    if let Some(pc) = want.model.filter(|model| model.pi().is_none()) {
        reasons.push(format!(
            "the boot folder is for Raspberry Pis, and not for a {pc}"
        ));
    }
    let loads = |config: &rpi::config::Config| match want.model.and_then(Model::pi) {
        Some(model) => Ok(vec![rpi::loads_by(boot, config, model)?]),
        None => rpi::loads(boot, config),
    };
    let read = rpi::config(boot, want.serial).and_then(|config| Ok((loads(&config)?, config)));
    let (loads, config) = match read {
        Ok(read) => read,
        Err(e) => {
            reasons.push(format!("config.txt cannot be read: {e}"));
            return Vec::new();
        }
    };
    let long_lines = config.long_lines.iter().map(|(file, number)| {
        format!(
            "{file} line {number} is longer than {} characters, and the firmware cuts it there",
            rpi::config::LINE_LIMIT
        )
    });
    reasons.extend(long_lines);
    let ways = loads
        .into_iter()
        .filter_map(|load| rpi_way(boot, load, reasons));
    merged(ways.collect())
}

/// Merges models that boot the same files, so that a kernel is read, and a fault reported, once.
fn merged(ways: Vec<Way>) -> Vec<Way> {
    let mut merged: Vec<Way> = Vec::new();
    for way in ways {
        match merged.iter_mut().find(|other| other.loads_as(&way)) {
            Some(same) => {
                same.model = format!(
                    "{},{}",
                    same.model.trim_end_matches(')'),
                    way.model.replace('(', "")
                );
            }
            None => merged.push(way),
        }
    }
    if let [only] = merged.as_mut_slice() {
        only.model.clear();
    }
    merged
}

fn rpi_way(boot: &dyn BootFiles, load: rpi::Loads, reasons: &mut Vec<String>) -> Option<Way> {
    if let Some(prefix) = &load.ignored_prefix {
        reasons.push(format!(
            "config.txt asks for os_prefix={prefix}, under which the {} has no kernel or device tree: the \
             firmware would pass over it",
            load.model
        ));
    }
    let kernel_is_missing = !is_there(boot, &load.kernel);
    reasons.extend(load.missing);
    match text(boot, &load.cmdline) {
        Ok(line) => Some(Way {
            model: format!(" ({})", load.model),
            // A missing kernel is a reason already.
            kernel: Some(load.kernel).filter(|_| !kernel_is_missing),
            initramfs: load.initramfs,
            file: load.cmdline,
            line,
            limit: RPI_LIMIT,
            starter: Starter::Rpi(load.is_wide),
            added: 0,
        }),
        Err(e) => {
            reasons.push(format!("{} cannot be read: {e}", load.cmdline));
            None
        }
    }
}

fn pxe_ways(
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    want: &Want<'_>,
    reasons: &mut Vec<String>,
) -> Vec<Way> {
    let uefi = uefi::Uefi::new(boot, root, want);
    if let Some(missing) = uefi.missing() {
        reasons.push(missing);
    }
    let own_root = want.root.own();
    if own_root.is_none()
        && arch::of_root(root).is_some_and(Arch::is_x86)
        && !uefi.stands_alone(boot)
    {
        let missing: Vec<&str> = pxelinux::PROGRAMS
            .into_iter()
            .filter(|name| !is_there(boot, name))
            .collect();
        if !missing.is_empty() {
            reasons.push(format!(
                "{}, which a PC with a BIOS starts, {} not in the boot folder: {} && netbe set --existing {}",
                missing.join(" and "),
                if missing.len() == 1 { "is" } else { "are" },
                server_packages::install("pxelinux.0"),
                want.hostname
            ));
        }
    }
    let files = match pxelinux::configurations(boot) {
        Ok(files) => {
            if files.is_empty() {
                reasons.push(format!("{} is missing", pxelinux::DEFAULT));
            }
            files
        }
        Err(e) => {
            reasons.push(format!("{} cannot be looked for: {e:#}", pxelinux::DEFAULT));
            Vec::new()
        }
    };
    let reader = Reader::of(boot, Some(root));
    let mut ways = Vec::new();
    for file in files {
        let loads = pxelinux::read(boot, &file).and_then(|read| {
            read.map(|(menu, _)| {
                if own_root.is_none() && reader == Reader::Pxelinux {
                    reasons.extend(pxelinux::program_missing(&menu, &file, boot));
                }
                pxelinux::loads(&menu, &file, boot, Some(root))
            })
            .transpose()
        });
        match loads {
            Ok(None) => {}
            Ok(Some(loads)) => {
                if file == pxelinux::DEFAULT {
                    reasons.extend(match own_root {
                        Some(own_root) => grub::fault(boot, want, &loads, own_root)
                            .into_iter()
                            .collect(),
                        None => uefi.faults(boot, want, &loads),
                    });
                }
                reasons.extend(loads.faults);
                let tree = loads.tree.and_then(|path| {
                    let fault = kernel::fault(boot, &path)?;
                    Some(format!(
                        "{file} loads the device tree {path}, which {fault}"
                    ))
                });
                reasons.extend(tree);
                ways.push(Way {
                    model: String::new(),
                    kernel: Some(loads.kernel),
                    initramfs: loads.initramfs,
                    file,
                    line: Some(loads.append),
                    limit: PXE_LIMIT,
                    starter: match reader {
                        _ if own_root.is_some() => Starter::Grub,
                        _ if want.loader == Some(Loader::GrubEfi) => Starter::Uefi,
                        Reader::Pxelinux => Starter::Pxelinux,
                        Reader::UBoot => Starter::UBoot(loads.configuration),
                    },
                    added: loads.added,
                });
            }
            Err(e) => reasons.push(format!("{e:#}")),
        }
    }
    ways
}
