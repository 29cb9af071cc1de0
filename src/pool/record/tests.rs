use super::*;
use crate::btrfs::subvolume::Uuid;
use crate::pool::code::Key;

#[test]
fn a_record_of_a_newer_version_is_refused_whatever_its_content() {
    for text in [r#"{"version": 2}"#, r#"{"version": 99, "uuid": 3}"#] {
        let error = PoolRecord::parse(text).unwrap_err().to_string();
        assert!(error.contains("newer netbe"), "{error}");
    }
    for garbage in ["", "{", "[]", "null", "{}", r#"{"version": -1}"#, "\u{0}"] {
        assert!(PoolRecord::parse(garbage).is_err(), "{garbage:?}");
        assert!(EnvRecord::parse(garbage).is_err(), "{garbage:?}");
    }
}

#[test]
fn a_derived_record_has_no_history_of_its_origin() {
    let text = r#"{"version":1,"uuid":"u1","created":"2026-11-20T10:15:00Z","boot_mount":"/boot",
        "description":"d","pinned":true,"served":true,"left":"2026-11-20T10:16:00Z","failed":"f",
        "replaces":"r","shared":{"changed":1,"shared_again":2},"added":["quiet"],"arch":"aarch64","colour":"blue"}"#;
    let (node, name) = ("nog".parse().unwrap(), "first".parse().unwrap());
    let new = EnvRecord::parse(text)
        .unwrap()
        .derived("u2".to_string(), &node, &name);
    let origin = new.origin.as_ref().unwrap();
    assert_eq!((new.uuid.as_str(), origin.uuid.as_str()), ("u2", "u1"));
    assert_eq!(
        (origin.node.as_str(), origin.name.as_str()),
        ("nog", "first")
    );
    assert_eq!(new.description, "");
    assert!(!new.pinned && !new.served && new.left.is_none());
    assert!(new.failed.is_none() && new.replaces.is_none() && new.shared.is_none());
    assert_eq!(
        (new.added, new.arch),
        (vec!["quiet".to_string()], Some("aarch64".to_string()))
    );
    assert_eq!(new.other["colour"], "blue");
}

#[test]
fn unknown_fields_survive_a_rewrite() {
    let text = r#"{"version":1,"template":true,"properties":{"mac":"x"},"colour":"blue"}"#;
    let record = NodeRecord::parse(text).unwrap();
    let again = serde_json::to_string(&record).unwrap();
    assert!(again.contains(r#""colour":"blue""#), "{again}");
}

#[test]
fn no_record_is_made_that_is_longer_than_any_that_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::make(&dir.path().join("key")).unwrap();
    let text = r#"{"version":1,"uuid":"u","created":"2026-11-20T10:15:00Z","boot_mount":"/boot"}"#;
    let mut record = EnvRecord::parse(text).unwrap();
    // As it may stand in a stream, where all of it is on one line.
    let some = ("a".to_string(), "1".to_string());
    let changes = crate::packages::Changes {
        added: vec![some; 500_000],
        ..Default::default()
    };
    record.upgrade = Some(changes);
    assert!((serde_json::to_string(&record).unwrap().len() as u64) < LIMIT / 2);
    let signed = record.signed(&key, Uuid([1; 16])).map(|_| ());
    let error = signed.unwrap_err().to_string();
    assert!(error.contains("longer than"), "{error}");
    record.upgrade = None;
    assert!(record.signed(&key, Uuid([1; 16])).is_ok());
}
