//! The machine model of a node: set by the property `model`, or known from its report or its fetches.
//!
//! An environment is verified for that model. If the model is not known, it is enough that one of the possible models boots
//! the environment. Reads only.

use std::path::Path;

use crate::boot::{self, Model, Remembered, which_models};
use crate::evidence::boots::{self, How};
use crate::evidence::reports;
use crate::fs::rooted::Tree;
use crate::pool::pending::Pending;
use crate::pool::record::NodeRecord;
use crate::pool::{Environment, Node, NodeName, Pool, properties};

/// A machine model, and its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// The model, or its family.
    pub model: Model,
    /// How it is known.
    pub by: KnownBy,
}

/// How a machine is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownBy {
    /// By the property `model`.
    Property,
    /// By its report.
    Report,
    /// By the files that it fetched.
    Fetched,
}

impl KnownBy {
    /// Returns it in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Property => "as set",
            Self::Report => "by its report",
            Self::Fetched => "by what it fetched",
        }
    }
}

impl Machine {
    /// Adds the source of the model to the first of these reasons that is about the model, if it was not set.
    pub(super) fn explain(self, node: &str, reasons: &mut [String]) {
        let name = self.model.to_string();
        let about_it = reasons.iter_mut().find(|reason| reason.contains(&name));
        if let Some(reason) = about_it.filter(|_| self.by != KnownBy::Property) {
            reason.push_str(&format!(
                " ({node} is taken for one {}; for another machine, set its property model)",
                self.by.words()
            ));
        }
    }
}

/// Returns the warning that a node's model is not known, if only some of the possible models boot this boot half.
pub(super) fn doubt(pool: &Pool, node: &Node, boot: &Path) -> Option<String> {
    let serial = node.property(pool, "serial");
    let boot = unknown(pool, node, boot)?;
    let (first, sentence) = which_models(&boot, serial.as_deref())?;
    Some(format!(
        "{sentence}; which of them {0} is, is not known: netbe set model={1} {0}",
        node.name,
        first.name()
    ))
}

/// Returns the damage of files that only some of the possible models load, if the node's model is not known, and the
/// command that sets the model.
pub fn damage_for_some(pool: &Pool, node: &Node, boot: &Path) -> Option<(String, String)> {
    let serial = node.property(pool, "serial");
    let boot = unknown(pool, node, boot)?;
    let damage = boot::damage(&boot, serial.as_deref());
    let (first, _) = which_models(&boot, serial.as_deref())?;
    let problem = format!(
        "{}; which machine {} is, is not known",
        damage.join("; "),
        node.name
    );
    let remedy = format!("netbe set model={} {}", first.name(), node.name);
    (!damage.is_empty()).then_some((problem, remedy))
}

/// Returns the boot half, if the node's model is not known.
fn unknown(pool: &Pool, node: &Node, boot: &Path) -> Option<Remembered<Tree>> {
    let has_other_loader = node.property(pool, "loader").is_some_and(|l| l != "rpi");
    let is_known = has_other_loader || machine(pool, &node.name, &node.record).is_some();
    let boot = Tree::open(boot).ok().filter(|_| !is_known)?;
    Some(Remembered::new(boot))
}

/// Returns the model of a node, which need not exist yet.
pub fn machine(pool: &Pool, name: &NodeName, record: &NodeRecord) -> Option<Machine> {
    if let Some(set) = properties::effective("model", Some(record), pool.record()) {
        let (model, by) = (set.value.parse().ok()?, KnownBy::Property);
        return Some(Machine { model, by });
    }
    if record.template {
        return None;
    }
    let node = Node::observe(pool, name)?;
    let reported = reported(&node).map(|model| (model, KnownBy::Report));
    let known = reported.or_else(|| Some((fetched(&node)?, KnownBy::Fetched)));
    known.map(|(model, by)| Machine { model, by })
}

/// Returns the model in the last report of the environment that the node boots next.
fn reported(node: &Node) -> Option<Model> {
    let pending = Pending::read(&node.state);
    let names = node
        .active
        .iter()
        .chain(pending.boot().map(|boot| &boot.env));
    let envs = names.filter_map(|name| Environment::observe(node, name).ok()?);
    let reports = envs.filter_map(|env| reports::reported(&env));
    let last = reports.max_by_key(|(time, _)| *time);
    last.and_then(|(_, report)| report.model)
}

fn fetched(node: &Node) -> Option<Model> {
    let seen = boots::read(&node.state);
    let its = seen
        .iter()
        .filter(|seen| seen.how == How::Tftp && seen.may_be_its());
    Model::common(its.filter_map(|seen| Model::that_loads(seen.file.as_deref()?)))
}
