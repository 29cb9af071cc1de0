//! From one pool to another: everything a tree can be, whole, as what changed, and back again.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::stat::{Mode, SFlag, mknod};

use crate::support::{Pool, run};
use crate::{tree, two};

/// Runs a shell script in a directory.
fn sh(dir: &Path, script: &str) {
    run(Command::new("bash").args(["-ec", script]).current_dir(dir));
}

/// Returns bytes that no compression makes smaller.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// Fills a directory with what there can be in one.
pub(crate) fn fill(dir: &Path) {
    sh(
        dir,
        "
        mkdir -m 2755 plain; mkdir -m 1777 sticky; mkdir -p deep/deeper/deepest empty; chmod 0 empty
        printf small > plain/small; : > plain/nothing; head -c 100000 /dev/zero > plain/zeros
        printf 'set-id' > plain/suid; chown 1000:1001 plain/suid; chmod 6755 plain/suid
        ln plain/small deep/hard; ln plain/small deep/deeper/harder; ln -s /etc/passwd absolute; ln -s nowhere dangling
        ln -s ../.. deep/up; chown -h 7:8 dangling; touch -h -d '1999-12-31 23:59:59.123456789' dangling
        mknod plain/null c 1 3; mknod plain/disk b 8 17; chmod 640 plain/disk; chown 0:6 plain/disk; mkfifo -m 622 plain/pipe
        truncate -s 40M hole; printf begin | dd of=hole conv=notrunc status=none
        printf middle | dd of=hole conv=notrunc status=none bs=1 seek=20000000; truncate -s 9M all-hole
        printf x > set-aside-beyond; fallocate -n -l 1M set-aside-beyond
        setfattr -n user.note -v 'of mine' plain/small; setfattr -n user.empty plain/small
        setfattr -n trusted.secret -v 0x0001ff plain; setfattr -h -n trusted.link -v l absolute
        cp /bin/true plain/able; setcap cap_net_raw,cap_net_admin=ep plain/able
        setfacl -m u:4711:rwx,g:4712:r plain/nothing; setfacl -d -m u:4713:rx deep
        touch -d '1969-07-20 20:17:40.987654321' plain/small; touch -d '2038-01-19 03:14:08.000000001' deep
        touch -d '2001-02-03 04:05:06.7' plain; printf no > 'a name with blanks, \"quotes\" and ünïcode'
        ",
    );
    fs::write(dir.join("noise"), noise(11 << 20, 1)).unwrap();
    fs::write(dir.join(OsStr::from_bytes(b"not\xff\xfeutf8\n")), "x").unwrap();
    fs::write(dir.join("n".repeat(255)), "long").unwrap();
    mknod(
        &dir.join("plain/socket"),
        SFlag::S_IFSOCK,
        Mode::from_bits_truncate(0o750),
        0,
    )
    .unwrap();
}

/// Changes all that can be changed.
fn change_all(dir: &Path) {
    sh(
        dir,
        "
        printf appended >> plain/small; printf M | dd of=noise conv=notrunc status=none bs=1 seek=5000000
        truncate -s 7000001 noise; truncate -s 50M hole; fallocate -p -o 19996672 -l 65536 hole
        head -c 70000 /dev/urandom > plain/zeros; chmod 600 plain/zeros; chown 5:6 plain/suid
        mv deep/deeper moved; mv plain/small moved/renamed; mv all-hole x; mv noise all-hole; mv x noise; mv all-hole x; mv noise all-hole; mv x noise
        rm -r empty; rm deep/hard plain/null; mkdir plain/null; printf in > plain/null/side; rm dangling; ln -s elsewhere dangling
        ln noise moved/noise-too; rm plain/pipe; printf file > plain/pipe; rm absolute; mkdir absolute
        setfattr -x user.note moved/renamed; setfattr -n user.more -v 1 moved/renamed; setfacl -b plain/nothing
        cp --reflink=always hole copied; head -c 200000 /dev/zero > new-zeros; truncate -s 3M new-zeros; mkdir -p new/er; cp -a plain/able new/er/
        touch -d '2010-10-10 10:10:10.101010101' sticky moved/renamed new
        ",
    );
    // A part of a file that another one has, too.
    let (from, to) = (
        File::open(dir.join("noise")).unwrap(),
        File::create(dir.join("partly")).unwrap(),
    );
    to.write_all_at(&noise(1 << 20, 3), 0).unwrap();
    share(&from, 1 << 20, 2 << 20, &to, 4 << 20);
    // A hole where there was data, to the file's end.
    let noise = File::options().write(true).open(dir.join("noise")).unwrap();
    let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(&noise, hole, 1 << 20, 300 << 10).unwrap();
}

/// Shares a part of a file with another: between files the standard library leaves copying to the kernel, and on btrfs
/// that copies nothing.
fn share(mut from: &File, at: u64, length: u64, mut to: &File, to_at: u64) {
    from.seek(SeekFrom::Start(at)).unwrap();
    to.seek(SeekFrom::Start(to_at)).unwrap();
    let copied = std::io::copy(&mut from.take(length), &mut to).unwrap();
    assert_eq!(copied, length);
}

/// Returns where the data of a file is; the rest are holes.
fn data_of(file: &Path) -> Vec<(i64, i64)> {
    use nix::unistd::{Whence, lseek};
    let file = File::open(file).unwrap();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Ok(start) = lseek(&file, at, Whence::SeekData) {
        at = lseek(&file, start, Whence::SeekHole).unwrap();
        found.push((start, at));
    }
    found
}

