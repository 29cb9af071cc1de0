//! `netbe create`

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::{Changing, Making, Next};
use super::session::Session;
use super::{activate, complete, merge, side_by_side};
use crate::lifecycle::create::{self, Created, Request};
use crate::lifecycle::trial::How;
use crate::lifecycle::{Outcome, local_hooks};
use crate::output;
use crate::pool::pattern::Named;
use crate::pool::{Operand, Pool};

/// Make an environment
///
/// For an existing node, the source is --from or the node's active environment. For a new node, it is --from or the only
/// template; the new environment is active at once and has its own identity: host name, machine-id, ssh host
/// keys, random seeds, the DUID of its DHCP client, iSCSI and NVMe names, /etc/hostid; cloud-init takes it for a new
/// instance. Without ENV, the name is the current time.
///
/// An existing node keeps its identity, also in the system of another node or template: it is taken from the active
/// environment, with the network settings that contain the node's address; cloud-init sets the new system up, and
/// leaves its ssh host keys. Other changes of the node stay in its old environment, unless --merge brings them, as
/// netbe merge does: of a file that both changed, the source's version stays, the conflicts are listed, the exit status
/// is 1, and the new environment is not activated.
///
/// Several are made in parallel and independently: a failure does not stop the others, and the exit status is the worst
/// of all. ^C stops them all.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe create nog
  netbe create nog --mac dc:a6:32:01:02:03 --serial 9ffefdef
  netbe create web/first --from debian --ip 10.0.0.5/24,10.0.0.1
  netbe create web/newer --from debian -a
  netbe create rack1 rack2 rack3 --from debian
  netbe create --all --from debian --merge --try
  netbe create nog/before-the-party -d 'as it was'")]
pub struct Create {
    /// The environments to make, several side by side; nodes that exist also by pattern ('rack1-*') [default: this machine, where it is a node]
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::nodes))]
    pub targets: Vec<Named<Operand>>,
    /// Make one for every node except templates and the source
    #[arg(long, conflicts_with = "targets")]
    pub all: bool,
    /// How many at a time [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// The source
    #[arg(long, value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub from: Option<Operand>,
    /// Merge what the node has changed in its active environment; see netbe-merge
    #[arg(long, requires = "from")]
    pub merge: bool,
    /// With --merge, also install and remove the packages that the node has added and removed
    #[arg(long, requires = "merge")]
    pub packages: bool,
    /// MAC address of a new node; can be repeated
    #[arg(long, value_name = "MAC")]
    pub mac: Vec<String>,
    /// Raspberry Pi serial of a new node
    #[arg(long, value_name = "HEX")]
    pub serial: Option<String>,
    /// Address of a new node; in the help its brackets would be a link to rustdoc.
    #[arg(
        long,
        value_name = "IP",
        help = "Address of a new node: dhcp, dhcp,ADDR (reserved), or ADDR/LEN[,GATEWAY]"
    )]
    pub ip: Option<String>,
    /// The description.
    #[command(flatten)]
    pub making: Making,
    /// Its next boot.
    #[command(flatten)]
    pub next: Next,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
    /// For hooks of package managers, on a machine that is its own node
    #[arg(long, hide = true, conflicts_with_all = ["targets", "all"])]
    pub before_packages: bool,
    /// Report to the netbe that makes several
    #[arg(long, hide = true)]
    pub worker: bool,
}

impl Create {
    /// Returns whether several environments are to be made.
    pub(super) fn names_several(&self) -> bool {
        self.all || !matches!(self.targets.as_slice(), [Named::One(_)])
    }

    /// Returns the arguments of the worker process that makes one of them and reports; without the program.
    pub(super) fn worker_arguments(&self, session: &Session, target: &Operand) -> Vec<OsString> {
        let own = [("--merge", self.merge), ("--packages", self.packages)];
        let own = own.iter().filter(|(_, is_set)| *is_set);
        let mut own: Vec<OsString> = own.map(|(flag, _)| flag.into()).collect();
        if let Some(from) = &self.from {
            own.extend(["--from".into(), from.to_string().into()]);
        }
        own.push(target.to_string().into());
        let common = (self.changing, self.next, &self.making);
        side_by_side::worker_arguments(session, "create", common, own)
    }

