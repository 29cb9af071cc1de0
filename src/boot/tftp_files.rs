//! The files that a machine must fetch to boot: tells a boot from other transfers.
//!
//! Reads only the loader's configuration, because it is called for every transfer. Anything invalid is skipped.

use super::files::BootFiles;
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

/// Returns the ways a boot half is booted: one, or one for each model of Raspberry Pi it is for,
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
            ways
        }
        Some(Loader::Pxelinux) => pxelinux::read(boot, pxelinux::DEFAULT)
            .ok()
            .flatten()
            .and_then(|(menu, _)| pxelinux::loads(&menu, pxelinux::DEFAULT, boot, None).ok())
            .map(|l| Fetched {
                kernel: l.kernel,
                initramfs: l.initramfs,
            })
            .into_iter()
            .collect(),
        None => Vec::new(),
    }
}
