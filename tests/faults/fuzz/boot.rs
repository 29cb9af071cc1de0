//! Files that firmware, kernel and init read, in halves that are otherwise sound.
//!
//! Here are the halves, and what is done to them with every file; a module a kind of file.

/// Files of real systems; the path begins where the macro is used, in a module of this one.
macro_rules! fixture {
    ($($path:literal),+) => {
        [$(include_str!(concat!("../../../fixtures/boot/", $path))),+]
    };
}

mod cmdline;
mod fstab;
mod images;
mod loaders;
mod own;

use std::collections::BTreeMap;
use std::time::Duration;

use netbe::boot::{self, Ip, RootPlace, Want};

use super::{Target, timed};
pub(super) use images::gzip;

type Half = BTreeMap<String, Vec<u8>>;

const VERSION: &str = "6.6.31+rpt-rpi-v8";
const SPEC: &str = "10.0.0.1:/srv/netbe/nodes/nog/envs/first/boot";
const IDLE: Duration = Duration::from_millis(200);

pub(super) fn targets() -> Vec<Target> {
    let of = |name, short, seeds, make| Target {
        name,
        seeds,
        short,
        memory: (2 << 20, 200),
        time: IDLE,
        make,
    };
    vec![
        of("cmdline", 4_000, cmdline::command_lines(), || {
            Box::new(cmdline::command_line())
        }),
        of("config.txt", 4_000, loaders::configs(), || {
            Box::new(loaders::config())
        }),
        of("pxelinux", 5_000, loaders::menus(), || {
            Box::new(loaders::menu())
        }),
        of("fstab", 5_000, fstab::fstabs(), || {
            Box::new(fstab::fstab_text)
        }),
        of("initramfs", 5_000, images::initramfs(), || {
            Box::new(images::look_into("initramfs8"))
        }),
        Target {
            memory: (20 << 20, 200),
            ..of("kernel", 5_000, images::kernels(), || {
                Box::new(images::kernel_image)
            })
        },
        of("hosts", 20_000, own::hosts(), || Box::new(own::hosts_text)),
        of("report", 20_000, own::reports(), || {
            Box::new(own::report_text)
        }),
    ]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A boot half as Raspberry Pi OS has it, and the root half that goes with it.
fn halves() -> (Half, Half) {
    let mut boot = Half::new();
    for (name, content) in [
        ("config.txt", &b"auto_initramfs=1\narm_64bit=1\n"[..]),
        (
            "cmdline.txt",
            b"console=tty1 root=PARTUUID=5c491eca-02 rootfstype=ext4 rootwait\n",
        ),
        (
            "more.txt",
            b"[pi4]\ninclude config.txt\nkernel=kernel8.img\n",
        ),
        ("start4.elf", b"x"),
        ("fixup4.dat", b"x"),
        ("bcm2711-rpi-4-b.dtb", b"x"),
        ("overlays/disable-bt.dtbo", b"x"),
        ("initramfs8", b"070701 nothing"),
    ] {
        boot.insert(name.to_string(), content.to_vec());
    }
    let banner = format!("Linux version {VERSION} (x) #1 SMP\n\0");
    boot.insert("kernel8.img".to_string(), banner.into_bytes());
    let mut root = Half::new();
    for (name, content) in [
        (
            "bin/sh",
            &b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0\0\0\0\0"[..],
        ),
        ("usr/sbin/mount.nfs", b"x"),
        ("usr/sbin/update-initramfs", b"x"),
        ("etc/initramfs-tools/modules", b"x"),
        ("etc/fstab", b"PARTUUID=5c491eca-02 / ext4 defaults 0 1\n"),
        (
            "etc/default/grub",
            b"GRUB_CMDLINE_LINUX=\"console=ttyS0\"\n",
        ),
    ] {
        root.insert(name.to_string(), content.to_vec());
    }
    root.insert(
        format!("usr/lib/modules/{VERSION}/modules.dep"),
        b"x".to_vec(),
    );
    (boot, root)
}

fn want(root: RootPlace, stash: &[String]) -> Want<'_> {
    Want {
        name: "nog/first",
        hostname: "nog",
        serial: None,
        model: None,
        loader: None,
        root,
        read_only: None,
        ip: Ip::Dhcp,
        add: &[],
        remove: &[],
        stash,
        programs: Vec::new(),
        started_with: None,
    }
}

