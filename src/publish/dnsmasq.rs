//! dnsmasq's files: its configuration, and one file for each node.
//!
//! Writes them to `publish` in the state directory. If this machine's dnsmasq reads them, it is restarted when they
//! changed: when a machine is added or removed or boots by another loader, not when an environment is activated. Not
//! for including them in `/etc`, which `init --services` does.

pub mod daemon;
mod dhcp;
pub mod inclusion;
mod reserved;
mod restart;
pub mod surroundings;
pub mod text;

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::run::Publishing;
use super::{server, tftp};
use crate::boot::{self, Loader};
use crate::fs::atomic;
use crate::fs::dir_names::names_in;
use crate::fs::path_error::{at_path, if_exists};
use crate::fs::rooted::Tree;
use crate::fs::server_packages;
use crate::pool::properties::{self, ANY, Dhcp};
use crate::pool::{Node, NodeName, Pool, layout, record};
use dhcp::{dhcp, first_record, http};
pub use dhcp::{hands_out, http_port};
use inclusion::{Inclusion, Installed};
use text::{Config, Host};
use tftp::LinkTarget;

/// Returns the path of the configuration.
pub fn config_file(state: &Path) -> PathBuf {
    layout::publish(state).join("dnsmasq.conf")
}

/// Returns the directory with a file for each machine.
pub fn hosts_dir(state: &Path) -> PathBuf {
    layout::publish(state).join("dnsmasq-hosts")
}

/// Returns whether a pool's configuration disables DNS.
pub fn ends_dns(state: &Path) -> bool {
    ours(&config_file(state)).is_some_and(|text| text.lines().any(|l| l == "port=0"))
}

/// Returns the text of a file that netbe wrote; `None` for any other file.
fn ours(path: &Path) -> Option<String> {
    record::read(path).ok().flatten()
}

/// Returns the path of the script that an older netbe had dnsmasq run, as root, for each transfer.
fn script_file(state: &Path) -> PathBuf {
    layout::publish(state).join("dnsmasq-script")
}

/// Writes the files of all nodes; if `wanted`, also before dnsmasq reads them.
pub fn bring_up_to_date(run: &mut Publishing<'_>, nodes: &[Node], wanted: bool) -> Result<()> {
    let scope = Scope {
        pool: run.pool,
        all: nodes,
        these: nodes,
    };
    scope.bring_up_to_date(run, wanted || is_read(run.pool))
}

/// Returns whether dnsmasq reads a pool's files.
pub fn is_read(pool: &Pool) -> bool {
    inclusion::find(pool.state()).installed == Installed::Ours
}

/// Writes the files for one node as given: its record need not be stored yet.
pub fn bring_node_up_to_date(run: &mut Publishing<'_>, node: &Node) -> Result<()> {
    let pool = run.pool;
    let mut all = pool.nodes()?;
    if let Some(stored) = all.iter_mut().find(|n| n.name == node.name) {
        *stored = node.clone();
    }
    let scope = Scope {
        pool,
        all: &all,
        these: std::slice::from_ref(node),
    };
    scope.bring_up_to_date(run, is_read(pool))
}

struct Scope<'a> {
    pool: &'a Pool,
    all: &'a [Node],
    /// The nodes whose files are written.
    these: &'a [Node],
}

