//! The TFTP names: one link for each MAC address or serial, to the node's active boot half.
//!
//! The link leads through `active`, so an activation changes nothing here; during a pending boot it leads to that
//! environment directly. Promises that a link never dangles: it is made after its target exists. Not for serving them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::run::Publishing;
use crate::fs::atomic;
use crate::fs::dir_names::names_in;
use crate::fs::path_error::{at_path, is_system_error};
use crate::pool::pending::Pending;
use crate::pool::{EnvName, Environment, Node, NodeName, Pool, layout};

/// Returns the TFTP names of a node: MAC addresses in lower case with dashes, as dnsmasq and Raspberry Pi firmware
/// spell them (`tftp-unique-root=mac`, `TFTP_PREFIX=2`), then the serial.
pub fn names(node: &Node) -> Vec<String> {
    let property = |key: &str| node.record.properties.get(key).filter(|v| !v.is_empty());
    let macs = property("mac").map(|m| m.replace(':', "-"));
    macs.iter()
        .flat_map(|m| m.split(','))
        .map(str::to_string)
        .chain(property("serial").cloned())
        .collect()
}

/// Makes the links of one node by its properties, and removes its other links.
///
/// A node without an active environment gets no links.
///
/// # Errors
/// Also if it cannot be read where they are to lead: they stay then.
pub fn bring_node_up_to_date(run: &mut Publishing<'_>, node: &Node) -> Result<()> {
    let names = LeadTo::of(node);
    if let LeadTo::Unknown(why) = &names {
        bail!("publishing the TFTP names of {}: {why}", node.name);
    }
    bring(run, &[(node, names)])
}

/// Makes the links of these nodes, and removes other links to nodes of the pool.
///
/// Links to elsewhere, and files, are not netbe's and stay.
pub fn bring_up_to_date(run: &mut Publishing<'_>, nodes: &[Node]) -> Result<()> {
    let nodes: Vec<(&Node, LeadTo)> = nodes.iter().map(|n| (n, LeadTo::of(n))).collect();
    bring(run, &nodes)
}

/// Where the names of a node are to lead.
enum LeadTo {
    /// Nowhere: it is not offered, or has no active environment.
    Nowhere,
    /// This target.
    Target(PathBuf),
    /// It could not be read, with the reason.
    Unknown(String),
}

impl LeadTo {
    fn of(node: &Node) -> Self {
        if !node.is_offered() && !node.lost {
            return Self::Nowhere;
        }
        match link_target(node) {
            LinkTarget::Environment(_) => {}
            LinkTarget::Nothing => return Self::Nowhere,
            LinkTarget::Unknown(why) => return Self::Unknown(why),
        }
        match target(node) {
            Ok(target) => Self::Target(target),
            Err(why) => Self::Unknown(why),
        }
    }
}

