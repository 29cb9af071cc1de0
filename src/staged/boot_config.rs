//! The wanted configuration of an environment: boot files that name its own root, an fstab that names its
//! own boot half.
//!
//! The one place where properties become the input of `boot`, which writes and verifies. Works on halves in
//! an unpublished stage, and on those of an existing environment after [`Wanted::in_place`].

mod arguments;
mod edits;
mod make_readable;
mod place;
mod reasons;

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};

use super::local_disks::FSTAB;
use super::machine::{Machine, machine};
use super::{boot_links, data, iscsi_daemon, local_disks, read_only_root};
use super::{report_unit, root_network};
use crate::boot::data::DataMount;
use crate::boot::read_only::Machines;
use crate::boot::report;
use crate::boot::{self, Loader, NfsVersion, Program, RootPlace, Want, Watched, fstab};
use crate::failure::Failure;
use crate::fs::rooted::Tree;
use crate::pool::data::DataPath;
use crate::pool::record::{EnvRecord, NodeRecord};
use crate::pool::{EnvName, NodeName, Pool, environment, layout, properties};
use crate::publish::server;
use edits::Edits;
use make_readable::make_readable;

/// The wanted configuration of one environment, by the effective properties of its node.
#[derive(Debug, Clone)]
pub struct Wanted {
    name: String,
    hostname: String,
    serial: Option<String>,
    machine: Option<Machine>,
    loader: Option<Loader>,
    root: RootPlace,
    read_only: Option<Machines>,
    ip: boot::Ip,
    version: NfsVersion,
    add: Vec<String>,
    remove: Vec<String>,
    stash: Vec<String>,
    rested: bool,
    boot_mount: String,
    boot_spec: String,
    data: Vec<DataMount>,
    report: bool,
    started_with: Option<String>,
    report_export: Option<report::Export>,
    in_place: bool,
    runs: bool,
}

