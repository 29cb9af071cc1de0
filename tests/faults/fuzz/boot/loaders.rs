//! Files that name boot files for firmware and loader: `config.txt`, and menus of PXELINUX.

use netbe::boot::Loader;

use super::{Half, apply, halves, look, nfs, text, want};
use crate::fuzz::mutation::Seeds;
use crate::support::kernel;

pub(super) fn configs() -> Seeds {
    let mut all = fixture!("rpios-bookworm/config.txt", "raspi-firmware/config.txt").to_vec();
    all.extend([
        "include more.txt\nos_prefix=new/\n[all]\ncmdline=other.txt\n",
        "initramfs initramfs8 followkernel\nkernel=vmlinuz\n",
    ]);
    Seeds::texts(
        &all,
        &[
            "include config.txt\n",
            "include more.txt\n",
            "[all]",
            "[pi4]",
            "[none]",
            "[cm4]",
            "[gpio4=1]",
            "kernel=",
            "initramfs ",
            "os_prefix=",
            "cmdline=",
            "cmdline=config.txt\n",
            "auto_initramfs=1\n",
            "device_tree=\n",
            "start_file=",
            "arm_64bit=0\n",
            "gpu_mem=16\n",
            "upstream_kernel=1\n",
        ],
    )
}

pub(super) fn config() -> impl FnMut(&[u8]) {
    let (boot, root) = halves();
    move |bytes| {
        let mut boot = boot.clone();
        boot.insert("config.txt".to_string(), bytes.to_vec());
        look(&boot, &root);
        apply(&mut boot, &root, &want(nfs(), &[]));
        let now = &boot["config.txt"];
        // It may itself be named as the file with the command line.
        assert!(
            now == bytes || text(bytes).contains("cmdline"),
            "config.txt was written"
        );
    }
}

pub(super) fn menus() -> Seeds {
    Seeds::texts(
        &[
            "DEFAULT linux\nPROMPT 0\nTIMEOUT 10\n\nLABEL linux\n  KERNEL vmlinuz-6.1.0-50-amd64\n  INITRD initrd.img-6.1.0-50-amd64\n  APPEND root=/dev/sda1 ro quiet\n",
            "# made by netbe for nog/first; KERNEL, INITRD and FDTDIR follow the newest kernel, APPEND is kept\nDEFAULT netbe\n\nLABEL netbe\n  KERNEL vmlinuz-6.1.0-50-amd64\n  IPAPPEND 2\n  APPEND root=/dev/nfs nfsroot=10.0.0.1:/srv/x,vers=3,tcp rw ip=dhcp\n",
            "default menu.c32\nlabel a\n\tmenu default\n\tlinux /vmlinuz\n\tappend initrd=i.img console=ttyS0\nlabel b\n text help\nLABEL c\n endtext\n kernel b\r\n append -\r\n",
            "",
        ],
        &[
            "LABEL ",
            "DEFAULT ",
            "APPEND ",
            "KERNEL ",
            "LINUX ",
            "INITRD ",
            "MENU DEFAULT",
            "TEXT HELP",
            "ENDTEXT",
            "IPAPPEND 2",
            "FDTDIR ",
            "linux",
            "netbe",
            "root=/dev/sda1 ",
        ],
    )
}

pub(super) fn menu() -> impl FnMut(&[u8]) {
    let (_, root) = halves();
    let mut boot = Half::new();
    boot.insert(
        "vmlinuz-6.1.0-50-amd64".to_string(),
        kernel::bzimage("6.1.0-50-amd64"),
    );
    boot.insert("initrd.img-6.1.0-50-amd64".to_string(), b"070701".to_vec());
    move |bytes| {
        const FILE: &str = "pxelinux.cfg/default";
        let mut boot = boot.clone();
        boot.insert(FILE.to_string(), bytes.to_vec());
        look(&boot, &root);
        let mut want = want(nfs(), &[]);
        want.loader = Some(Loader::Pxelinux);
        if apply(&mut boot, &root, &want).is_none() || bytes.starts_with(b"# made by netbe for ") {
            return;
        }
        // Somebody's own: of all lines one differs, or is new.
        let (before, after) = (text(bytes), text(&boot[FILE]));
        let (mut old, mut new): (Vec<&str>, Vec<&str>) = (
            before.split_inclusive('\n').collect(),
            after.split_inclusive('\n').collect(),
        );
        while !old.is_empty() && old.first() == new.first() {
            old.remove(0);
            new.remove(0);
        }
        while !old.is_empty() && old.last() == new.last() {
            old.pop();
            new.pop();
        }
        // A new last line gives an end to the one before.
        assert!(
            old.len() <= 1 && new.len() <= 1 + old.len(),
            "{before:?} became {after:?}"
        );
    }
}