fn nfs() -> RootPlace {
    RootPlace::Nfs {
        server: [10, 0, 0, 1].into(),
        path: "/srv/netbe/nodes/nog/envs/first/root".into(),
        version: None,
        options: None,
    }
}

/// Looks at a pair of halves in every way there is.
fn look(boot: &Half, root: &Half) -> Vec<String> {
    let _ = boot::summary(boot, root);
    let _ = boot::fetched(boot);
    boot::verify(boot, root, &want(nfs(), &[]), "/boot/firmware", SPEC)
        .expect("what cannot be read is a reason")
}

/// Writes what is planned; planning again must find nothing to do.
fn apply(boot: &mut Half, root: &Half, want: &Want<'_>) -> Option<Vec<String>> {
    let plan = boot::plan(boot, root, want).ok()?;
    for (path, bytes) in plan.writes {
        // As beneath a directory, a leading slash says nothing.
        boot.insert(path.trim_start_matches('/').to_string(), bytes);
    }
    let again = boot::plan(boot, root, want).expect("what was written can be read");
    assert!(
        again.writes.is_empty(),
        "edited twice: {:?}",
        texts(&again.writes)
    );
    Some(plan.stripped)
}

fn texts(files: &[(String, Vec<u8>)]) -> Vec<(&String, String)> {
    files
        .iter()
        .map(|(path, bytes)| (path, text(bytes)))
        .collect()
}

/// Runs all of this room's readers on long things: what is read must not take the square of its length.
pub(super) fn long() -> Vec<(String, Duration)> {
    let (boot, root) = halves();
    let tiled = |unit: &str| -> Vec<u8> { unit.repeat((1 << 20) / unit.len()).into_bytes() };
    let numbered = |unit: &str| -> Vec<u8> {
        let all = (0..).map(|n| unit.replace('@', &n.to_string()));
        let mut text = String::new();
        for one in all {
            if text.len() + one.len() > 1 << 20 {
                break;
            }
            text.push_str(&one);
        }
        text.into_bytes()
    };
    let mut found = Vec::new();
    for (file, content) in [
        ("cmdline.txt", tiled("a ")),
        ("cmdline.txt", numbered("root=@ ")),
        ("cmdline.txt", numbered("ip=@ ")),
        ("cmdline.txt", tiled("ro ")),
        ("config.txt", tiled("include config.txt\n")),
        ("config.txt", tiled("include more.txt\n")),
        ("config.txt", numbered("kernel=@\n")),
        ("pxelinux.cfg/default", numbered("LABEL @\n")),
        ("pxelinux.cfg/default", tiled("APPEND a b c\n")),
        ("initramfs8", images::cpio(&[]).repeat(1 << 12)),
        ("kernel8.img", tiled("Linux version Linux version ")),
    ] {
        let mut boot = boot.clone();
        if file.starts_with("pxe") {
            boot.clear();
        }
        boot.insert(file.to_string(), content.clone());
        let about = format!("{file}: {:?}…", text(&content[..20]));
        let ((), took) = timed(|| {
            look(&boot, &root);
            let _ = boot::plan(&boot, &root, &want(nfs(), &[]));
        });
        found.push((about, took));
    }
    for content in [
        tiled("/dev/sda1 / ext4\n"),
        tiled("a b c x-netbe\n"),
        tiled("\\040"),
    ] {
        let ((), took) = timed(|| fstab::fstab_text(&content));
        found.push((format!("fstab: {:?}…", text(&content[..4])), took));
    }
    found
}
