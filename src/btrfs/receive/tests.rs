use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::command::{Clone, Command, Identity, Made};
use super::*;

type Attributes<'a> = Vec<(u16, Vec<u8>)>;

fn number(n: u64) -> Vec<u8> {
    n.to_le_bytes().to_vec()
}

fn time((seconds, nanoseconds): (i64, u32)) -> Vec<u8> {
    [&seconds.to_le_bytes()[..], &nanoseconds.to_le_bytes()].concat()
}

/// Serializes a command as the kernel does: its type and attributes.
fn serialized(command: &Command<'_>) -> (u16, Attributes<'static>) {
    let path = |key, path: &Path| (key, path.as_os_str().as_bytes().to_vec());
    let inode = (3, number(257));
    match command {
        Command::Subvolume(own) => (
            1,
            vec![(15, b"root".to_vec()), (1, own.0.to_vec()), (2, number(9))],
        ),
        Command::Snapshot(own, parent) => {
            let own = [(15, b"root".to_vec()), (1, own.0.to_vec()), (2, number(9))];
            let parent = [(20, parent.0.to_vec()), (21, number(8))];
            (2, own.into_iter().chain(parent).collect())
        }
        Command::Make(p, Made::File) => (3, vec![path(15, p), inode]),
        Command::Make(p, Made::Directory) => (4, vec![path(15, p), inode]),
        Command::Make(p, Made::Device(mode, device)) => {
            let said = [(5, number((*mode).into())), (8, number(*device))];
            (5, [path(15, p), inode].into_iter().chain(said).collect())
        }
        Command::Make(p, Made::Pipe) => (6, vec![path(15, p), inode]),
        Command::Make(p, Made::Socket) => (7, vec![path(15, p), inode]),
        Command::Make(p, Made::Link(to)) => {
            (8, vec![path(15, p), inode, (17, to.as_bytes().to_vec())])
        }
        Command::Rename(from, to) => (9, vec![path(15, from), path(16, to)]),
        Command::HardLink(new, old) => (10, vec![path(15, new), path(17, old)]),
        Command::Unlink(p) => (11, vec![path(15, p)]),
        Command::RemoveDirectory(p) => (12, vec![path(15, p)]),
        Command::SetAttribute(p, name, value) => {
            let said = [(13, name.as_bytes().to_vec()), (14, value.to_vec())];
            (13, [path(15, p)].into_iter().chain(said).collect())
        }
        Command::RemoveAttribute(p, name) => {
            (14, vec![path(15, p), (13, name.as_bytes().to_vec())])
        }
        Command::Write(p, at, data) => (
            15,
            vec![path(15, p), (18, number(*at)), (19, data.to_vec())],
        ),
        Command::Clone(c) => {
            let to = [path(15, c.to), (18, number(c.at)), (24, number(c.length))];
            let from = [(20, c.within.0.to_vec()), (21, number(9)), path(22, c.from)];
            let from = from.into_iter().chain([(23, number(c.from_at))]);
            (16, to.into_iter().chain(from).collect())
        }
        Command::Truncate(p, size) => (17, vec![path(15, p), (4, number(*size))]),
        Command::Mode(p, mode) => (18, vec![path(15, p), (5, number((*mode).into()))]),
        Command::Owner(p, uid, gid) => {
            let said = [(6, number((*uid).into())), (7, number((*gid).into()))];
            (19, [path(15, p)].into_iter().chain(said).collect())
        }
        Command::Times(p, accessed, modified) => {
            let said = [
                (11, time(*accessed)),
                (10, time(*modified)),
                (9, time((0, 0))),
            ];
            (20, [path(15, p)].into_iter().chain(said).collect())
        }
        Command::End => (21, Vec::new()),
    }
}

fn body(attributes: &Attributes<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in attributes {
        bytes.extend(key.to_le_bytes());
        bytes.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        bytes.extend(value);
    }
    bytes
}

prop_compose! {
    fn name()(parts in vec("[a-z.][a-z0-9 é]{1,9}", 1..4)) -> String {
        parts.join("/")
    }
}

