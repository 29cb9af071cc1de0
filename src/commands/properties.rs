//! `netbe set`, `netbe get`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::failure::Failure;
use crate::fs::interrupt;
use crate::lifecycle::{Mode, properties};
use crate::output::{self, json};
use crate::pool::NodeName;
use crate::pool::name::NotAName;
use crate::pool::pattern::Named;

/// Set properties of nodes, or of the pool
///
/// Without NODE, the value holds for every node that has none itself. An empty value removes the setting. TFTP
/// names, exports and DHCP configuration are updated at once; existing environments keep their boot files, new ones get
/// the new settings.
///
/// With --existing every existing environment is updated: all of the node, or without NODE of every node and template,
/// active, pinned and older ones too. Their boot files and fstab are rewritten in place. A running node keeps its
/// settings and its exports until it has booted again, so it needs one reboot. An environment that fails keeps its old
/// settings, and does not stop the others. Without a property all environments are updated to the current settings, as
/// after the pool was mounted at another path.
///
/// mac: with any, alone or among addresses, every machine that no other node of the server names boots the node, from netbe's
/// own TFTP and HTTP server; the node's root has to be read-only (access). dnsmasq gives these machines the boot settings,
/// except those that a file in /etc/dnsmasq.d tags netbe-not (dhcp-host=MAC,set:netbe-not). A machine whose MAC address the
/// server does not see, as behind a router, gets nothing, unless its firmware puts the address in front of each name. Refused
/// beside a node that is known only by its serial. Removing an address from the list of a node with several machines is refused
/// if its machine has reported or may have booted, and would get no boot files any more. With --force the machine counts as
/// removed for good: its last boot is forgotten, and no environment is kept for it. With any still in the list, --force forgets
/// the machines that have not reported the active environment.
///
/// data: each path becomes a subvolume under nodes/NODE/data with the active environment's files at that path. It is exported to
/// the node, and mounted by a line in the fstab of each of its environments, also of existing ones (as with
/// --existing), so that upgrade, activate, rollback and prune do not touch it. A running node uses it from its next
/// boot on; status names the files that it writes to the old place until then, and netbe merge brings them into the data. The
/// environments keep their own files at the path, under the mount. With systemd the mounts are made before anything that
/// could use them, and if one fails the machine boots into emergency mode, not with an empty /home. A path that is
/// removed from the list keeps its subvolume until netbe destroy --data NODE PATH; added again, it has the same files. A
/// template has no data of its own: nodes made from it inherit its value, and start with its environment's files.
/// The system needs mount.nfs. A container store on NFS cannot have an overlay.
///
/// access: with ro, machines mount the root read-only, and keep their changes in memory until they are switched off. The kernel
/// starts a program of netbe's, /usr/lib/netbe/read-only-root, which puts an overlay filesystem over the root and starts the
/// system's init; the root stays visible at /usr/lib/netbe/root. So it works with any initramfs, and without one; an overlay
/// that the system makes itself (overlayroot) is not changed. Each MAC address in mac is then a machine of its own: it gets a
/// machine ID made from its MAC address, and the name that a DHCP server gives it, else NODE- and the last six digits of its
/// MAC address. The property ssh-keys selects its SSH host keys: those in the root, the same for all machines; new ones at each
/// boot, which takes some seconds; or its own, made at its first boot and kept in nodes/NODE/reports/ssh-ADDRESS. Any host that
/// may mount the node's exports can read the latter, and those in the root. The root is mounted by NFS version 3, since files
/// from version 4 cannot be changed in an overlay, and the environments are exported read-only; upgrades run on the server,
/// once for all. Each machine writes its report of a completed boot to a small export of its node, nodes/NODE/reports, which
/// all its machines may write, and needs mount.nfs for that; status shows every machine, and an environment that one of them
/// may be running is not destroyed. Existing environments stay unchanged, or follow with --existing, except one that a machine
/// runs now.
///
/// data.snapshots: an environment that is activated again finds the data as it is now, not as it was when the
/// environment was left. So activate (--once and --try, too), rollback and the end of a trial keep a read-only
/// snapshot of each path beside the environment that the node leaves, in nodes/NODE/envs/ENV/.data, and replace an
/// older one; if a trial failed, the environment that it leaves is the one on trial. The snapshot is destroyed with
/// the environment, and counted as its space.
///
/// nfs.subtree-check: the kernel's NFS server does not authenticate file handles, so the root user of a node can forge
/// handles for any file of the pool's filesystem, including those of other nodes. With on, the server checks on every
/// call that the file is below the export. The price: a file that is renamed into another directory while it is open
/// fails with ESTALE on the machine that has it open, and each call looks up the parent directories. It takes effect at a
/// machine's next boot. Programs that root runs on the server are on no pool and need no such check. Nodes that do not trust one
/// another can also have separate pools.
#[derive(Debug, Args)]
#[command(after_long_help = properties_help())]
pub struct Set {
    /// One or more PROPERTY=VALUE, then nodes, by name or pattern ('rack1-*')
    #[arg(required_unless_present = "existing", value_name = "PROPERTY=VALUE… [NODE…]", add = ArgValueCompleter::new(complete::assignments))]
    pub words: Vec<String>,
    /// On every node except templates
    #[arg(long)]
    pub all: bool,
    /// Update the existing environments too, rollback targets included
    #[arg(long)]
    pub existing: bool,
    /// Do it even if a machine that may be running loses its root or boot files
    #[arg(long)]
    pub force: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Print properties
///
/// NODE PROPERTY VALUE SOURCE: local, pool or default.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe get
  netbe get all nog
  netbe get -H mac nog | cut -f3")]
pub struct Get {
    /// The property, or all of them
    #[arg(value_name = "PROPERTY|all", default_value = "all", add = ArgValueCompleter::new(complete::properties))]
    pub property: String,
    /// Nodes, by name or pattern ('rack1-*') [default: the pool and every node]
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub nodes: Vec<Named<NodeName>>,
    /// Every node except templates, without the pool
    #[arg(long, conflicts_with = "nodes")]
    pub all: bool,
    /// For scripts: no header, tabs between fields
    #[arg(short = 'H', conflicts_with = "json")]
    pub machine: bool,
    /// For scripts: one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Returns the end of the help of `set`: examples, and every property.
fn properties_help() -> String {
    let mut text = String::from(
        "Examples:\n  netbe set mac=dc:a6:32:01:02:03 nog\n  netbe set ip=10.0.0.5/24,10.0.0.1 nog\n  netbe set server=10.0.0.1 --existing\n  netbe set mac= nog\n  netbe set model=rpi4 nog ordo\n\nProperties:\n",
    );
    for p in crate::pool::properties::ALL {
        let words = format!("{}: {}; default: {}", p.help, p.value, p.default);
        text.push_str(&hanging(p.name, &words));
    }
    text.trim_end().to_string()
}

/// The width of the list of properties, and the column where their texts begin.
const LIST: (usize, usize) = (78, 20);

/// Returns a name with its text beside it, in lines that fit a terminal.
fn hanging(name: &str, text: &str) -> String {
    let (width, begin) = LIST;
    let mut lines = vec![format!("  {name:<18}")];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is one");
        match last.chars().count() + word.chars().count() < width || last.len() == begin {
            true if last.ends_with(' ') => last.push_str(word),
            true => last.push_str(&format!(" {word}")),
            false => lines.push(format!("{:begin$}{word}", "")),
        }
    }
    lines.join("\n") + "\n"
}

/// Sets properties.
pub fn set(session: &Session, args: &Set) -> Result<u8> {
    let (assignments, words) = assignments(&args.words, args.existing)?;
    let pool = session.pool()?;
    if args.all && !words.is_empty() {
        return Err(Failure::usage("--all is every node: name none with it").into());
    }
    let (nodes, unmatched) = session.chosen_or_all(&pool, &words, args.all)?;
    let request = properties::Request {
        assignments: &assignments,
        force: args.force,
        existing: args.existing,
    };
    let mode = args.changing.into();
    let [first, second, more @ ..] = nodes.as_slice() else {
        return session.beside(unmatched, set_on(session, nodes.first(), request, mode));
    };
    let mut worst = unmatched;
    for node in [first, second].into_iter().chain(more) {
        interrupt::check()?;
        let done = set_on(session, Some(node), request, mode);
        worst = worst.max(done.unwrap_or_else(|e| session.failed(&[e])));
    }
    Ok(worst)
}

fn set_on(
    session: &Session,
    node: Option<&NodeName>,
    request: properties::Request<'_>,
    mode: Mode,
) -> Result<u8> {
    let pool = session.pool()?;
    // The properties may be written into thousands of environments.
    let set = || properties::set(&pool, node, request, mode);
    let outcome = session.busy("Setting properties", set)?;
    let Some(done) = session.done(outcome)? else {
        let foreseen = || properties::foreseen(&pool, node, request);
        let (warnings, failures) = session.busy("Setting properties", foreseen)?;
        session.warnings(&warnings);
        return Ok(session.failed(&failures));
    };
    if !done.set.is_empty() {
        let target = node.map_or("the pool", NodeName::as_str);
        let sentence = format!("Set {} on {target}.", done.set.join(" "));
        session.sentence(&sentence)?;
    }
    let environments = |number: usize| match number {
        1 => "1 environment".to_string(),
        number => format!("{number} environments"),
    };
    if done.fstabs > 0 {
        let environments = environments(done.fstabs);
        session.sentence(&format!("Wrote the fstab of {environments}."))?;
    }
    if request.existing {
        let written = done.brought.len();
        let environments = environments(written);
        if written > 0 {
            session.sentence(&format!(
                "Wrote the boot files of {environments}; a node that runs needs one reboot."
            ))?;
        } else if done.failures.is_empty() {
            session.sentence("Wrote no boot files: those of all environments are as set.")?;
        }
    }
    if done.is_for_new {
        session.notes(&[properties::for_new(node)]);
    }
    session.notes(&done.notes);
    session.warnings(&done.warnings);
    Ok(session.failed(&done.failures))
}

/// Properties with their values, in the order given.
type Assignments = Vec<(String, String)>;

fn assignments(words: &[String], existing: bool) -> Result<(Assignments, Vec<Named<NodeName>>)> {
    let is_node = |word: &String| !word.contains('=');
    let (before, names) = words.split_at(words.iter().position(is_node).unwrap_or(words.len()));
    if let Some(word) = names.first().filter(|_| !names.iter().all(is_node)) {
        return Err(Failure::usage(format!("{word:?} is not PROPERTY=VALUE"))
            .hint("netbe set --help")
            .into());
    }
    let nodes: Vec<Named<NodeName>> = names
        .iter()
        .map(|name| {
            name.parse()
                .map_err(|e: NotAName| Failure::usage(e.to_string()))
        })
        .collect::<Result<_, Failure>>()?;
    let pairs = before.iter().filter_map(|word| word.split_once('='));
    let assignments: Assignments = pairs
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    if assignments.is_empty() && !existing {
        return Err(Failure::usage("nothing to set")
            .hint("netbe set --help")
            .into());
    }
    Ok((assignments, nodes))
}

/// Prints properties.
pub fn get(session: &Session, args: &Get) -> Result<u8> {
    let pool = session.pool()?;
    let (nodes, unmatched) = session.chosen_or_all(&pool, &args.nodes, args.all)?;
    let (all, failures) = properties::get(&pool, &args.property, &nodes)?;
    let worst = match nodes.is_empty() {
        true => {
            // As in `list`: a damaged node among all others is a warning.
            let warnings: Vec<_> = failures.iter().map(|e| format!("{e:#}")).collect();
            session.warnings(&warnings);
            unmatched
        }
        false => session.failed(&failures).max(unmatched),
    };
    if all.is_empty() && worst != 0 {
        return Ok(worst);
    }
    let text = match (args.json, args.machine) {
        (true, _) => json::list("properties", &all)?,
        (_, true) => output::properties::tabbed(&all),
        _ => output::properties::draw(&all, session.look),
    };
    session.answer(&text)?;
    Ok(worst)
}
