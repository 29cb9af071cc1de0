//! `netbe upgrade`

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::{Changing, Making, Next};
use super::{Session, activate, complete, side_by_side};
use crate::failure::Failure;
use crate::lifecycle::Outcome;
use crate::lifecycle::activate::made_before;
use crate::lifecycle::upgrade::{self, Request, Upgraded};
use crate::output::changes::{self, space_taken};
use crate::pool::name::NotAName;
use crate::pool::pattern::Named;
use crate::pool::{EnvName, NodeName, Operand, Pool};

/// Upgrade a copy of a node's environment
///
/// Snapshots the node's active environment (or the one named), runs the distribution's full upgrade or COMMAND inside
/// the snapshot, and keeps the result as a new environment. The running environment is never changed. If the command fails or
/// is interrupted, or a full upgrade changes nothing, no environment is left.
///
/// The distributions of the Debian, Arch and Fedora families, openSUSE and Alpine are supported; for any other, set the property
/// upgrade.command. The pool caches downloaded packages for the next node (of dpkg, rpm and pacman, not of apk). Rewritten
/// files with unchanged content share their extents with the origin again. A result that would not boot is kept with a
/// warning and the flag !; with -a, --once or --try it is deleted.
///
/// A full upgrade is judged by what it changed on disk, not by versions: a package that was configured or rebuilt in
/// the same version counts, and so does any file that upgrade.command wrote. These paths do not count: /dev, /proc,
/// /run, /sys, /tmp, /var/lock, /var/run, /var/tmp, /root/.cache, /var/cache, /var/log, /var/lib/apt/daily_lock,
/// /var/lib/apt/lists, /var/lib/apt/periodic, /var/lib/dpkg/*-old, /var/lib/dpkg/lock*, /var/lib/dpkg/triggers/Lock,
/// /var/lib/app-info, /var/lib/apt-xapian-index, /var/lib/command-not-found, /var/lib/PackageKit, /var/lib/swcatalog,
/// /var/lib/ubuntu-advantage, /var/lib/update-notifier, /lib/apk/db/lock, /usr/lib/apk/db/lock,
/// /usr/lib/sysimage/libdnf5, /usr/lib/sysimage/rpm/*-shm, /usr/lib/sysimage/rpm/*-wal,
/// /usr/lib/sysimage/rpm/.rpm.lock, /usr/lib/sysimage/rpm/__db.*, /var/lib/dnf, /var/lib/pacman/sync,
/// /var/lib/rpm/*-shm, /var/lib/rpm/*-wal, /var/lib/rpm/.rpm.lock, /var/lib/rpm/__db.*,
/// /var/lib/zypp/AnonymousUniqueId, /var/lib/zypp/AutoInstalled, /var/lib/zypp/LastDistributionFlavor, and __pycache__
/// anywhere. The result of COMMAND is always kept.
///
/// If the node has data of its own (netbe-set), the run works with a copy of it, which is deleted afterwards; the node
/// keeps its data. The command names what the run changed in the copy.
///
/// The full output is in upgrade.log beside the environment, or in the node's failed-upgrade.log; of very long output,
/// the beginning and the end. The terminal shows it without control characters, and progress lines one below the
/// other.
///
/// The upgrade has a network of its own, from which this machine itself cannot be reached; the property upgrade.network
/// admits a mirror or resolver on it by address and port. The upgrade is killed when it would leave less than a
/// reserve of 5 % (at most 1 GiB) of the pool free, and after a day.
///
/// Several nodes are upgraded in parallel and independently: a failure does not stop the others, and the exit
/// status is the worst of all. ^C stops them all and leaves nothing behind.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe upgrade ordo
  netbe upgrade ordo -a
  netbe upgrade nog ordo -j 2
  netbe upgrade --all
  netbe upgrade ordo --try
  netbe upgrade nog/first --name with-vim -- \\
      sh -c 'apt-get update && apt-get install -y vim'")]
