//! Archives unpacked: one with everything that tar has, and long ones.

use std::time::Duration;

use netbe::formats::tar;
use netbe::fs::rooted::Tree;

use super::{Place, on};
use crate::fuzz::mutation::Seeds;
use crate::fuzz::timed;

/// Returns a small archive with one of everything.
pub(in crate::fuzz) fn archive() -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |name: &str, kind: u8, target: &str, content: &[u8]| {
        let mut header = ::tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        header.set_entry_type(::tar::EntryType::new(kind));
        if kind == b'S' {
            let sparse = &mut header.as_gnu_mut().expect("it is one").sparse[0];
            sparse.offset[..4].copy_from_slice(b"1000");
            sparse.numbytes[..2].copy_from_slice(b"14");
            header.as_gnu_mut().expect("it is one").realsize[..5].copy_from_slice(b"10000");
        }
        header.set_cksum();
        out.extend(header.as_bytes());
        out.extend(content);
        out.resize(out.len().next_multiple_of(512), 0);
    };
    add("etc/", b'5', "", b"");
    add(
        "etc/passwd",
        b'0',
        "",
        b"root:x:0:0:root:/root:/bin/sh\nlars:x:1000:1000::/:/bin/sh\n",
    );
    add("x", b'x', "", b"30 mtime=1700000000.123456789\n21 path=etc/long/name\n34 SCHILY.xattr.user.a=value\n\0=x\n");
    add("etc/short", b'0', "", b"content");
    add(
        "x",
        b'x',
        "",
        b"57 SCHILY.acl.access=user::rw-,user:lars:r--,mask::r--,other::---\n",
    );
    add("etc/acl", b'0', "", b"x");
    add("etc/link", b'2', "../../../canary", b"");
    add("etc/link/inside", b'0', "", b"x");
    add("etc/hard", b'1', "etc/passwd", b"");
    add("etc/sparse", b'S', "", b"twelve bytes");
    add("x", b'x', "", b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n28 GNU.sparse.realsize=4096\n25 GNU.sparse.name=etc/s\n");
    let mut map = b"1\n4090\n6\n".to_vec();
    map.resize(512, 0);
    map.extend(b"sparse");
    add("etc/GNUSparseFile.0/s", b'0', "", &map);
    add("pipe", b'6', "", b"");
    add("null", b'3', "", b"");
    add("././@LongLink", b'L', "", b"etc/a/name/that/is/long\0");
    add("etc/a", b'0', "", b"");
    add("g", b'g', "", b"12 uid=1000\n");
    add("last", b'0', "", b"x");
    out.resize(out.len() + 1024, 0);
    out
}

pub(super) fn archives() -> Seeds {
    let mut seeds = Seeds::new(
        vec![archive()],
        &[
            "../",
            "etc/link/",
            "etc/link",
            "etc/passwd/",
            "././@LongLink",
            "SCHILY.xattr.security.capability=",
            "SCHILY.acl.default=",
            "LIBARCHIVE.xattr.user.b=QUI=\n",
            "GNU.sparse.map=",
            "GNU.sparse.offset=",
            "GNU.sparse.numbytes=",
            "GNU.sparse.size=",
            "size=",
            "path=",
            "linkpath=",
            "mtime=-1.5\n",
            "user:nobody:rwx",
            "ustar\0",
            "ustar  \0",
        ],
    );
    seeds.mend = Some(mend_archive);
    seeds
}

/// Makes the checksums of headers right again, so that what they say is looked at.
fn mend_archive(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        let looks_like =
            block[257..].starts_with(b"ustar") || (block[100..107].iter().all(u8::is_ascii_digit));
        if looks_like {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

pub(super) fn unpack() -> impl FnMut(&[u8]) {
    let place = Place::new();
    move |bytes| {
        on(&place, |directory| {
            let tree = Tree::open(directory).expect("it is there");
            let _ = tar::is_tar(bytes);
            let _ = tar::unpack(&mut { bytes }, &tree);
        });
    }
}

/// Unpacks long archives.
pub(in crate::fuzz) fn long() -> Vec<(String, Duration)> {
    let member = |name: &str, kind: u8, content: &[u8]| {
        let mut header = ::tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_entry_type(::tar::EntryType::new(kind));
        header.set_cksum();
        let mut out = header.as_bytes().to_vec();
        out.extend(content);
        out.resize(out.len().next_multiple_of(512), 0);
        out
    };
    let end = vec![0; 1024];
    let record = |key: &str, value: &str| {
        let body = key.len() + value.len() + 3;
        let length = (body..body + 8)
            .find(|l| body + l.to_string().len() == *l)
            .expect("a record has a length");
        format!("{length} {key}={value}\n")
    };
    let attributes: String = (0..150_000)
        .map(|n| record(&format!("SCHILY.xattr.user.{n}"), "x"))
        .collect();
    let acl = record("SCHILY.acl.access", "user::rw-,group::r--,other::---");
    let pieces: String = (0..100_000)
        .map(|n| {
            record("GNU.sparse.offset", &(n * 2).to_string()) + &record("GNU.sparse.numbytes", "0")
        })
        .collect();
    let sparse = record("GNU.sparse.size", "1000000") + &pieces;
    let many_acls = (0..2_000).flat_map(|n| {
        [
            member("x", b'x', acl.as_bytes()),
            member(&format!("f{n}"), b'0', b""),
        ]
        .concat()
    });
    let shadowed = (0..2_000).flat_map(|n| member(&format!("f{n}"), b'0', b""));
    let everywhere = member("g", b'g', attributes.as_bytes());
    [
        (
            "a member with very many attributes",
            [
                member("x", b'x', attributes.as_bytes()),
                member("f", b'0', b""),
            ]
            .concat(),
        ),
        (
            "very many attributes for every member",
            everywhere.into_iter().chain(shadowed).collect(),
        ),
        ("very many access lists", many_acls.collect()),
        (
            "very many sparse pieces",
            [member("x", b'x', sparse.as_bytes()), member("f", b'0', b"")].concat(),
        ),
    ]
    .into_iter()
    .map(|(about, archive)| {
        let mut unpack = unpack();
        let whole = [archive, end.clone()].concat();
        let ((), took) = timed(|| unpack(&whole));
        (about.to_string(), took)
    })
    .collect()
}
