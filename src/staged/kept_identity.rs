//! Copying a node's identity from its active environment into an environment that is made from another node's system.
//!
//! Everything is read beneath that environment: a symbolic link is copied as a link, devices and pipes are left out, content
//! is limited; files that are left out are noted. The files are those in the table of `boot::identity`, and those that
//! [`network_files`] finds. Writes to halves in an unpublished stage only.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::first_boot::has_cloud_init;
use super::network_settings::{network_files, own_word};
use crate::boot::cloud_init;
use crate::boot::identity::{self, RESET};
use crate::fs::interrupt;
use crate::fs::path_error::if_exists;
use crate::fs::rooted::Tree;
use crate::images::Opened;
use crate::pool::{EnvId, Environment, Node, NodeName};

/// The largest file that is copied, in bytes; keys, leases and seeds are far smaller.
const LARGEST: u64 = 4 << 20;
/// The limits for all files together: bytes, and number of files.
const ALL: (u64, usize) = (64 << 20, 1024);
/// The files that map owners' numbers to names, and how much of them is read.
const OWNERS: ([&str; 2], usize) = (["etc/passwd", "etc/group"], 256 << 10);

/// The identity of a node that exists.
#[derive(Debug)]
pub(super) struct Kept {
    /// The environment that has it.
    pub(super) from: EnvId,
    /// Its host name, if it has one.
    pub(super) host_name: Option<String>,
    /// Its instance ID of cloud-init.
    pub(super) instance: Option<String>,
    /// The paths of its host keys.
    pub(super) host_keys: Vec<String>,
    root: Tree,
    boot: Tree,
    /// An open disk image; dropped after the trees in it.
    _files: Option<Opened>,
}

/// The files that were copied, and those that were left out.
#[derive(Default)]
struct Taken {
    kinds: Vec<&'static str>,
    networks: Vec<String>,
    left: Vec<String>,
    bytes: u64,
    files: usize,
    /// The texts of owners in the source environment, and in the new one.
    owners: [[String; 2]; 2],
}

/// Returns the environment that a node's identity is taken from: its active one.
///
/// # Errors
/// If there is none, or one of its halves cannot be read.
pub fn environment_of_identity(node: &Node) -> Result<Environment> {
    let env = node.active_environment()?;
    for half in [env.root(), env.boot()] {
        Tree::open(&half)?;
    }
    Ok(env)
}

impl Kept {
    /// Returns the identity that an environment's node has in it.
    pub(super) fn of(env: &Environment) -> Result<Self> {
        let reading = || format!("reading the identity of {} in {env}", env.node);
        let files = env.show_files().with_context(reading)?;
        let root = Tree::open(&env.root()).with_context(reading)?;
        let boot = Tree::open(&env.boot()).with_context(reading)?;
        // A file that is no text, or cannot be read, is ignored.
        let text = |half: &Tree, path: &str| half.read_text(path).ok().flatten();
        let host_name = text(&root, identity::HOSTNAME);
        let host_name = host_name.as_deref().and_then(identity::host_name);
        let seeds = cloud_init::SEEDS.map(|seed| text(&root, &format!("{seed}/meta-data")));
        let texts = [text(&root, cloud_init::INSTANCE), text(&boot, "meta-data")];
        let mut texts = texts.into_iter().chain(seeds).flatten();
        let instance = texts.find_map(|text| cloud_init::instance(&text).map(str::to_string));
        let names = root.names(identity::HOST_KEYS).with_context(reading)?;
        Ok(Self {
            from: env.id(),
            host_name: host_name.map(str::to_string),
            instance,
            host_keys: identity::host_keys(&names).remove,
            root,
            boot,
            _files: files,
        })
    }

    /// Writes the identity into halves that have no identity any more; returns notes, a sentence each.
    pub(super) fn write(&self, root: &Tree, boot: &Tree, node: &NodeName) -> Result<Vec<String>> {
        let mut taken = Taken {
            owners: [owners(&self.root), owners(root)],
            ..Taken::default()
        };
        for (path, what) in RESET.of_machine(&self.root)? {
            if self.take(&self.root, root, &path, &mut taken)? && !taken.kinds.contains(&what) {
                taken.kinds.push(what);
            }
        }
        for (path, what) in RESET.of_machine_in_boot(&self.boot)? {
            if self.take(&self.boot, boot, &path, &mut taken)? && !taken.kinds.contains(&what) {
                taken.kinds.push(what);
            }
        }
        self.write_hosts(root, node)?;
        for (path, text, words) in network_files(&self.root)? {
            if own_word(&text, words).is_none() {
                continue;
            }
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            let is_known = root.metadata(directory)?.is_some();
            if self.take(&self.root, root, &path, &mut taken)? {
                if !is_known {
                    taken.left.push(format!(
                        "the new system has no /{directory}: it may not read the /{path} that {node} had"
                    ));
                }
                taken.networks.push(format!("/{path}"));
            }
        }
        if has_cloud_init(root)? {
            root.make_dirs(cloud_init::SETTINGS)?;
            root.write(cloud_init::OWN_KEYS, cloud_init::KEEP_KEYS.as_bytes())?;
        }
        let mut notes = vec![self.sentence(node, &taken)];
        notes.append(&mut taken.left);
        Ok(super::first_notes(notes, 20, "files"))
    }

