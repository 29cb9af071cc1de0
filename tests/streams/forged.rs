//! Streams with right checksums and wrong intentions: nothing of them leads out, nothing of them stays.
//!
//! Here is what they say of themselves, and what only looks like one.

mod commands;

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::forging::{UUID, head, send, stream};
use crate::support::output;
use crate::two;

#[test]
fn heads_are_not_believed() {
    let (here, pool) = two();
    let whole = here.exported("nog/a");
    let bytes = fs::read(&whole).unwrap();
    let before = pool.skeleton();
    let empty = send(&[]);
    for (pointer, value) in [
        ("/node", json!("../../etc")),
        ("/name", json!("../x")),
        ("/name", json!("a\u{1b}[2J")),
        ("/id", json!("x")),
        ("/record/boot_mount", json!("/boot\n/dev/sda / ext4")),
        ("/record/version", json!(99)),
        ("/record/description", json!("one\ntwo")),
        ("/record", json!(null)),
    ] {
        let mut forged = head();
        *forged.pointer_mut(pointer).unwrap() = value;
        let path = pool.beside().join("forged");
        fs::write(&path, stream(&forged, &empty, &empty)).unwrap();
        let said = pool
            .netbe()
            .fails(1, &format!("import nog {}", path.display()));
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
    // Nothing in the halves: no system, and still whole; it is said that it would not boot.
    let path = pool.beside().join("forged");
    fs::write(&path, stream(&head(), &empty, &empty)).unwrap();
    let said = pool.netbe().run(&format!("import nog {}", path.display()));
    assert_ne!(said.status, 0, "{said:?}");
    assert_eq!(pool.skeleton(), before);
    // What is not a stream at all.
    for (name, content, word) in [
        (
            "gzip",
            output(Command::new("gzip").arg("-c").arg(&whole)),
            "compressed again",
        ),
        (
            "zstd",
            zstd::encode_all(&[7_u8; 5000][..], 1).unwrap(),
            "neither a tar archive",
        ),
        (
            "newer",
            [b"NETBE-STREAM 3\n", &bytes[15..]].concat(),
            "newer netbe",
        ),
        (
            "older",
            [b"NETBE-STREAM 0\n", &bytes[15..]].concat(),
            "damaged",
        ),
        ("name", b"NETBE-STREAM".to_vec(), "cut short"),
    ] {
        fs::write(&path, content).unwrap();
        let said = pool
            .netbe()
            .fails(1, &format!("import nog {}", path.display()));
        assert!(said.contains(word), "{name}: {said}");
        let piped = pool.reads("nog", &path);
        assert!(
            piped.status == 1 && piped.stderr.contains(word),
            "{name}: {piped:?}"
        );
    }
    assert_eq!(pool.skeleton(), before);
}

#[test]
fn a_stream_of_btrfs_send_is_recognised() {
    let (here, pool) = two();
    here.netbe().ok("export nog/a -o /dev/null");
    let sent = output(
        Command::new("btrfs")
            .args(["-q", "send"])
            .arg(here.base("nog/a").join("root")),
    );
    let path = pool.beside().join("plain");
    fs::write(&path, sent).unwrap();
    let before = pool.skeleton();
    let said = pool
        .netbe()
        .fails(1, &format!("import nog {}", path.display()));
    assert!(
        said.contains("btrfs send") && said.contains("hint: "),
        "{said}"
    );
    assert_eq!(pool.skeleton(), before);
}

#[test]
fn an_import_without_its_base_is_refused_with_a_hint() {
    let (_, pool) = two();
    let mut forged = head();
    forged["since"] = json!({"node": "nog", "name": "zero", "uuid": UUID});
    let path = pool.beside().join("forged");
    fs::write(&path, stream(&forged, &send(&[]), &send(&[]))).unwrap();
    let before = pool.skeleton();
    for line in ["import nog/x", "import -n nog/x"] {
        let output = pool.netbe().fails(3, &format!("{line} {}", path.display()));
        assert!(
            output.contains("since nog/zero") && output.contains(UUID),
            "{output}"
        );
        assert!(output.contains("hint: netbe export nog/a"), "{output}");
    }
    assert_eq!(pool.skeleton(), before);
}
