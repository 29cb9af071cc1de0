//! The files that a machine must fetch to boot: tells a boot from other transfers.
//!
//! Reads only the loader's configuration, because it is called for every transfer. Anything invalid is skipped.

use super::files::{BootFiles, is_there};
use super::plan::recognise;
use super::pxelinux;
use super::rpi;
use super::spec::Loader;

/// The files of one way to boot: paths in the boot half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The kernel.
    pub kernel: String,
    /// The initramfs files.
    pub initramfs: Vec<String>,
}

impl Fetched {
    /// Returns whether a file is one of them.
    pub fn takes(&self, file: &str) -> bool {
        self.kernel == file || self.initramfs.iter().any(|f| f == file)
    }

    /// Returns whether all of them are among these files.
    pub fn is_among(&self, files: &[&str]) -> bool {
        files.contains(&self.kernel.as_str())
            && self.initramfs.iter().all(|f| files.contains(&f.as_str()))
    }
}

/// Returns the ways a boot half is booted, the likeliest first: one for each model of Raspberry Pi it is for,
/// and for each machine that its `config.txt` names by a serial number.
pub fn fetched(boot: &dyn BootFiles) -> Vec<Fetched> {
    match recognise(boot) {
        Some(Loader::Rpi) => {
            let configs = rpi::configs(boot).unwrap_or_default();
            let loads = configs
                .iter()
                .flat_map(|config| rpi::loads(boot, config).unwrap_or_default());
            let mut ways: Vec<Fetched> = Vec::new();
            for load in loads {
                let way = Fetched {
                    kernel: load.kernel,
                    initramfs: load.initramfs,
                };
                if !ways.contains(&way) {
                    ways.push(way);
                }
            }
            let others = other_firmware_kernels(boot, &ways);
            ways.extend(others);
            ways
        }
        Some(Loader::Pxelinux | Loader::GrubEfi | Loader::Grub) => {
            let mut ways: Vec<Fetched> = default_entry(boot).into_iter().collect();
            for way in other_entries(boot) {
                // A rescue entry with the same kernel and no initramfs would end the fetching before the initramfs.
                if !ways.iter().any(|known| known.kernel == way.kernel) {
                    ways.push(way);
                }
            }
            ways
        }
        None => Vec::new(),
    }
}

/// Returns the files that a node fetches without a choice at its console.
fn default_entry(boot: &dyn BootFiles) -> Option<Fetched> {
    pxelinux::read(boot, pxelinux::DEFAULT)
        .ok()
        .flatten()
        .and_then(|(menu, _)| pxelinux::loads(&menu, pxelinux::DEFAULT, boot, None).ok())
        .map(|l| Fetched {
            kernel: l.kernel,
            initramfs: l.initramfs,
        })
}

/// The maximum number of menu entries that are read.
const ENTRIES: usize = 64;

/// Returns the files of the other entries of all menus: a user may choose one, and a node may have its own menu.
fn other_entries(boot: &dyn BootFiles) -> Vec<Fetched> {
    let relative = |file: &str| file.trim().trim_start_matches("./").to_string();
    let mut ways: Vec<Fetched> = Vec::new();
    for path in pxelinux::configurations(boot).unwrap_or_default() {
        let Ok(Some((menu, _))) = pxelinux::read(boot, &path) else {
            continue;
        };
        for label in menu.labels().into_iter().take(ENTRIES) {
            let kernel = menu.value(&label, &pxelinux::menu::KERNEL);
            // The text after a # names a configuration in a FIT image.
            let kernel = kernel.and_then(|k| k.split('#').next()).map(relative);
            let Some(kernel) = kernel.filter(|k| is_there(boot, k)) else {
                continue;
            };
            let append = menu.append(&label).unwrap_or_default();
            let in_append = append
                .split_whitespace()
                .find_map(|t| t.strip_prefix("initrd="));
            let files = menu.value(&label, &pxelinux::menu::INITRD).or(in_append);
            let files = files.unwrap_or_default().split(',');
            let way = Fetched {
                kernel,
                initramfs: files
                    .filter(|f| !f.trim().is_empty())
                    .map(relative)
                    .collect(),
            };
            if ways.len() < ENTRIES {
                ways.push(way);
            }
        }
    }
    ways
}

