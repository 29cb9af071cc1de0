//! `netbe create`, `netbe clone`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::{Changing, Making};
use super::complete;
use super::session::Session;
use crate::failure::{self, Failure, Kind};
use crate::lifecycle::Mode;
use crate::lifecycle::create::{self, Request};
use crate::pool::Operand;

/// Make an environment
///
/// For an existing node, the source is --from or the node's active environment. For a new node, it is --from or the only
/// template; the new environment is active at once and has its own identity: host name, machine-id, ssh host
/// keys, random seeds, the DUID of its DHCP client, iSCSI and NVMe names, /etc/hostid; cloud-init takes it for a new
/// instance. Without ENV, the name is the current time.
///
/// An existing node stays who it is, also in the system of another node or template: all of that is taken from its active
/// environment, and the network settings that have its address; cloud-init sets the new system up, and leaves its ssh host
/// keys. What else the node has changed is in the environment it was changed in.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe create nog
  netbe create nog --mac dc:a6:32:01:02:03 --serial 9ffefdef
  netbe create web/first --from debian --ip 10.0.0.5/24,10.0.0.1
  netbe create web/newer --from debian -a
  netbe create nog/before-the-party -d 'as it was'")]
pub struct Create {
    /// The environment to make
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::nodes))]
    pub target: Operand,
    /// The source
    #[arg(long, value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub from: Option<Operand>,
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
    /// Activate the new environment
    #[arg(short, long)]
    pub activate: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Make an environment from a named source
///
/// The node has to exist, and stays who it is: if it is not the source's node, its identity is taken from its active
/// environment, as create does.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe clone nog/first nog/second
  netbe clone nog ordo/from-nog -a")]
pub struct CloneEnv {
    /// The source
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub source: Operand,
    /// The environment to make
    #[arg(value_name = "NODE/ENV", value_parser = whole_operand, add = ArgValueCompleter::new(complete::nodes))]
    pub target: Operand,
    /// The description.
    #[command(flatten)]
    pub making: Making,
    /// Activate the new environment
    #[arg(short, long)]
    pub activate: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

fn whole_operand(text: &str) -> Result<Operand, String> {
    let operand: Operand = text
        .parse()
        .map_err(|e: crate::pool::name::NotAName| e.to_string())?;
    match operand.env {
        Some(_) => Ok(operand),
        None => Err(format!("{text:?} names a node; expected NODE/ENV")),
    }
}

/// Makes an environment, and its node if it does not exist.
pub fn create(session: &Session, args: Create) -> Result<u8> {
    let mut properties: Vec<(String, String)> = args
        .mac
        .into_iter()
        .map(|m| ("mac".to_string(), m))
        .collect();
    properties.extend(args.serial.map(|s| ("serial".to_string(), s)));
    properties.extend(args.ip.map(|i| ("ip".to_string(), i)));
    let request = Request {
        target: args.target,
        from: args.from,
        properties,
        description: args.making.description,
        activate: args.activate,
    };
    make(session, &request, args.changing.into())
}

/// Makes an environment from another.
pub fn clone(session: &Session, args: CloneEnv) -> Result<u8> {
    if let Err(e) = session.pool()?.node(&args.target.node) {
        return Err(match failure::is(&e, Kind::NotFound) {
            true => Failure::not_found(e.to_string())
                .hint(format!(
                    "netbe create {} --from {}",
                    args.target, args.source
                ))
                .into(),
            false => e,
        });
    }
    let request = Request {
        target: args.target,
        from: Some(args.source),
        properties: Vec::new(),
        description: args.making.description,
        activate: args.activate,
    };
    make(session, &request, args.changing.into())
}

fn make(session: &Session, request: &Request, mode: Mode) -> Result<u8> {
    let outcome = create::create(&session.pool()?, request, mode)?;
    if let Some(made) = session.done(outcome)? {
        let active = if made.active { ", active" } else { "" };
        session.sentence(&format!(
            "Created {} from {}{active}.",
            made.id, made.origin
        ))?;
        session.notes(&made.notes);
        session.warnings(&made.warnings);
    }
    Ok(0)
}
