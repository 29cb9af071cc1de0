//! The packages of an upgrade, from the pool's cache if another node has downloaded them before.
//!
//! Each run downloads into a private directory: it is filled from the cache before, its packages are added to the cache
//! after, and it is deleted at the end, so no package file stays in an environment. A failing cache fails no upgrade:
//! the packages are downloaded.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::program;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;
use crate::packages::cache::PackageCache;
use crate::packages::{Archive, Downloads, Source};
use crate::pool::lock::WorkLock;
use crate::pool::stage::Staged;
use crate::pool::{Node, Pool, layout};
use crate::sandbox::Sandbox;

/// How long to wait for another upgrade's downloads.
const PATIENCE: Duration = Duration::from_secs(3600);

/// How much of a list of packages is read, in bytes: some 50,000 of them.
const LIST_LIMIT: u64 = 16 << 20;

/// The packages of one run.
pub(super) struct Packages<'a> {
    pool: &'a Pool,
    cache: PackageCache,
    private: Staged,
    /// The packages from the cache.
    given: BTreeSet<String>,
    /// Whether other nodes are upgraded at the same time, so that it pays to wait for their downloads.
    beside_others: bool,
}

impl<'a> Packages<'a> {
    pub(super) fn begin(pool: &'a Pool, node: &Node, beside_others: bool) -> Result<Self> {
        Ok(Self {
            pool,
            cache: PackageCache::new(layout::packages(pool.root())),
            private: Staged::new(&node.dir, "packages")?,
            given: BTreeSet::new(),
            beside_others,
        })
    }

    /// Returns the directory to download into.
    pub(super) fn dir(&self) -> &Path {
        self.private.path()
    }

    /// Fetches the packages that the upgrade needs; of several upgrades at once, only one downloads each package.
    pub(super) fn make_ready(
        &mut self,
        sandbox: &Sandbox<'_>,
        downloads: &Downloads,
        log: &File,
        echo: bool,
    ) -> Result<()> {
        if !self.beside_others && self.cache.is_empty() {
            return match downloads.deletes_installed {
                true => self.fetch(sandbox, downloads, log, echo),
                false => Ok(()),
            };
        }
        if let Source::Listed { list, .. } = &downloads.source {
            program::say(log, echo, list.what)?;
        }
        let wanted = self.wanted(sandbox, downloads)?;
        let all = self.fill(sandbox.root, downloads, &wanted)?;
        interrupt::check()?;
        if all {
            return Ok(());
        }
        if self.beside_others {
            // Wait first: another upgrade may be downloading the same packages.
            program::say(log, echo, "waiting for other downloads")?;
            let Ok(_lock) = WorkLock::to_download(self.pool.state(), PATIENCE) else {
                return interrupt::check();
            };
            if !self.fill(sandbox.root, downloads, &wanted)? {
                self.fetch(sandbox, downloads, log, echo)?;
            }
        } else if downloads.deletes_installed {
            self.fetch(sandbox, downloads, log, echo)?;
        }
        Ok(())
    }

    /// Downloads the missing packages, and adds them to the cache.
    fn fetch(
        &mut self,
        sandbox: &Sandbox<'_>,
        downloads: &Downloads,
        log: &File,
        echo: bool,
    ) -> Result<()> {
        program::step(sandbox, &downloads.fetch, log, echo)?;
        self.harvest()
    }

    /// Adds the downloaded packages to the cache.
    pub(super) fn harvest(&self) -> Result<()> {
        let private = Tree::open(self.dir())?;
        self.cache
            .add(&private, |name| !self.given.contains(name))
            .context("keeping the downloaded packages")?;
        Ok(())
    }

    /// Returns the packages that the package manager says it will fetch.
    fn wanted(&self, sandbox: &Sandbox<'_>, downloads: &Downloads) -> Result<Wanted> {
        let Source::Listed { list, read } = &downloads.source else {
            return Ok(Wanted::Unknown);
        };
        let output = tempfile::tempfile().context("making a temporary file")?;
        program::step(sandbox, list, &output, false)?;
        Ok(Wanted::Listed(read(&program::tail(&output, LIST_LIMIT)?)))
    }

    /// Copies the wanted packages from the cache to the private directory; returns whether none is missing.
    fn fill(&mut self, root: &Path, downloads: &Downloads, wanted: &Wanted) -> Result<bool> {
        match wanted {
            Wanted::Listed(archives) => self.give(archives),
            Wanted::Unknown => self.give_offered(root, downloads).map(|()| false),
        }
    }

    /// Copies all cached packages that the repositories have to the private directory: recently used packages are likely
    /// to be needed, and a copy takes no space.
    fn give_offered(&mut self, root: &Path, downloads: &Downloads) -> Result<()> {
        let private = Tree::open(self.dir())?;
        let cached = self.cache.checksums()?;
        let offered = downloads
            .offered(&Tree::open(root)?, &private, &|sum| cached.contains(sum))
            .context("reading the repository indexes")?;
        self.give(&offered).map(drop)
    }

    /// Copies these packages from the cache to the private directory; returns whether none is missing.
    fn give(&mut self, wanted: &[Archive]) -> Result<bool> {
        let private = Tree::open(self.dir())?;
        let mut all = true;
        for archive in wanted {
            interrupt::check()?;
            if self.given.contains(&archive.file) {
                continue;
            }
            match self.cache.copy_to(archive, &private) {
                Ok(true) => drop(self.given.insert(archive.file.clone())),
                Ok(false) => all = false,
                Err(e) => return Err(e).context("taking packages from the pool's cache"),
            }
        }
        Ok(all)
    }
}

/// The packages that an upgrade will fetch.
enum Wanted {
    /// A known list.
    Listed(Vec<Archive>),
    /// The package manager cannot list them before the upgrade.
    Unknown,
}