pub struct Upgrade {
    /// Nodes, by name or pattern ('rack1-*'), whose active environments are upgraded, in parallel; or one environment to upgrade from [default: this machine, if it is a node]
    #[arg(value_name = "NODE|NODE/ENV", add = ArgValueCompleter::new(complete::sources))]
    pub sources: Vec<String>,
    /// A node or pattern, like NODE; with ENV, the node that ENV is an environment of
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub node: Vec<Named<NodeName>>,
    /// Upgrade every node except templates
    #[arg(long, conflicts_with_all = ["node", "sources"])]
    pub all: bool,
    /// How many nodes at a time [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Name of the new environment [default: the current time]
    #[arg(long, value_name = "ENV")]
    pub name: Option<EnvName>,
    /// Its next boot.
    #[command(flatten)]
    pub next: Next,
    /// Keep the copy if the command fails, with the flag !
    #[arg(long)]
    pub keep: bool,
    /// The description.
    #[command(flatten)]
    pub making: Making,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
    /// Report to the netbe that upgrades several nodes
    #[arg(long, hide = true)]
    pub worker: bool,
    /// Run this instead of the distribution's full upgrade
    #[arg(last = true, value_name = "COMMAND")]
    pub program: Vec<String>,
}

impl Upgrade {
    /// Returns whether several nodes are to be upgraded.
    pub(super) fn names_several(&self) -> bool {
        let has_pattern = self
            .sources
            .iter()
            .any(|source| source.contains(['*', '?']))
            || self
                .node
                .iter()
                .any(|node| matches!(node, Named::Matching(_)));
        let several = self.node.len() + self.sources.len() > 1 && self.of_node().is_none();
        self.all || has_pattern || several
    }

    /// Returns the environments to upgrade from; a node stands for its active one.
    ///
    /// # Errors
    /// `Usage` for an invalid name, or an environment among several operands.
    pub(super) fn sources(&self) -> Result<Vec<Named<Operand>>> {
        if let Some((node, env)) = self.of_node() {
            let env: EnvName = env.parse().map_err(|e| Failure::usage(format!("{e}")))?;
            return Ok(vec![Named::One(Operand {
                node: node.clone(),
                env: Some(env),
            })]);
        }
        let node = |node: &Named<NodeName>| match node.clone() {
            Named::One(node) => Named::One(node.into()),
            Named::Matching(pattern) => Named::Matching(pattern),
        };
        let mut all: Vec<Named<Operand>> = self.node.iter().map(node).collect();
        for source in &self.sources {
            let named = source.parse();
            all.push(named.map_err(|e: NotAName| Failure::usage(e.to_string()))?);
        }
        let env = all.iter().find_map(|source| match source {
            Named::One(operand) if operand.env.is_some() => Some(operand),
            _ => None,
        });
        match env {
            Some(env) if all.len() > 1 => Err(Failure::usage(format!(
                "{env} is an environment: of several, each is a node"
            ))
            .hint(format!("netbe upgrade {env}"))
            .into()),
            _ => Ok(all),
        }
    }

    /// Returns the node and the name of its environment: `--node NODE ENV`.
    fn of_node(&self) -> Option<(&NodeName, &str)> {
        match (self.node.as_slice(), self.sources.as_slice()) {
            ([Named::One(node)], [env]) if !env.contains('/') => Some((node, env)),
            _ => None,
        }
    }

    /// Returns the arguments of the worker process that upgrades one of the nodes and reports; without the program.
    pub(super) fn worker_arguments(&self, session: &Session, node: &NodeName) -> Vec<OsString> {
        let mut own: Vec<OsString> = vec!["--node".into(), node.as_str().into()];
        own.extend(self.keep.then(|| "--keep".into()));
        if let Some(name) = &self.name {
            own.extend(["--name".into(), name.as_str().into()]);
        }
        if !self.program.is_empty() {
            own.push("--".into());
            own.extend(self.program.iter().map(OsString::from));
        }
        let common = (self.changing, self.next, &self.making);
        side_by_side::worker_arguments(session, "upgrade", common, own)
    }
}

