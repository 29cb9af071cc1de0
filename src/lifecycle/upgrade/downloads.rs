//! The packages of an upgrade: had from the pool where another node has downloaded them before.
//!
//! Each run downloads into a private directory, which is filled before from the pool's cache, harvested
//! after, and gone in the end: no package file stays in an environment. Nothing here makes an upgrade
//! fail; what the cache cannot give is downloaded.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::program;
use crate::fs::copy::Contents;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;
use crate::packages::cache::PackageCache;
use crate::packages::{Apk, Archive, Downloads, Known};
use crate::pool::lock::DownloadLock;
use crate::pool::stage::Staged;
use crate::pool::{Node, Pool};
use crate::sandbox::Sandbox;

/// How long another upgrade's downloads are waited for before it is done without them.
const PATIENCE: Duration = Duration::from_secs(3600);

/// How much of a list of packages is read, in bytes: some 50,000 of them.
const LIST_LIMIT: u64 = 16 << 20;

/// The largest index that is brought along, in bytes, packed: a hundred times Alpine's.
const INDEX_LIMIT: u64 = 256 << 20;

/// The packages of one run.
pub(super) struct Packages<'a> {
    pool: &'a Pool,
    cache: PackageCache,
    private: Staged,
    begun: SystemTime,
    /// What came from the cache.
    given: BTreeSet<String>,
    /// Whether others are upgraded at the same time, so that waiting for what they download is worth it.
    beside_others: bool,
}

impl<'a> Packages<'a> {
    pub(super) fn begin(pool: &'a Pool, node: &Node, beside_others: bool) -> Result<Self> {
        Ok(Self {
            pool,
            cache: PackageCache::of(pool.root()),
            private: Staged::new(&node.dir, "packages")?,
            begun: SystemTime::now(),
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
        self.take_along(sandbox.root, downloads)?;
        if !self.beside_others && self.cache.is_empty() {
            return match downloads.forgets {
                true => self.fetch(sandbox, downloads, &Wanted::Unknown, log, echo),
                false => Ok(()),
            };
        }
        if let Known::Told { list, .. } | Known::Named { list } = &downloads.known {
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
            program::say(log, echo, "waiting for what others download")?;
            let Ok(_lock) = DownloadLock::take(self.pool.state(), PATIENCE) else {
                return interrupt::check();
            };
            if !self.fill(sandbox.root, downloads, &wanted)? {
                self.fetch(sandbox, downloads, &wanted, log, echo)?;
            }
        } else if downloads.forgets {
            self.fetch(sandbox, downloads, &wanted, log, echo)?;
        }
        Ok(())
    }

    /// Puts the indexes that the package manager looks for there into the private directory.
    ///
    /// As old as they are: one that is too old it fetches again.
    fn take_along(&self, root: &Path, downloads: &Downloads) -> Result<()> {
        let root = Tree::open(root)?;
        let private = Tree::open(self.dir())?;
        let copied = || -> io::Result<()> {
            for path in downloads.indexes(&root, self.begun)? {
                interrupt::check_io()?;
                let Some(index) = root.open_file(&path)? else {
                    continue;
                };
                let name = path.rsplit('/').next().unwrap_or(&path);
                private.remove_file(name)?;
                let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
                let mode = Mode::from_bits_truncate(0o644);
                let copy = File::from(private.open_at(name, flags, mode)?);
                let about = index.metadata()?;
                if about.len() > INDEX_LIMIT {
                    continue;
                }
                Contents::default().copy(&index, &copy, about.len(), &mut |_| {})?;
                copy.set_modified(about.modified()?)?;
            }
            Ok(())
        };
        copied().context("copying the package lists")
    }

    /// Downloads what is not there yet, and keeps it for others.
    fn fetch(
        &mut self,
        sandbox: &Sandbox<'_>,
        downloads: &Downloads,
        wanted: &Wanted,
        log: &File,
        echo: bool,
    ) -> Result<()> {
        let Wanted::Named(apks) = wanted else {
            program::step(sandbox, &downloads.fetch([]), log, echo)?;
            return self.harvest();
        };
        // By its name, an old apk fetches the newest there is, whatever the upgrade will take.
        let missing = |apk: &&Apk| apk.alone && !self.given.contains(&apk.file);
        let names: Vec<String> = apks
            .iter()
            .filter(missing)
            .map(|a| a.name.clone())
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        program::step(sandbox, &downloads.fetch(names), log, echo)?;
        self.harvest()?;
        // They were downloaded under other names.
        self.fill(sandbox.root, downloads, wanted).map(drop)
    }

    /// Keeps what was downloaded for others.
    pub(super) fn harvest(&self) -> Result<()> {
        let private = Tree::open(self.dir())?;
        self.cache
            .keep(&private, |name| !self.given.contains(name))
            .context("keeping the downloaded packages")?;
        Ok(())
    }

    /// Returns what the package manager says it is about to fetch.
    fn wanted(&self, sandbox: &Sandbox<'_>, downloads: &Downloads) -> Result<Wanted> {
        let said = |list| -> Result<String> {
            let said = tempfile::tempfile().context("making a temporary file")?;
            program::step(sandbox, list, &said, false)?;
            Ok(program::tail(&said, LIST_LIMIT)?)
        };
        Ok(match &downloads.known {
            Known::Told { list, read } => Wanted::Told(read(&said(list)?)),
            Known::Offered => Wanted::Unknown,
            Known::Named { list } => {
                let root = Tree::open(sandbox.root)?;
                let named = downloads.named(&root, &said(list)?, self.begun);
                Wanted::Named(named.context("reading what the repositories offer")?)
            }
        })
    }

    /// Puts what is wanted, or may be, and in the cache into the private directory; returns whether that is all.
    fn fill(&mut self, root: &Path, downloads: &Downloads, wanted: &Wanted) -> Result<bool> {
        match wanted {
            Wanted::Told(archives) => self.give(archives),
            Wanted::Unknown => self.give_offered(root, downloads).map(|()| false),
            Wanted::Named(apks) => {
                let mut missing = apks.clone();
                missing.retain(|apk| !self.given.contains(&apk.file));
                let here = self.cache.holding(&missing);
                self.give(&here.context("looking through the pool's cache")?)?;
                Ok(apks.iter().all(|apk| self.given.contains(&apk.file)))
            }
        }
    }

    /// Puts those of the repositories' packages that are in the cache into the private directory: what was wanted
    /// lately will be wanted again, and what is not costs no space.
    fn give_offered(&mut self, root: &Path, downloads: &Downloads) -> Result<()> {
        let private = Tree::open(self.dir())?;
        let kept = self.cache.checksums()?;
        let offered = downloads
            .offered(&Tree::open(root)?, &private, &|sum| kept.contains(sum))
            .context("reading what the repositories offer")?;
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
            match self.cache.give(archive, &private) {
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
    /// These, by what is in them.
    Named(Vec<Apk>),
    /// That is not known.
    Unknown,
}
