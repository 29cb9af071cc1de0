//! The specification of an environment's boot files.
//!
//! The values of the properties `loader`, `root`, `nfs.version` and `cmdline` as types, and the plan.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::disk_root::DiskRoot;
use super::ip::Ip;
use super::iscsi_root::IscsiRoot;
use super::local_root::OwnRoot;
use super::machines::Machines;
use super::model::Model;
use crate::failure::Failure;

/// The program that reads the boot files on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loader {
    /// Raspberry Pi firmware: `config.txt`, `cmdline.txt`.
    Rpi,
    /// PXELINUX, and U-Boot's `pxe` command: `pxelinux.cfg/default`.
    Pxelinux,
    /// The programs that UEFI firmware starts, with configurations made from `pxelinux.cfg/default`.
    GrubEfi,
    /// GRUB on the disk of the machine that has the pool: `grub/netbe.cfg`, made from `pxelinux.cfg/default`.
    Grub,
}

impl fmt::Display for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rpi => "rpi",
            Self::Pxelinux => "pxelinux",
            Self::GrubEfi => "grub-efi",
            Self::Grub => "grub",
        })
    }
}

impl FromStr for Loader {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "rpi" => Ok(Self::Rpi),
            "pxelinux" => Ok(Self::Pxelinux),
            "grub-efi" => Ok(Self::GrubEfi),
            _ => Err(Failure::usage(format!(
                "\"{text}\" is no loader: rpi, pxelinux and grub-efi are"
            ))),
        }
    }
}

/// A version of the NFS protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NfsVersion {
    /// Version 3.
    V3,
    /// Version 4.1.
    V4_1,
    /// Version 4.2.
    V4_2,
}

impl fmt::Display for NfsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3 => "3",
            Self::V4_1 => "4.1",
            Self::V4_2 => "4.2",
        })
    }
}

impl FromStr for NfsVersion {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "3" => Ok(Self::V3),
            "4.1" => Ok(Self::V4_1),
            "4.2" => Ok(Self::V4_2),
            _ => Err(Failure::usage(format!(
                "\"{text}\" is no NFS version: 3, 4.1 and 4.2 are"
            ))),
        }
    }
}

/// The location of a node's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootPlace {
    /// On the server.
    Nfs {
        /// The server's address; the kernel takes no names here.
        server: Ipv4Addr,
        /// The root half's path on the server.
        path: String,
        /// The requested version; `None` for what the environment's mounter supports.
        version: Option<NfsVersion>,
        /// More mount options, comma-separated.
        options: Option<String>,
    },
    /// On the node's own disk, by the property `root`: `PARTUUID=…`, `UUID=…`, `LABEL=…`.
    Local(String),
    /// On the node's own disk, where `deploy` has put it; the boot half stays on the server.
    Disk(DiskRoot),
    /// On a disk that the server offers: the image in the root half.
    Iscsi(IscsiRoot),
    /// On the disk of this machine, beside the pool's other environments, with its boot half.
    Own(OwnRoot),
}

impl RootPlace {
    /// Returns whether the system has its boot half on the server, mounted by NFS.
    pub fn mounts_boot(&self) -> bool {
        !matches!(self, Self::Local(_) | Self::Own(_))
    }

    /// Returns the place on this machine's own disk.
    pub fn own(&self) -> Option<&OwnRoot> {
        match self {
            Self::Own(own) => Some(own),
            _ => None,
        }
    }
}

/// What an environment's boot files must contain.
#[derive(Debug, Clone)]
pub struct Want<'a> {
    /// The environment, `nog/first`, for comments and labels in generated files.
    pub name: &'a str,
    /// The node's name, for a static `ip=`.
    pub hostname: &'a str,
    /// The serial number of a Raspberry Pi, 8 hexadecimal digits, where it is known.
    pub serial: Option<&'a str>,
    /// The model of the machine; `None` if unknown.
    pub model: Option<Model>,
    /// The loader; `None` to detect it from the boot files.
    pub loader: Option<Loader>,
    /// The location of the root.
    pub root: RootPlace,
    /// The machines that mount the root read-only and keep their changes in memory; `None` if the root is mounted writable.
    pub read_only: Option<Machines>,
    /// The node's address.
    pub ip: Ip,
    /// Kernel arguments of the property `cmdline`.
    pub add: &'a [String],
    /// Kernel arguments of its previous value, to be removed unless also in `add`.
    pub remove: &'a [String],
    /// Kernel arguments removed earlier for an NFS root, to be restored for a local one.
    pub stash: &'a [String],
    /// Programs to put into the boot half of a PC, since they are missing or differ.
    pub programs: Vec<Program>,
    /// The command line that the running system was started with, for a boot half that has no menu yet.
    pub started_with: Option<&'a str>,
}

/// A program that firmware starts, or that such a program loads.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name in the boot half.
    pub name: &'static str,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

/// The changes to a boot half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The loader the files are for.
    pub loader: Loader,
    /// Files that change, with path and new content.
    pub writes: Vec<(String, Vec<u8>)>,
    /// Removed arguments that apply to a root on a disk only, in order.
    ///
    /// `rw` and `ip=…` are included if the line had them before, so that [`Want::stash`] has all arguments of the
    /// local line.
    pub stripped: Vec<String>,
    /// Warnings for the user; none of them keeps the node from booting.
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        for word in ["rpi", "pxelinux", "grub-efi"] {
            assert_eq!(word.parse::<Loader>().unwrap().to_string(), word);
        }
        for word in ["3", "4.1", "4.2"] {
            assert_eq!(word.parse::<NfsVersion>().unwrap().to_string(), word);
        }
        for word in ["", "4", "4.0", "v3", " 3"] {
            assert!(word.parse::<NfsVersion>().is_err());
        }
        assert!("grub".parse::<Loader>().is_err());
    }
}
