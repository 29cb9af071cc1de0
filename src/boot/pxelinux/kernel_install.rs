//! Kernels as kernel-install(8) lays them out for systemd-boot: `MACHINE-ID/6.11.4/linux` with `initrd` beside it, or one
//! file with both for an EFI.
//!
//! Not for which of them boots.

use crate::boot::files::{BootFiles, is_there};
use crate::boot::kernel;
use crate::failure::Failure;

/// A kernel and its initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) kernel: String,
    pub(crate) initrd: Option<String>,
    pub(crate) version: Option<String>,
}

/// The maximum number of directories that are searched, and of kernels in each.
const TOKENS: usize = 128;
const INSTALLED: usize = 64;
/// Returns the kernels that kernel-install laid out below these directories, each with all files of its initramfs.
pub(crate) fn installed(boot: &dyn BootFiles, names: &[String]) -> Vec<Pair> {
    let below = |dir: &String| boot.names(dir).unwrap_or_default();
    let mut pairs = Vec::new();
    // A node can make any number.
    for token in names.iter().filter(|name| !name.contains('.')).take(TOKENS) {
        let versions = below(token)
            .into_iter()
            .filter(|name| kernel::is_version(name));
        for version in versions.take(INSTALLED) {
            let dir = format!("{token}/{version}");
            let kernel = format!("{dir}/linux");
            if !is_there(boot, &kernel) {
                continue;
            }
            let mut initrds = below(&dir);
            initrds.retain(|name| name.starts_with("init") || name.starts_with("microcode"));
            // The processor's microcode is found in the first archive only.
            initrds.sort_by_key(|name| (!name.starts_with("microcode"), name.clone()));
            let initrds = initrds.iter().map(|name| format!("{dir}/{name}"));
            let initrds = initrds.collect::<Vec<_>>().join(",");
            pairs.push(Pair {
                kernel,
                initrd: (!initrds.is_empty()).then_some(initrds),
                version: Some(version),
            });
        }
    }
    pairs
}

/// Returns the unified kernel images of a boot half, which are EFI programs.
pub(crate) fn unified(boot: &dyn BootFiles) -> Vec<String> {
    let mut found = boot.names("EFI/Linux").unwrap_or_default();
    found.retain(|name| name.ends_with(".efi"));
    found.sort();
    found
}

/// Returns the failure of a boot half without a kernel that can be started.
pub(super) fn no_kernel(boot: &dyn BootFiles) -> Failure {
    Failure::failed(match unified(boot).first() {
        Some(name) => format!(
            "the boot folder has its kernel in EFI/Linux/{name} only, a unified kernel image, which PXELINUX cannot start: have kernel \
             and initramfs installed as files (layout=bls in /etc/kernel/install.conf, or default_image in \
             /etc/mkinitcpio.d/*.preset), and install the kernel again"
        ),
        None => "there is no kernel in the boot folder (vmlinuz-VERSION, vmlinuz-linux, Image, …): put it and its initramfs there"
            .to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::kernels::newest;
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_layout_of_kernel_install_is_found() {
        let token = "0123456789abcdef0123456789abcdef";
        let at = |path: &str| format!("{token}/{path}");
        let paths = [
            "6.11.4-301.fc41.x86_64/linux",
            "6.11.4-301.fc41.x86_64/initrd",
            "6.11.10-300.fc41.x86_64/linux",
            "6.11.10-300.fc41.x86_64/initrd",
            "6.11.10-300.fc41.x86_64/microcode",
            "6.12.1-1.fc41.x86_64/initrd",
            "0-rescue/linux",
        ]
        .map(at);
        let mut files = boot(&paths.each_ref().map(String::as_str));
        files.insert("loader/loader.conf".to_string(), b"x".to_vec());
        let pair = newest(&files, None).unwrap().unwrap();
        let dir = at("6.11.10-300.fc41.x86_64");
        assert_eq!(pair.kernel, format!("{dir}/linux"));
        assert_eq!(pair.initrd, Some(format!("{dir}/microcode,{dir}/initrd")));
        assert_eq!(pair.version.as_deref(), Some("6.11.10-300.fc41.x86_64"));
        files.insert("vmlinuz-6.1.0-32-amd64".to_string(), b"x".to_vec());
        let pair = newest(&files, None).unwrap().unwrap();
        assert_eq!(pair.kernel, "vmlinuz-6.1.0-32-amd64");
        assert_eq!(
            unified(&boot(&["EFI/Linux/a.efi", "EFI/BOOT/BOOTX64.EFI"])),
            ["a.efi"]
        );
    }

    fn boot(names: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let file = |name: &&str| ((*name).to_string(), b"x".to_vec());
        names.iter().map(file).collect()
    }
}