/// Upgrades a copy of one environment.
pub fn run(session: &Session, args: &Upgrade) -> Result<u8> {
    let Some(Named::One(source)) = args.sources()?.pop() else {
        return Ok(2);
    };
    let is_of_active = source.env.is_none();
    let pool = session.pool()?;
    let echo = session.draws_progress();
    let outcome = perform(&pool, args, source, echo)?;
    match session.done(outcome)? {
        None => {}
        Some(Upgraded::NothingToDo {
            source,
            package_notes,
        }) => {
            session.sentence(&format!(
                "Nothing to upgrade in {source}; no new environment."
            ))?;
            session.notes(&package_notes);
        }
        Some(Upgraded::New {
            id,
            origin,
            changes: changed,
            shared,
            active,
            begun,
            would_boot,
            log,
            package_notes,
            notes,
            warnings,
        }) => {
            if let Some(changed) = &changed {
                session.report(&changes::draw(changed, session.look))?;
            }
            let node = &id.node;
            let next = match (active, would_boot) {
                (true, _) => format!(" It is {node}'s next boot."),
                (false, false) => " It would not boot.".to_string(),
                (false, true) if begun.is_some() => String::new(),
                (false, true) => format!(" To boot it next: netbe activate {id}"),
            };
            let space = shared.map_or(String::new(), space_taken);
            session.sentence(&format!(
                "Created {id}, upgraded from {origin}{space}.{next}"
            ))?;
            session.notes(&[format!("full output: {}", log.display())]);
            session.notes(&package_notes);
            session.notes(&notes);
            let other = made_before(&pool, &id)?.filter(|_| is_of_active && !active);
            session.notes(other.as_slice());
            session.warnings(&warnings);
            if let (Some(begun), Some(how)) = (begun, args.next.how()) {
                activate::print_pending(session, Outcome::Done(begun), how)?;
            }
        }
    }
    Ok(0)
}

/// Upgrades one environment with the options of the command line.
pub(super) fn perform(
    pool: &Pool,
    args: &Upgrade,
    source: Operand,
    echo: bool,
) -> Result<Outcome<Upgraded>> {
    let request = Request {
        source,
        name: args.name.clone(),
        command: args.program.clone(),
        activate: args.next.activate,
        how: args.next.how(),
        keep: args.keep,
        description: args.making.description.clone(),
        echo,
        beside_others: args.worker,
    };
    upgrade::upgrade(pool, &request, args.changing.into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::commands::session::tests::session;
    use crate::commands::{Cli, Command};
    use crate::packages::left_out::{LEFT_OUT, OF_PYTHON};

    fn parsed(line: impl IntoIterator<Item = OsString>) -> Upgrade {
        let line = [OsString::from("netbe")].into_iter().chain(line);
        match Cli::try_parse_from(line).map(|cli| cli.command) {
            Ok(Command::Upgrade(upgrade)) => upgrade,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_help_lists_the_paths_that_do_not_count() {
        use clap::CommandFactory;
        let mut cli = Cli::command();
        let upgrade = cli.find_subcommand_mut("upgrade").unwrap();
        let help = upgrade.get_long_about().unwrap().to_string();
        let words: Vec<&str> = help.split([' ', ',', '\n']).collect();
        for path in LEFT_OUT {
            assert!(words.contains(&format!("/{path}").as_str()), "{path}");
        }
        assert!(words.contains(&OF_PYTHON), "{help}");
    }

    #[test]
    fn a_worker_gets_the_same_options() {
        for line in [
            "upgrade --node nog --node ordo",
            "upgrade nog ordo -j 2",
            "upgrade --all --wait 3 --name x --activate",
            "upgrade --all --once --keep --description said",
            "upgrade --all --try=90s -- apt-get -y upgrade",
        ] {
            let args = parsed(line.split(' ').map(OsString::from));
            let node: NodeName = "nog".parse().unwrap();
            let worker = parsed(args.worker_arguments(&session(), &node));
            let wanted = Upgrade {
                node: vec![Named::One(node)],
                all: false,
                sources: Vec::new(),
                jobs: None,
                worker: true,
                ..args
            };
            assert_eq!(format!("{worker:?}"), format!("{wanted:?}"));
        }
    }
}
