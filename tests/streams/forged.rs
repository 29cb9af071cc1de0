//! Streams with right checksums and wrong intentions: nothing of them leads out, nothing of them stays.

use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use netbe::storage::stream::{Part, Reader, unpack};
use serde_json::json;

use crate::forging::{
    OWN, PARENT, UUID, begin, command, directory, file, head, link, rename, send, stream, write,
};
use crate::support::{Fingerprint, output};
use crate::two;

const NUMBER: fn(u64) -> [u8; 8] = u64::to_le_bytes;

/// Returns send streams that are to be refused, each with a word that says why.
fn hostile(outside: &[u8], device: u64) -> Vec<(&'static str, Vec<u8>)> {
    let planted = || link(b"out", outside);
    let inside = |name: &[u8]| [b"out/", name].concat();
    let times = |nanoseconds: u32| {
        let time = [&NUMBER(1)[..], &nanoseconds.to_le_bytes()].concat();
        command(20, &[(15, b"f"), (11, &time), (10, &time), (9, &time)])
    };
    let clone = |within: &[u8], from: &[u8]| {
        let (zero, length) = (NUMBER(0), NUMBER(4096));
        let said = [
            (15, &b"f"[..]),
            (18, &zero),
            (24, &length),
            (20, within),
            (22, from),
            (23, &zero),
        ];
        command(16, &said)
    };
    let node = |mode: u64| command(5, &[(15, b"dev"), (5, &NUMBER(mode)), (8, &NUMBER(device))]);
    let owner = |path: &[u8], uid| command(19, &[(15, path), (6, &NUMBER(uid)), (7, &NUMBER(0))]);
    let mode = |path: &[u8]| command(18, &[(15, path), (5, &NUMBER(0o4777))]);
    let xattr = |path: &[u8]| command(13, &[(15, path), (13, b"user.x"), (14, b"y")]);
    let deep = vec![b'd'; 4096];
    vec![
        ("no path inside", send(&[file(b"../../../escaped")])),
        (
            "no path inside",
            send(&[file(&[outside, b"/escaped"].concat())]),
        ),
        (
            "no path inside",
            send(&[directory(b"a"), file(b"a/../../escaped")]),
        ),
        ("no path inside", send(&[file(b"a//b")])),
        ("no path inside", send(&[file(b"a\0b")])),
        (
            "no path inside",
            send(&[file(b"f"), rename(b"f", b"../escaped")]),
        ),
        (
            "symbolic links",
            send(&[planted(), file(&inside(b"escaped"))]),
        ),
        ("", send(&[planted(), directory(&inside(b"escaped"))])),
        (
            "",
            send(&[planted(), write(&inside(b"victim"), 0, b"overwritten")]),
        ),
        (
            "",
            send(&[planted(), file(b"f"), rename(b"f", &inside(b"escaped"))]),
        ),
        ("", send(&[planted(), rename(&inside(b"victim"), b"taken")])),
        (
            "",
            send(&[
                planted(),
                command(10, &[(15, b"taken"), (17, &inside(b"victim"))]),
            ]),
        ),
        (
            "",
            send(&[planted(), command(11, &[(15, &inside(b"victim"))])]),
        ),
        (
            "",
            send(&[
                planted(),
                command(17, &[(15, &inside(b"victim")), (4, &NUMBER(0))]),
            ]),
        ),
        ("", send(&[planted(), mode(&inside(b"victim"))])),
        ("", send(&[planted(), owner(&inside(b"victim"), 4711)])),
        ("", send(&[planted(), xattr(&inside(b"victim"))])),
        (
            "",
            send(&[
                link(b"out", &[outside, b"/victim"].concat()),
                write(b"out", 0, b"overwritten"),
            ]),
        ),
        (
            "",
            send(&[link(b"out", &[outside, b"/victim"].concat()), mode(b"out")]),
        ),
        (
            "",
            send(&[link(b"proc", b"/proc/self/root"), file(b"proc/escaped")]),
        ),
        (
            "",
            send(&[file(b"f"), planted(), clone(&OWN, &inside(b"victim"))]),
        ),
        (
            "does not name",
            send(&[file(b"f"), clone(&PARENT, b"etc/passwd")]),
        ),
        (
            "regular file",
            send(&[node(0o60600), write(b"dev", 0, &[0; 4096])]),
        ),
        (
            "regular file",
            send(&[node(0o20600), write(b"dev", 0, b"x")]),
        ),
        (
            "regular file",
            send(&[command(6, &[(15, b"p")]), write(b"p", 0, b"x")]),
        ),
        (
            "regular file",
            send(&[file(b"f"), node(0o60600), clone(&OWN, b"dev")]),
        ),
        ("no device", send(&[node(0o100_600)])),
        ("", send(&[file(b"f"), file(b"f")])),
        ("", send(&[file(&deep)])),
        ("too large", send(&[file(b"f"), owner(b"f", 1 << 40)])),
        ("time that is none", send(&[file(b"f"), times(0x3fff_ffff)])),
        ("", send(&[file(b"f"), write(b"f", u64::MAX - 1, b"xyz")])),
        (
            "",
            send(&[
                file(b"f"),
                command(17, &[(15, b"f"), (4, &NUMBER(u64::MAX))]),
            ]),
        ),
        ("the top", send(&[command(12, &[(15, b"")])])),
        ("not understood", send(&[command(22, &[(15, b"f")])])),
        ("not understood", send(&[command(25, &[])])),
        (
            "wrong place",
            send(&[command(1, &[(15, b"x"), (1, &OWN), (2, &NUMBER(1))])]),
        ),
        ("without its attribute", send(&[command(3, &[])])),
        (
            "bad attribute",
            send(&[command(17, &[(15, b"f"), (4, b"1")])]),
        ),
        (
            "twice or unknown",
            send(&[command(3, &[(15, b"f"), (15, b"g")])]),
        ),
        (
            "twice or unknown",
            send(&[command(3, &[(15, b"f"), (999, b"g")])]),
        ),
        ("too early", begin()),
        ("behind its end", [send(&[]), b"more".to_vec()].concat()),
        (
            "no btrfs send stream",
            b"something else altogether".to_vec(),
        ),
        (
            "not understood",
            [&b"btrfs-stream\0\x02\0\0\0"[..], &send(&[])[17..]].concat(),
        ),
        (
            "too long",
            [begin(), b"\xff\xff\xff\xff\x03\0\0\0\0\0".to_vec()].concat(),
        ),
        (
            "not whole",
            [begin(), b"\x05\0\0\0\x03\0\0\0\0\0\x0f\0\xff\xff!".to_vec()].concat(),
        ),
        ("what changed", {
            let said = [
                (15, &b"root"[..]),
                (1, &OWN),
                (2, &NUMBER(7)),
                (20, &PARENT),
                (21, &NUMBER(7)),
            ];
            [
                b"btrfs-stream\0\x01\0\0\0".to_vec(),
                command(2, &said),
                command(21, &[]),
            ]
            .concat()
        }),
    ]
}

