//! A quick summary of a boot half, for lists of thousands.
//!
//! Reads some names and the beginnings of one or two files where possible, and never fails: unknown fields are `None`.
//! Does not tell whether an environment boots.

use super::arch::{self, Arch};
use super::files::{BootFiles, text};
use super::kernel;
use super::plan::recognise;
use super::pxelinux;
use super::rpi;
use super::spec::Loader;

/// Bytes of a kernel that contain an x86 header.
const HEADER: usize = 32 << 10;

/// Summary of a boot half.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The loader.
    pub loader: Option<Loader>,
    /// The kernel's file in the boot half.
    pub kernel_file: Option<String>,
    /// The kernel's version.
    pub kernel_version: Option<String>,
    /// The initramfs files.
    pub initramfs: Vec<String>,
    /// The kernel command line.
    pub cmdline: Option<String>,
    /// Architecture of the programs in the root half.
    pub arch: Option<Arch>,
    /// The texts its loader reads besides, and the device trees they name.
    pub texts: Vec<String>,
}

/// Returns the summary of an environment.
pub fn summary(boot: &dyn BootFiles, root: &dyn BootFiles) -> Summary {
    summary_for(boot, root, None)
}

/// Returns the summary of an environment for the machine with this serial number, if known.
pub fn summary_for(boot: &dyn BootFiles, root: &dyn BootFiles, serial: Option<&str>) -> Summary {
    let mut summary = Summary {
        loader: recognise(boot),
        arch: arch::of_root(root),
        ..Summary::default()
    };
    match summary.loader {
        Some(Loader::Rpi) => read_rpi(boot, serial, &mut summary),
        Some(Loader::Pxelinux | Loader::GrubEfi | Loader::Grub) => {
            read_pxelinux(boot, root, &mut summary);
        }
        None => {}
    }
    if let Some(file) = &summary.kernel_file {
        summary.kernel_version = quick_version(boot, root, file);
    }
    summary
}

fn read_rpi(boot: &dyn BootFiles, serial: Option<&str>, summary: &mut Summary) {
    let Ok(config) = rpi::config(boot, serial) else {
        return;
    };
    summary.texts = config.files().map(str::to_string).collect();
    let loads = rpi::loads(boot, &config).unwrap_or_default();
    summary
        .texts
        .extend(loads.iter().map(|l| l.cmdline.clone()));
    let Some(load) = loads.into_iter().next() else {
        return;
    };
    let line = text(boot, &load.cmdline).ok().flatten();
    summary.cmdline = line.map(|l| l.lines().next().unwrap_or_default().trim().to_string());
    summary.initramfs = load.initramfs;
    summary.kernel_file = Some(load.kernel).filter(|k| super::files::is_there(boot, k));
}

fn read_pxelinux(boot: &dyn BootFiles, root: &dyn BootFiles, summary: &mut Summary) {
    let menu = pxelinux::read(boot, pxelinux::DEFAULT).ok().flatten();
    let loads =
        menu.and_then(|(menu, _)| pxelinux::loads(&menu, pxelinux::DEFAULT, boot, Some(root)).ok());
    if let Some(loads) = loads {
        summary.cmdline = Some(loads.append);
        summary.texts.extend(loads.tree);
        summary.initramfs = loads.initramfs;
        summary.kernel_file = Some(loads.kernel);
    } else if let Ok(Some(pair)) = pxelinux::kernels::newest(boot, None) {
        let initramfs = pair.initrd.as_deref().into_iter();
        summary.initramfs = initramfs
            .flat_map(|all| all.split(','))
            .map(str::to_string)
            .collect();
        summary.kernel_file = Some(pair.kernel);
    }
}

/// Returns a kernel's version; decompresses it only as a last resort.
///
/// The name `kernel8.img` has no version, but the root half mostly has modules of one version of its flavour.
fn quick_version(boot: &dyn BootFiles, root: &dyn BootFiles, file: &str) -> Option<String> {
    if let Some(version) = kernel::version_in_name(file) {
        return Some(version.to_string());
    }
    let head = boot.head(file, HEADER).ok()??;
    if let Some(version) = kernel::x86_version(&head) {
        return Some(version);
    }
    if let Some(flavour) = rpi::flavour(file) {
        let mut versions = kernel::module_versions(root);
        versions.retain(|v| v.trim_end_matches('+').ends_with(flavour));
        if let [version] = versions.as_slice() {
            return Some(version.clone());
        }
    }
    kernel::version_of(boot, file).ok().flatten()
}
