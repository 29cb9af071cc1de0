//! What firmware, kernel and init read, in halves that are otherwise sound.

use std::collections::BTreeMap;

use netbe::boot::{self, Ip, Loader, NfsVersion, RootPlace, Want, fstab, identity, report};

use super::mutation::Seeds;
use super::{Target, timed};
use crate::support::kernel;
use std::time::Duration;

type Half = BTreeMap<String, Vec<u8>>;

const VERSION: &str = "6.6.31+rpt-rpi-v8";
const SPEC: &str = "10.0.0.1:/srv/netbe/nodes/nog/envs/first/boot";
const IDLE: Duration = Duration::from_millis(200);

macro_rules! fixture {
    ($($path:literal),+) => {
        [$(include_str!(concat!("../../fixtures/boot/", $path))),+]
    };
}

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
        of("cmdline", 4_000, command_lines(), || {
            Box::new(command_line())
        }),
        of("config.txt", 4_000, configs(), || Box::new(config())),
        of("pxelinux", 5_000, menus(), || Box::new(menu())),
        of("fstab", 5_000, fstabs(), || Box::new(fstab_text)),
        of("initramfs", 5_000, initramfs(), || {
            Box::new(look_into("initramfs8"))
        }),
        Target {
            memory: (20 << 20, 200),
            ..of("kernel", 5_000, kernels(), || Box::new(kernel_image))
        },
        of("hosts", 20_000, hosts(), || Box::new(hosts_text)),
        of("report", 20_000, reports(), || {
            Box::new(|bytes| drop(report::parse(&text(bytes))))
        }),
    ]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn command_lines() -> Seeds {
    let mut all = fixture!(
        "rpios-bookworm/cmdline.txt",
        "handmade/cmdline.txt",
        "raspi-firmware/cmdline.txt"
    )
    .to_vec();
    all.extend([
        "console=tty1 root=/dev/nfs nfsroot=10.0.0.1:/srv/x,vers=3,tcp rw ip=dhcp rootwait\n",
        "root=nfs4:10.0.0.1:/srv/x:vers=4.2 ip=10.0.0.5::10.0.0.1:255.255.255.0:nog:eth0:off\r\n",
        "dyndbg=\"file a.c +p\" \"root=LABEL=my disk\" ro -- single root=x",
        "",
    ]);
    Seeds::texts(
        &all,
        &[
            "root=",
            "root=/dev/nfs",
            "nfsroot=",
            "ip=",
            "ip=dhcp",
            "rw",
            "ro",
            "rootfstype=nfs",
            "resume=",
            "fsck.repair=yes",
            "init=/usr/lib/raspberrypi-sys-mods/firstboot",
            "boot=nfs",
            "netroot=dhcp",
            "-- ",
            "quiet ",
            "nfsaddrs=",
            "root_x",
            "rootflags=",
        ],
    )
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
        loader: None,
        root,
        ip: Ip::Dhcp,
        add: &[],
        remove: &[],
        stash,
        pxe: None,
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

fn command_line() -> impl FnMut(&[u8]) {
    let (boot, root) = halves();
    move |bytes| {
        let mut boot = boot.clone();
        boot.insert("cmdline.txt".to_string(), bytes.to_vec());
        look(&boot, &root);
        let Some(stripped) = apply(&mut boot, &root, &want(nfs(), &[])) else {
            return;
        };
        let line = boot["cmdline.txt"].clone();
        kept(&text(bytes), &text(&line), &stripped);
        let reasons = look(&boot, &root);
        let about = reasons.iter().find(|r| r.contains("cmdline.txt"));
        assert_eq!(
            about,
            None,
            "netbe's own line would not boot: {:?}",
            text(&line)
        );
        let local = want(
            RootPlace::Local("PARTUUID=5c491eca-02".to_string()),
            &stripped,
        );
        // Either way may be refused as too long.
        let is_short = text(bytes).len() < 700;
        if apply(&mut boot, &root, &local).is_none() {
            return assert!(
                !is_short,
                "no way back from {:?}: {:?}",
                text(&line),
                boot::plan(&boot, &root, &local)
            );
        }
        let back = boot["cmdline.txt"].clone();
        let again = apply(&mut boot, &root, &want(nfs(), &[]))
            .and_then(|_| apply(&mut boot, &root, &local));
        if again.is_none() {
            return assert!(!is_short, "no way there again from {:?}", text(&back));
        }
        assert_eq!(
            text(&boot["cmdline.txt"]),
            text(&back),
            "there and back again is another line"
        );
    }
}

/// Arguments netbe writes, or takes out without telling.
const CHANGED: [&str; 10] = [
    "root",
    "nfsroot",
    "netroot",
    "ip",
    "nfsaddrs",
    "rw",
    "ro",
    "boot",
    "rootfstype",
    "rootflags",
];

/// Shows that what was not meant stands as it stood, in its order.
fn kept(before: &str, after: &str, stripped: &[String]) {
    let is_changed = |token: &String| {
        let name = token
            .trim_start_matches('"')
            .split('=')
            .next()
            .unwrap_or_default()
            .trim_end_matches('"')
            .replace('-', "_");
        CHANGED.contains(&name.as_str()) || stripped.contains(token)
    };
    let others = |line: &str| -> Vec<String> {
        tokens(line)
            .into_iter()
            .filter(|t| !is_changed(t))
            .collect()
    };
    assert_eq!(others(before), others(after), "{before:?} became {after:?}");
    let end = |line: &str| line.find('\n').map(|at| line[at..].to_string());
    assert_eq!(end(before), end(after), "the line's end changed");
}

/// Splits a line as the kernel does.
fn tokens(line: &str) -> Vec<String> {
    let (mut all, mut quoted) = (vec![String::new()], false);
    for c in line.chars().take_while(|c| *c != '\n') {
        quoted ^= c == '"';
        if !quoted && matches!(c, ' ' | '\t' | '\r' | '\x0b' | '\x0c') {
            all.push(String::new());
        } else {
            all.last_mut().expect("one is there from the start").push(c);
        }
    }
    all.retain(|t| !t.is_empty());
    all
}

fn configs() -> Seeds {
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

fn config() -> impl FnMut(&[u8]) {
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

fn menus() -> Seeds {
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

fn menu() -> impl FnMut(&[u8]) {
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

fn fstabs() -> Seeds {
    let mut all = fixture!(
        "rpios-bookworm/fstab",
        "arch/fstab",
        "debian-amd64/fstab",
        "rpios-bullseye/fstab",
        "handmade/fstab",
        "raspi-firmware/fstab"
    )
    .to_vec();
    all.push("10.0.0.1:/srv/b /boot nfs defaults,vers=4.2,_netdev,nofail,x-netbe 0 0\n#netbe# /dev/sda1 / ext4 ro 0 1\r\n");
    all.push("");
    Seeds::texts(
        &all,
        &[
            "x-netbe",
            "#netbe# ",
            "/boot/firmware",
            "/boot",
            " / ",
            "swap",
            "nfs",
            "LABEL=\"a b\"",
            "\\040",
            "vers=3",
            "nolock",
            "defaults",
            "UUID=",
            "/dev/sda1",
        ],
    )
}

fn fstab_text(bytes: &[u8]) {
    let before = text(bytes);
    let entries = fstab::entries(&before);
    let _ = fstab::boot_mount(&before);
    let mut nfs = fstab::Want {
        boot_spec: Some(SPEC),
        boot_mount: "/boot/firmware",
        version: NfsVersion::V3,
    };
    let Ok(edited) = fstab::edit(&before, &nfs) else {
        return;
    };
    let first = edited.unwrap_or_else(|| before.clone());
    assert_eq!(
        fstab::edit(&first, &nfs).expect("one line is netbe's"),
        None,
        "edited twice: {first:?}"
    );
    let own: Vec<_> = fstab::entries(&first)
        .into_iter()
        .filter(fstab::Entry::is_own)
        .collect();
    assert_eq!(own.len(), 1, "{first:?}");
    assert_eq!(
        (own[0].spec.as_str(), own[0].file.as_str()),
        (SPEC, "/boot/firmware")
    );
    assert_eq!(fstab::boot_mount(&first).as_deref(), Some("/boot/firmware"));
    nfs.version = NfsVersion::V4_2;
    let second = fstab::edit(&first, &nfs)
        .expect("one line is netbe's")
        .unwrap_or(first);
    assert_eq!(
        fstab::edit(&second, &nfs).expect("one line is netbe's"),
        None,
        "edited twice: {second:?}"
    );
    nfs.boot_spec = None;
    let back = fstab::edit(&second, &nfs)
        .expect("one line is netbe's")
        .unwrap_or(second);
    let rested = before.lines().any(|l| l.starts_with(fstab::RESTING));
    if !rested && !entries.iter().any(fstab::Entry::is_own) {
        assert_eq!(back, before, "there and back is another file");
    }
}

fn initramfs() -> Seeds {
    let main = cpio(&[
        "init",
        &format!("usr/lib/modules/{VERSION}/kernel/nfs.ko"),
        "z",
    ]);
    let early = cpio(&["kernel/x86/microcode/GenuineIntel.bin"]);
    let packed = zstd::encode_all(main.as_slice(), 1).expect("memory takes everything");
    Seeds::new(
        vec![
            main.clone(),
            [early.clone(), packed.clone()].concat(),
            packed,
            gzip(&main),
            [early, main].concat(),
        ],
        &[
            "070701",
            "070702",
            "TRAILER!!!",
            "lib/modules/",
            "FFFFFFFF",
            "00000000",
            "+0000001",
            "6.6.31+rpt-rpi-v8/",
        ],
    )
}

/// Returns an archive in the format `newc`.
fn cpio(names: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in names.iter().chain(&["TRAILER!!!"]) {
        let mut fields = [0_usize; 13];
        (fields[6], fields[11]) = (4, name.len() + 1);
        bytes.extend(b"070701");
        bytes.extend(fields.iter().flat_map(|f| format!("{f:08X}").into_bytes()));
        bytes.extend(format!("{name}\0").bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(b"data");
    }
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// Looks at sound halves with one file of the boot half in another state.
fn look_into(file: &'static str) -> impl FnMut(&[u8]) {
    let (mut boot, root) = halves();
    move |bytes| {
        boot.insert(file.to_string(), bytes.to_vec());
        look(&boot, &root);
    }
}

fn kernels() -> Seeds {
    use std::io::Write;
    let mut plain = vec![0; 3000];
    plain.extend(format!("Linux version {VERSION} (x) #1 SMP\n\0").bytes());
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&plain).expect("memory takes everything");
    let zstd = zstd::encode_all(plain.as_slice(), 1).expect("memory takes everything");
    // lz4's legacy format: a block of literals only.
    let mut lz4 = b"\x02\x21\x4c\x18".to_vec();
    let literals = format!("Linux version {VERSION} ");
    let mut block = vec![
        0xf0,
        u8::try_from(literals.len() - 15).expect("it is short"),
    ];
    block.extend(literals.bytes());
    lz4.extend(
        u32::try_from(block.len())
            .expect("it is short")
            .to_le_bytes(),
    );
    lz4.extend(block);
    let mut zimage = vec![0; 0x24];
    zimage.extend(b"\x18\x28\x6f\x01");
    zimage.resize(256, 0);
    zimage.extend(gzip(&plain));
    let mut uboot = b"\x27\x05\x19\x56".to_vec();
    uboot.resize(64, 0);
    uboot.extend(gzip(&plain));
    let mut zboot = b"MZ\0\0zimg".to_vec();
    zboot.extend(64_u32.to_le_bytes());
    zboot.extend(
        u32::try_from(zstd.len())
            .expect("it is short")
            .to_le_bytes(),
    );
    zboot.resize(64, 0);
    zboot.extend(&zstd);
    Seeds::new(
        vec![
            kernel::bzimage("6.1.0-50-amd64"),
            gzip(&plain),
            plain,
            xz.finish().expect("memory takes everything"),
            zstd,
            lz4,
            zimage,
            uboot,
            zboot,
        ],
        &[
            "Linux version ",
            "HdrS",
            "MZ",
            "zimg",
            "\u{1f}",
            "6.1.0",
            "]\0\0",
        ],
    )
}

fn kernel_image(bytes: &[u8]) {
    if let Some(version) = boot::kernel::version(bytes) {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"._+-~@".contains(&b);
        assert!(
            version.bytes().all(fine) && version.len() <= 64,
            "{version:?}"
        );
    }
}

fn hosts() -> Seeds {
    Seeds::texts(
        &[
            "127.0.0.1\tlocalhost\n127.0.1.1\traspberrypi.lan raspberrypi\n::1\t\tlocalhost ip6-localhost # raspberrypi\n10.0.0.7 raspberrypi\n",
            "InitiatorName=iqn.1993-08.org.debian:01:abc\n",
            "",
        ],
        &[
            "127.0.1.1 ",
            "::1 ",
            "raspberrypi",
            "raspberrypi.lan",
            "localhost",
            "nog",
            "InitiatorName=",
            "GenerateName=yes",
        ],
    )
}

fn hosts_text(bytes: &[u8]) {
    let before = text(bytes);
    if let Some(after) = identity::hosts(Some(&before), Some("raspberrypi"), "nog") {
        assert_eq!(
            identity::hosts(Some(&after), Some("raspberrypi"), "nog"),
            None,
            "edited twice: {after:?}"
        );
        assert_eq!(before.matches('\n').count(), after.matches('\n').count());
    }
    if let Some(after) = identity::initiator_name("nog", &before) {
        assert_eq!(
            identity::initiator_name("nog", &after),
            None,
            "edited twice: {after:?}"
        );
    }
}

fn reports() -> Seeds {
    Seeds::texts(
        &["boot_id=0c3f2f8e-9a7c-4c11-8c33-aa2f63b5b1aa\nkernel=6.1.0-50-amd64\ntime=1795249224\n"],
        &["boot_id=", "kernel=", "time="],
    )
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
        ("initramfs8", cpio(&[]).repeat(1 << 12)),
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
        let ((), took) = timed(|| fstab_text(&content));
        found.push((format!("fstab: {:?}…", text(&content[..4])), took));
    }
    found
}
