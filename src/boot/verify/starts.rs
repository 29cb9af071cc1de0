//! Verifies that the loader can start a kernel, and that the root's programs run under it.
//!
//! Only certain failures are reasons: a file of unknown type may be intended, and gets a note when boot files are written.
//! Not for whether the kernel exists.

use super::Way;
use crate::boot::arch::{self, Arch};
use crate::boot::files::BootFiles;
use crate::boot::kernel::{self, Format};

/// The program that loads a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Starter {
    /// A Raspberry Pi's firmware, and whether in 64-bit mode if that is known.
    Rpi(Option<bool>),
    /// PXELINUX.
    Pxelinux,
    /// GRUB or iPXE, by the UEFI firmware.
    Uefi,
    /// GRUB, on the machine's own disk.
    Grub,
    /// U-Boot, with the configuration of a FIT image.
    UBoot(Option<String>),
}

/// Returns why an existing kernel would not run, a sentence each.
pub(super) fn check(
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    way: &Way,
    path: &str,
) -> Vec<String> {
    // An unreadable kernel is reported with its version.
    let Ok((format, arch)) = kernel::format_of(boot, path) else {
        return Vec::new();
    };
    let mut reasons = Vec::new();
    let what = format!("the kernel {path}{} is {}", way.model, format.name());
    let refused = match &way.starter {
        _ if matches!(format, Format::Other(_)) => {
            Some("no loader starts that: put the kernel itself in its place")
        }
        Starter::Rpi(_) => match format {
            Format::BzImage
            | Format::Zboot
            | Format::Efi
            | Format::Fit
            | Format::UImage
            | Format::Android
            | Format::Packed(_) => Some(
                "a Raspberry Pi's firmware starts plain images and those packed by gzip only: put the Image it was made of in \
                 its place",
            ),
            _ => None,
        },
        Starter::Pxelinux => match format {
            Format::BzImage | Format::Unknown => None,
            _ => Some("PXELINUX starts x86 kernels (bzImage) only"),
        },
        Starter::Uefi => match format {
            Format::Fit | Format::UImage | Format::Android => Some(
                "UEFI firmware starts programs of its own kind only: put the kernel itself in its place",
            ),
            _ => None,
        },
        Starter::Grub => match format {
            Format::Fit | Format::UImage | Format::Android => {
                Some("GRUB starts no such image: put the kernel itself in its place")
            }
            _ => None,
        },
        // Its booti expects the magic number of a plain image, which an EFI program around one does not have.
        Starter::UBoot(_) => match format {
            Format::Zboot | Format::Efi => Some(
                "U-Boot starts no EFI program from a menu: put the Image it was made of in its place, plain or packed by gzip",
            ),
            _ => None,
        },
    };
    if let Some(why) = refused {
        reasons.push(format!("{what}, and {why}"));
        return reasons;
    }
    if let Starter::Rpi(Some(is_wide)) = way.starter {
        let mode = match (is_wide, arch) {
            (true, Some(Arch::Arm)) => Some("64-bit"),
            (false, Some(Arch::Aarch64)) => Some("32-bit"),
            _ => None,
        };
        reasons.extend(mode.map(|mode| {
            format!(
                "the kernel {path}{} is for {}, and the firmware starts it in {mode} mode (arm_64bit= and kernel= of \
                 config.txt say which)",
                way.model,
                arch.map_or("", Arch::name)
            )
        }));
    }
    if let (Some(kernel), Some(programs)) = (arch, arch::of_root(root))
        && !runs(kernel, programs)
    {
        reasons.push(format!(
            "the kernel {path}{} is for {kernel}, and the programs in the root are for {programs}",
            way.model
        ));
    }
    if let (Starter::UBoot(Some(name)), Format::Fit) = (&way.starter, format) {
        let whole = boot.head(path, kernel::IMAGE_LIMIT).ok().flatten();
        if whole.is_some_and(|fit| kernel::has_configuration(&fit, name) == Some(false)) {
            reasons.push(format!("the FIT image {path} has no configuration {name}"));
        }
    }
    reasons
}

/// Returns whether a kernel runs programs of an architecture: a 32-bit kernel runs no 64-bit programs.
///
/// Programs for another family of processors are accepted: an emulator may run them.
fn runs(kernel: Arch, programs: Arch) -> bool {
    !matches!(
        (kernel, programs),
        (Arch::Arm, Arch::Aarch64) | (Arch::X86, Arch::X86_64)
    )
}