fn bring(run: &mut Publishing<'_>, nodes: &[(&Node, LeadTo)]) -> Result<()> {
    let pool = run.pool;
    let dir = layout::tftp(pool.root());
    let mut wanted: Vec<(String, PathBuf)> = Vec::new();
    let mut taken: HashMap<String, &NodeName> = HashMap::new();
    let mut ours: Vec<&Path> = nodes
        .iter()
        .filter(|(node, _)| !node.lost)
        .map(|(node, _)| node.dir.as_path())
        .collect();
    let made = links(&dir)?.read;
    // The names in records come first: a link that leads to a node whose record is lost may be another node's by now.
    let (lost, known): (Vec<_>, Vec<_>) = nodes.iter().partition(|(node, _)| node.lost);
    for (node, lead_to) in known.into_iter().chain(lost) {
        let target = match lead_to {
            LeadTo::Target(target) => target,
            LeadTo::Nowhere => continue,
            LeadTo::Unknown(why) => {
                run.leave(node, why);
                ours.retain(|dir| *dir != node.dir);
                continue;
            }
        };
        let names = match node.lost {
            // Its record, which has its names, is lost: the links that lead to it stay, and lead where it boots.
            true => names_leading_to(node, &made),
            false => names(node),
        };
        for name in names {
            // Two records edited by hand; the first node keeps the name, else it would alternate between the two.
            if node.lost && taken.contains_key(&name) {
                continue;
            }
            match taken.insert(name.clone(), &node.name) {
                None => wanted.push((name, target.clone())),
                Some(first) => run.warn(format!(
                    "{first} and {} both have {name}: a machine that asks by it boots one of the two",
                    node.name
                )),
            }
        }
    }
    for (name, target) in &wanted {
        let path = dir.join(name);
        if path.read_link().is_ok_and(|t| t == *target) {
            continue;
        }
        if path.symlink_metadata().is_ok_and(|m| !m.is_symlink()) {
            run.warn(format!(
                "{} is not a link made by netbe: it stays, and machines that ask for it get it",
                path.display()
            ));
            continue;
        }
        let step = format!("link {} -> {}", path.display(), target.display());
        run.step(step, || Ok(atomic::link(&path, target)?))?;
    }
    // A node with thousands of machines has thousands of names.
    let wanted: HashMap<String, PathBuf> = wanted.into_iter().collect();
    let now = links(&dir)?;
    for (path, target) in now.read {
        let dir = led(&target).map(|l| layout::node(pool.root(), &l.node));
        let of_these = dir.is_some_and(|d| ours.contains(&d.as_path()) || is_no_directory(&d));
        if of_these && wanted.get(name_of(&path)) != Some(&target) {
            run.remove(&path)?;
        }
    }
    for (path, why) in now.unread {
        if !wanted.contains_key(name_of(&path)) {
            let nodes = nodes.iter().map(|(node, _)| &node.name);
            run.leave_name(nodes, &why);
        }
    }
    if run.writes && !run.done.steps.is_empty() {
        atomic::directory(&dir)?;
    }
    Ok(())
}

fn name_of(link: &Path) -> &str {
    let name = link.file_name().and_then(|name| name.to_str());
    name.unwrap_or_default()
}

/// Returns the names of these links that lead to a node.
fn names_leading_to(node: &Node, links: &[(PathBuf, PathBuf)]) -> Vec<String> {
    let of_node =
        |(_, target): &&(PathBuf, PathBuf)| led(target).is_some_and(|l| l.node == node.name);
    let names = links.iter().filter(of_node);
    names.map(|(path, _)| name_of(path).to_string()).collect()
}

/// The target of a node's names.
#[derive(Debug)]
pub(super) enum LinkTarget {
    /// No boot half; a link in its place would serve what it leads to.
    Nothing,
    /// Its active environment.
    Environment(Box<Environment>),
    /// It could not be read, with the reason: then the names stay.
    Unknown(String),
}

/// Returns the target of a node's names.
pub(super) fn link_target(node: &Node) -> LinkTarget {
    let env = match node.active_if_any() {
        Ok(Some(env)) => env,
        Ok(None) => return LinkTarget::Nothing,
        Err(e) => return LinkTarget::Unknown(format!("{e:#}")),
    };
    match env.boot().symlink_metadata() {
        Ok(found) if found.is_dir() => LinkTarget::Environment(Box::new(env)),
        Err(e) if is_system_error(&e) => LinkTarget::Unknown(at_path(&e, &env.boot()).to_string()),
        _ => LinkTarget::Nothing,
    }
}

/// Returns whether a directory certainly does not exist.
fn is_no_directory(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(found) => !found.is_dir(),
        Err(e) => !is_system_error(&e),
    }
}

/// The links in the TFTP directory.
#[derive(Debug, Default)]
pub struct Links {
    /// Those that could be read, with their targets.
    pub read: Vec<(PathBuf, PathBuf)>,
    /// Those that the system failed to read, with the reason.
    pub unread: Vec<(PathBuf, String)>,
}

