//! The header of a stream: JSON about the environment in it.
//!
//! Contains what belongs to the environment, not its history on one server. A header that is read is untrusted: names
//! and text are checked, unknown fields dropped.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::PATHS_LIMIT;
use crate::failure::Failure;
use crate::pool::base::Base;
use crate::pool::data::{DataPath, normalised};
use crate::pool::record::EnvRecord;
use crate::pool::{EnvName, Environment, NodeName, Origin, Pool};

/// Possible mount points of the boot half.
const BOOT_MOUNTS: [&str; 2] = ["/boot", "/boot/firmware"];

/// The header of a stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Header {
    /// Version of the netbe that wrote it.
    pub(crate) netbe: String,
    /// The environment's node there.
    pub(crate) node: NodeName,
    /// The environment's name there.
    pub(crate) name: EnvName,
    /// Whether its node is a template.
    pub(crate) template: bool,
    /// Time of the export, UTC.
    pub(crate) exported: Timestamp,
    /// ID of the content: that of the base on both sides.
    pub(crate) id: String,
    /// The base of a stream with only the changes since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Origin>,
    /// The paths of its node's data in the stream, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) data: Vec<DataPath>,
    /// The environment's record.
    pub(crate) record: EnvRecord,
}

impl Header {
    /// Returns the header of an environment with this content ID.
    pub(crate) fn new(
        env: &Environment,
        record: &EnvRecord,
        id: &str,
        since: Option<Origin>,
        data: Vec<DataPath>,
    ) -> Self {
        Self {
            netbe: env!("CARGO_PKG_VERSION").to_string(),
            node: env.node.clone(),
            name: env.name.clone(),
            template: env.template,
            exported: Timestamp::now(),
            id: id.to_string(),
            since,
            data,
            record: portable(record),
        }
    }

    /// Returns an identifier of this export. The content ID is not enough: a later export may have the same content, but newer
    /// data.
    pub(crate) fn export(&self) -> String {
        format!("{}@{}", self.id, self.exported)
    }

    /// Serializes the header.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Parses a header.
    ///
    /// # Errors
    /// If the header is malformed, or has values that netbe never writes.
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        let value: Value = serde_json::from_slice(json).context("reading its head")?;
        ensure!(is_plain(&value), "its head holds control characters");
        let record = serde_json::to_string(&value["record"])?;
        let mut header: Self = serde_json::from_value(value).context("reading its head")?;
        // Parsed again as a record, which detects newer formats.
        header.record = portable(&EnvRecord::parse(&record).context("reading its head")?);
        let origins = header.since.iter().chain(&header.record.origin);
        let is_valid = |o: &Origin| {
            o.node.parse::<NodeName>().is_ok()
                && o.name.parse::<EnvName>().is_ok()
                && is_uuid(&o.uuid)
        };
        ensure!(
            origins.clone().all(is_valid) && is_uuid(&header.id) && is_uuid(&header.record.uuid),
            "its head holds an identity that is none"
        );
        let paths: Vec<&str> = header.data.iter().map(DataPath::as_str).collect();
        let paths = paths.join(",");
        ensure!(
            header.data.is_empty()
                || (header.data.len() <= PATHS_LIMIT
                    && !header.template
                    && normalised(&paths).is_ok_and(|value| value == paths)),
            "its head names data that no node has"
        );
        let mount = &header.record.boot_mount;
        ensure!(
            BOOT_MOUNTS.contains(&mount.as_str()),
            "its head says that it mounts its boot half at {mount:?}"
        );
        let arguments = header.record.added.iter().chain(&header.record.stripped);
        ensure!(
            arguments.clone().all(|a| !a.contains(char::is_whitespace)),
            "its head holds a kernel argument that is none"
        );
        ensure!(
            header.record.image.as_deref().is_none_or(is_uuid),
            "its head holds a filesystem's UUID that is none"
        );
        Ok(header)
    }

    /// Finds the environment of a node here that has the stream's base.
    ///
    /// # Errors
    /// A refusal with the reason if there is none.
    pub(crate) fn base_in(
        &self,
        pool: &Pool,
        node: &NodeName,
        since: &Origin,
    ) -> Result<(Environment, Base)> {
        let why = match Base::find(pool, node, &since.uuid) {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => format!("no environment of {node} has that"),
            Err(e) => format!("{e:#}"),
        };
        Err(Failure::refused(format!(
            "the stream holds only what changed since {}/{} (base {}), and {why}; if another node has it, and its content is \
             nothing to be kept from {node}, name that one with --base NODE; else a whole stream is needed, from where this \
             one was made",
            since.node, since.name, since.uuid
        ))
        .hint(format!("netbe export {}/{} -o whole.netbe", self.node, self.name))
        .into())
    }
}