#[test]
fn nothing_leads_out_and_nothing_stays() {
    let (_, pool) = two();
    let outside = pool.beside().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "untouched").unwrap();
    // The disk below the pool itself: what a device in a stream would lead to.
    let device = nix::sys::stat::stat(pool.path()).unwrap().st_dev;
    let before = (
        Fingerprint::of(&outside),
        pool.skeleton(),
        pool.subvolumes(),
    );
    let empty = send(&[]);
    for (i, (word, commands)) in hostile(outside.as_os_str().as_bytes(), device)
        .iter()
        .enumerate()
    {
        for bytes in [
            stream(&head(), commands, &empty),
            stream(&head(), &empty, commands),
        ] {
            let path = pool.beside().join("forged");
            fs::write(&path, bytes).unwrap();
            let said = pool
                .netbe()
                .fails(1, &format!("import nog/x {}", path.display()));
            assert!(
                said.contains(word) && !said.contains("panic"),
                "{i}: {word:?} {said}"
            );
            assert_eq!(pool.skeleton(), before.1, "{i}: {said}");
        }
    }
    before.0.assert_unchanged(&Fingerprint::of(&outside));
    assert_eq!(pool.subvolumes(), before.2);
    pool.assert_sound();
}

/// Returns the two send streams in a stream.
fn insides(bytes: &[u8]) -> [Vec<u8>; 2] {
    let mut frames = Reader::begin(bytes).unwrap();
    frames.frame(&mut Vec::new()).unwrap();
    unpack(frames, |arriving| -> std::io::Result<[Vec<u8>; 2]> {
        let mut halves = [Vec::new(), Vec::new()];
        for (part, half) in [Part::Root, Part::Boot].into_iter().zip(&mut halves) {
            arriving.half(part).read_to_end(half)?;
        }
        Ok(halves)
    })
    .unwrap()
}