    /// Returns the properties of a new node.
    pub(super) fn properties(&self) -> Vec<(String, String)> {
        let property = |name: &str, value: &String| (name.to_string(), value.clone());
        let mut properties: Vec<_> = self.mac.iter().map(|mac| property("mac", mac)).collect();
        properties.extend(self.serial.iter().map(|serial| property("serial", serial)));
        properties.extend(self.ip.iter().map(|ip| property("ip", ip)));
        properties
    }
}

/// Makes an environment, and its node if that does not exist.
pub fn create(session: &Session, args: &Create) -> Result<u8> {
    let [Named::One(target)] = args.targets.as_slice() else {
        return Ok(2);
    };
    let pool = session.pool()?;
    let perform = || perform(&pool, args, target);
    let outcome = match args.packages {
        // Without the busy line: the package manager prints to the same terminal.
        true => perform()?,
        false => session.busy(format_args!("Making {target}"), perform)?,
    };
    print_result(session, outcome, args.next.how())
}

/// Makes an environment before a package manager changes the system, if the property is on.
pub(super) fn before_packages(session: &Session, args: &Create) -> Result<u8> {
    let made = local_hooks::before_packages(&session.pool()?, args.changing.into())?;
    made.map_or(Ok(0), |outcome| print_result(session, outcome, None))
}

/// Makes one environment with the options of the command line.
pub(super) fn perform(pool: &Pool, args: &Create, target: &Operand) -> Result<Outcome<Created>> {
    let request = Request {
        target: target.clone(),
        from: args.from.clone(),
        properties: args.properties(),
        description: args.making.description.clone(),
        activate: args.next.activate,
        how: args.next.how(),
        merge: args.merge,
        packages: args.packages,
    };
    create::create(pool, &request, args.changing.into())
}

pub(super) fn print_result(
    session: &Session,
    outcome: Outcome<Created>,
    how: Option<How>,
) -> Result<u8> {
    if let Some(made) = session.done(outcome)? {
        let mut status = 0;
        if let Some(merged) = &made.merged {
            session.answer(&output::merge::draw(merged, &session.screen))?;
            status = u8::from(!merged.conflicts.is_empty());
        }
        session.sentence(&sentence(&made))?;
        let merged = made.merged.as_ref();
        session.notes(&merged.map_or_else(Vec::new, merge::notes));
        session.notes(merged.map_or(&[], |merged| &merged.notes));
        session.warnings(merged.map_or(&[], |merged| &merged.warnings));
        session.notes(&made.notes);
        session.warnings(&made.warnings);
        if let (Some(begun), Some(how)) = (made.begun, how) {
            activate::print_pending(session, Outcome::Done(begun), how)?;
        }
        return Ok(status);
    }
    Ok(0)
}

fn sentence(made: &Created) -> String {
    let active = if made.active { ", active" } else { "" };
    let Some(merged) = &made.merged else {
        return format!("Created {} from {}{active}.", made.id, made.origin);
    };
    let count = |number: usize, what: &str| merge::count(number, what);
    let decide = match merged.conflicts.len() {
        0 => String::new(),
        some => format!(
            " Both changed {}: look there, then: netbe activate {}",
            count(some, "file"),
            made.id
        ),
    };
    format!(
        "{}Created {} from {}, with {} from {}{active}.{decide}",
        merge::into_data(merged),
        made.id,
        made.origin,
        count(merged.taken.len() - merged.in_data, "change"),
        merged.from
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::commands::session::tests::session;
    use crate::commands::{Cli, Command};

    fn parsed(line: impl IntoIterator<Item = OsString>) -> Create {
        let line = [OsString::from("netbe")].into_iter().chain(line);
        match Cli::try_parse_from(line).map(|cli| cli.command) {
            Ok(Command::Create(create)) => create,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_worker_gets_the_same_options() {
        for line in [
            "create nog ordo/x",
            "create --all --from debian/x --wait 3 -a -j 2",
            "create nog ordo --once --description said",
            "create --all --from debian --merge --packages --try=90s",
        ] {
            let args = parsed(line.split(' ').map(OsString::from));
            let target: Operand = "ordo/x".parse().unwrap();
            let worker = parsed(args.worker_arguments(&session(), &target));
            let wanted = Create {
                targets: vec![Named::One(target)],
                all: false,
                jobs: None,
                worker: true,
                ..args
            };
            assert_eq!(format!("{worker:?}"), format!("{wanted:?}"));
        }
    }
}
