//! Streams that no netbe has written, with checksums that are right.

use netbe::stream::{PLAIN, Part, Writer, pack};
use serde_json::{Value, json};

pub(crate) const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
/// The subvolume that a forged send stream says it is.
pub(crate) const OWN: [u8; 16] = [1; 16];
/// The one it says it is made from.
pub(crate) const PARENT: [u8; 16] = [2; 16];

/// Returns the head of a whole stream of nog/a.
pub(crate) fn head() -> Value {
    json!({
        "netbe": "0.1.0", "node": "nog", "name": "a", "template": false,
        "exported": "2026-11-20T10:15:00Z", "id": UUID,
        "record": {"version": 1, "uuid": UUID, "created": "2026-11-20T10:15:00Z", "boot_mount": "/boot", "description": ""}
    })
}

/// Returns a stream of two send streams.
pub(crate) fn stream(head: &Value, root: &[u8], boot: &[u8]) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), PLAIN).unwrap();
    writer
        .frame(Part::Head, head.to_string().as_bytes())
        .unwrap();
    for (part, content) in [(Part::Root, root), (Part::Boot, boot)] {
        pack(content, part, &mut writer, &mut |_| {}).unwrap();
    }
    let lengths = [root.len() as u64, boot.len() as u64];
    writer
        .frame(Part::Done, &lengths.map(u64::to_le_bytes).concat())
        .unwrap();
    writer.into_inner()
}

/// An attribute of a command: its number and its value.
pub(crate) type Attribute<'a> = (u16, &'a [u8]);

/// Returns one command of a send stream; its checksum is left out.
pub(crate) fn command(kind: u16, attributes: &[Attribute<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in attributes {
        body.extend(key.to_le_bytes());
        body.extend((value.len() as u16).to_le_bytes());
        body.extend(*value);
    }
    let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
    bytes.extend(kind.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes
}

/// Returns a whole send stream of commands, with its beginning and its end.
pub(crate) fn send(commands: &[Vec<u8>]) -> Vec<u8> {
    [begin(), commands.concat(), command(21, &[])].concat()
}

/// Returns how a whole send stream begins.
pub(crate) fn begin() -> Vec<u8> {
    let begin = command(1, &[(15, b"root"), (1, &OWN), (2, &7_u64.to_le_bytes())]);
    [b"btrfs-stream\0\x01\0\0\0".to_vec(), begin].concat()
}

pub(crate) fn file(path: &[u8]) -> Vec<u8> {
    command(3, &[(15, path), (3, &300_u64.to_le_bytes())])
}

pub(crate) fn directory(path: &[u8]) -> Vec<u8> {
    command(4, &[(15, path)])
}

pub(crate) fn link(path: &[u8], target: &[u8]) -> Vec<u8> {
    command(8, &[(15, path), (17, target)])
}

pub(crate) fn write(path: &[u8], at: u64, data: &[u8]) -> Vec<u8> {
    command(15, &[(15, path), (18, &at.to_le_bytes()), (19, data)])
}

pub(crate) fn rename(path: &[u8], to: &[u8]) -> Vec<u8> {
    command(9, &[(15, path), (16, to)])
}

/// Returns what makes a device, or claims to: the mode says what is made.
pub(crate) fn node(path: &[u8], mode: u64, device: u64) -> Vec<u8> {
    let (mode, device) = (mode.to_le_bytes(), device.to_le_bytes());
    command(5, &[(15, path), (5, &mode), (8, &device)])
}

pub(crate) fn pipe(path: &[u8]) -> Vec<u8> {
    command(6, &[(15, path)])
}

/// Returns what gives a file a second name.
pub(crate) fn hard_link(path: &[u8], to: &[u8]) -> Vec<u8> {
    command(10, &[(15, path), (17, to)])
}

pub(crate) fn unlink(path: &[u8]) -> Vec<u8> {
    command(11, &[(15, path)])
}

pub(crate) fn remove_directory(path: &[u8]) -> Vec<u8> {
    command(12, &[(15, path)])
}

pub(crate) fn attribute(path: &[u8]) -> Vec<u8> {
    command(13, &[(15, path), (13, b"user.x"), (14, b"y")])
}

/// Returns what has the first 4 KiB of `f` share the space of a file's, in the subvolume with this identity.
pub(crate) fn clone(within: &[u8], from: &[u8]) -> Vec<u8> {
    let (zero, length) = (0_u64.to_le_bytes(), 4096_u64.to_le_bytes());
    let output = [
        (15, &b"f"[..]),
        (18, &zero),
        (24, &length),
        (20, within),
        (22, from),
        (23, &zero),
    ];
    command(16, &output)
}

pub(crate) fn truncate(path: &[u8], size: u64) -> Vec<u8> {
    command(17, &[(15, path), (4, &size.to_le_bytes())])
}

/// Returns what lets everybody run a file as its owner.
pub(crate) fn mode(path: &[u8]) -> Vec<u8> {
    command(18, &[(15, path), (5, &0o4777_u64.to_le_bytes())])
}

pub(crate) fn owner(path: &[u8], uid: u64) -> Vec<u8> {
    let (uid, gid) = (uid.to_le_bytes(), 0_u64.to_le_bytes());
    command(19, &[(15, path), (6, &uid), (7, &gid)])
}

pub(crate) fn times(path: &[u8], nanoseconds: u32) -> Vec<u8> {
    let time = [&1_u64.to_le_bytes()[..], &nanoseconds.to_le_bytes()].concat();
    command(20, &[(15, path), (11, &time), (10, &time), (9, &time)])
}