#[test]
fn altered_insides_are_refused_or_stay_inside() {
    let (here, pool) = two();
    let [root, boot] = insides(&fs::read(here.exported("nog/a")).unwrap());
    let outside = Fingerprint::of(Path::new("/etc")).without(&["exports.d", "mtab"]);
    let before = (pool.skeleton(), pool.subvolumes());
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut taken = 0;
    for i in 0..200 {
        let mut altered = if i % 4 == 0 {
            boot.clone()
        } else {
            root.clone()
        };
        for _ in 0..=i % 3 {
            // Most of a send stream is data; what matters is in the commands, which begin all over it.
            let at = next(altered.len());
            match next(4) {
                0 => altered[at] ^= 1 << next(8),
                1 => altered[at] = next(256) as u8,
                2 => drop(altered.drain(at..(at + 1 + next(40)).min(altered.len()))),
                _ => altered.truncate(at.max(20)),
            }
        }
        let bytes = match i % 4 {
            0 => stream(&head(), &root, &altered),
            _ => stream(&head(), &altered, &boot),
        };
        let path = pool.beside().join("altered");
        fs::write(&path, bytes).unwrap();
        let said = pool
            .netbe()
            .run(&format!("import new/x {}", path.display()));
        assert!([0, 1, 3].contains(&said.status), "{i}: {said:?}");
        assert!(!said.stderr.contains("panic"), "{i}: {said:?}");
        if said.status == 0 {
            taken += 1;
            pool.netbe().ok("destroy -y -r new");
        }
        assert_eq!(pool.skeleton(), before.0, "{i}: {said:?}");
    }
    assert!(taken < 150, "{taken}");
    let after = Fingerprint::of(Path::new("/etc")).without(&["exports.d", "mtab"]);
    outside.assert_unchanged(&after);
    assert_eq!(pool.subvolumes(), before.1);
    pool.assert_sound();
}

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
            "compressed once more",
        ),
        (
            "zstd",
            zstd::encode_all(&[7_u8; 5000][..], 1).unwrap(),
            "neither a tar archive",
        ),
        (
            "newer",
            [b"NETBE-STREAM 2\n", &bytes[15..]].concat(),
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
fn a_stream_of_btrfs_itself_is_told_apart() {
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
fn changes_go_where_what_they_are_since_is() {
    let (_, pool) = two();
    let mut forged = head();
    forged["since"] = json!({"node": "nog", "name": "zero", "uuid": UUID});
    let path = pool.beside().join("forged");
    fs::write(&path, stream(&forged, &send(&[]), &send(&[]))).unwrap();
    let before = pool.skeleton();
    for line in ["import nog/x", "import -n nog/x"] {
        let said = pool.netbe().fails(3, &format!("{line} {}", path.display()));
        assert!(
            said.contains("since nog/zero") && said.contains(UUID),
            "{said}"
        );
        assert!(
            said.contains("hint: where it comes from, a whole one: netbe export nog/a"),
            "{said}"
        );
    }
    assert_eq!(pool.skeleton(), before);
}
