//! A root on the disk of the machine that has the pool: both halves are subvolumes of the filesystem that it boots from.
//!
//! Pure: the arguments of the kernel command line, and the reasons why the root would not be mounted. Not for a root that
//! `deploy` has put on another machine's disk: `disk_root`.

use super::cmdline_tokens::Line;
use super::disk_root;

/// The kernel argument with the place of GRUB's own files, in GRUB's syntax: `(hd0,gpt2)/@/boot/grub`.
///
/// The kernel ignores it as the parameter of a module that does not exist. After GRUB is installed in an environment, it
/// names that environment's directory.
pub const GRUB_PREFIX: &str = "netbe.grub";

/// The place of an environment on this machine's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRoot {
    /// The UUID of the filesystem.
    pub filesystem: String,
    /// The root half, as a path from the top level: `netbe/nodes/nog/envs/first/root`.
    pub root: String,
    /// The boot half, as a path from the top level.
    pub boot: String,
}

impl OwnRoot {
    /// Returns the filesystem as the kernel command line and fstab name it.
    pub fn device(&self) -> String {
        format!("UUID={}", self.filesystem)
    }

    /// Returns the mount options that select this root; `before` are the former options, which otherwise stay.
    pub(super) fn flags(&self, before: Option<&str>) -> String {
        with_subvolume(before.unwrap_or_default(), &self.root)
    }

    /// Returns why this root would not be mounted, or not writable, by a line, a sentence each.
    pub(super) fn check(&self, file: &str, line: &Line) -> Vec<String> {
        let mut reasons = Vec::new();
        let device = self.device();
        if line.value("root") != Some(device.as_str()) {
            reasons.push(format!("{file} does not say root={device}"));
        }
        if subvolume(line.value("rootflags").unwrap_or_default()) != Some(self.root.as_str()) {
            reasons.push(format!(
                "{file} does not say rootflags=subvol={}",
                self.root
            ));
        }
        reasons.extend(disk_root::not_writable(file, line));
        reasons
    }
}

/// Returns mount options with another subvolume; all others stay, and their order does.
pub(super) fn with_subvolume(options: &str, path: &str) -> String {
    let mut is_named = false;
    let mut edited: Vec<String> = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split('=').next() {
            Some("subvol") if !is_named => {
                is_named = true;
                edited.push(format!("subvol={path}"));
            }
            // The number of a subvolume selects one too, and would be that of another root.
            Some("subvol" | "subvolid") => {}
            _ => edited.push(option.to_string()),
        }
    }
    if !is_named {
        edited.push(format!("subvol={path}"));
    }
    edited.join(",")
}

/// Returns the subvolume in mount options, as a path from the top level; `None` also if it is given by number.
pub(super) fn subvolume(options: &str) -> Option<&str> {
    let mut named = options.split(',').filter_map(|o| o.split_once('='));
    let path = named.clone().find(|(key, _)| *key == "subvol");
    let is_numbered = named.any(|(key, _)| key == "subvolid");
    path.filter(|_| !is_numbered)
        .map(|(_, path)| path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_name_one_subvolume() {
        for (before, after) in [
            ("", "subvol=n/root"),
            ("subvol=@", "subvol=n/root"),
            ("subvolid=256,subvol=/@", "subvol=n/root"),
            ("noatime,subvolid=256", "noatime,subvol=n/root"),
            (
                "compress=zstd,subvol=@,ssd",
                "compress=zstd,subvol=n/root,ssd",
            ),
            ("subvol=@,subvol=@old", "subvol=n/root"),
        ] {
            let edited = with_subvolume(before, "n/root");
            assert_eq!(edited, after, "{before}");
            assert_eq!(with_subvolume(&edited, "n/root"), edited);
            assert_eq!(subvolume(&edited), Some("n/root"), "{before}");
        }
        for (options, named) in [
            ("defaults", None),
            ("subvolid=5", None),
            ("subvol=@,subvolid=256", None),
            ("noatime,subvol=/@", Some("@")),
        ] {
            assert_eq!(subvolume(options), named, "{options}");
        }
    }
}
