//! The saved configuration of LIO, the kernel's iSCSI target: text in, text out.
//!
//! JSON in rtslib's form: saveconfig.json(5). Only objects with netbe's names are changed. Not for the file, nor for the
//! kernel's present targets.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::super::iscsi_names::initiator_of;
use super::super::iscsi_targets::Target;
use crate::boot::iscsi_root::{LUN, PORT};

/// The members of the configuration that netbe's disks and targets are in.
const LISTS: [(&str, &str); 2] = [("storage_objects", "name"), ("targets", "wwn")];

/// Returns the targets in a saved configuration whose names begin with `start`, with their disks.
///
/// # Errors
/// If it is no JSON object.
pub(super) fn targets(text: &str, start: &str) -> Result<Vec<Target>> {
    let all = parse(text)?;
    let list = |key: &str| all.get(key).and_then(Value::as_array).into_iter().flatten();
    let parsed = |target: &Value| -> Option<Target> {
        let name = target.get("wwn")?.as_str()?;
        let disk_name = disk_name(name);
        let disk = list("storage_objects").find(|one| member(one, "name") == Some(&disk_name))?;
        let acl = target.pointer("/tpgs/0/node_acls/0")?;
        let text = |key: &str| Some(member(acl, key)?.to_string());
        Some(Target {
            name: name.to_string(),
            disk: member(disk, "dev")?.to_string(),
            clients: Vec::new(),
            user: text("chap_userid")?,
            secret: text("chap_password")?,
        })
    };
    let of_pool = list("targets")
        .filter(|one| member(one, "wwn").is_some_and(|name| name.starts_with(start)));
    Ok(of_pool.filter_map(parsed).collect())
}

/// Returns a saved configuration with these targets and no others whose names begin with `start`; `None` if nothing changes.
///
/// # Errors
/// If it is no JSON object.
pub(super) fn with(text: &str, start: &str, targets: &[(Target, u64)]) -> Result<Option<String>> {
    let before = parse(text)?;
    let mut all = before.clone();
    for (list, name) in LISTS {
        let entry = all.entry(list).or_insert_with(|| json!([]));
        let entries = entry
            .as_array_mut()
            .with_context(|| format!("{list} in LIO's saved configuration is no list"))?;
        let start = match name {
            "wwn" => start.to_string(),
            _ => disk_name(start),
        };
        entries.retain(|one| !member(one, name).is_some_and(|name| name.starts_with(&start)));
        for (target, size) in targets {
            let objects = configuration(target, *size);
            entries.extend(objects[list].as_array().into_iter().flatten().cloned());
        }
    }
    if all == before {
        return Ok(None);
    }
    let text = serde_json::to_string_pretty(&all).context("printing LIO's saved configuration")?;
    Ok(Some(text + "\n"))
}

/// Returns a configuration with one target, whose disk has this many bytes.
pub(super) fn configuration(target: &Target, size: u64) -> Value {
    let disk = disk_name(&target.name);
    json!({
        "storage_objects": [{
            "plugin": "fileio", "name": disk, "dev": target.disk, "size": size, "write_back": true,
        }],
        "targets": [{
            "fabric": "iscsi", "wwn": target.name,
            "tpgs": [{
                "tag": 1, "enable": true,
                "attributes": {"authentication": 1, "generate_node_acls": 0},
                "luns": [{"index": LUN, "storage_object": format!("/backstores/fileio/{disk}")}],
                "node_acls": [{
                    "node_wwn": initiator_of(&target.name), "chap_userid": target.user, "chap_password": target.secret,
                    "mapped_luns": [{"index": LUN, "tpg_lun": LUN, "write_protect": false}],
                }],
                "portals": [{"ip_address": "0.0.0.0", "port": PORT, "iser": false}],
            }],
        }],
    })
}

/// Returns LIO's name for a target's disk: the name of the target without the authority.
pub(super) fn disk_name(target: &str) -> String {
    let name = target.split_once(':').map_or(target, |(_, name)| name);
    format!("netbe:{name}")
}

fn member<'v>(of: &'v Value, key: &str) -> Option<&'v str> {
    of.get(key)?.as_str()
}

fn parse(text: &str) -> Result<Map<String, Value>> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text).context("reading LIO's saved configuration")
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "iqn.2026-11.internal.netbe:1a2b3c4d:";
    /// Returns a configuration with another program's target and disk.
    const OTHER: &str = r#"{"fabric_modules": [], "storage_objects": [{"name": "disk", "plugin": "block", "dev": "/dev/sdx"}],
        "targets": [{"fabric": "iscsi", "wwn": "iqn.2003-01.org:x", "tpgs": []}]}"#;

    fn target(env: &str) -> Target {
        Target {
            name: format!("{START}nog:{env}"),
            disk: format!("/p/nodes/nog/envs/{env}/root/disk.img"),
            clients: Vec::new(),
            user: "nog".to_string(),
            secret: "0123456789abcdef".to_string(),
        }
    }

    #[test]
    fn own_targets_come_and_go_and_others_stay() {
        let (a, b) = (target("a"), target("b"));
        let one = with(OTHER, START, &[(a.clone(), 7)]).unwrap().unwrap();
        assert_eq!(targets(&one, START).unwrap(), std::slice::from_ref(&a));
        assert_eq!(with(&one, START, &[(a.clone(), 7)]).unwrap(), None);
        let both = with(&one, START, &[(a.clone(), 7), (b.clone(), 8)]);
        let both = both.unwrap().unwrap();
        assert_eq!(targets(&both, START).unwrap(), [a, b.clone()]);
        let last = with(&both, START, &[(b, 8)]).unwrap().unwrap();
        assert!(!last.contains("nog:a") && last.contains("nog:b"), "{last}");
        let none = with(&last, START, &[]).unwrap().unwrap();
        let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parsed(&none), parsed(OTHER));
    }

    #[test]
    fn another_pools_targets_stay() {
        let mut other = target("a");
        other.name = other.name.replace("1a2b3c4d", "ffffffff");
        let of_other = with("", "iqn.2026-11.internal.netbe:ffffffff:", &[(other, 7)]);
        let of_other = of_other.unwrap().unwrap();
        assert_eq!(with(&of_other, START, &[]).unwrap(), None);
        assert_eq!(targets(&of_other, START).unwrap(), []);
    }

    #[test]
    fn a_target_admits_its_initiator_name_and_secret_only() {
        let all = configuration(&target("a"), 7);
        let group = &all["targets"][0]["tpgs"][0];
        assert_eq!(group["attributes"]["authentication"], 1);
        assert_eq!(group["attributes"]["generate_node_acls"], 0);
        let acls = group["node_acls"].as_array().unwrap();
        assert_eq!(acls.len(), 1);
        assert_eq!(acls[0]["node_wwn"], format!("{START}nog"));
        assert_eq!(acls[0]["chap_password"], "0123456789abcdef");
    }

    #[test]
    fn a_file_that_is_not_a_configuration_is_an_error() {
        for text in ["{", "[]", r#"{"targets": 3}"#] {
            assert!(with(text, START, &[(target("a"), 1)]).is_err(), "{text}");
        }
    }
}
