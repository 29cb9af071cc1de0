//! Finds the kernels in a boot half, with initramfs and device trees, and the newest of them.
//!
//! By the names that distributions use: `vmlinuz-6.1.0-32-amd64` with `initrd.img-6.1.0-32-amd64` (Debian),
//! `initramfs-6.11.4.img` (Fedora), `vmlinuz-linux` with `initramfs-linux.img` (Arch), `vmlinuz-lts` with
//! `initramfs-lts` (Alpine); or, where there is none of these, as kernel-install(8) lays them out for systemd-boot:
//! `MACHINE-ID/6.11.4/linux` with `initrd` beside it.

use std::cmp::Ordering;

use super::kernel_install::{Pair, installed};
use crate::boot::files::{BootFiles, is_there};
use crate::boot::kernel;

/// Names of kernels, before the version.
const STEMS: [&str; 7] = [
    "vmlinuz", "vmlinux", "Image.gz", "Image", "zImage", "bzImage", "kernel",
];
/// Suffixes of files that are not kernels: backups, signatures, temporary files.
const NOT_KERNELS: [&str; 10] = [
    ".old",
    ".bak",
    ".sig",
    ".hmac",
    ".img",
    ".dpkg-new",
    ".dpkg-tmp",
    ".dpkg-bak",
    ".pacnew",
    ".tmp",
];
/// How many kernels without a version in their name are read for it: each takes about a second.
const LOOKED_INTO: usize = 16;
/// Directories of device trees, where `VERSION` stands for the kernel's; the most specific first.
const TREE_DIRS: [&str; 5] = ["dtbs/VERSION", "dtb-VERSION", "dtb/VERSION", "dtbs", "dtb"];

/// Returns the names of kernels.
pub(crate) fn kernels(names: &[String]) -> Vec<&String> {
    names
        .iter()
        .filter(|name| version_part(name).is_some())
        .collect()
}

/// Returns the newest kernel; of one version in several flavours that of `current`, else the shortest. `None` without
/// a kernel.
pub(crate) fn newest(boot: &dyn BootFiles, current: Option<&str>) -> std::io::Result<Option<Pair>> {
    let names = boot.names("")?;
    let mut found: Vec<&String> = kernels(&names);
    found.retain(|name| is_there(boot, name));
    // `vmlinuz` beside `vmlinuz-6.1.0` is a link to a kernel, or an outdated copy.
    if found.iter().any(|name| version_part(name) != Some("")) {
        found.retain(|name| version_part(name) != Some(""));
    }
    let mut pairs = match found.is_empty() {
        true => installed(boot, &names),
        false => Vec::new(),
    };
    let mut looked_into = 0;
    for name in &found {
        let version = match kernel::version_in_name(name) {
            Some(version) => Some(version.to_string()),
            None if found.len() > 1 && looked_into < LOOKED_INTO => {
                looked_into += 1;
                kernel::version_of(boot, name)?
            }
            None => None,
        };
        pairs.push(Pair {
            initrd: initrd(boot, version_part(name).unwrap_or_default()),
            version,
            kernel: (*name).clone(),
        });
    }
    let flavour = current
        .and_then(kernel::version_in_name)
        .map(|v| split(v).1.to_string());
    pairs.sort_by(|a, b| order(a, b, flavour.as_deref()));
    Ok(pairs.pop())
}

/// Returns the directory with a kernel's device trees in the boot half.
pub(crate) fn tree_dir(boot: &dyn BootFiles, version: Option<&str>) -> Option<String> {
    let dirs = TREE_DIRS.iter().filter_map(|dir| match version {
        Some(version) => Some(dir.replace("VERSION", version)),
        None => (!dir.contains("VERSION")).then(|| (*dir).to_string()),
    });
    dirs.into_iter()
        .find(|dir| boot.names(dir).is_ok_and(|names| !names.is_empty()))
}

/// Returns the part after `vmlinuz-` and similar; empty for `vmlinuz`, `None` for other files.
fn version_part(name: &str) -> Option<&str> {
    if NOT_KERNELS.iter().any(|end| name.ends_with(end)) || name.contains("rescue") {
        return None;
    }
    STEMS
        .iter()
        .find_map(|stem| match name.strip_prefix(stem)? {
            "" if *stem == "kernel" => None,
            "" => Some(""),
            rest => rest.strip_prefix('-').filter(|part| !part.is_empty()),
        })
}

fn initrd(boot: &dyn BootFiles, part: &str) -> Option<String> {
    let names = match part {
        "" => [
            "initrd.img",
            "initramfs.img",
            "initrd",
            "initramfs",
            "initrd.gz",
        ]
        .map(str::to_string),
        part => [
            format!("initrd.img-{part}"),
            format!("initramfs-{part}.img"),
            format!("initrd-{part}"),
            format!("initrd-{part}.img"),
            format!("initramfs-{part}"),
        ],
    };
    names.into_iter().find(|name| is_there(boot, name))
}

fn order(a: &Pair, b: &Pair, current: Option<&str>) -> Ordering {
    let key = |p: &Pair| p.version.clone().unwrap_or_default();
    let (a_key, b_key) = (key(a), key(b));
    let ((a_number, a_flavour), (b_number, b_flavour)) = (split(&a_key), split(&b_key));
    let is_current = |flavour: &str| Some(flavour) == current;
    compare(a_number, b_number)
        .then(is_current(a_flavour).cmp(&is_current(b_flavour)))
        .then(b_flavour.len().cmp(&a_flavour.len()))
        .then(a_flavour.cmp(b_flavour))
        .then(b.kernel.len().cmp(&a.kernel.len()))
}

