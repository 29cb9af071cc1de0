//! The file of targets: pure text.
//!
//! One target for each disk image that a machine may have as its root, for its node alone. Format: targets.conf(5); LIO's
//! targets are compared in this format too. Not for installing it.

use std::path::Path;

use anyhow::Result;

use super::{exports, iscsi_names};
use crate::failure::Failure;
use crate::images::DISK;
use crate::pool::{Environment, Node, Pool};

/// How an iSCSI server distinguishes machines, besides by a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// By the address of the machine.
    Address,
    /// By the initiator name that the machine claims.
    Name,
}

/// One disk that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// The path of the image.
    pub disk: String,
    /// The addresses and networks of its clients; none if the server distinguishes machines only by their secret.
    pub clients: Vec<String>,
    /// The user name for CHAP: RFC 7143, section 9.2.
    pub user: String,
    /// The secret.
    pub secret: String,
}

/// Returns the target of an environment whose root half is an image.
///
/// # Errors
/// A refusal if addresses are required and none of its clients is one: tgt offers a target without addresses to every host.
pub fn target(
    pool: &Pool,
    node: &Node,
    env: &Environment,
    by: Admission,
) -> Result<Option<Target>> {
    if !env.is_image() {
        return Ok(None);
    }
    let uuid = &pool.record().uuid;
    let clients = match by {
        Admission::Address => addresses(pool, node, env)?,
        Admission::Name => Vec::new(),
    };
    Ok(Some(Target {
        name: iscsi_names::target(uuid, &env.node, &env.name),
        disk: env.root().join(DISK).to_string_lossy().into_owned(),
        clients,
        user: iscsi_names::user(uuid, &env.node),
        secret: iscsi_names::secret(pool.key(), &env.node),
    }))
}

fn addresses(pool: &Pool, node: &Node, env: &Environment) -> Result<Vec<String>> {
    let mut clients = exports::allowed(pool, node)?;
    clients.retain(|client| is_address(client));
    if !clients.is_empty() {
        return Ok(clients);
    }
    let node = &env.node;
    Err(Failure::refused(format!(
        "the disk of {env} cannot be offered to any machine: tgt knows addresses and networks, and the property clients of {node} \
        has none"
    ))
    .hint(format!("netbe get clients {node}"))
    .into())
}

/// Returns whether a client is an IPv4 address or network: tgt does not resolve names.
pub fn is_address(client: &str) -> bool {
    let (address, length) = client.split_once('/').unwrap_or((client, "32"));
    let is_length = length.parse::<u8>().is_ok_and(|length| length <= 32);
    address.parse::<std::net::Ipv4Addr>().is_ok() && is_length
}

/// Returns the whole file with these targets, and those of an older file that stay.
pub fn print(pool_uuid: &str, targets: &[Target], kept: Vec<String>) -> String {
    in_order(
        pool_uuid,
        targets.iter().map(print_one).chain(kept).collect(),
    )
}

/// Returns the text of a file's targets whose disks are in a directory.
pub fn below(text: &str, dir: &Path) -> Vec<String> {
    let mut all: Vec<String> = stanzas(text).into_iter().map(|(_, text)| text).collect();
    all.retain(|stanza| is_in(stanza, dir));
    all
}

/// Returns the file with a target, which replaces one of the same name.
pub fn with(text: &str, pool_uuid: &str, target: &Target) -> String {
    let mut all: Vec<String> = stanzas(text)
        .into_iter()
        .filter(|(name, _)| *name != target.name)
        .map(|(_, stanza)| stanza)
        .collect();
    all.push(print_one(target));
    in_order(pool_uuid, all)
}

/// Returns the file without the disks in these directories; `None` if nothing changes.
pub fn without(text: &str, pool_uuid: &str, dirs: &[&Path]) -> Option<String> {
    let all = stanzas(text);
    let kept: Vec<String> = all
        .iter()
        .filter(|(_, stanza)| !dirs.iter().any(|dir| is_in(stanza, dir)))
        .map(|(_, stanza)| stanza.clone())
        .collect();
    (kept.len() != all.len()).then(|| in_order(pool_uuid, kept))
}

/// Returns the root halves whose disks a file offers.
pub fn halves(text: &str) -> Vec<String> {
    let all = stanzas(text);
    let disks = all.iter().filter_map(|(_, stanza)| disk_of(stanza));
    let halves = disks.filter_map(|disk| Path::new(disk).parent());
    halves
        .map(|half| half.to_string_lossy().into_owned())
        .collect()
}

