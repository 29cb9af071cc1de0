//! Send streams in streams whose checksums are right: made up to lead out, and real ones altered.

use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use netbe::stream::{Part, Reader, unpack};

use crate::forging::{
    OWN, PARENT, attribute, begin, clone, command, directory, file, hard_link, head, link, mode,
    node, owner, pipe, remove_directory, rename, send, stream, times, truncate, unlink, write,
};
use crate::support::Fingerprint;
use crate::two;

/// A send stream that is to be refused, with a word that says why.
type Hostile = (&'static str, Vec<u8>);

fn case(word: &'static str, commands: &[Vec<u8>]) -> Hostile {
    (word, send(commands))
}

/// Returns those with names that lead out, or are none.
fn names(outside: &[u8]) -> Vec<Hostile> {
    let absolute = [outside, b"/escaped"].concat();
    vec![
        case("no path inside", &[file(b"../../../escaped")]),
        case("no path inside", &[file(&absolute)]),
        case(
            "no path inside",
            &[directory(b"a"), file(b"a/../../escaped")],
        ),
        case("no path inside", &[file(b"a//b")]),
        case("no path inside", &[file(b"a\0b")]),
        case("no path inside", &[file(b"f"), rename(b"f", b"../escaped")]),
        case("", &[file(&[b'd'; 4096])]),
        case("", &[file(b"f"), file(b"f")]),
        case("the top", &[remove_directory(b"")]),
    ]
}

/// Returns those that make a link that leads out, and go through it.
fn through_links(outside: &[u8]) -> Vec<Hostile> {
    let planted = || link(b"out", outside);
    let at_victim = || link(b"out", &[outside, b"/victim"].concat());
    let (escaped, victim) = (b"out/escaped", b"out/victim");
    vec![
        case("symbolic links", &[planted(), file(escaped)]),
        case("", &[planted(), directory(escaped)]),
        case("", &[planted(), write(victim, 0, b"overwritten")]),
        case("", &[planted(), file(b"f"), rename(b"f", escaped)]),
        case("", &[planted(), rename(victim, b"taken")]),
        case("", &[planted(), hard_link(b"taken", victim)]),
        case("", &[planted(), unlink(victim)]),
        case("", &[planted(), truncate(victim, 0)]),
        case("", &[planted(), mode(victim)]),
        case("", &[planted(), owner(victim, 4711)]),
        case("", &[planted(), attribute(victim)]),
        case("", &[at_victim(), write(b"out", 0, b"overwritten")]),
        case("", &[at_victim(), mode(b"out")]),
        case(
            "",
            &[link(b"proc", b"/proc/self/root"), file(b"proc/escaped")],
        ),
        case("", &[file(b"f"), planted(), clone(&OWN, victim)]),
        case(
            "other than this one and its parent",
            &[file(b"f"), clone(&PARENT, b"etc/passwd")],
        ),
    ]
}

/// Returns those that make a device, and write to it or read from it as if it were a file.
fn devices(device: u64) -> Vec<Hostile> {
    let dev = |mode| node(b"dev", mode, device);
    let block = || dev(0o60600);
    vec![
        case("regular file", &[block(), write(b"dev", 0, &[0; 4096])]),
        case("regular file", &[dev(0o20600), write(b"dev", 0, b"x")]),
        case("regular file", &[pipe(b"p"), write(b"p", 0, b"x")]),
        case("regular file", &[file(b"f"), block(), clone(&OWN, b"dev")]),
        case("not a device", &[dev(0o100_600)]),
    ]
}

/// Returns those with numbers that nothing can hold.
fn numbers() -> Vec<Hostile> {
    vec![
        case("too large", &[file(b"f"), owner(b"f", 1 << 40)]),
        case("invalid time", &[file(b"f"), times(b"f", 0x3fff_ffff)]),
        case("", &[file(b"f"), write(b"f", u64::MAX - 1, b"xyz")]),
        case("", &[file(b"f"), truncate(b"f", u64::MAX)]),
    ]
}

/// Returns what is no send stream, or none of a whole subvolume.
fn misspelt() -> Vec<Hostile> {
    let seven = 7_u64.to_le_bytes();
    let again = command(1, &[(15, b"x"), (1, &OWN), (2, &1_u64.to_le_bytes())]);
    let twice = command(3, &[(15, b"f"), (15, b"g")]);
    let unknown = command(3, &[(15, b"f"), (999, b"g")]);
    let begin_with = |bytes: &[u8]| [&begin(), bytes].concat();
    let changes = [
        (15, &b"root"[..]),
        (1, &OWN),
        (2, &seven),
        (20, &PARENT),
        (21, &seven),
    ];
    vec![
        case("not understood", &[command(22, &[(15, b"f")])]),
        case("not understood", &[command(25, &[])]),
        case("wrong place", &[again]),
        case("without its attribute", &[command(3, &[])]),
        case("bad attribute", &[command(17, &[(15, b"f"), (4, b"1")])]),
        case("twice or unknown", &[twice]),
        case("twice or unknown", &[unknown]),
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
        ("too long", begin_with(b"\xff\xff\xff\xff\x03\0\0\0\0\0")),
        (
            "not whole",
            begin_with(b"\x05\0\0\0\x03\0\0\0\0\0\x0f\0\xff\xff!"),
        ),
        (
            "what changed",
            [
                b"btrfs-stream\0\x01\0\0\0".to_vec(),
                command(2, &changes),
                command(21, &[]),
            ]
            .concat(),
        ),
    ]
}

#[test]
fn hostile_commands_reach_no_file_outside_and_leave_no_files() {
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
    let name = outside.as_os_str().as_bytes();
    let hostile = [
        names(name),
        through_links(name),
        devices(device),
        numbers(),
        misspelt(),
    ];
    for (i, (word, commands)) in hostile.concat().iter().enumerate() {
        for bytes in [
            stream(&head(), commands, &empty),
            stream(&head(), &empty, commands),
        ] {
            let path = pool.beside().join("forged");
            fs::write(&path, bytes).unwrap();
            let output = pool
                .netbe()
                .fails(1, &format!("import nog/x {}", path.display()));
            assert!(
                output.contains(word) && !output.contains("panic"),
                "{i}: {word:?} {output}"
            );
            assert_eq!(pool.skeleton(), before.1, "{i}: {output}");
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
        let output = pool
            .netbe()
            .run(&format!("import new/x {}", path.display()));
        assert!([0, 1, 3].contains(&output.status), "{i}: {output:?}");
        assert!(!output.stderr.contains("panic"), "{i}: {output:?}");
        if output.status == 0 {
            taken += 1;
            pool.netbe().ok("destroy -y -r new");
        }
        assert_eq!(pool.skeleton(), before.0, "{i}: {output:?}");
    }
    assert!(taken < 150, "{taken}");
    let after = Fingerprint::of(Path::new("/etc")).without(&["exports.d", "mtab"]);
    outside.assert_unchanged(&after);
    assert_eq!(pool.subvolumes(), before.1);
    pool.assert_sound();
}
