//! What ends up on a disk: archives and FATs unpacked, and transfers noted in a pool.
//!
//! All of it in memory, in a mount namespace of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use netbe::pool;
use netbe::publish::{boots, transfer};
use netbe::storage::archive;
use netbe::storage::beneath::Tree;
use netbe::storage::image;
use nix::mount::{MsFlags, mount};

use super::Target;
use super::mutation::Seeds;
use super::sources::{fill, memory_file};
use crate::support::{Pool, TFTP_NAME};

/// Where the cases of this room unpack, and the pool they write into.
static GROUND: OnceLock<Ground> = OnceLock::new();
static DIRECTORIES: AtomicU64 = AtomicU64::new(0);

struct Ground {
    /// Keeps the filesystem until the program ends.
    pool: Pool,
    memory: PathBuf,
}

/// Makes the ground on which all threads that this one starts stand.
pub(super) fn prepare() {
    GROUND.get_or_init(|| {
        let pool = Pool::with_served_node();
        let memory = pool.beside().join("memory");
        fs::create_dir(&memory).expect("one's own directory is writable");
        mount(
            Some("tmpfs"),
            &memory,
            Some("tmpfs"),
            MsFlags::MS_NODEV,
            Some("size=256m"),
        )
        .expect("root may mount");
        Ground { pool, memory }
    });
}

fn ground() -> &'static Ground {
    GROUND.get().expect("it was prepared")
}

pub(super) fn targets() -> Vec<Target> {
    let of = |name, short, fixed: usize, seeds, make| Target {
        name,
        seeds,
        short,
        memory: (fixed, 200),
        time: Duration::from_millis(300),
        make,
    };
    vec![
        of("tar", 3_000, 1 << 20, archives(), || Box::new(unpack())),
        of("fat", 3_000, 4 << 20, fats(), || Box::new(copy_fat())),
        of("transfer", 3_000, 4 << 20, transfers(), || Box::new(note())),
    ]
}

/// A directory that has to be empty again after each case, beside a file that must never change.
struct Place {
    directory: PathBuf,
    canary: PathBuf,
}

/// Makes a directory in memory for one thread.
pub(super) fn directory() -> PathBuf {
    let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
    let path = ground().memory.join(number.to_string());
    fs::create_dir(&path).expect("there is room");
    path
}

impl Place {
    fn new() -> Self {
        let above = directory();
        let place = Self {
            directory: above.join("tree"),
            canary: above.join("canary"),
        };
        fs::write(&place.canary, "canary").expect("there is room");
        place
    }

    fn empty(&self) {
        fs::create_dir(&self.directory).expect("there is room");
    }

    fn judge(&self) {
        let above = self.directory.parent().expect("it has one");
        let names = fs::read_dir(above).expect("it is there").count();
        assert_eq!(
            (names, fs::read(&self.canary).unwrap()),
            (2, b"canary".to_vec()),
            "something was written outside"
        );
        fs::remove_dir_all(&self.directory).expect("what was unpacked can be removed");
    }
}

/// Whether a case fails or not, the next one begins with nothing.
fn on(place: &Place, what: impl FnOnce(&Path)) {
    let _ = fs::remove_dir_all(&place.directory);
    place.empty();
    what(&place.directory);
    place.judge();
}

/// Returns a small archive with one of everything.
pub(super) fn archive() -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |name: &str, kind: u8, target: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        header.set_entry_type(tar::EntryType::new(kind));
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

fn archives() -> Seeds {
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

fn unpack() -> impl FnMut(&[u8]) {
    let place = Place::new();
    move |bytes| {
        on(&place, |directory| {
            let tree = Tree::open(directory).expect("it is there");
            let _ = archive::is_tar(bytes);
            let _ = archive::unpack(&mut { bytes }, &tree);
        });
    }
}

fn fats() -> Seeds {
    let mut disk = memory_file();
    disk.set_len(96 << 10).expect("memory takes everything");
    let options = fatfs::FormatVolumeOptions::new()
        .fats(1)
        .max_root_dir_entries(16);
    fatfs::format_volume(&mut disk, options).expect("memory can be formatted");
    {
        use std::io::Write;
        let fat =
            fatfs::FileSystem::new(&mut disk, fatfs::FsOptions::new()).expect("it was formatted");
        let top = fat.root_dir();
        top.create_dir("overlays").expect("there is room");
        for (name, content) in [
            ("config.txt", "arm_64bit=1\n"),
            ("overlays/a long name.dtbo", "x"),
            ("KERNEL.IMG", &"k".repeat(3000)),
        ] {
            let mut file = top.create_file(name).expect("there is room");
            file.write_all(content.as_bytes()).expect("there is room");
        }
    }
    let mut bytes = vec![0; 16 << 10];
    // The files stand at its beginning; the rest is empty, and zeros again when it is read.
    std::os::unix::fs::FileExt::read_at(&disk, &mut bytes, 0).expect("it can be read");
    Seeds::new(
        vec![bytes],
        &[
            "CONFIG  TXT",
            "..         ",
            ".          ",
            "OVERLAYS   ",
            "\u{ff}\u{f}",
        ],
    )
}

fn copy_fat() -> impl FnMut(&[u8]) {
    let place = Place::new();
    let file = memory_file();
    move |bytes| {
        fill(&file, bytes);
        let size = 96 << 10;
        file.set_len(size).expect("memory takes everything");
        let _ = image::fat_names(&file, 0, size);
        on(&place, |directory| {
            let to = fs::File::open(directory).expect("it is there");
            let _ = image::copy_fat(&file, 0, size, &to, &mut |_| {});
        });
    }
}

fn transfers() -> Seeds {
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
fn note() -> impl FnMut(&[u8]) {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let pool = pool::Pool::open(ground().pool.path()).expect("it is a pool");
    let root = pool.root().as_os_str().as_bytes().to_vec();
    let node = pool.root().join("nodes/nog");
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
        let done = transfer::note(&pool, size, &client, &path).expect("a transfer can be noted");
        assert_eq!(done, None, "no boot is before this node");
        let file = node.join("boots.jsonl");
        let length = file.metadata().map_or(0, |m| m.len());
        assert!(
            length <= (128 << 10) + bytes.len() as u64 * 6 + 4096,
            "{length}"
        );
        if length > 0 && bytes.len() % 64 == 0 {
            let lines = fs::read_to_string(&file)
                .expect("it is text")
                .lines()
                .count();
            assert!(boots::read(&node).len() <= lines);
        }
    }
}

/// Unpacks long archives.
pub(super) fn long() -> Vec<(String, Duration)> {
    let member = |name: &str, kind: u8, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_entry_type(tar::EntryType::new(kind));
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
        let ((), took) = super::timed(|| unpack(&whole));
        (about.to_string(), took)
    })
    .collect()
}