/// Returns the targets of a file, by name, each with its whole text.
pub fn stanzas(text: &str) -> Vec<(String, String)> {
    let starts = text.split("<target ").skip(1);
    starts
        .filter_map(|rest| {
            let (name, _) = rest.split_once(">\n")?;
            let (body, _) = rest.split_once("</target>\n")?;
            Some((name.to_string(), format!("<target {body}</target>\n")))
        })
        .collect()
}

fn is_in(stanza: &str, dir: &Path) -> bool {
    disk_of(stanza).is_some_and(|disk| Path::new(disk).starts_with(dir))
}

fn disk_of(stanza: &str) -> Option<&str> {
    let mut lines = stanza.lines();
    lines.find_map(|line| line.trim().strip_prefix("backing-store "))
}

/// Returns the target that one of [`stanzas`] describes.
pub fn parse(stanza: &str) -> Option<Target> {
    let all = |key: &str| {
        let lines = stanza
            .lines()
            .filter_map(move |line| line.trim().strip_prefix(key)?.strip_prefix(' '));
        lines.map(str::to_string).collect::<Vec<_>>()
    };
    let first = |key| all(key).into_iter().next();
    let (name, _) = stanza.strip_prefix("<target ")?.split_once(">\n")?;
    let account = first("incominguser")?;
    let (user, secret) = account.split_once(' ')?;
    Some(Target {
        name: name.to_string(),
        disk: first("backing-store")?,
        clients: all("initiator-address"),
        user: user.to_string(),
        secret: secret.to_string(),
    })
}

fn print_one(target: &Target) -> String {
    let clients: String = target
        .clients
        .iter()
        .map(|client| format!("    initiator-address {client}\n"))
        .collect();
    format!(
        "<target {}>\n    backing-store {}\n{clients}    incominguser {} {}\n</target>\n",
        target.name, target.disk, target.user, target.secret
    )
}

fn in_order(pool_uuid: &str, printed: Vec<String>) -> String {
    match printed.is_empty() {
        true => String::new(),
        false => exports::in_order(pool_uuid, printed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(env: &str) -> Target {
        Target {
            name: format!("iqn.2026-11.internal.netbe:1a2b3c4d:nog:{env}"),
            disk: format!("/p/nodes/nog/envs/{env}/root/disk.img"),
            clients: vec!["10.0.0.0/24".to_string(), "10.1.0.2".to_string()],
            user: "nog".to_string(),
            secret: "0123456789abcdef".to_string(),
        }
    }

    #[test]
    fn a_disk_is_for_its_node_alone() {
        let text = print("u", &[target("a")], Vec::new());
        let want = "<target iqn.2026-11.internal.netbe:1a2b3c4d:nog:a>\n    backing-store /p/nodes/nog/envs/a/root/disk.img\n    \
                    initiator-address 10.0.0.0/24\n    \
                    initiator-address 10.1.0.2\n    \
                    incominguser nog 0123456789abcdef\n</target>\n";
        assert!(text.ends_with(want), "{text}");
        assert_eq!(halves(&text), ["/p/nodes/nog/envs/a/root"]);
    }

    #[test]
    fn one_is_added_and_taken_away_as_all_are_written() {
        let all = |targets: &[Target]| print("u", targets, Vec::new());
        let both = all(&[target("a"), target("ab")]);
        assert_eq!(with(&all(&[target("ab")]), "u", &target("a")), both);
        assert_eq!(with(&both, "u", &target("a")), both);
        let dir = Path::new("/p/nodes/nog/envs/a");
        let left = without(&both, "u", &[dir]).unwrap();
        assert_eq!(left, all(&[target("ab")]));
        let kept = below(&both, dir);
        assert_eq!(print("u", &[target("ab")], kept), both);
        assert_eq!(without(&left, "u", &[dir]), None);
        assert_eq!(all(&[]), "");
    }

    #[test]
    fn printed_targets_parse_to_the_same() {
        let mut of_any_address = target("b");
        of_any_address.clients.clear();
        let both = [target("a"), of_any_address];
        let text = print("u", &both, Vec::new());
        let parsed: Vec<_> = stanzas(&text).iter().map(|(_, s)| parse(s)).collect();
        assert_eq!(parsed, both.map(Some));
        assert_eq!(parse("<target a>\n</target>\n"), None);
    }

    #[test]
    fn tgt_looks_no_names_up() {
        for (client, want) in [
            ("10.0.0.1", true),
            ("10.0.0.0/24", true),
            ("10.0.0.0/33", false),
            ("nog.lan", false),
            ("*.lan", false),
        ] {
            assert_eq!(is_address(client), want, "{client}");
        }
    }
}
