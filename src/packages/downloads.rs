//! How the packages of a full upgrade are had before it: from elsewhere, by whoever knows them.
//!
//! Not for the upgrade itself, and not for where packages are kept.

use std::io;

use super::apt::{self, Archive};
use super::distribution::{Distribution, Family};
use super::step::Step;
use super::{dnf, pacman, repo_index, zypper};
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

impl Distribution {
    /// Returns how the packages of the last step of the full upgrade can be had before it; `None` where
    /// that is not known.
    pub fn downloads(&self) -> Option<Downloads> {
        let (known, fetch) = match self.family {
            Family::Debian => {
                let told = Known::Told {
                    list: apt::list(),
                    read: apt::to_fetch,
                };
                (told, apt::fetch())
            }
            Family::Arch => (Known::Offered, pacman::fetch()),
            Family::Fedora => (Known::Offered, dnf::fetch()),
            Family::Suse => (Known::Offered, zypper::fetch()),
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
