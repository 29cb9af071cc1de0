//! A root on the node's own disk, to which `deploy` has copied it, while kernel and initramfs come over the network.
//!
//! Pure: the arguments of the kernel command line, and the reasons why the root would not be mounted. Not for copying it, nor
//! for its modules: `disk_drivers`; a root that the administrator names by the property `root` is `RootPlace::Local`.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::cmdline_tokens::{Line, is_one_token};
use crate::failure::Failure;

/// The directory of the subvolumes on a disk.
pub const DIRECTORY: &str = "netbe";

/// Returns the arguments of a line for a disk; none if `deploy` wrote them, since then they are not the system's own.
pub(super) fn unless_deployed(arguments: Vec<String>) -> Vec<String> {
    match arguments.iter().any(|token| is_deployed(token)) {
        true => Vec::new(),
        false => arguments,
    }
}

/// Returns whether an argument names a subvolume that `deploy` made.
fn is_deployed(token: &str) -> bool {
    token
        .strip_prefix("rootflags=subvol=")
        .and_then(|path| path.strip_prefix(DIRECTORY))
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Returns why a disk would be mounted read-only by a line, a sentence.
pub(super) fn not_writable(file: &str, line: &Line) -> Option<String> {
    (!line.has("rw") || line.has("ro"))
        .then(|| format!("{file} does not say rw, and the root would be mounted read-only"))
}

/// The place of a root on its node's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRoot {
    /// The partition, as the kernel finds it: `PARTUUID=…`, or `UUID=…` of a filesystem without a partition.
    pub device: String,
    /// Its filesystem: `btrfs`, `ext4`.
    pub filesystem: String,
    /// The subvolume in it, `netbe/first-1a2b3c4d`; `None` where the root is the whole filesystem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subvolume: Option<String>,
    /// The target of the deploy, as it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The modules that drive the disk and its buses, as seen on the node: `nvme`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drivers: Vec<String>,
    /// The disks, as fstab names them, that were seen on the node, or on its disk: `UUID=…`, `LABEL=…`, `/dev/sda3`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<String>,
}

impl DiskRoot {
    /// Returns its name in the directory of subvolumes.
    pub fn name(&self) -> Option<&str> {
        let path = self.subvolume.as_deref()?;
        path.strip_prefix(DIRECTORY)?.strip_prefix('/')
    }

    /// Returns the arguments that name it, each one token.
    ///
    /// # Errors
    /// If a value contains a blank, at which the argument would end.
    pub(super) fn arguments(&self) -> Result<[(&'static str, Option<String>); 3]> {
        let flags = self.flags().map(|flags| format!("rootflags={flags}"));
        let arguments = [
            ("root", Some(format!("root={}", self.device))),
            (
                "rootfstype",
                Some(format!("rootfstype={}", self.filesystem)),
            ),
            ("rootflags", flags),
        ];
        for argument in arguments.iter().filter_map(|(_, token)| token.as_ref()) {
            if !is_one_token(argument) {
                return Err(
                    Failure::failed(format!("\"{argument}\" is not one kernel argument")).into(),
                );
            }
        }
        Ok(arguments)
    }

    fn flags(&self) -> Option<String> {
        self.subvolume
            .as_ref()
            .map(|subvolume| format!("subvol={subvolume}"))
    }

    /// Returns why this root would not be mounted, or not writable, by a line, a sentence each.
    pub(super) fn check(&self, file: &str, line: &Line) -> Vec<String> {
        let mut reasons = Vec::new();
        let flags = self.flags();
        let wanted = [
            ("root", Some(self.device.as_str())),
            ("rootflags", flags.as_deref()),
        ];
        for (name, value) in wanted {
            if line.value(name) != value {
                let value = value.map_or_else(
                    || format!("has a {name}="),
                    |v| format!("does not say {name}={v}"),
                );
                reasons.push(format!("{file} {value}"));
            }
        }
        reasons.extend(not_writable(file, line));
        reasons
    }
}
