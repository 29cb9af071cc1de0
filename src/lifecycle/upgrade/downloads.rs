//! The packages of an upgrade: had from the pool where another node has downloaded them before.
//!
//! Each run downloads into a private directory, which is filled before from the pool's cache, harvested
//! after, and gone in the end: no package file stays in an environment. Nothing here makes an upgrade
//! fail; what the cache cannot give is downloaded.

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

/// How long another upgrade's downloads are waited for before it is done without them.
const PATIENCE: Duration = Duration::from_secs(3600);

/// How much of a list of packages is read, in bytes: some 50,000 of them.
const LIST_LIMIT: u64 = 16 << 20;

/// The packages of one run.
pub(super) struct Packages<'a> {
    pool: &'a Pool,
    cache: PackageCache,
    private: Staged,
    /// What came from the cache.
    given: BTreeSet<String>,
    /// Whether others are upgraded at the same time, so that waiting for what they download is worth it.
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

    /// Has what the upgrade will want lie ready; where several upgrade, each package is downloaded by one.
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
            // Another may be downloading the same just now.
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

    /// Downloads what is not there yet, and keeps it for others.
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

    /// Keeps what was downloaded for others.
    pub(super) fn harvest(&self) -> Result<()> {
        let private = Tree::open(self.dir())?;
        self.cache
            .add(&private, |name| !self.given.contains(name))
            .context("keeping the downloaded packages")?;
        Ok(())
    }

    /// Returns what the package manager says it is about to fetch.
    fn wanted(&self, sandbox: &Sandbox<'_>, downloads: &Downloads) -> Result<Wanted> {
        let Source::Listed { list, read } = &downloads.source else {
            return Ok(Wanted::Unknown);
        };
        let output = tempfile::tempfile().context("making a temporary file")?;
        program::step(sandbox, list, &output, false)?;
        Ok(Wanted::Told(read(&program::tail(&output, LIST_LIMIT)?)))
    }

    /// Puts what is wanted, or may be, and in the cache into the private directory; returns whether that is all.
    fn fill(&mut self, root: &Path, downloads: &Downloads, wanted: &Wanted) -> Result<bool> {
        match wanted {
            Wanted::Told(archives) => self.give(archives),
            Wanted::Unknown => self.give_offered(root, downloads).map(|()| false),
        }
    }

    /// Puts those of the repositories' packages that are in the cache into the private directory: what was wanted
    /// lately will be wanted again, and what is not costs no space.
    fn give_offered(&mut self, root: &Path, downloads: &Downloads) -> Result<()> {
        let private = Tree::open(self.dir())?;
        let kept = self.cache.checksums()?;
        let offered = downloads
            .offered(&Tree::open(root)?, &private, &|sum| kept.contains(sum))
            .context("reading the repository indexes")?;
        self.give(&offered).map(drop)
    }

    /// Puts what is wanted and in the cache into the private directory; returns whether that is all.
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

/// What an upgrade is about to fetch.
enum Wanted {
    /// These.
    Told(Vec<Archive>),
    /// That is not known.
    Unknown,
}