/// Splits a version into numbers and flavour: `6.1.0-32` and `-cloud-amd64`; `-rc1` is a number.
fn split(version: &str) -> (&str, &str) {
    let mut end = 0;
    for part in version.split_inclusive(['-', '.']) {
        let word = part.trim_end_matches(['-', '.']);
        let number = word.strip_prefix("rc").unwrap_or(word);
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            break;
        }
        if digits < number.len() {
            end += word.len() - number.len() + digits;
            return version.split_at(end);
        }
        end += part.len();
    }
    let numbers = version[..end].trim_end_matches(['-', '.']);
    (numbers, &version[numbers.len()..])
}

/// Compares numerically, part by part; a release candidate is older than its release.
fn compare(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(u8, u64)> {
        let parts = text.split(['-', '.']).filter(|p| !p.is_empty());
        let parts = parts.map(|p| match p.strip_prefix("rc") {
            Some(number) => (0, number.parse().unwrap_or(0)),
            None => (2, p.parse().unwrap_or(0)),
        });
        // A version that ends is older than one that continues, and newer than a release candidate.
        parts.chain([(1, 0)]).collect()
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn boot(names: &[&str]) -> BTreeMap<String, Vec<u8>> {
        names
            .iter()
            .map(|n| ((*n).to_string(), b"x".to_vec()))
            .collect()
    }

    #[test]
    fn versions_are_compared_as_versions() {
        let ordered = [
            "5.10.0",
            "6.1.0-9",
            "6.1.0-32",
            "6.1.1",
            "6.2-rc1",
            "6.2-rc10",
            "6.2",
            "6.2.1",
            "6.12.0-rc2",
            "6.12.0",
            "6.12.47",
        ];
        for pair in ordered.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
        for (version, expected) in [
            ("6.1.0-32-cloud-amd64", ("6.1.0-32", "-cloud-amd64")),
            ("6.12.47+rpt-rpi-v8", ("6.12.47", "+rpt-rpi-v8")),
            ("6.11.4-301.fc41.x86_64", ("6.11.4-301", ".fc41.x86_64")),
            ("6.2.0-rc1", ("6.2.0-rc1", "")),
            ("6.6.8", ("6.6.8", "")),
        ] {
            assert_eq!(split(version), expected);
        }
    }

    #[test]
    fn kernels_find_their_initramfs() {
        for (names, kernel, initrd) in [
            (
                &[
                    "vmlinuz-6.1.0-9-amd64",
                    "vmlinuz-6.1.0-32-amd64",
                    "initrd.img-6.1.0-32-amd64",
                    "vmlinuz",
                    "System.map-6.1.0-32-amd64",
                    "config-6.1.0-32-amd64",
                    "vmlinuz-6.1.0-33-amd64.dpkg-new",
                ][..],
                "vmlinuz-6.1.0-32-amd64",
                Some("initrd.img-6.1.0-32-amd64"),
            ),
            (
                &["vmlinuz-6.1.0-32-rt-amd64", "vmlinuz-6.1.0-32-amd64"],
                "vmlinuz-6.1.0-32-amd64",
                None,
            ),
            (
                &[
                    "vmlinuz-linux",
                    "initramfs-linux.img",
                    "initramfs-linux-fallback.img",
                ],
                "vmlinuz-linux",
                Some("initramfs-linux.img"),
            ),
            (
                &["vmlinuz-lts", "initramfs-lts", "modloop-lts"],
                "vmlinuz-lts",
                Some("initramfs-lts"),
            ),
            (
                &[
                    "vmlinuz-6.11.4-301.fc41.x86_64",
                    "vmlinuz-6.11.4-301.fc42.x86_64",
                    "vmlinuz-0-rescue-abc",
                    "initramfs-6.11.4-301.fc42.x86_64.img",
                ],
                "vmlinuz-6.11.4-301.fc42.x86_64",
                Some("initramfs-6.11.4-301.fc42.x86_64.img"),
            ),
            (&["Image", "initrd.img"], "Image", Some("initrd.img")),
        ] {
            let pair = newest(&boot(names), None).unwrap().unwrap();
            assert_eq!(
                (pair.kernel.as_str(), pair.initrd.as_deref()),
                (kernel, initrd)
            );
        }
        assert_eq!(
            newest(&boot(&["kernel8.img", "kernel", "x"]), None).unwrap(),
            None
        );
    }

    #[test]
    fn a_flavour_is_retained() {
        let files = boot(&["vmlinuz-6.1.0-32-rt-amd64", "vmlinuz-6.1.0-32-amd64"]);
        let pair = newest(&files, Some("vmlinuz-6.1.0-9-rt-amd64"))
            .unwrap()
            .unwrap();
        assert_eq!(pair.kernel, "vmlinuz-6.1.0-32-rt-amd64");
    }

    #[test]
    fn the_most_specific_device_trees_are_used() {
        let files = boot(&["dtbs/6.6.8/a.dtb", "dtbs/b.dtb"]);
        assert_eq!(
            tree_dir(&files, Some("6.6.8")).as_deref(),
            Some("dtbs/6.6.8")
        );
        assert_eq!(tree_dir(&files, Some("6.6.9")).as_deref(), Some("dtbs"));
        assert_eq!(tree_dir(&boot(&["x"]), Some("6.6.9")), None);
    }
}
