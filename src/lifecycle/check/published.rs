//! The findings of `check` in the published configuration: names, exports, DHCP, and the NFS server's own settings.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::{Finding, Repair};
use crate::boot;
use crate::fs::rooted::Tree;
use crate::lifecycle::init;
use crate::pool::{Environment, Node, Pool};
use crate::publish::{self, server_versions, tftp};

/// Returns the findings; with `only`, without those that name other nodes than this one.
pub(super) fn findings(pool: &Pool, nodes: &[Node], only: bool) -> Result<Vec<Finding>> {
    let state = publish::out_of_date(pool)?;
    let stale = state.steps.iter().map(|step| {
        Finding::repairable(
            "publish",
            format!("the published configuration is not up to date: to {step}"),
            Repair::Publish,
        )
    });
    let wrong = state
        .warnings
        .iter()
        .map(|w| Finding::new("publish", w, "man netbe-publish"));
    let services = match pool.local() {
        Some(_) => Vec::new(),
        None => init::services::missing::sentences(pool)?,
    };
    let services = services.iter().map(|problem| {
        Finding::new(
            "services",
            problem,
            format!("netbe init {} --services", pool.root().display()),
        )
    });
    let others: Vec<Node> = match only {
        true => pool.nodes()?,
        false => Vec::new(),
    };
    let of_another = |finding: &Finding| {
        let names = |node: &Node| names(&finding.problem, node, pool);
        others.iter().any(names) && !nodes.iter().any(names)
    };
    let published = stale.chain(wrong).chain(services);
    let mut found: Vec<Finding> = published.filter(|f| !of_another(f)).collect();
    let text = |path: &Path| fs::read_to_string(path).ok();
    let offered = server_versions::offered(Path::new("/"), &text);
    for node in nodes.iter().filter(|node| node.is_offered()) {
        found.extend(not_offered(node, &offered));
    }
    Ok(found)
}

/// Returns whether a sentence contains the name of a node, or a TFTP name of its machine.
fn names(sentence: &str, node: &Node, pool: &Pool) -> bool {
    let sentence = sentence.replace(&pool.root().display().to_string(), "");
    let mut words = sentence.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
    let names = tftp::names(node);
    words.any(|word| word == node.name.as_str() || names.iter().any(|name| name == word))
}

/// Returns a finding if the active environment mounts its root by an NFS version that the server does not offer.
fn not_offered(node: &Node, offered: &server_versions::Offered) -> Option<Finding> {
    let env = node.active_if_any().ok().flatten()?;
    let version = version_of_root(&env)?;
    let place = offered.refuses(&version)?;
    Some(Finding::new(
        &env,
        format!(
            "its root is mounted by NFS version {version}, which this server does not offer ({place})"
        ),
        match version.as_str() {
            "3" => "nfsconf --set nfsd vers3 y; systemctl restart nfs-server".to_string(),
            _ => format!("netbe set nfs.version=3 {}", node.name),
        },
    ))
}

/// Returns the version by which an environment's boot files mount its root.
fn version_of_root(env: &Environment) -> Option<String> {
    let (boot, root) = (Tree::open(&env.boot()).ok()?, Tree::open(&env.root()).ok()?);
    let line = boot::summary(&boot, &root).cmdline?;
    let options = line
        .split_whitespace()
        .find_map(|t| t.strip_prefix("nfsroot="))?;
    let version = |option: &str| {
        Some(
            option
                .strip_prefix("nfsvers=")
                .or(option.strip_prefix("vers="))?
                .to_string(),
        )
    };
    options.split(',').find_map(version)
}