/// Insists that two directories are the same, to the hole.
fn assert_same(one: &Path, other: &Path) {
    let (before, after) = (tree::read(one), tree::read(other));
    assert!(before.len() > 25);
    tree::assert_same(&before, &after);
    for (path, entry) in &before {
        if entry.kind == 'f' {
            let (a, b) = (one.join(path), other.join(path));
            assert_eq!(data_of(&a), data_of(&b), "{path:?}");
        }
    }
}

fn assert_same_bases(here: &Pool, one: &str, there: &Pool, other: &str) {
    assert_same(
        &here.base(one).join("root"),
        &there.base(other).join("root"),
    );
    tree::assert_same(
        &tree::read(&here.base(one).join("boot")),
        &tree::read(&there.base(other).join("boot")),
    );
    assert_eq!(here.base_id(one), there.base_id(other));
}

#[test]
fn a_stream_crosses_whole_as_changes_and_back() {
    let (here, there) = two();
    fill(&here.half("nog/a", "root").join("srv"));
    here.sends("nog/a", &there, "nog/a");
    // Unchanged since, so what was sent is what it is.
    assert_same(
        &here.half("nog/a", "root"),
        &here.base("nog/a").join("root"),
    );
    assert_same_bases(&here, "nog/a", &there, "nog/a");
    assert_same(
        &here.half("nog/a", "root").join("srv"),
        &there.half("nog/a", "root").join("srv"),
    );

    here.netbe().ok("create nog/b --from nog/a");
    change_all(&here.half("nog/b", "root").join("srv"));
    fs::write(here.half("nog/b", "boot").join("extra"), "of the boot half").unwrap();
    here.sends("nog/b --since nog/a", &there, "nog/b");
    assert_same_bases(&here, "nog/b", &there, "nog/b");
    assert_same(
        &here.half("nog/b", "root"),
        &here.base("nog/b").join("root"),
    );
    let (whole, changes) = (
        here.exported("nog/b --no-base"),
        here.exported("nog/b --since nog/a --no-base"),
    );
    let size = |file: &Path| file.metadata().unwrap().len();
    assert!(size(&changes) < size(&whole) / 4, "{changes:?} {whole:?}");

    // Back again, since what came from there.
    there.netbe().ok("create nog/c --from nog/b");
    sh(
        &there.half("nog/c", "root").join("srv"),
        "rm -r new; mv moved deep/again; printf back > sticky/back; truncate -s 1M hole; cp --reflink=always partly partly2",
    );
    there.sends("nog/c --since nog/b", &here, "nog/c");
    assert_same_bases(&there, "nog/c", &here, "nog/c");
    // And on from there, with what only went one way.
    here.netbe().ok("create nog/d --from nog/c");
    fs::write(here.half("nog/d", "root").join("srv/on"), "and on").unwrap();
    here.sends("nog/d --since nog/c", &there, "nog/d");
    assert_same_bases(&here, "nog/d", &there, "nog/d");
    here.assert_sound();
    there.assert_sound();
}

#[test]
fn received_changes_share_extents_with_the_base() {
    let (here, there) = two();
    fs::write(
        here.half("nog/a", "root").join("srv/large"),
        noise(64 << 20, 5),
    )
    .unwrap();
    here.sends("nog/a", &there, "nog/a");
    let used = |pool: &Pool| {
        run(Command::new("btrfs")
            .args(["filesystem", "sync"])
            .arg(pool.path()));
        let stat = nix::sys::statvfs::statvfs(pool.path()).unwrap();
        (stat.blocks() - stat.blocks_free()) * stat.fragment_size()
    };
    let before = used(&there);
    here.netbe().ok("create nog/b");
    fs::write(here.half("nog/b", "root").join("srv/little"), "x").unwrap();
    run(Command::new("cp").arg("--reflink=always").args([
        here.half("nog/b", "root").join("srv/large"),
        here.half("nog/b", "root").join("srv/large-too"),
    ]));
    let stream = here.exported("nog/b --since nog/a");
    assert!(stream.metadata().unwrap().len() < 64 << 10);
    there
        .netbe()
        .ok(&format!("import nog/b {}", stream.display()));
    let grown = used(&there) - before;
    assert!(grown < 8 << 20, "{grown}");
}

#[test]
fn a_stream_is_the_same_through_a_pipe_and_in_a_file() {
    let (here, there) = two();
    let file = here.exported("nog/a");
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o600, "it holds secrets");
    let piped = there.reads("nog/piped", &file);
    assert_eq!(piped.status, 0, "{piped:?}");
    there
        .netbe()
        .ok(&format!("import nog/read {}", file.display()));
    let output = there.netbe().ok(&format!("import nog {}", file.display()));
    assert_eq!(
        output,
        "Imported nog/a, kernel 6.1.0-40-amd64.\n"
            .replace("6.1.0-40-amd64", crate::support::System::debian().version())
    );
    for name in ["piped", "read", "a"] {
        let base = there.base(&format!("nog/{name}"));
        tree::assert_same(
            &tree::read(&here.base("nog/a").join("root")),
            &tree::read(&base.join("root")),
        );
    }
    there.assert_sound();
}
