//! How the packages of a full upgrade are had before it: from elsewhere, by whoever knows them.
//!
//! Not for the upgrade itself, and not for where packages are kept.

use std::io;
use std::time::SystemTime;

use super::apk_index::{self, Apk};
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
    /// Downloads them, and no more; of [`Known::Named`] those whose names are put behind it.
    fetch: Step,
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
    /// The package manager tells what they are called, and its indexes the rest: see [`Downloads::named`].
    Named {
        /// Tells what is to be installed, there already or not.
        list: Step,
    },
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

    /// Returns the packages that are to be installed, by what the package manager said and what the indexes in the
    /// environment say that it has fetched since some time; those that are in none, or in two and differ, are left out.
    ///
    /// # Errors
    /// When what is there cannot be looked through.
    pub fn named(&self, root: &Tree, said: &str, since: SystemTime) -> io::Result<Vec<Apk>> {
        apk_index::wanted(root, apk_index::told(said), since)
    }

    /// Returns the files, from the environment's root, that the package manager looks for in the directory that
    /// packages are downloaded into, and fetches where they are not; of those it has fetched since some time.
    ///
    /// # Errors
    /// When what is there cannot be looked through.
    pub fn indexes(&self, root: &Tree, since: SystemTime) -> io::Result<Vec<String>> {
        match self.known {
            Known::Named { .. } => apk_index::indexes(root, since),
            Known::Told { .. } | Known::Offered => Ok(Vec::new()),
        }
    }

    /// Returns what downloads packages into the directory for them, and no more: those with the names, where names
    /// are what is known of them, else all that are wanted.
    pub fn fetch(&self, names: impl IntoIterator<Item = String>) -> Step {
        let mut fetch = self.fetch.clone();
        if matches!(self.known, Known::Named { .. }) {
            fetch.argv.extend(names);
        }
        fetch
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
            Family::Alpine if self.has_cache => {
                let list = Known::Named {
                    list: commands::apk(FINDING, &["upgrade", "--available", "--simulate"]),
                };
                (list, commands::apk_fetch(FETCHING))
            }
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
