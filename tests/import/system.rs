//! A small operating system with everything in it that is easily lost on the way.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, lchown, symlink};
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, UtimensatFlags, makedev, mknod, utimensat};
use nix::sys::time::TimeSpec;

use crate::pool::run;

/// Makes what every system has: a name, a shell, a kernel in `/boot`.
pub(crate) fn minimal(top: &Path) {
    for dir in ["etc", "usr/bin", "usr/sbin", "usr/lib", "boot", "home/lars"] {
        fs::create_dir_all(top.join(dir)).unwrap();
    }
    symlink("usr/bin", top.join("bin")).unwrap();
    symlink("usr/sbin", top.join("sbin")).unwrap();
    symlink("usr/lib", top.join("lib")).unwrap();
    fs::write(top.join("usr/lib/os-release"), "ID=debian\n").unwrap();
    symlink("../usr/lib/os-release", top.join("etc/os-release")).unwrap();
    fs::write(top.join("usr/bin/dash"), "#!ELF\n").unwrap();
    symlink("dash", top.join("usr/bin/sh")).unwrap();
    symlink("/lib/systemd/systemd", top.join("usr/sbin/init")).unwrap();
    fs::write(
        top.join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nlars:x:1000:1000::/:/bin/sh\n",
    )
    .unwrap();
    fs::write(top.join("etc/group"), "root:x:0:\nadm:x:4:lars\n").unwrap();
    fs::write(top.join("boot/vmlinuz-6.1"), "a kernel").unwrap();
    fs::write(top.join("boot/initrd.img-6.1"), "an initrd").unwrap();
    symlink("vmlinuz-6.1", top.join("boot/vmlinuz")).unwrap();
}

/// Makes a system with all of it.
pub(crate) fn complete(top: &Path) {
    minimal(top);
    links(top);
    special(top);
    sparse(top);
    attributes(top);
    names(top);
    times(top);
}

fn links(top: &Path) {
    fs::write(top.join("usr/bin/perl"), "perl").unwrap();
    fs::hard_link(top.join("usr/bin/perl"), top.join("usr/bin/perl5.36")).unwrap();
    fs::hard_link(top.join("usr/bin/perl"), top.join("etc/perl")).unwrap();
    symlink("nowhere/at/all", top.join("etc/dangling")).unwrap();
    fs::hard_link(top.join("etc/dangling"), top.join("etc/dangling2")).unwrap();
    symlink("../../../../../../etc/shadow", top.join("etc/climbing")).unwrap();
    fs::hard_link(
        top.join("boot/initrd.img-6.1"),
        top.join("boot/initrd.img-6.1.bak"),
    )
    .unwrap();
}

fn special(top: &Path) {
    fs::create_dir(top.join("dev")).unwrap();
    let mode = Mode::from_bits_truncate(0o640);
    let node = |name: &str, kind, device| {
        mknod(&top.join("dev").join(name), kind, mode, device).unwrap();
        lchown(top.join("dev").join(name), Some(0), Some(4)).unwrap();
    };
    node("null", SFlag::S_IFCHR, makedev(1, 3));
    node("large", SFlag::S_IFCHR, makedev(511, 1_000_000));
    node("sda", SFlag::S_IFBLK, makedev(8, 0));
    node("initctl", SFlag::S_IFIFO, 0);
}

fn sparse(top: &Path) {
    let hole = File::create(top.join("home/lars/hole")).unwrap();
    hole.set_len(5 << 20).unwrap();
    let islands = File::create(top.join("home/lars/islands")).unwrap();
    for n in 1..40u64 {
        islands.write_all_at(&[n as u8; 5000], n << 20).unwrap();
    }
    islands.set_len((41 << 20) + 17).unwrap();
    let mut tail = File::create(top.join("home/lars/tail")).unwrap();
    tail.set_len(3 << 20).unwrap();
    std::io::Seek::seek(&mut tail, std::io::SeekFrom::End(0)).unwrap();
    tail.write_all(b"the end").unwrap();
    let dense: Vec<u8> = (0..3_000_000u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();
    fs::write(top.join("home/lars/dense"), dense).unwrap();
}

fn attributes(top: &Path) {
    let at = |name: &str| top.join(name).to_str().unwrap().to_string();
    fs::write(top.join("usr/bin/ping"), "ping").unwrap();
    run("chmod", &["0755", &at("usr/bin/ping")]);
    run("setcap", &["cap_net_raw+ep", &at("usr/bin/ping")]);
    fs::write(top.join("usr/bin/sudo"), "sudo").unwrap();
    run("chmod", &["4755", &at("usr/bin/sudo")]);
    fs::create_dir(top.join("tmp")).unwrap();
    run("chmod", &["1777", &at("tmp")]);
    fs::create_dir_all(top.join("var/log/journal/inner")).unwrap();
    lchown(top.join("var/log/journal"), Some(0), Some(4)).unwrap();
    run("chmod", &["2755", &at("var/log/journal")]);
    fs::write(top.join("var/log/journal/system"), "journal").unwrap();
    lchown(
        top.join("var/log/journal/system"),
        Some(1000),
        Some(3_000_000),
    )
    .unwrap();
    // The list is set behind the content: what comes after must not inherit it.
    run(
        "setfacl",
        &["-m", "d:g:4:r-x,g:4:r-x", &at("var/log/journal")],
    );
    run(
        "setfacl",
        &["-m", "u:1000:rw-,g:4:r--", &at("var/log/journal/system")],
    );
    xattr::set(
        top.join("etc/passwd"),
        "user.note",
        b"two\nlines=\n\0and a zero",
    )
    .unwrap();
    xattr::set(top.join("etc"), "user.dir", b"on a directory").unwrap();
    xattr::set(top.join("etc/dangling"), "trusted.link", b"on a link").unwrap();
    xattr::set(top.join("dev/null"), "trusted.node", b"\n").unwrap();
    fs::create_dir(top.join("root")).unwrap();
    run("chmod", &["0700", &at("root")]);
    fs::write(top.join("root/secret"), "").unwrap();
    run("chmod", &["0000", &at("root/secret")]);
}

fn names(top: &Path) {
    let long = "n".repeat(200);
    let deep = top.join(&long).join(&long).join(&long);
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join(&long), "deep").unwrap();
    symlink(format!("/{long}/{long}/{long}"), top.join("etc/long")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"od\xffd \n\\name");
    fs::write(top.join("home/lars").join(odd), "odd").unwrap();
    fs::write(top.join("home/lars/-rf"), "").unwrap();
}

/// Gives everything a time of its own, with nanoseconds and some before 1970.
fn times(top: &Path) {
    let mut todo = vec![top.to_path_buf()];
    let mut all = Vec::new();
    while let Some(path) = todo.pop() {
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
        all.push(path);
    }
    all.sort();
    for (n, path) in all.iter().enumerate().rev() {
        let n = i64::try_from(n).unwrap();
        let time = match n % 10 {
            3 => TimeSpec::new(-86400 * n - 1, 250_000_000),
            _ => TimeSpec::new(1_600_000_000 + n * 977, 123_456_000 + n * 7),
        };
        let flag = UtimensatFlags::NoFollowSymlink;
        utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, flag).unwrap();
    }
}
