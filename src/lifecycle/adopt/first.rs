//! The first environment of this machine: a snapshot of the running root, and a copy of its boot files.
//!
//! Not for the pool, nor for the loader.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::machine::Machine;
use crate::btrfs::subvolume::{self, Nested};
use crate::failure::Failure;
use crate::fs::rooted::Tree;
use crate::lifecycle::Mode;
use crate::lifecycle::import::unpack::{self, Halves, Progress, Source};
use crate::pool::record::{EnvRecord, NodeRecord};
use crate::pool::{EnvId, Pool, stage};
use crate::staged::{Content, Identity, StagedEnvironment, Target};

/// The table of mounts.
const FSTAB: &str = "etc/fstab";

/// Returns the steps of [`make`].
pub(super) fn sentences(machine: &Machine, id: &EnvId) -> Vec<String> {
    let root = match machine.root.as_str() {
        "" => "the top level",
        root => root,
    };
    let boot = match machine.has_boot_mount {
        true => "copy what is mounted at /boot",
        false => "move /boot out of that",
    };
    let mut sentences = vec![
        format!("snapshot the running root ({root}) as the root half of {id}"),
        format!("{boot}, as its boot half"),
        format!("write the boot files and fstab of {id}"),
    ];
    if !machine.shared.is_empty() {
        sentences.push(format!(
            "leave shared by all environments what fstab mounts: {}",
            machine.shared.join(", ")
        ));
    }
    if !machine.nested.is_empty() {
        sentences.push(format!(
            "have the fstab of {id} mount the subvolumes in the root, which all environments share: {}",
            named(&machine.nested)
        ));
    }
    sentences
}

fn named(nested: &[Nested]) -> String {
    let paths: Vec<String> = nested
        .iter()
        .map(|inner| format!("/{}", inner.path.display()))
        .collect();
    paths.join(", ")
}

/// Makes the first environment and its node, and activates it; returns notes and warnings, a sentence each.
pub(super) fn make(
    pool: &Pool,
    machine: &Machine,
    id: &EnvId,
    mode: Mode,
) -> Result<(Vec<String>, Vec<String>)> {
    let lock = mode.lock_to_change(pool, &id.node)?;
    let record = NodeRecord::new(false);
    let target = Target {
        pool,
        node: &id.node,
        record: &record,
        env: &id.env,
        boots_next: true,
    };
    let staged = StagedEnvironment::with_node(target)?.of_running(machine.cmdline.clone());
    let (root, boot) = (staged.root(), staged.boot());
    subvolume::snapshot(Path::new("/"), &root).map_err(explained)?;
    subvolume::create(&boot)?;
    let scratch = staged.dir().join("scratch");
    fs::create_dir(&scratch).with_context(|| format!("making {}", scratch.display()))?;
    let halves = Halves {
        root: &root,
        boot: &boot,
        scratch: &scratch,
    };
    let source = Source::Directory("/".into());
    let boot_dir = machine.has_boot_mount.then_some(Path::new("/boot"));
    let split = unpack::split(&halves, &source, boot_dir, &mut Silent)?;
    stage::remove(&scratch)?;
    for inner in machine.nested.iter().chain(&machine.empty) {
        replace(&root, inner)
            .with_context(|| format!("replacing the subvolume /{}", inner.path.display()))?;
    }
    if machine.root.is_empty() {
        // In a snapshot of the top level, an empty directory takes the place of the pool.
        let pool = root.join(crate::pool::local::SUBVOLUME);
        fs::remove_dir(&pool).with_context(|| format!("removing {}", pool.display()))?;
    }
    share(&root, machine)?;
    let record = EnvRecord::new(staged.uuid()?, Timestamp::now(), split.boot_mount);
    let content = Content {
        before: record.clone(),
        record,
        identity: Identity::Same,
    };
    let complete = staged.complete(content)?;
    let made = staged.publish(&lock, complete)?;
    Ok((made.notes, made.warnings))
}

/// Replaces the empty directory that a snapshot has in place of a subvolume by an ordinary directory.
fn replace(root: &Path, inner: &Nested) -> Result<()> {
    let place = root.join(&inner.path);
    let source = Path::new("/").join(&inner.path).symlink_metadata()?;
    fs::remove_dir(&place)?;
    fs::create_dir(&place)?;
    chown(&place, Some(source.uid()), Some(source.gid()))?;
    fs::set_permissions(&place, fs::Permissions::from_mode(source.mode() & 0o7777))?;
    Ok(())
}

/// Adds the fstab lines that mount the subvolumes in the root.
fn share(root: &Path, machine: &Machine) -> Result<()> {
    if machine.nested.is_empty() {
        return Ok(());
    }
    let tree = Tree::open(root)?;
    let text = tree.read_text(FSTAB)?.unwrap_or_default();
    let lines: Vec<(String, String)> = machine
        .nested
        .iter()
        .map(|inner| {
            let path = inner.path.to_string_lossy().into_owned();
            let whole = match machine.root.as_str() {
                "" => path.clone(),
                root => format!("{root}/{path}"),
            };
            (whole, format!("/{path}"))
        })
        .collect();
    let edited = crate::boot::fstab::with_shared(&text, &machine.filesystem, &lines);
    tree.make_dirs("etc")?;
    tree.write(FSTAB, edited.as_bytes())?;
    Ok(())
}

fn explained(error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::ExecutableFileBusy => Failure::failed(format!(
            "the root has a swap file that is in use, and btrfs cannot snapshot it: {error}; move it to a subvolume of its own"
        ))
        .hint("cat /proc/swaps")
        .into(),
        _ => anyhow::Error::new(error).context("copying the running root"),
    }
}

/// Progress that is not displayed: extents are shared, not copied, so it is fast.
struct Silent;

impl Progress for Silent {
    fn phase(&mut self, _what: &str) {}
    fn advance(&mut self, _bytes_done: u64, _bytes_total: Option<u64>) {}
}
