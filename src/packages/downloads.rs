//! How the packages of a full upgrade are had before it: from elsewhere, by whoever knows them.
//!
//! Not for the upgrade itself, and not for where packages are kept.

use std::io;

use super::apt::{self, Archive};
use super::distribution::{Distribution, Family};
use super::full_upgrade::{self as commands, Step};
use super::repo_index;
use crate::fs::rooted::Tree;

/// How the packages of the last step of a full upgrade can be had before it.
#[derive(Debug, Clone)]
pub struct Downloads {
    /// How it is known which they are.
    pub known: Known,
    /// Downloads them, and no more.
    pub fetch: Step,
    /// Whether the package manager deletes what it has downloaded once that is installed.
    pub forgets: bool,
    family: Family,
}

/// How it is known which packages an upgrade is about to fetch.
#[derive(Debug, Clone)]
pub enum Known {
    /// The package manager tells.
    Told {
        /// Tells which are wanted and not there yet.
        list: Step,
        /// Reads what that says.
        read: fn(&str) -> Vec<Archive>,
    },
    /// What they are is not known, but which there are: see [`Downloads::offered`].
    Offered,
}

impl Downloads {
    /// Returns those of the packages that the repositories offer which are wanted; `root` is the environment's, and
    /// `packages` the directory that packages are downloaded into.
    ///
    /// # Errors
    /// When an index cannot be read, or makes no sense.
    pub fn offered(
        &self,
        root: &Tree,
        packages: &Tree,
        wanted: &dyn Fn(&[u8; 32]) -> bool,
    ) -> io::Result<Vec<Archive>> {
        repo_index::offered(self.family, root, packages, wanted)
    }
}

const FINDING: &str = "finding out what is wanted";
const FETCHING: &str = "downloading packages";

impl Distribution {
    /// Returns how the packages of the last step of the full upgrade can be had before it; `None` where
    /// that is not known.
    pub fn downloads(&self) -> Option<Downloads> {
        let (known, fetch) = match self.family {
            Family::Debian => {
                let list = [
                    "-qq",
                    "-y",
                    // Otherwise it prints MD5 sums, and none where the index has only better ones.
                    "-o",
                    "Acquire::ForceHash=SHA256",
                    "--print-uris",
                    "dist-upgrade",
                ];
                let told = Known::Told {
                    list: commands::apt(FINDING, &list),
                    read: apt::of_apt,
                };
                let fetch = ["-y", "--download-only", "dist-upgrade"];
                (told, commands::apt(FETCHING, &fetch))
            }
            Family::Arch => (Known::Offered, commands::pacman(FETCHING, &["-Suw"])),
            Family::Fedora => {
                let fetch = ["upgrade", "--downloadonly"];
                (Known::Offered, commands::dnf(FETCHING, &fetch))
            }
            Family::Suse => (
                Known::Offered,
                commands::zypper_upgrade(FETCHING, &["--download-only"]),
            ),
            Family::Alpine | Family::Unknown => return None,
        };
        Some(Downloads {
            known,
            fetch,
            forgets: self.family == Family::Suse,
            family: self.family,
        })
    }
}
