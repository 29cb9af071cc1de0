//! How to supply the packages of a full upgrade in advance, from the pool's cache.
//!
//! The upgrade and the cache are elsewhere.

use std::io;

use super::apt::{self, Archive};
use super::distribution::{Distribution, Family};
use super::step::Step;
use super::{dnf, pacman, repo_index, zypper};
use crate::fs::rooted::Tree;

/// How the packages of the last step of a full upgrade can be supplied in advance.
#[derive(Debug, Clone)]
pub struct Downloads {
    /// How they are determined.
    pub source: Source,
    /// Downloads them only.
    pub fetch: Step,
    /// Whether the package manager deletes packages once they are installed.
    pub deletes_installed: bool,
    family: Family,
}

/// How the packages of an upgrade are determined.
#[derive(Debug, Clone)]
pub enum Source {
    /// The package manager lists them.
    Listed {
        /// Lists the packages that are needed and not downloaded yet.
        list: Step,
        /// Parses the list.
        read: fn(&str) -> Vec<Archive>,
    },
    /// The needed packages are not known; any package of the repositories may be one: see [`Downloads::offered`].
    Offered,
}

impl Downloads {
    /// Returns the wanted packages of the repositories; `root` is the environment's, `packages` the download
    /// directory.
    ///
    /// # Errors
    /// If an index is unreadable or malformed.
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
    /// Returns how the packages of the full upgrade's last step can be supplied in advance; `None` if not supported.
    pub fn downloads(&self) -> Option<Downloads> {
        let (source, fetch) = match self.family {
            Family::Debian => {
                let listed = Source::Listed {
                    list: apt::list(),
                    read: apt::to_fetch,
                };
                (listed, apt::fetch())
            }
            Family::Arch => (Source::Offered, pacman::fetch()),
            Family::Fedora => (Source::Offered, dnf::fetch()),
            Family::Suse => (Source::Offered, zypper::fetch()),
            Family::Alpine | Family::Unknown => return None,
        };
        Some(Downloads {
            source,
            fetch,
            deletes_installed: self.family == Family::Suse,
            family: self.family,
        })
    }
}