impl Scope<'_> {
    fn bring_up_to_date(&self, run: &mut Publishing<'_>, wanted: bool) -> Result<()> {
        let root = self.pool.root();
        let config = config_file(self.pool.state());
        if !wanted && !config.exists() && !self.all.iter().any(Node::is_offered) {
            return Ok(());
        }
        if let Some(path) = [root, self.pool.state()]
            .into_iter()
            .find(|p| !layout::is_plain(p))
        {
            run.warn(format!(
                "no dnsmasq configuration is written: the path {} has characters that its syntax does not allow",
                path.display()
            ));
            return Ok(());
        }
        let mut news = self.write_hosts(run)?;
        if let Some(text) = self.config(run)
            && ours(&config).as_deref() != Some(text.as_str())
        {
            news = true;
            if ours(&config).is_some_and(|old| text::hands_out_files(&old)) {
                run.warn(
                    "dnsmasq no longer serves boot files; to set up netbe's TFTP server: netbe init --services".to_string(),
                );
            }
            run.write(&config, &text)?;
        }
        if is_read(self.pool) {
            restart::restart_if_changed(run, news);
        }
        // After the restart: the old dnsmasq may still run it.
        let script = script_file(self.pool.state());
        match script.symlink_metadata() {
            Ok(found) if !found.is_dir() => run.remove(&script),
            _ => Ok(()),
        }
    }

    /// Returns the configuration; `None` if it cannot be generated now, so that the current one stays.
    fn config(&self, run: &mut Publishing<'_>) -> Option<String> {
        let server = match server::address(None, self.pool.record()) {
            Ok(server) => server,
            Err(e) => {
                run.warn(format!(
                    "no dnsmasq configuration is written: {e}; netbe set server=ADDRESS"
                ));
                return None;
            }
        };
        let Inclusion {
            first, installed, ..
        } = inclusion::find(self.pool.state());
        let dhcp = dhcp(self.pool);
        if first.is_some() {
            dhcp::warn_of_ignored_settings(run);
        }
        let (mut router, mut name_servers) = (None, Vec::new());
        if let Dhcp::Range(low, high) = dhcp {
            router = server::router(server);
            name_servers = server::name_servers();
            for end in [low, high] {
                if server::is_on_network(end, server) == Some(false) {
                    run.warn(format!(
                        "dnsmasq assigns no address of dhcp={dhcp}: {end} is not on the network of {server}"
                    ));
                    break;
                }
            }
        }
        let by_serial = |n: &Node| n.is_offered() && properties::is_by_serial_alone(&n.record);
        // The properties of a node with a lost record are not known: it may have a serial.
        let before = ours(&config_file(self.pool.state())).unwrap_or_default();
        let may_be = self.all.iter().any(|n| n.lost) && text::is_by_serial(&before);
        let included = installed == Installed::Ours;
        Some(text::config(&Config {
            pool_uuid: &self.pool.record().uuid,
            state: self.pool.state(),
            first: first.is_none(),
            server,
            dhcp,
            http: http(self.pool),
            by_serial: may_be || self.all.iter().any(by_serial),
            alone: daemon::is_alone()
                && !surroundings::answers_this_machine(included.then_some(&before)),
            router,
            name_servers: &name_servers,
        }))
    }

    fn write_hosts(&self, run: &mut Publishing<'_>) -> Result<bool> {
        let dir = hosts_dir(self.pool.state());
        let there = if_exists(dir.symlink_metadata()).map_err(|e| at_path(&e, &dir))?;
        let is_dir = there.as_ref().is_some_and(fs::Metadata::is_dir);
        if !is_dir {
            run.step(format!("make {}", dir.display()), || {
                if there.is_some() {
                    // If it were a link, files elsewhere would be removed as those of removed nodes.
                    fs::remove_file(&dir).with_context(|| format!("removing {}", dir.display()))?;
                }
                fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
                Ok(fs::set_permissions(&dir, Permissions::from_mode(0o755))?)
            })?;
        }
        let (wanted, unknown) = self.hosts(run);
        let mut news = false;
        for (name, text) in &wanted {
            let path = dir.join(name);
            let old = ours(&path).filter(|_| is_dir);
            if old.as_deref() == Some(text.as_str()) {
                continue;
            }
            news = true;
            run.write(&path, text)?;
        }
        if !is_dir && !run.writes {
            return Ok(true);
        }
        for name in names_in(&dir)? {
            let named = |nodes: &[Node]| nodes.iter().find(|n| n.name.as_str() == name).cloned();
            let stays = match named(self.these) {
                // The node's MAC addresses are not known: its file stays.
                Some(node) => {
                    node.lost || unknown.contains(&node.name) || wanted.contains_key(&name)
                }
                None => named(self.all).is_some(),
            };
            // A temporary file; check finds leftovers.
            if stays || name.starts_with('.') {
                continue;
            }
            news = true;
            run.remove(&dir.join(&name))?;
        }
        if news && run.writes {
            // Durable: a machine that was reported as served must be answered after a power cut too.
            atomic::directory(&dir)?;
        }
        Ok(news)
    }

    /// Returns the text of each node's file, by the node's name, and the nodes for which it cannot be generated.
    fn hosts(&self, run: &mut Publishing<'_>) -> (BTreeMap<String, String>, HashSet<&NodeName>) {
        let (mut wanted, mut unknown) = (BTreeMap::new(), HashSet::new());
        let addresses = reserved::addresses(run, self.all);
        let mut taken: HashSet<&str> = HashSet::new();
        for node in self.these.iter().filter(|n| n.is_offered()) {
            // Without an active environment, its TFTP name does not exist yet: a TFTP server could serve shared files instead.
            let active = match tftp::link_target(node) {
                LinkTarget::Environment(active) => active,
                LinkTarget::Nothing => continue,
                LinkTarget::Unknown(_) => {
                    unknown.insert(&node.name);
                    continue;
                }
            };
            // Two records edited by hand have the address; the first node keeps it, as with the TFTP names.
            let macs: Vec<&str> = macs(node).into_iter().filter(|m| taken.insert(m)).collect();
            let is_for_any = node.is_for_any() && taken.insert(ANY);
            if macs.is_empty() && !is_for_any {
                continue;
            }
            let loader = loader(self.pool, node, &active.boot());
            if loader == Some(Loader::GrubEfi) && dhcp(self.pool) == Dhcp::Proxy {
                run.done.warnings.extend(without_ipxe(node, &active.boot()));
            }
            let host = Host {
                node: node.name.as_str(),
                macs,
                several: node.has_several_machines(self.pool),
                for_any: is_for_any,
                hands_out: hands_out(self.pool),
                loader,
                address: addresses.get(node.name.as_str()).copied(),
            };
            wanted.insert(node.name.to_string(), text::host(&host));
        }
        (wanted, unknown)
    }
}

fn macs(node: &Node) -> Vec<&str> {
    properties::addresses(&node.record).collect()
}

/// Returns the warning about a node without iPXE, which UEFI firmware cannot boot beside another DHCP server.
fn without_ipxe(node: &Node, boot_half: &Path) -> Option<String> {
    let program = boot::lacks_ipxe(&Tree::open(boot_half).ok()?)?;
    let name = &node.name;
    Some(format!(
        "{name}: beside another DHCP server UEFI firmware boots iPXE, and {program} is not in its boot folder: {}, then \
         netbe set --existing {name}",
        server_packages::install("snponly.efi")
    ))
}

fn loader(pool: &Pool, node: &Node, boot_half: &Path) -> Option<Loader> {
    match node.property(pool, "loader") {
        Some(set) => set.parse().ok(),
        None => boot::recognise(&Tree::open(boot_half).ok()?),
    }
}
