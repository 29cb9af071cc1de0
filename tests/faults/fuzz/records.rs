//! netbe's own records, as a hand, another netbe or a dying disk left them.

use std::sync::LazyLock;
use std::time::Duration;

use netbe::btrfs::subvolume::Uuid;
use netbe::evidence::boots::{self, Seen};
use netbe::pool::code::Key;
use netbe::pool::pending::PendingBoot;
use netbe::pool::record::{EnvRecord, NodeRecord, PoolRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Target;
use super::mutation::Seeds;

pub(super) fn targets() -> Vec<Target> {
    let of = |name, seeds, make| Target {
        name,
        seeds,
        short: 20_000,
        memory: (64 << 10, 200),
        time: Duration::from_millis(100),
        make,
    };
    vec![
        of("pool.json", pools(), || {
            Box::new(|b| record(b, PoolRecord::parse, &["version", "uuid", "properties"]))
        }),
        of("node.json", nodes(), || {
            Box::new(|b| {
                record(
                    b,
                    NodeRecord::parse,
                    &["version", "template", "properties", "replaces"],
                );
            })
        }),
        of("env.json", environments(), || {
            Box::new(|b| record(b, EnvRecord::parse, &ENVIRONMENT))
        }),
        of("env.json code", signed(), || Box::new(signed_or_refused)),
        of("pending.json", pending(), || {
            Box::new(|b| printed_as_parsed::<PendingBoot>(&String::from_utf8_lossy(b)))
        }),
        of("boots.jsonl", seen(), || Box::new(seen_lines)),
    ]
}

/// What netbe knows in an `env.json`; all else is a newer netbe's and has to stay.
const ENVIRONMENT: [&str; 21] = [
    "code",
    "version",
    "uuid",
    "created",
    "origin",
    "description",
    "pinned",
    "boot_mount",
    "arch",
    "kernel",
    "added",
    "stripped",
    "rested",
    "served",
    "left",
    "withdrawn",
    "failed",
    "unproven",
    "upgrade",
    "shared",
    "replaces",
];

fn pools() -> Seeds {
    Seeds::texts(
        &[
            r#"{"version": 1, "uuid": "5a3c", "properties": {"server": "10.0.0.1", "keep": "5"}, "colour": {"a": [1, 2.5, null]}}"#,
        ],
        JSON,
    )
}

fn nodes() -> Seeds {
    Seeds::texts(
        &[
            r#"{"version": 1, "template": false, "properties": {"mac": "dc:a6:32:01:02:03", "cmdline": "quiet"}}"#,
            r#"{"version": 1, "template": true, "replaces": "old", "colour": "blue", "n": 18446744073709551615}"#,
        ],
        JSON,
    )
}

fn environments() -> Seeds {
    Seeds::texts(
        &[
            r#"{"version":1,"uuid":"u1","created":"2026-11-20T10:15:00Z","boot_mount":"/boot","description":"d\u00e9","pinned":true,
               "served":true,"left":"2026-11-20T10:16:00Z","failed":"f","replaces":"r","shared":{"changed":1,"shared_again":2},
               "added":["quiet"],"arch":"aarch64","colour":"blue"}"#,
            r#"{"version":1,"uuid":"u1","created":"2026-11-20T10:15:00.123456789Z","boot_mount":"/boot/firmware",
               "origin":{"node":"a","name":"b","uuid":"c"},"kernel":{"file":"k","version":"6.1","named_by":"config.txt","stamp":"1;2"},
               "upgrade":{"added":[["a","1"]],"removed":[],"upgraded":[["b","1","2"]],"downgraded":[]}}"#,
            "{\n  \"version\": 2\n}",
        ],
        JSON,
    )
}

/// The root subvolume that the records with a code belong to.
const ROOT: Uuid = Uuid([7; 16]);

/// The key of the records with a code; always the same, so that a batch is.
static KEY: LazyLock<Key> = LazyLock::new(|| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    std::fs::write(file.path(), "07".repeat(32)).expect("one's own file is writable");
    Key::read(file.path()).expect("it is a key")
});

/// The records with a code: their texts, and what each says without it.
static SIGNED: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let things = environments().things;
    let records = things
        .iter()
        .filter_map(|text| EnvRecord::parse(str::from_utf8(text).expect("it is text")).ok());
    let sign = |record: EnvRecord| {
        let text = record.signed(&KEY, ROOT).expect("it can be signed");
        (text, value(&record))
    };
    records.map(sign).collect()
});