/// Returns a record without the fields that belong to one server, and without unknown fields.
fn portable(record: &EnvRecord) -> EnvRecord {
    let mut fresh = EnvRecord::new(
        record.uuid.clone(),
        record.created,
        record.boot_mount.clone(),
    );
    fresh.origin.clone_from(&record.origin);
    fresh.description.clone_from(&record.description);
    fresh.arch.clone_from(&record.arch);
    fresh.added.clone_from(&record.added);
    fresh.stripped.clone_from(&record.stripped);
    fresh.rested = record.rested;
    fresh.image.clone_from(&record.image);
    fresh.upgrade.clone_from(&record.upgrade);
    fresh
}

/// Returns whether all text in a document is without control characters.
fn is_plain(value: &Value) -> bool {
    let plain = |text: &str| !text.chars().any(char::is_control);
    match value {
        Value::String(text) => plain(text),
        Value::Array(values) => values.iter().all(is_plain),
        Value::Object(fields) => object_is_plain(fields),
        _ => true,
    }
}

fn object_is_plain(fields: &Map<String, Value>) -> bool {
    fields
        .iter()
        .all(|(key, value)| !key.chars().any(char::is_control) && is_plain(value))
}

/// Returns whether a text is a UUID in netbe's format.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

    fn head() -> Value {
        json!({
            "netbe": "0.1.0", "node": "nog", "name": "first", "template": false,
            "exported": "2026-11-20T10:15:00Z", "id": UUID,
            "since": {"node": "nog", "name": "zero", "uuid": UUID}, "data": ["/home", "/srv"],
            "record": {
                "version": 1, "uuid": UUID, "created": "2026-11-20T10:15:00Z", "boot_mount": "/boot/firmware",
                "description": "as delivered", "pinned": true, "served": true, "added": ["quiet"], "arch": "aarch64",
                "origin": {"node": "base", "name": "stock", "uuid": UUID}, "left": "2026-11-20T10:15:00Z",
                "upgrade": {"added": [["jq", "1.6"]], "removed": [], "upgraded": [], "downgraded": []},
                "colour": "blue"
            }
        })
    }

    fn parse(value: &Value) -> Result<Header> {
        Header::parse(value.to_string().as_bytes())
    }

    #[test]
    fn only_the_environments_own_fields_are_exported() {
        let read = parse(&head()).unwrap();
        let record = &read.record;
        assert_eq!(record.description, "as delivered");
        assert_eq!(record.upgrade.as_ref().unwrap().added[0].0, "jq");
        assert_eq!(record.origin.as_ref().unwrap().to_string(), "base/stock");
        assert!(!record.pinned && !record.served && record.left.is_none());
        assert!(record.other.is_empty());
        let again = Header::parse(&read.to_json().unwrap()).unwrap();
        assert_eq!(again.to_json().unwrap(), read.to_json().unwrap());
    }

    #[test]
    fn values_that_netbe_never_writes_are_refused() {
        for (pointer, value) in [
            ("/node", json!("../nog")),
            ("/node", json!(3)),
            ("/name", json!(".staged")),
            ("/id", json!("not-one")),
            ("/id", json!("0123456789abcdef0123456789abcdef0123")),
            ("/since/uuid", json!("")),
            ("/since/node", json!("a/b")),
            ("/record", json!(null)),
            ("/record/version", json!(2)),
            ("/record/uuid", json!("'; rm -rf /")),
            ("/record/boot_mount", json!("/boot 0 0\nx")),
            ("/record/boot_mount", json!("/etc")),
            ("/record/description", json!("two\nlines")),
            ("/record/description", json!("\u{1b}]0;title\u{7}")),
            ("/record/added/0", json!("quiet init=/bin/sh")),
            ("/record/upgrade/added/0/0", json!("\u{1b}[2J")),
            ("/record/origin/name", json!("")),
            ("/exported", json!("yesterday")),
            ("/data", json!(["/etc"])),
            ("/data", json!(["/home/../etc"])),
            ("/data", json!(["/home", "/home"])),
            ("/data", json!(["/srv", "/srv/www"])),
            ("/data", json!(["default"])),
            ("/template", json!(true)),
        ] {
            let mut wrong = head();
            *wrong.pointer_mut(pointer).unwrap() = value;
            assert!(parse(&wrong).is_err(), "{pointer}: {wrong}");
        }
        for garbage in ["", "{", "[]", "null", "3"] {
            assert!(Header::parse(garbage.as_bytes()).is_err(), "{garbage}");
        }
        assert!(Header::parse(&[0xff; 8]).is_err());
        // Deep nesting is refused by the parser.
        assert!(Header::parse(&vec![b'['; 1 << 20]).is_err());
    }
}
