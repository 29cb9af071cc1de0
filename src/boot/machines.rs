//! How many machines boot one read-only root, and what each has for itself. Not for making the root read-only.

use std::fmt;
use std::str::FromStr;

/// How many machines boot the same read-only root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machines {
    /// One, which is the node.
    One,
    /// Several, each with a name and a machine ID of its own, and perhaps with host keys.
    Several(SshKeys),
}

/// The SSH host keys of machines that boot the same root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SshKeys {
    /// The keys in the root.
    #[default]
    Shared,
    /// New keys at each boot.
    Boot,
    /// Each machine has its own, made at its first boot, and kept in the directory of reports.
    Machine,
}

impl SshKeys {
    pub(super) const ALL: [Self; 3] = [Self::Shared, Self::Boot, Self::Machine];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Boot => "boot",
            Self::Machine => "machine",
        }
    }
}

impl fmt::Display for SshKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for SshKeys {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|keys| keys.word() == text);
        found.ok_or("neither shared, boot nor machine")
    }
}