proptest! {
    #[test]
    fn a_serialized_command_is_parsed_the_same(
        one in name(), other in name(), text in "[^\0]{1,20}", data in vec(any::<u8>(), 0..300),
        (a, b, c, n) in any::<(u64, u64, u64, i64)>(), (x, y) in any::<(u32, u32)>(), ns in 0_u32..1_000_000_000,
        ids in any::<([u8; 16], [u8; 16])>()
    ) {
        let (p, q, t) = (Path::new(&one), Path::new(&other), OsStr::new(&text));
        let (own, parent) = (Identity(ids.0), Identity(ids.1));
        let top = Path::new("");
        for command in [
            Command::Subvolume(own), Command::Snapshot(own, parent), Command::Make(p, Made::File),
            Command::Make(p, Made::Directory), Command::Make(p, Made::Pipe), Command::Make(p, Made::Socket),
            Command::Make(p, Made::Device(x, a)), Command::Make(p, Made::Link(t)), Command::Rename(p, q),
            Command::HardLink(p, q), Command::Unlink(p), Command::RemoveDirectory(p),
            Command::SetAttribute(p, t, &data), Command::RemoveAttribute(top, t), Command::Write(p, a, &data),
            Command::Clone(Clone { to: p, at: a, length: b, within: parent, from: q, from_at: c }),
            Command::Truncate(p, a), Command::Mode(top, x), Command::Owner(p, x, y),
            Command::Times(p, (n, ns), (-1, 0)), Command::End,
        ] {
            let (kind, attributes) = serialized(&command);
            let bytes = body(&attributes);
            prop_assert_eq!(Command::parse(kind, &bytes).unwrap(), command);
            // The order of attributes has no effect; a truncated command is an error.
            let turned: Attributes<'_> = attributes.iter().rev().cloned().collect();
            let turned = body(&turned);
            prop_assert_eq!(Command::parse(kind, &turned).unwrap(), command);
            if !bytes.is_empty() {
                prop_assert!(Command::parse(kind, &bytes[..bytes.len() - 1]).is_err());
            }
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(kind in 0_u16..30, bytes in vec(any::<u8>(), 0..200)) {
        if kind != 21 {
            let _ = Command::parse(kind, &bytes);
        }
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        prop_assert!(receive(&mut &bytes[..], &tree, Origin::Empty).is_err());
    }
}

#[test]
fn paths_that_lead_outside_are_errors() {
    for path in [
        "..", "../a", "a/../b", "a/..", "/a", "a/", "a//b", ".", "./a", "a\0b", "/",
    ] {
        let said = body(&vec![(15, path.as_bytes().to_vec())]);
        let error = Command::parse(3, &said).unwrap_err().to_string();
        assert!(error.contains("no path inside"), "{path}: {error}");
    }
    for path in ["a", "...", "..a", "a/.b", "a/b..", "\u{1b}"] {
        let said = body(&vec![(15, path.as_bytes().to_vec())]);
        assert!(Command::parse(3, &said).is_ok(), "{path}");
    }
}

#[test]
fn a_shown_path_has_no_control_characters() {
    let shown = Command::Unlink(Path::new("a\u{1b}[2Jb\n")).to_string();
    assert_eq!(shown, "removing 'a\\u{1b}[2Jb\\n'");
}

/// Returns a send stream of commands that do not need root.
fn stream(commands: &[Command<'_>]) -> Vec<u8> {
    let mut bytes = [MAGIC, &PROTOCOL.to_le_bytes()].concat();
    for command in commands {
        let (kind, attributes) = serialized(command);
        let body = body(&attributes);
        bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
    }
    bytes
}

#[test]
fn commands_are_applied_inside_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
    for dir in [&inside, &outside] {
        std::fs::create_dir(dir).unwrap();
    }
    let own = Identity([1; 16]);
    let (f, g, d) = (Path::new("f"), Path::new("d/g"), Path::new("d"));
    let whole = stream(&[
        Command::Subvolume(own),
        Command::Make(d, Made::Directory),
        Command::Make(f, Made::File),
        Command::Write(f, 3, b"abc"),
        Command::Rename(f, g),
        Command::Write(g, 6, b"def"),
        Command::Truncate(g, 8),
        Command::Mode(g, 0o640),
        Command::Times(g, (1, 2), (-3, 4)),
        Command::Make(f, Made::Link(OsStr::new("../outside"))),
        Command::End,
    ]);
    let tree = Tree::open(&inside).unwrap();
    receive(&mut &whole[..], &tree, Origin::Empty).unwrap();
    assert_eq!(std::fs::read(inside.join("d/g")).unwrap(), b"\0\0\0abcde");
    // Nothing goes through the symbolic link that exists now.
    let out = Path::new("f/new");
    for command in [
        Command::Make(out, Made::File),
        Command::Write(f, 0, b"x"),
        Command::Truncate(f, 0),
        Command::Mode(f, 0),
        Command::Rename(g, out),
    ] {
        let bytes = stream(&[Command::Subvolume(own), command, Command::End]);
        assert!(
            receive(&mut &bytes[..], &tree, Origin::Empty).is_err(),
            "{command:?}"
        );
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn the_beginning_and_the_end_of_a_stream_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    let own = Identity([1; 16]);
    let whole = stream(&[Command::Subvolume(own), Command::End]);
    receive(&mut &whole[..], &tree, Origin::Empty).unwrap();
    assert!(receive(&mut &whole[..], &tree, Origin::Parent(&tree)).is_err());
    for length in 0..whole.len() {
        assert!(receive(&mut &whole[..length], &tree, Origin::Empty).is_err());
    }
    for wrong in [
        stream(&[]),
        stream(&[Command::End]),
        stream(&[
            Command::Subvolume(own),
            Command::Subvolume(own),
            Command::End,
        ]),
        stream(&[Command::Snapshot(own, own), Command::End]),
        [whole, vec![0]].concat(),
    ] {
        assert!(receive(&mut &wrong[..], &tree, Origin::Empty).is_err());
    }
}
