//! The choice of target and source of `create`, and its refusals.
//!
//! Takes no lock and changes nothing.

use std::time::Duration;

use anyhow::Result;

use super::Request;
use crate::failure::{self, Failure, Kind};
use crate::lifecycle::trial::{self, How};
use crate::lifecycle::{activate_new, data, local, properties};
use crate::pool::record::{EnvRecord, NodeRecord};
use crate::pool::{EnvId, EnvName, Environment, Node, NodeName, Operand, Pool};
use crate::staged::{environment_of_identity, free_name};

/// The chosen target and source.
pub(super) struct Chosen {
    pub(super) node: NodeName,
    pub(super) env: EnvName,
    pub(super) existing: Option<Node>,
    /// The environment that the node's identity is taken from, if there is one.
    pub(super) own: Option<Environment>,
    /// Why an existing node has none.
    pub(super) has_no_own: Option<String>,
    pub(super) record: NodeRecord,
    pub(super) source: Environment,
    pub(super) origin: EnvRecord,
    pub(super) description: String,
    pub(super) activate: bool,
    /// Whether the node's changes are merged into it before it is published.
    pub(super) merge: bool,
    pub(super) packages: bool,
    /// The pending boot, if requested, and the environment that the node boots after it.
    pub(super) trial: Option<(How, EnvId)>,
}

impl Chosen {
    /// Reads the pool, and refuses an impossible request.
    pub(super) fn new(pool: &Pool, request: &Request) -> Result<Self> {
        let existing = match pool.node(&request.target.node) {
            Ok(node) => Some(node),
            Err(e) if failure::is(&e, Kind::NotFound) => {
                local::refuse(pool, format_args!("{} cannot be made", request.target.node))?;
                None
            }
            Err(e) => return Err(e),
        };
        let mut record = match &existing {
            Some(node) => {
                node.refuse_lost()?;
                if let Some((key, value)) = request.properties.first() {
                    return Err(Failure::usage(format!(
                        "{} already exists; {key} is for a new node",
                        node.name
                    ))
                    .hint(format!("netbe set {key}={value} {}", node.name))
                    .into());
                }
                node.record.clone()
            }
            None => properties::new_node_record(pool, &request.properties)?,
        };
        let source = match (&request.from, &existing) {
            (Some(from), _) => pool.resolve(from)?,
            (None, Some(node)) => node.active_environment()?,
            (None, None) => only_template(pool, &request.target)?,
        };
        // A snapshot while a program works in it would be inconsistent.
        pool.refuse_work(&source.node, &source.name, Duration::ZERO)?;
        source.require_sound()?;
        if existing.is_none() {
            pool.refuse_work_in(&request.target.node, Duration::ZERO)?;
            let value = data::inherited(pool, &source);
            record
                .properties
                .extend(value.map(|v| ("data".to_string(), v)));
            record.data = data::of_new_node(pool, &record, &source)?;
        }
        let env = free_name(pool, existing.as_ref(), &request.target).map_err(|e| match request
            .activate
        {
            true => activate_new::to_activate(e, existing.as_ref(), &request.target),
            false => e,
        })?;
        let origin = source.record_for_change()?;
        let (own, has_no_own) = match existing.as_ref().map(environment_of_identity) {
            Some(Ok(own)) => (Some(own), None),
            Some(Err(e)) => (None, Some(format!("{e:#}"))),
            None => (None, None),
        };
        let trial = request
            .how
            .map(|how| Ok::<_, anyhow::Error>((how, back_to(pool, existing.as_ref(), request)?)))
            .transpose()?;
        Ok(Self {
            node: request.target.node.clone(),
            env,
            activate: request.activate || existing.is_none(),
            merge: request.merge,
            packages: request.packages,
            existing,
            own,
            has_no_own,
            record,
            source,
            origin,
            description: request.description.clone(),
            trial,
        })
    }
}

/// Returns the environment that the node boots after the pending boot.
///
/// # Errors
/// A refusal if there is none: a new node has no other environment.
fn back_to(pool: &Pool, node: Option<&Node>, request: &Request) -> Result<EnvId> {
    let Some(node) = node else {
        return Err(Failure::refused(format!(
            "{} does not exist yet: its first environment is active at once, without --once and --try",
            request.target.node
        ))
        .into());
    };
    Ok(trial::back_to(pool, node)?.id())
}

/// Returns the only template's active environment.
///
/// # Errors
/// A refusal that lists the templates, or has the hint to import one.
fn only_template(pool: &Pool, target: &Operand) -> Result<Environment> {
    let templates: Vec<Node> = pool
        .nodes()?
        .into_iter()
        .filter(Node::is_template)
        .collect();
    match templates.as_slice() {
        [one] => one.active_environment(),
        [] => Err(Failure::refused(
            "the pool has no template: import an operating system, or name the node to copy with --from",
        )
            .hint("netbe import --help")
            .into()),
        several => {
            let names: Vec<&str> = several.iter().map(|n| n.name.as_str()).collect();
            Err(Failure::refused(format!(
                "the pool has several templates: {}",
                names.join(", ")
            ))
            .hint(format!("netbe create {target} --from {}", names[0]))
            .into())
        }
    }
}
