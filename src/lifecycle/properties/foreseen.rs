//! What a change of properties would meet in environments that exist: for a dry run, which stores nothing.

use anyhow::Result;

use super::{
    Request, apply, existing, kept_clients, loss, misfits, normalised, on_node, sets_data,
};
use crate::lifecycle::data::Change;
use crate::pool::{Node, NodeName, Pool};

/// Returns the warnings of a change, and the failures of environments that would not be rewritten: for a dry run.
///
/// # Errors
/// When the nodes and their environments cannot be listed.
pub fn foreseen(
    pool: &Pool,
    node: Option<&NodeName>,
    request: Request<'_>,
) -> Result<(Vec<String>, Vec<anyhow::Error>)> {
    let values = normalised(request.assignments, node.is_none())?;
    let reach = reach(node, request, &values);
    let (changed, before, nodes) = as_set(pool, node, &values, reach)?;
    let mut warnings = Vec::new();
    for (node_before, after) in before.iter().zip(&nodes) {
        let state = (pool, node_before);
        let kept = request
            .existing
            .then(|| kept_clients::keep(state, (&changed, after)));
        warnings.extend(loss::warning(
            state,
            (&changed, kept.as_ref().unwrap_or(after)),
        ));
        if node.is_some() {
            warnings.extend(on_node::loses_handles(pool, node_before, after));
        }
    }
    warnings.extend(misfits(
        &changed,
        nodes.first().filter(|_| node.is_some()),
        &values,
    )?);
    let failures = match reach {
        Some(reach) => existing::foreseen(&changed, &nodes, reach)?.1,
        None => Vec::new(),
    };
    Ok((warnings, failures))
}

/// Returns what of existing environments is rewritten; `None` if nothing is.
pub(super) fn reach(
    node: Option<&NodeName>,
    request: Request<'_>,
    values: &[(String, String)],
) -> Option<existing::Reach> {
    (request.existing || sets_data(values)).then_some(existing::Reach {
        data_of_nodes: node.is_none(),
        boot_files: request.existing,
    })
}

/// Returns the pool with these values set, and the node, or all nodes, before and after.
pub(super) fn as_set(
    pool: &Pool,
    node: Option<&NodeName>,
    values: &[(String, String)],
    reach: Option<existing::Reach>,
) -> Result<(Pool, Vec<Node>, Vec<Node>)> {
    let mut record = pool.record().clone();
    let before = match node {
        Some(name) => vec![pool.node(name)?],
        None => {
            apply(&mut record.properties, values, "the pool");
            pool.nodes()?
        }
    };
    let mut after = before.clone();
    if node.is_some() {
        for node in &mut after {
            apply(&mut node.record.properties, values, "");
            if reach.is_some() {
                node.record.data = Change::of(pool, node)?.listed(node);
            }
        }
    }
    Ok((pool.with_record(&record), before, after))
}
