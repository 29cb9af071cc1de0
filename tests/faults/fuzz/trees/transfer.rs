//! Transfers noted in a pool, as dnsmasq hands them on.

use std::fs;
use std::path::Path;

use netbe::evidence::boots;
use netbe::publish::tftp_transfer;

use super::ground;
use crate::fuzz::mutation::Seeds;
use crate::support::TFTP_NAME;

pub(super) fn transfers() -> Seeds {
    let name = TFTP_NAME;
    Seeds::texts(
        &[
            &format!("1234\n10.0.0.5\nPOOL/tftp/{name}/vmlinuz-6.1.0-50-amd64"),
            &format!("0\nfe80::1\nPOOL/tftp/{name}/pxelinux.cfg/default"),
            "18446744073709551615\n\nPOOL/tftp/undionly.kpxe",
        ],
        &[
            "POOL/",
            "tftp/",
            "../",
            "nodes/nog/active/boot/",
            "dc-a6-32-01-02-03",
            "/etc/passwd",
        ],
    )
}

/// Notes transfers in a pool: size, client and path as dnsmasq hands them to its script, whatever they are.
pub(super) fn note() -> impl FnMut(&[u8]) {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let pool = ground().pool.open();
    let root = pool.root().as_os_str().as_bytes().to_vec();
    let node = pool.state().join("nodes/nog");
    move |bytes| {
        let mut parts = bytes.splitn(3, |b| *b == b'\n');
        let mut part = || parts.next().unwrap_or_default();
        let size = String::from_utf8_lossy(part()).parse().unwrap_or_default();
        let client = String::from_utf8_lossy(part()).into_owned();
        let path = match part() {
            path if path.starts_with(b"POOL") => [&root, &path[4..]].concat(),
            path => path.to_vec(),
        };
        let path = Path::new(OsStr::from_bytes(&path)).to_path_buf();
        let done =
            tftp_transfer::note(&pool, size, &client, &path).expect("a transfer can be noted");
        assert_eq!(done, None, "no boot is before this node");
        let file = node.join("boots.jsonl");
        let length = file.metadata().map_or(0, |m| m.len());
        assert!(
            length <= (128 << 10) + bytes.len() as u64 * 6 + 4096,
            "{length}"
        );
        if length > 0 && bytes.len() % 64 == 0 {
            // Once: other threads add lines meanwhile.
            let text = fs::read_to_string(&file).expect("it is text");
            assert!(boots::parse(&text).len() <= text.lines().count());
            boots::read(&node);
        }
    }
}