/// Returns the links in the TFTP directory.
pub fn links(dir: &Path) -> Result<Links> {
    let mut found = Links::default();
    for path in names_in(dir)?.iter().map(|name| dir.join(name)) {
        match path.read_link() {
            Ok(target) => found.read.push((path, target)),
            Err(e) if is_system_error(&e) => {
                let why = at_path(&e, &path).to_string();
                found.unread.push((path, why));
            }
            // A file of somebody else's, or gone meanwhile.
            Err(_) => {}
        }
    }
    Ok(found)
}

/// Returns the target of a node's links, or why it could not be read.
fn target(node: &Node) -> Result<PathBuf, String> {
    let dir = Path::new("../nodes").join(node.name.as_str());
    let before = before_it(node)?.map(|env| layout::active_target(&env).join(layout::BOOT));
    Ok(dir.join(before.unwrap_or_else(|| Path::new(layout::ACTIVE).join(layout::BOOT))))
}

/// Returns the environment of a pending boot that a node's names lead to, if it has a boot half, or why that could not be
/// read.
fn before_it(node: &Node) -> Result<Option<EnvName>, String> {
    let pending = Pending::read(&node.state);
    let env = match &pending {
        Pending::Unknown(why) => {
            return Err(format!(
                "the pending boot cannot be read ({why}; netbe activate {} --cancel)",
                node.name
            ));
        }
        pending => match pending.waiting() {
            Some(boot) => &boot.env,
            None => return Ok(None),
        },
    };
    let half = node.dir.join(layout::active_target(env)).join(layout::BOOT);
    match half.symlink_metadata() {
        Ok(found) => Ok(found.is_dir().then(|| env.clone())),
        Err(e) if is_system_error(&e) => Err(at_path(&e, &half).to_string()),
        Err(_) => Ok(None),
    }
}

/// Returns the environment that a machine of the node gets now; its active one if it cannot be read whether another one is
/// pending.
pub fn boots(node: &Node) -> Option<EnvName> {
    let before = before_it(node).ok().flatten();
    before.or_else(|| node.active.clone())
}

/// The target of one of netbe's links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Led {
    /// The node, by name.
    pub node: NodeName,
    /// The environment in the link; `None` for the active one.
    pub env: Option<EnvName>,
}

/// Returns the target of a link of netbe's; `None` for any other link.
pub fn led(target: &Path) -> Option<Led> {
    let rest = target.strip_prefix("../nodes").ok()?;
    let mut parts = rest.iter().map(|p| p.to_str().unwrap_or_default());
    let node = parts.next()?.parse().ok()?;
    let parts: Vec<&str> = parts.collect();
    let env = match parts.as_slice() {
        [layout::ACTIVE, layout::BOOT] => None,
        [layout::ENVS, env, layout::BOOT] => Some(env.parse().ok()?),
        _ => return None,
    };
    Some(Led { node, env })
}

/// Returns the nodes whose names lead to an environment without a pending boot: the result of a crash between two
/// steps.
pub fn astray(pool: &Pool) -> Result<Vec<NodeName>> {
    let mut nodes: Vec<NodeName> = links(&layout::tftp(pool.root()))?
        .read
        .iter()
        .filter_map(|(_, target)| led(target))
        .filter(|l| {
            let pending = Pending::read(&layout::node_state(pool.state(), &l.node));
            pending.waiting().map(|b| &b.env) != l.env.as_ref()
        })
        .map(|l| l.node)
        .collect();
    nodes.sort();
    nodes.dedup();
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_links_are_ours() {
        let of = |text: &str| led(Path::new(text)).map(|l| (l.node.to_string(), l.env));
        assert_eq!(
            of("../nodes/nog/active/boot"),
            Some(("nog".to_string(), None))
        );
        let env = Some("b".parse().unwrap());
        assert_eq!(
            of("../nodes/nog/envs/b/boot"),
            Some(("nog".to_string(), env))
        );
        for other in [
            "",
            "/srv/x",
            "../nodes",
            "../nodes/nog",
            "../nodes/nog/active",
            "../nodes/nog/envs/../boot",
            "../nodes/nog/envs/b/root",
            "../nodes/NOG/active/boot",
            "nodes/nog/active/boot",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