/// Returns the files for older firmware that chooses another kernel than the newest firmware does: it prefers the 32-bit
/// kernel if a boot half has both.
fn other_firmware_kernels(boot: &dyn BootFiles, known: &[Fetched]) -> Vec<Fetched> {
    let names = boot.names("").unwrap_or_default();
    let initramfs_of = |kernel: &str| {
        let kind = kernel.strip_prefix("kernel")?.strip_suffix(".img")?;
        Some(format!("initramfs{kind}"))
    };
    // An initramfs named in config.txt is loaded with every kernel.
    let named = known.iter().find(|way| match &way.initramfs[..] {
        [] => false,
        [only] => initramfs_of(&way.kernel).as_ref() != Some(only),
        _ => true,
    });
    let with = known.iter().any(|way| !way.initramfs.is_empty());
    let is_known = |name: &str| known.iter().any(|way| way.kernel == name);
    names
        .iter()
        .filter(|name| rpi::flavour(name).is_some() && !is_known(name))
        .map(|name| Fetched {
            kernel: name.clone(),
            initramfs: match named {
                Some(way) => way.initramfs.clone(),
                None => initramfs_of(name)
                    .filter(|file| with && names.contains(file))
                    .into_iter()
                    .collect(),
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn boot_file_sets(files: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
        let files: BTreeMap<String, Vec<u8>> = files
            .iter()
            .map(|(path, text)| ((*path).to_string(), text.as_bytes().to_vec()))
            .collect();
        fetched(&files)
            .into_iter()
            .map(|way| (way.kernel, way.initramfs))
            .collect()
    }

    #[test]
    fn each_kernel_that_a_firmware_may_choose_is_a_set() {
        let pi = [
            ("start4.elf", "x"),
            ("fixup4.dat", "x"),
            ("bcm2711-rpi-4-b.dtb", "x"),
            ("cmdline.txt", "x"),
            ("kernel8.img", "x"),
            ("kernel7l.img", "x"),
        ];
        let with = |more: &[(&'static str, &'static str)]| boot_file_sets(&[&pi, more].concat());
        let plain = with(&[("config.txt", "")]);
        for kernel in ["kernel8.img", "kernel7l.img"] {
            assert!(plain.contains(&(kernel.to_string(), vec![])), "{plain:?}");
        }
        let auto = with(&[
            ("config.txt", "auto_initramfs=1\n"),
            ("initramfs8", "x"),
            ("initramfs7l", "x"),
        ]);
        for (kernel, file) in [
            ("kernel8.img", "initramfs8"),
            ("kernel7l.img", "initramfs7l"),
        ] {
            let way = (kernel.to_string(), vec![file.to_string()]);
            assert!(auto.contains(&way), "{auto:?}");
        }
        let named = with(&[
            ("config.txt", "initramfs initrd.img followkernel\n"),
            ("initrd.img", "x"),
        ]);
        assert!(named.len() == 2 && named[0].1 == named[1].1, "{named:?}");
    }

    #[test]
    fn each_menu_entry_is_a_set() {
        let found = boot_file_sets(&[
            (
                "pxelinux.cfg/default",
                "DEFAULT a\nLABEL a\n KERNEL vmlinuz-2\n INITRD i-2\nLABEL b\n KERNEL ./vmlinuz-1\n APPEND initrd=i-1\nLABEL c\n LOCALBOOT 0\n",
            ),
            (
                "pxelinux.cfg/01-52-54-00-00-00-01",
                "DEFAULT x\nLABEL x\n KERNEL vmlinuz-3\n",
            ),
            ("vmlinuz-1", "x"),
            ("vmlinuz-2", "x"),
            ("vmlinuz-3", "x"),
        ]);
        for (kernel, initramfs) in [
            ("vmlinuz-2", "i-2"),
            ("vmlinuz-1", "i-1"),
            ("vmlinuz-3", ""),
        ] {
            let files = initramfs.split_whitespace().map(str::to_string).collect();
            assert!(found.contains(&(kernel.to_string(), files)), "{found:?}");
        }
    }
}
