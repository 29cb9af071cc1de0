//! What a boot half holds, at a glance: for lists of thousands.
//!
//! Reads a few names and the beginnings of one or two files where it can, and never fails: what makes no
//! sense is `None`. Not for deciding whether something boots.

use super::arch::{self, Arch};
use super::files::{BootFiles, text};
use super::kernel;
use super::plan::recognise;
use super::pxelinux;
use super::rpi;
use super::spec::Loader;

/// How much of a kernel is read to find an x86 header.
const HEADER: usize = 32 << 10;

/// What a boot half holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// What would boot it.
    pub loader: Option<Loader>,
    /// The kernel's file in the boot half.
    pub kernel_file: Option<String>,
    /// The kernel's version.
    pub kernel_version: Option<String>,
    /// The initramfs files that are loaded with it.
    pub initramfs: Vec<String>,
    /// The kernel's arguments, one line.
    pub cmdline: Option<String>,
    /// What the programs in the root half are made for.
    pub arch: Option<Arch>,
}

/// Returns what an environment's two halves hold.
pub fn summary(boot: &dyn BootFiles, root: &dyn BootFiles) -> Summary {
    let mut summary = Summary {
        loader: recognise(boot),
        arch: arch::of_root(root),
        ..Summary::default()
    };
    match summary.loader {
        Some(Loader::Rpi) => read_rpi(boot, &mut summary),
        Some(Loader::Pxelinux) => read_pxelinux(boot, &mut summary),
        None => {}
    }
    if let Some(file) = &summary.kernel_file {
        summary.kernel_version = quick_version(boot, root, file);
    }
    summary
}

fn read_rpi(boot: &dyn BootFiles, summary: &mut Summary) {
    let loads = rpi::config(boot).and_then(|config| rpi::loads(boot, &config));
    let Some(load) = loads.ok().and_then(|loads| loads.into_iter().next()) else {
        return;
    };
    let line = text(boot, &load.cmdline).ok().flatten();
    summary.cmdline = line.map(|l| l.lines().next().unwrap_or_default().trim().to_string());
    summary.initramfs = load.initramfs;
    summary.kernel_file = Some(load.kernel).filter(|k| super::files::is_there(boot, k));
}

fn read_pxelinux(boot: &dyn BootFiles, summary: &mut Summary) {
    let menu = pxelinux::read(boot, pxelinux::DEFAULT).ok().flatten();
    if let Some(loads) = menu.and_then(|(menu, _)| pxelinux::loads(&menu, pxelinux::DEFAULT).ok()) {
        summary.cmdline = Some(loads.append);
        summary.initramfs = loads.initramfs;
        summary.kernel_file = Some(loads.kernel);
    } else if let Ok(Some(pair)) = pxelinux::kernels::newest(boot, None) {
        summary.initramfs = pair.initrd.into_iter().collect();
        summary.kernel_file = Some(pair.kernel);
    }
}

/// Returns a kernel's version, unpacking it only when nothing cheaper tells.
///
/// `kernel8.img` says nothing by its name, but the modules of its flavour are in the root half, mostly
/// of one version only.
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