impl Wanted {
    /// Returns the wanted configuration of the environment `env` of `node`; `before` is the record of its source, or
    /// its own, and determines the place of the root.
    pub fn new(
        pool: &Pool,
        node: &NodeName,
        record: &NodeRecord,
        env: &EnvName,
        before: &EnvRecord,
    ) -> Result<Self> {
        let property =
            |key| properties::effective(key, Some(record), pool.record()).map(|v| v.value);
        let own_root = pool.own_root(node, env);
        let server = match &own_root {
            Some(_) => Ipv4Addr::UNSPECIFIED,
            None => server::address(Some(record), pool.record())?,
        };
        if !layout::is_plain(pool.root()) {
            // A pool can be mounted elsewhere than where it was made.
            return Err(Failure::failed(format!(
                "{} cannot be written on a kernel command line: only letters, digits and /._+- can; mount the pool at such a \
                 path",
                pool.root().display()
            ))
            .into());
        }
        let dir = layout::env(pool.root(), node, env);
        let half = |name: &str| dir.join(name).to_string_lossy().into_owned();
        // A root on a disk belongs to one machine, and is writable.
        let read_only = read_only_root::machines(record, pool.record())
            .filter(|_| !before.has_a_disk() && own_root.is_none());
        let version = property("nfs.version").map(|v| parsed(&v)).transpose()?;
        let root = place::of(
            pool,
            node,
            record,
            env,
            before,
            (server, version, read_only.is_some()),
        );
        let data_dir = layout::node(pool.root(), node).join(layout::DATA);
        let mount = |path: &DataPath| DataMount {
            spec: format!("{server}:{}/{}", data_dir.display(), path.directory()),
            path: path.to_string(),
        };
        let data = match root {
            RootPlace::Nfs { .. } => record.data.mounted().map(mount).collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            name: format!("{node}/{env}"),
            hostname: node.to_string(),
            serial: property("serial"),
            machine: machine(pool, node, record),
            loader: match &root {
                RootPlace::Own(_) => Some(Loader::Grub),
                _ => property("loader").map(|v| parsed(&v)).transpose()?,
            },
            root,
            read_only,
            ip: property("ip").map_or(Ok(boot::Ip::Dhcp), |v| parsed(&v))?,
            version: version.unwrap_or(NfsVersion::V4_2),
            add: property("cmdline")
                .map(|v| v.split_whitespace().map(str::to_string).collect())
                .unwrap_or_default(),
            remove: before.added.clone(),
            stash: before.stripped.clone(),
            rested: before.rested,
            boot_mount: before.boot_mount.clone(),
            boot_spec: format!("{server}:{}", half(layout::BOOT)),
            data,
            report: property("report").is_none_or(|v| v == "on"),
            report_export: (read_only.is_some() || before.has_a_disk()).then(|| report::Export {
                has_own_disk: before.has_a_disk(),
                spec: format!("{server}:{}", layout::reports(pool.root(), node).display()),
                env: env.to_string(),
                version: version.unwrap_or(NfsVersion::V4_2),
            }),
            started_with: None,
            in_place: false,
            runs: false,
        })
    }

    /// For an existing environment, edited in place, which a machine may boot at any moment afterwards.
    #[must_use]
    pub fn in_place(mut self) -> Self {
        self.in_place = true;
        self
    }

    /// Returns whether mounts of local disks in a root half are still to be disabled. That happens once, when it changes from a
    /// root on a disk to one on the network: afterwards mounts are the node's own choice.
    fn rests(&self, root: &Tree) -> Result<bool> {
        let text = root.read_text(FSTAB)?.unwrap_or_default();
        Ok(!fstab::has_managed_line(&text) || (!self.rested && !self.in_place))
    }

    /// Returns whether the root is mounted read-only.
    pub fn is_read_only(&self) -> bool {
        self.read_only.is_some()
    }

    /// For an existing environment that a node may be running: its report stays.
    #[must_use]
    pub fn while_it_runs(mut self) -> Self {
        self.runs = true;
        self.in_place()
    }

    /// Writes only the mounts of the node's data into a root, in place; returns whether its fstab changed.
    pub fn write_data(&self, root: &Path) -> Result<bool> {
        data::write(&Tree::open(root)?.durable(), &self.data, self.version)
            .with_context(|| format!("writing the fstab of {}", self.name))
    }

    /// Returns whether [`Self::write_data`] would change anything; changes nothing.
    pub fn would_write_data(&self, root: &Path) -> Result<bool> {
        let root = Tree::open(root)?.noting();
        data::write(&root, &self.data, self.version)?;
        Ok(root.has_noted())
    }

    /// Returns why a root cannot mount the data of its node, whatever its fstab says, a sentence each.
    pub fn obstacles(&self, root: &Path) -> Result<Vec<String>> {
        data::obstacles(&Tree::open(root)?, &self.data)
    }

    fn for_boot(&self, programs: Vec<Program>) -> Want<'_> {
        Want {
            name: &self.name,
            hostname: &self.hostname,
            serial: self.serial.as_deref(),
            model: self.machine.map(|machine| machine.model),
            loader: self.loader,
            root: self.root.clone(),
            read_only: self.read_only,
            ip: self.ip.clone(),
            add: &self.add,
            remove: &self.remove,
            stash: &self.stash,
            programs,
            started_with: self.started_with.as_deref(),
        }
    }
}

fn parsed<T>(value: &str) -> Result<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    value
        .parse()
        .map_err(|e| anyhow::anyhow!("the property's value {value:?} cannot be used: {e}"))
}

/// Writes the wanted configuration into the halves at `root` and `boot`, and updates `record` accordingly.
///
/// Returns notes, a sentence each. A second call changes nothing.
pub fn write(
    wanted: &Wanted,
    root: &Path,
    boot: &Path,
    record: &mut EnvRecord,
) -> Result<Vec<String>> {
    let (mut root_tree, mut boot_tree) = (Tree::open(root)?, Tree::open(boot)?);
    if wanted.in_place {
        (root_tree, boot_tree) = (root_tree.durable(), boot_tree.durable());
    }
    write_in(wanted, &root_tree, &boot_tree, record)
}

/// What [`write()`] would change.
#[derive(Debug, Clone, Copy)]
pub struct Changes {
    /// Whether it is the root half.
    pub root: bool,
    /// Whether it is the boot half.
    pub boot: bool,
    /// Whether it is the record.
    pub record: bool,
}

impl Changes {
    /// Returns whether anything would change.
    pub fn is_any(self) -> bool {
        self.root || self.boot || self.record
    }
}

