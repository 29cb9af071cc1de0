//! Lends files to an environment for one run, and puts its own back, however the run ends.
//!
//! Not for lending one file: see [`super::lent`].

use std::fs::File;

use anyhow::Context;

use super::lent::copies::{self, Copies};
use super::lent::{self, Lent, Place};
use super::network::Range;
use super::protocol::StandIn;
use super::{Durable, Network, Sandbox, emulation, hooks, services};
use crate::fs::rooted::Tree;

/// The server's resolver configuration.
const RESOLVER: &str = "/etc/resolv.conf";

/// The file that resolvconf generates, and one of its inputs (resolvconf(8)).
const RESOLVCONF: &str = "run/resolvconf/resolv.conf";
const INTERFACE: &str = "run/resolvconf/interface/original.resolvconf";

/// The files lent to an environment; its own are put back when dropped.
#[derive(Debug)]
pub struct Lending {
    tree: Tree,
    files: Vec<Lent>,
    /// The open files, to find them after programs moved them.
    open: Vec<Option<File>>,
    /// The copies that programs may make of `resolv.conf`.
    copies: Option<Copies>,
    /// The files on the sandbox's own filesystems.
    pub(super) fresh: Vec<StandIn>,
    /// Environment variables for the run.
    pub(super) variables: Vec<(&'static str, String)>,
    /// The addresses of the connection, if there is one.
    pub(super) range: Option<Range>,
    is_given_back: bool,
}

impl Lending {
    /// Plans the files; nothing is changed in the environment.
    pub(super) fn plan(sandbox: &Sandbox<'_>) -> anyhow::Result<Self> {
        sandbox.network.check()?;
        let range = match sandbox.network {
            Network::Private(_) => Some(Range::choose().context("reading this machine's routes")?),
            Network::Host => None,
        };
        let servers = std::fs::read_to_string(RESOLVER).ok();
        let resolver = sandbox.network.resolver(servers.as_deref(), range.as_ref());
        let mut tree = Tree::open(sandbox.root)?;
        if sandbox.durable == Durable::Always {
            tree = tree.durable();
        }
        let mut lending = Self {
            files: Vec::new(),
            open: Vec::new(),
            copies: None,
            fresh: services::files(&tree, sandbox.packages.is_some()),
            variables: hooks::variables(&tree, &Tree::open(sandbox.boot)?),
            tree,
            range,
            is_given_back: false,
        };
        // If the server has none, the environment's own is used.
        if let Some(content) = resolver {
            lending.copies = Some(Copies::before(&lending.tree, &content));
            lending.add(copies::RESOLVER, &content, 0o644)?;
            lending.tell_resolvconf(&content);
        }
        if lending.tree.metadata("var/lib/dpkg")?.is_some() {
            lending.add(services::POLICY, services::FORBID_ALL, 0o755)?;
        }
        // Preloaded libraries for the node's processor features make every emulated program print an error.
        if emulation::is_needed(&lending.tree)?
            && lending.tree.metadata("etc/ld.so.preload")?.is_some()
        {
            lending.add("etc/ld.so.preload", "\n", 0o644)?;
        }
        for (path, content) in hooks::files(&lending.tree) {
            lending.add(path, &content, 0o644)?;
        }
        Ok(lending)
    }

    fn add(&mut self, path: &str, content: &str, mode: u32) -> anyhow::Result<()> {
        match lent::find(&self.tree, path, content, mode)? {
            Place::Lent(lent) => self.files.push(lent),
            Place::Fresh(path) => self.fresh.push(StandIn {
                path,
                content: content.to_string(),
                mode,
            }),
        }
        Ok(())
    }

    /// Adds the name servers to resolvconf's input too, since it generates the file again whenever a package calls it.
    fn tell_resolvconf(&mut self, content: &str) {
        if self.fresh.iter().any(|file| file.path == RESOLVCONF) {
            self.fresh.push(StandIn {
                path: INTERFACE.to_string(),
                content: content.to_string(),
                mode: 0o644,
            });
        }
    }

    /// Returns the files that replace the environment's own, or are going to.
    pub fn files(&self) -> &[Lent] {
        &self.files
    }

    /// Makes all files beside their places.
    ///
    /// # Errors
    /// Names the place; what was made is removed.
    pub fn made(mut self) -> anyhow::Result<Self> {
        for lent in &mut self.files {
            lent.make(&self.tree)?;
            self.open.push(lent.open(&self.tree));
        }
        Ok(self)
    }

    /// Moves all files to their places.
    pub(super) fn put(&self) -> anyhow::Result<()> {
        self.files.iter().try_for_each(|lent| lent.put(&self.tree))
    }

    /// Puts back the environment's own files.
    ///
    /// # Errors
    /// Names the first file that could not be put back; the others were.
    pub(super) fn give_back(mut self) -> anyhow::Result<()> {
        self.all_back()
    }

    fn all_back(&mut self) -> anyhow::Result<()> {
        self.is_given_back = true;
        let files = self.files.iter().enumerate().rev();
        let results: Vec<_> = files
            .map(|(number, lent)| {
                let open = self.open.get(number).and_then(Option::as_ref);
                lent.give_back_from(&self.tree, open)
            })
            .collect();
        results.into_iter().collect::<anyhow::Result<()>>()?;
        // After the lent files: their places have the environment's final files now.
        match self.copies.take() {
            Some(copies) => copies
                .cleanse(&self.tree)
                .context("taking the sandbox's name servers out of copies of /etc/resolv.conf"),
            None => Ok(()),
        }
    }
}

impl Drop for Lending {
    fn drop(&mut self) {
        if !self.is_given_back {
            // The error in progress is the one to report; recorded files are put back by the next command.
            let _ = self.all_back();
        }
    }
}
