//! Holds the locks of nodes for a second at a time; files are open only while their node is locked.
//!
//! A dry run takes the locks too, since it opens files, but leaves no trace of that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;

use super::super::Mode;
use super::place::Place;
use crate::btrfs::changed_since::{Directories, Paths};
use crate::btrfs::extents::{self, Layout};
use crate::failure::{self, Kind};
use crate::fs::interrupt;
use crate::fs::path_error::if_exists;
use crate::fs::rooted::Tree;
use crate::pool::lock::Share;
use crate::pool::{NodeLock, NodeName, Pool};

/// How long locks are held.
const TURN: Duration = Duration::from_secs(1);
/// How long they are released: another netbe that waits tries every 20 ms.
const PAUSE: Duration = Duration::from_millis(50);

/// The maximum number of open files: a path may exist in a thousand environments.
const FILES: usize = 64;

/// The result of taking the locks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// They were taken.
    Yes,
    /// Another netbe changes this node.
    Busy(NodeName),
}

/// The locked nodes, and their open files.
#[derive(Debug)]
pub(super) struct Turns<'a> {
    pool: &'a Pool,
    mode: Mode,
    begun: Instant,
    held: BTreeMap<NodeName, Option<NodeLock>>,
    open: HashMap<PathBuf, Option<Half>>,
    /// Files of the current group.
    files: HashMap<(PathBuf, u64), Rc<File>>,
}

#[derive(Debug)]
struct Half {
    tree: Tree,
    top: File,
    known: Directories,
}

impl Half {
    fn find(&mut self, inode: u64, size: u64) -> Result<Option<File>> {
        let mut paths = Paths::with_directories(&self.top, std::mem::take(&mut self.known));
        let all = paths.paths(inode)?;
        self.known = paths.into_directories();
        for path in all {
            if let Some(file) = self.tree.plain_file(&path)? {
                let found = file
                    .metadata()
                    .with_context(|| path.display().to_string())?;
                if (found.ino(), found.len()) == (inode, size) {
                    return Ok(Some(file));
                }
            }
        }
        Ok(None)
    }
}

impl<'a> Turns<'a> {
    pub(super) fn new(pool: &'a Pool, mode: Mode) -> Self {
        Self {
            pool,
            mode,
            begun: Instant::now(),
            held: BTreeMap::new(),
            open: HashMap::new(),
            files: HashMap::new(),
        }
    }

    /// Returns how long to wait for others.
    pub(super) fn wait(&self) -> Duration {
        self.mode.wait
    }

    /// Locks these nodes too, unless one is being changed.
    pub(super) fn enter(&mut self, nodes: &BTreeSet<NodeName>) -> Result<Entered> {
        self.files.clear();
        if self.begun.elapsed() >= TURN {
            self.end();
            std::thread::sleep(PAUSE);
            self.begun = Instant::now();
        }
        for node in nodes {
            if self.held.contains_key(node) {
                continue;
            }
            // Without waiting: waiting while holding locks could deadlock.
            match self.take(node) {
                Ok(lock) => drop(self.held.insert(node.clone(), lock)),
                Err(e) if failure::is(&e, Kind::Locked) => {
                    self.end();
                    return Ok(Entered::Busy(node.clone()));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(Entered::Yes)
    }

    fn take(&self, node: &NodeName) -> Result<Option<NodeLock>> {
        match self.mode.dry_run {
            true => self.pool.lock_node_unnoticed(node),
            false => {
                let lock = self.pool.lock_node(node, Share::Together, Duration::ZERO);
                lock.map(Some)
            }
        }
    }

    /// Locks these nodes; waits for others until then.
    pub(super) fn enter_until(
        &mut self,
        nodes: &BTreeSet<NodeName>,
        until: Instant,
    ) -> Result<Entered> {
        loop {
            interrupt::check()?;
            match self.enter(nodes)? {
                Entered::Busy(_) if Instant::now() < until => std::thread::sleep(PAUSE),
                entered => return Ok(entered),
            }
        }
    }

    /// Closes the files, and releases all locks.
    pub(super) fn end(&mut self) {
        self.files.clear();
        self.open.clear();
        self.held.clear();
    }

    fn half(&mut self, place: &Place) -> Result<Option<&mut Half>> {
        if !self.open.contains_key(&place.path) {
            let half = match if_exists(Tree::open(&place.path))? {
                Some(tree) => {
                    let top = tree.open_without_links("", OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
                    let top = File::from(top);
                    Some(Half {
                        tree,
                        top,
                        known: Directories::new(),
                    })
                }
                None => None,
            };
            self.open.insert(place.path.clone(), half);
        }
        Ok(self.open.get_mut(&place.path).and_then(Option::as_mut))
    }

    /// Opens a file for reading; `None` if it was deleted, or its size changed.
    pub(super) fn open(
        &mut self,
        place: &Place,
        inode: u64,
        size: u64,
    ) -> Result<Option<Rc<File>>> {
        let key = (place.path.clone(), inode);
        if let Some(file) = self.files.get(&key) {
            return Ok(Some(Rc::clone(file)));
        }
        let at = || place.path.display().to_string();
        let found = match self.half(place).with_context(at)? {
            Some(half) => half.find(inode, size).with_context(at)?.map(Rc::new),
            None => None,
        };
        if let Some(file) = &found {
            if self.files.len() >= FILES {
                self.files.clear();
            }
            self.files.insert(key, Rc::clone(file));
        }
        Ok(found)
    }

    /// Returns the current extents of a file.
    pub(super) fn layout(&mut self, place: &Place, inode: u64, size: u64) -> Result<Layout> {
        let at = || place.path.display().to_string();
        Ok(match self.half(place).with_context(at)? {
            Some(half) => extents::layout(&half.top, inode, size).with_context(at)?,
            None => Layout::default(),
        })
    }
}