/// Returns what [`write()`] would change; changes nothing.
///
/// # Errors
/// If the configuration cannot be written.
pub fn changes(wanted: &Wanted, root: &Path, boot: &Path, record: &EnvRecord) -> Result<Changes> {
    let (root, boot) = (Tree::open(root)?.noting(), Tree::open(boot)?.noting());
    let mut after = record.clone();
    write_in(wanted, &root, &boot, &mut after)?;
    let value = |record: &EnvRecord| serde_json::to_value(record);
    Ok(Changes {
        root: root.has_noted(),
        boot: boot.has_noted(),
        record: value(record)? != value(&after)?,
    })
}

fn write_in(
    wanted: &Wanted,
    root_tree: &Tree,
    boot_tree: &Tree,
    record: &mut EnvRecord,
) -> Result<Vec<String>> {
    let what = || format!("writing the boot files of {}", wanted.name);
    let mut notes =
        boot_links::replace_links(root_tree, boot_tree, &wanted.boot_mount).with_context(what)?;
    let Edits { boot: plan, fstab } = Edits::new(wanted, root_tree, boot_tree)?;
    for (path, bytes) in &plan.writes {
        if let Some((dir, _)) = path.rsplit_once('/') {
            boot_tree.make_dirs(dir)?;
        }
        boot_tree.write(path, bytes)?;
    }
    let is_on_network = wanted.root.mounts_boot();
    let rests = is_on_network && wanted.rests(root_tree)?;
    if rests || !is_on_network {
        let edited = root_network::set(root_tree, is_on_network);
        notes.extend(edited.with_context(|| format!("keeping the network of {}", wanted.name))?);
        record.rested = is_on_network;
    }
    data::add(root_tree, &wanted.data)?;
    let mounts = local_disks::Mounts {
        rest_at: is_on_network.then_some(wanted.boot_mount.as_str()),
        to_rest: rests,
        there: &wanted.there(root_tree)?,
    };
    let rested = local_disks::write(root_tree, mounts, fstab.as_deref());
    notes.extend(rested.with_context(|| format!("writing the fstab of {}", wanted.name))?);
    data::remove_others(root_tree, &wanted.data)?;
    if !wanted.runs {
        report_unit::forget(root_tree)?;
    }
    read_only_root::set(root_tree, wanted.read_only)
        .with_context(|| format!("placing what {} starts with", wanted.name))?;
    record.read_only = wanted.read_only.is_some();
    iscsi_daemon::set(root_tree, matches!(wanted.root, RootPlace::Iscsi(_)))?;
    let to = match wanted.root.own() {
        Some(_) => report_unit::To::ThisMachine,
        None => report_unit::To::Server(wanted.report_export.as_ref()),
    };
    report_unit::set(root_tree, wanted.report, to)
        .with_context(|| format!("placing the unit by which {} reports", wanted.name))?;
    if wanted.report && wanted.report_export.is_some() && data::install_helper(root_tree).is_some()
    {
        notes.push(
            "it has no mount.nfs: its machines cannot report that they came up, and every environment they have booted may \
             be running"
                .to_string(),
        );
    }
    record.added.clone_from(&wanted.add);
    // Recorded once, from the imported system's own disk: arguments that a package's hook wrote since name this server's.
    if record.stripped.is_empty() {
        record.stripped = plan.stripped;
    }
    notes.extend(plan.notes);
    if wanted.version == NfsVersion::V3 && root_tree.metadata("etc/protocols")?.is_none() {
        notes.push(
            "the root has no /etc/protocols (package netbase): with NFS version 3 the node cannot mount its boot \
             directory, so its own kernel upgrades would have no effect"
                .to_string(),
        );
    }
    let (root_seen, boot_seen) = (Watched::new(root_tree), Watched::new(boot_tree));
    let summary = boot::summary_for(&boot_seen, &root_seen, wanted.serial.as_deref());
    boot_seen
        .ended()
        .and(root_seen.ended())
        .with_context(what)?;
    if wanted.root.own().is_none() {
        make_readable(boot_tree, &summary)?;
    }
    record.arch = summary.arch.map(|a| a.name().to_string());
    record.kernel = environment::kernel_seen(boot_tree.path(), &summary);
    Ok(notes)
}