fn signed() -> Seeds {
    let things = SIGNED.iter().map(|(text, _)| text.as_bytes().to_vec());
    Seeds::new(things.collect(), SIGNED_WORDS)
}

/// What somebody would write who wants a record believed.
const SIGNED_WORDS: &[&str] = &[
    "\"code\": \"\",",
    "\"code\": null,",
    "\"code\": ",
    "\"pinned\": false,",
    "\"served\": false,",
    "\"uuid\": \"u2\",",
    "\"left\": \"2026-11-20T10:16:00Z\",",
    "\"colour\": \"red\",",
    "\"other\": {},",
    "\"\": 0,",
    "\\u0064",
    "1.0",
    " ",
    "\n",
];

/// A record with a code is refused, or says what it said when it was written; and it is nobody else's.
fn signed_or_refused(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok(record) = EnvRecord::parse_own(text, &KEY, ROOT) {
        let output = value(&record);
        assert!(
            SIGNED.iter().any(|(_, own)| *own == output),
            "believed, and never written: {text}"
        );
    }
    let other = EnvRecord::parse_own(text, &KEY, Uuid([8; 16]));
    assert!(other.is_err(), "believed of another root: {text}");
}

fn value(record: &EnvRecord) -> Value {
    serde_json::to_value(record).expect("a record can be printed")
}

fn pending() -> Seeds {
    Seeds::texts(
        &[
            r#"{"env":"a","kind":"once","since":"2026-11-20T10:15:00Z"}"#,
            r#"{"env":"a.b+c","kind":"try","within":600,"told_before":"x","used_before":true,"fetched":"2026-11-20T10:15:00Z","withdrawn":null}"#,
        ],
        JSON,
    )
}

fn seen() -> Seeds {
    Seeds::texts(
        &[
            "{\"time\":\"2026-11-20T10:15:00Z\",\"env\":\"first\",\"how\":\"tftp\"}\n\
           {\"time\":\"2026-11-20T10:15:01Z\",\"env\":\"first\",\"uuid\":\"u\",\"how\":\"report\",\"file\":\"kernel8.img\",\"size\":7,\"kernel\":true,\"client\":\"10.0.0.5\"}\n",
        ],
        JSON,
    )
}

const JSON: &[&str] = &[
    "\"version\":",
    "\"version\":2,",
    "\"uuid\":",
    "\"colour\":",
    "\"properties\":{",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "[[[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
    "true",
    "9223372036854775808",
    "-9999-01-01T00:00:00Z",
    "+275760-09-13T00:00:00Z",
    "2026-02-30T25:61:61+99:99[Europe/Berlin]",
    "/* */",
    "NaN",
    "1e-400",
];

fn record<T: Serialize + std::fmt::Debug>(
    bytes: &[u8],
    parse: fn(&str) -> anyhow::Result<T>,
    known: &[&str],
) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(record) = parse(&text) else {
        return;
    };
    let printed = serde_json::to_string_pretty(&record).expect("a record can be printed");
    let again = parse(&printed).expect("netbe reads what it wrote");
    assert_eq!(
        serde_json::to_string_pretty(&again).expect("a record can be printed"),
        printed
    );
    assert_eq!(format!("{again:?}"), format!("{record:?}"));
    let (before, after) = (object(&text), object(&printed));
    for (key, value) in before
        .iter()
        .filter(|(key, _)| !known.contains(&key.as_str()))
    {
        assert_eq!(
            after.get(key),
            Some(value),
            "the field {key:?} of a newer netbe"
        );
    }
}

fn object(text: &str) -> serde_json::Map<String, Value> {
    serde_json::from_str(text).expect("a record is an object")
}

fn printed_as_parsed<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(parsed) = serde_json::from_str::<T>(text) {
        let printed = serde_json::to_string(&parsed).expect("it can be printed");
        assert_eq!(
            serde_json::from_str::<T>(&printed).expect("netbe reads what it wrote"),
            parsed
        );
    }
}

fn seen_lines(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let seen = boots::parse(&text);
    assert!(seen.len() <= text.lines().count());
    for one in &seen {
        let printed = serde_json::to_string(one).expect("it can be printed");
        assert!(!printed.contains('\n'), "{printed:?}");
        assert_eq!(boots::parse(&printed), [one.clone()] as [Seen; 1]);
    }
}