    fn sentence(&self, node: &NodeName, taken: &Taken) -> String {
        let mut kinds = taken.kinds.join(", ");
        if !taken.networks.is_empty() {
            if !kinds.is_empty() {
                kinds.push_str("; ");
            }
            kinds.push_str(&format!("its address in {}", taken.networks.join(", ")));
        }
        match kinds.is_empty() {
            true => format!(
                "{} has nothing that identifies {node} but its name",
                self.from
            ),
            false => format!(
                "{node} keeps its identity, with these of {}: {kinds}",
                self.from
            ),
        }
    }

    /// Gives `etc/hosts` the same lines for the node as in the source.
    fn write_hosts(&self, root: &Tree, node: &NodeName) -> Result<()> {
        let name = self.host_name.as_deref().unwrap_or(node.as_str());
        let kept_hosts = self.root.read_text(identity::HOSTS).ok().flatten();
        if let (Some(text), Some(kept_hosts)) = (root.read_text(identity::HOSTS)?, kept_hosts)
            && let Some(edited) = identity::hosts_of(&text, &kept_hosts, name)
        {
            root.write(identity::HOSTS, edited.as_bytes())?;
        }
        Ok(())
    }

    /// Copies one file or symbolic link, with its mode and the owner of the same name; returns whether it was copied or is a link.
    fn take(&self, from: &Tree, to: &Tree, path: &str, taken: &mut Taken) -> Result<bool> {
        interrupt::check()?;
        let left = |why: &str| format!("/{path} of {} was not taken: {why}", self.from);
        let Some(found) = from.symlink_metadata(path)? else {
            return Ok(false);
        };
        let copying = || format!("copying /{path} of {}", self.from);
        if found.is_symlink() {
            if let Some(why) = copy_link(from, to, path).with_context(copying)? {
                taken.left.push(left(&why));
            }
            return Ok(true);
        }
        if !found.is_file() {
            if !found.is_dir() {
                taken.left.push(left("it is no regular file"));
            }
            return Ok(false);
        }
        if found.len() > LARGEST.min(ALL.0.saturating_sub(taken.bytes)) {
            taken.left.push(left("it is too large"));
            return Ok(false);
        }
        if taken.files == ALL.1 {
            taken.left.push(left("it is one of too many"));
            return Ok(false);
        }
        // The node may be running: a file may change or disappear.
        let Some((bytes, found)) = content(from, path).with_context(copying)? else {
            return Ok(false);
        };
        (taken.bytes, taken.files) = (taken.bytes + found.len(), taken.files + 1);
        let [here, there] = &taken.owners;
        let owner = |which: usize, number| identity::owner(&here[which], &there[which], number);
        let owner = (owner(0, found.uid()), owner(1, found.gid()));
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        to.make_dirs(directory).with_context(copying)?;
        to.place(path, &bytes, found.mode() & 0o777, owner)
            .with_context(copying)?;
        Ok(true)
    }
}

/// Returns the texts that map owners' numbers to names; empty for a file that is no text.
fn owners(root: &Tree) -> [String; 2] {
    OWNERS.0.map(|path| {
        let text = root.head(path, OWNERS.1).ok().flatten();
        String::from_utf8(text.unwrap_or_default()).unwrap_or_default()
    })
}

/// Copies a symbolic link; returns why it was not copied or leads nowhere.
fn copy_link(from: &Tree, to: &Tree, path: &str) -> io::Result<Option<String>> {
    let target = from.link_target(path)?;
    let Some(text) = target.to_str() else {
        return Ok(Some("it is a symbolic link to no text".to_string()));
    };
    if to
        .symlink_metadata(path)?
        .is_some_and(|found| found.is_dir())
    {
        return Ok(Some("the new system has a directory there".to_string()));
    }
    to.make_dirs(path.rsplit_once('/').map_or("", |(directory, _)| directory))?;
    to.remove_file(path)?;
    to.symlink(text, path)?;
    let leads = to.metadata(path).ok().flatten().is_some();
    Ok((!leads)
        .then(|| format!("it is a symbolic link to {text}, which the new system does not have")))
}

/// Returns the content of a file, up to the limit; `None` if the file does not exist any more.
fn content(from: &Tree, path: &str) -> io::Result<Option<(Vec<u8>, Metadata)>> {
    let opened = from.open_at(path, OFlag::O_RDONLY | OFlag::O_NOFOLLOW, Mode::empty());
    let Some(file) = if_exists(opened)?.map(File::from) else {
        return Ok(None);
    };
    let found = file.metadata()?;
    let mut bytes = Vec::new();
    interrupt::Reader::new(file)
        .take(LARGEST)
        .read_to_end(&mut bytes)?;
    Ok(Some((bytes, found)))
}
