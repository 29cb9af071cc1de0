//! Boot files of a hostile node: as many of each as its disk holds.

use std::cell::Cell;
use std::time::Duration;

use super::*;
use crate::fs::threads::processor_time;

/// Limit of the processor's time, for a build without optimization: what is quadratic takes minutes.
const SOON: Duration = Duration::from_secs(20);

const MENU: &str = "DEFAULT x\nLABEL x\n  KERNEL vmlinuz-6.1.0-32-amd64\n  APPEND rw\n";

fn pxe(menu: &str) -> Half {
    half(&[
        ("vmlinuz-6.1.0-32-amd64", "x"),
        ("pxelinux.cfg/default", menu),
    ])
}

fn found(boot: &Half, root: &Half) -> Vec<String> {
    let begun = processor_time();
    let found = reasons(boot, root, &want(Some(Loader::Pxelinux)), "/boot");
    let taken = processor_time() - begun;
    assert!(taken < SOON, "{taken:?}");
    let length: usize = found.iter().map(String::len).sum();
    assert!(found.len() <= 60 && length < 128 << 10, "{length} bytes");
    found
}

#[test]
fn the_number_of_reasons_is_limited() {
    let lines = (0..90_000).map(|n| format!("{n:x} / x\n"));
    let root = half(&[("etc/fstab", &lines.collect::<String>())]);
    let found = found(&pxe(MENU), &root);
    let last = found.last().unwrap();
    assert!(last.ends_with("more of the kind"), "{last}");
    assert!(found.iter().any(|r| r.contains("mounts 1 as /")));
}

#[test]
fn the_length_of_a_reason_is_limited() {
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
fn the_number_of_files_of_a_label_is_limited() {
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
fn the_number_of_menus_is_limited() {
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

/// A half that counts reads of whole images.
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

    fn length(&self, path: &str) -> std::io::Result<Option<u64>> {
        self.0.length(path)
    }
}

#[test]
fn the_number_of_kernels_read_is_limited() {
    let names = (0..1_000).map(|n| (format!("vmlinuz-a{n}"), b"x".to_vec()));
    let boot = Counted(names.collect(), Cell::new(0));
    assert!(pxelinux_kernel(&boot));
    assert_eq!(boot.1.get(), 16);
}

fn pxelinux_kernel(boot: &dyn BootFiles) -> bool {
    super::super::pxelinux::kernels::newest(boot, None).is_ok_and(|found| found.is_some())
}
