//! Boot files of a node that has nothing better to do: as many of each as its disk holds.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::*;

/// How long any of it may take, in a build that is not optimised.
const SOON: Duration = Duration::from_secs(5);

const MENU: &str = "DEFAULT x\nLABEL x\n  KERNEL vmlinuz-6.1.0-32-amd64\n  APPEND rw\n";

fn pxe(menu: &str) -> Half {
    half(&[
        ("vmlinuz-6.1.0-32-amd64", "x"),
        ("pxelinux.cfg/default", menu),
    ])
}

fn found(boot: &Half, root: &Half) -> Vec<String> {
    let begun = Instant::now();
    let found = reasons(boot, root, &want(Some(Loader::Pxelinux)), "/boot");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let length: usize = found.iter().map(String::len).sum();
    assert!(found.len() <= 60 && length < 128 << 10, "{length} bytes");
    found
}

#[test]
fn reasons_without_end_are_counted() {
    let lines = (0..90_000).map(|n| format!("{n:x} / x\n"));
    let root = half(&[("etc/fstab", &lines.collect::<String>())]);
    let found = found(&pxe(MENU), &root);
    let last = found.last().unwrap();
    assert!(last.ends_with("more of the kind"), "{last}");
    assert!(found.iter().any(|r| r.contains("mounts 1 as /")));
}

#[test]
fn a_reason_is_as_long_as_it_is_read() {
    let long = "x".repeat(900 << 10);
    for menu in [
        format!("DEFAULT {long}\nLABEL {long}\nLABEL {long}\n"),
        MENU.replace("rw", &format!("rw root={long}")),
        MENU.replace("rw", &format!("rw root=/dev/nfs nfsroot=10.0.0.2:/{long}")),
        MENU.replace("vmlinuz", &long),
    ] {
        assert!(!found(&pxe(&menu), &half(&[])).is_empty());
    }
}

#[test]
fn a_label_loads_no_thousand_files() {
    let menu = MENU.replace(
        "APPEND",
        &format!("INITRD {}x\n  APPEND", "x,".repeat(100_000)),
    );
    let found = found(&pxe(&menu), &half(&[]));
    assert!(
        found.iter().any(|r| r.contains("more than 16")),
        "{found:?}"
    );
}

#[test]
fn a_boot_half_has_no_thousand_menus() {
    let mut boot = pxe(MENU);
    for n in 0..1_000 {
        boot.insert(format!("pxelinux.cfg/{n:08X}"), MENU.into());
    }
    let found = found(&boot, &half(&[]));
    assert!(
        found.iter().any(|r| r.contains("more than 32")),
        "{found:?}"
    );
    assert!(plan(&boot, &half(&[]), &want(Some(Loader::Pxelinux))).is_err());
}

/// A half in which whole images are counted that are read.
struct Counted(Half, Cell<usize>);

impl BootFiles for Counted {
    fn names(&self, dir: &str) -> std::io::Result<Vec<String>> {
        self.0.names(dir)
    }

    fn head(&self, path: &str, limit: usize) -> std::io::Result<Option<Vec<u8>>> {
        let is_whole = limit > 1 << 20;
        self.1.set(self.1.get() + usize::from(is_whole));
        self.0.head(path, limit)
    }
}

#[test]
fn of_a_thousand_kernels_some_are_looked_into() {
    let names = (0..1_000).map(|n| (format!("vmlinuz-a{n}"), b"x".to_vec()));
    let boot = Counted(names.collect(), Cell::new(0));
    assert!(pxelinux_kernel(&boot));
    assert_eq!(boot.1.get(), 16);
}

fn pxelinux_kernel(boot: &dyn BootFiles) -> bool {
    super::super::pxelinux::kernels::newest(boot, None).is_ok_and(|found| found.is_some())
}
