use super::*;
use crate::boot::Ip;
use crate::boot::initramfs::Mounter;
use proptest::prelude::*;

const INITRAMFS: Mounting = Mounting {
    mounter: Mounter::InitramfsTools,
    has_mount_nfs: false,
};

fn nfs_root() -> RootPlace {
    RootPlace::Nfs {
        server: [10, 0, 0, 1].into(),
        path: "/srv/netbe/nodes/nog/envs/first/root".into(),
        version: None,
        options: None,
    }
}

fn want(root: RootPlace) -> Want<'static> {
    Want {
        name: "nog/first",
        serial: None,
        model: None,
        hostname: "nog",
        loader: None,
        root,
        read_only: None,
        ip: Ip::Dhcp,
        add: &[],
        remove: &[],
        stash: &[],
        programs: Vec::new(),
        started_with: None,
    }
}

fn strings(tokens: &[&str]) -> Vec<String> {
    tokens.iter().map(|t| (*t).to_string()).collect()
}

const NFS: &str =
    "root=/dev/nfs nfsroot=10.0.0.1:/srv/netbe/nodes/nog/envs/first/root,vers=3,tcp rw ip=dhcp";

#[test]
fn lines_are_changed_to_nfs() {
    for (text, expected, stripped) in [
        (
            include_str!("../../../tests/fixtures/boot/rpios-bookworm/cmdline.txt"),
            format!("console=serial0,115200 console=tty1 {NFS} rootwait\n"),
            "root=PARTUUID=4e639091-02 rootfstype=ext4 fsck.repair=yes resize",
        ),
        (
            include_str!("../../../tests/fixtures/boot/raspi-firmware/cmdline.txt"),
            format!("console=tty0 console=ttyS1,115200 {NFS} rootwait\n"),
            "root=/dev/mmcblk0p2 rw fsck.repair=yes",
        ),
        (
            include_str!("../../../tests/fixtures/boot/handmade/cmdline.txt"),
            format!("console=serial0,115200 console=tty1 {NFS} rootwait elevator=deadline"),
            "",
        ),
        (
            "quiet init=/usr/lib/raspberrypi-sys-mods/firstboot root=LABEL=a ro  splash",
            format!("quiet {NFS}  splash"),
            "init=/usr/lib/raspberrypi-sys-mods/firstboot root=LABEL=a ro",
        ),
        (
            "init=/bin/bash root=UUID=x",
            format!("init=/bin/bash {NFS}"),
            "root=UUID=x",
        ),
        (
            "boot=nfs netroot=nfs:a:/b root=UUID=x resume=UUID=y ip=eth0:dhcp",
            format!("{} ip=dhcp", NFS.replace(" ip=dhcp", "")),
            "root=UUID=x resume=UUID=y ip=eth0:dhcp",
        ),
        (
            "rd.luks.uuid=luks-1 rd.lvm.lv=fedora/root root=/dev/mapper/fedora-root cryptdevice=UUID=z:c quiet",
            format!("{NFS} quiet"),
            "rd.luks.uuid=luks-1 rd.lvm.lv=fedora/root root=/dev/mapper/fedora-root cryptdevice=UUID=z:c",
        ),
        ("", NFS.to_string(), ""),
        ("\n", format!("{NFS}\n"), ""),
        ("quiet -- single", format!("quiet {NFS} -- single"), ""),
        (
            "a=\"root=x  y\" root=UUID=x\t\tb",
            format!("a=\"root=x  y\" {NFS}\t\tb"),
            "root=UUID=x",
        ),
        ("root=UUID=x root=UUID=x", NFS.to_string(), "root=UUID=x"),
        ("root=UUID=x root=/dev/nfs", NFS.to_string(), "root=UUID=x"),
    ] {
        let want = want(nfs_root());
        let edited = edit(text, &want, INITRAMFS).unwrap();
        assert_eq!(edited.text.as_deref(), Some(expected.as_str()), "{text}");
        assert_eq!(edited.stripped.join(" "), stripped, "{text}");
        let again = edit(&expected, &want, INITRAMFS).unwrap();
        assert_eq!((again.text, again.stripped), (None, vec![]), "{text}");
    }
}

#[test]
fn dracut_gets_everything_in_root() {
    let dracut = Mounting {
        mounter: Mounter::Dracut,
        has_mount_nfs: false,
    };
    let text = format!("quiet {NFS} splash");
    let edited = edit(&text, &want(nfs_root()), dracut)
        .unwrap()
        .text
        .unwrap();
    assert_eq!(
        edited,
        "quiet root=nfs4:10.0.0.1:/srv/netbe/nodes/nog/envs/first/root:vers=4.2,tcp rw ip=dhcp splash"
    );
    assert_eq!(
        edit(&edited, &want(nfs_root()), INITRAMFS).unwrap().text,
        Some(text)
    );
}

#[test]
fn ambiguous_lines_are_errors_that_name_both() {
    for (text, words) in [
        ("root=UUID=x root=LABEL=y", ["root=UUID=x", "root=LABEL=y"]),
        (
            "root=/dev/nfs nfsroot=a:/b nfsroot=a:/c",
            ["nfsroot=a:/b", "nfsroot=a:/c"],
        ),
        (
            "root=/dev/nfs root=nfs:a:/b",
            ["root=/dev/nfs", "root=nfs:a:/b"],
        ),
        ("ip=dhcp ip=eth1:dhcp", ["ip=dhcp", "ip=eth1:dhcp"]),
        ("a -- root=UUID=x", ["root=UUID=x", "--"]),
        ("root=UUID=x\nquiet\n", ["more than one line", ""]),
        ("root=\"UUID=x", ["quote", ""]),
    ] {
        let error = edit(text, &want(nfs_root()), INITRAMFS)
            .unwrap_err()
            .to_string();
        assert!(words.iter().all(|w| error.contains(w)), "{text}: {error}");
    }
}

#[test]
fn a_local_root_gets_its_arguments_back() {
    let stash = strings(&[
        "root=PARTUUID=x-02",
        "rootfstype=ext4",
        "fsck.repair=yes",
        "resize",
    ]);
    let mut want = want(RootPlace::Local("PARTUUID=x-02".into()));
    want.stash = &stash;
    let text = format!("console=tty1 {NFS} rootwait\n");
    let back = edit(&text, &want, INITRAMFS).unwrap().text.unwrap();
    assert_eq!(
        back,
        "console=tty1 root=PARTUUID=x-02 rootfstype=ext4 fsck.repair=yes resize rootwait\n"
    );
    assert_eq!(edit(&back, &want, INITRAMFS).unwrap().text, None);
    // On a local line only the root is set.
    let text = "root=PARTUUID=old rw ip=dhcp rootwait";
    assert_eq!(
        edit(text, &want, INITRAMFS).unwrap().text.unwrap(),
        "root=PARTUUID=x-02 rw ip=dhcp rootwait"
    );
    // Without a stash, `rw` may be the line's own.
    want.stash = &[];
    let text = format!("{NFS} quiet");
    assert_eq!(
        edit(&text, &want, INITRAMFS).unwrap().text.unwrap(),
        "root=PARTUUID=x-02 rw quiet"
    );
}

#[test]
fn arguments_are_added_and_removed() {
    let add = strings(&["elevator=none", "resize", "dyndbg=\"file a +p\""]);
    let mut wanted = want(nfs_root());
    wanted.add = &add;
    let edited = edit("root=UUID=x resize quiet\n", &wanted, INITRAMFS).unwrap();
    let text = edited.text.unwrap();
    assert_eq!(
        text,
        format!("{NFS} resize quiet elevator=none dyndbg=\"file a +p\"\n")
    );
    assert_eq!(edited.stripped, ["root=UUID=x"]);
    assert_eq!(edited.quoted, ["dyndbg=\"file a +p\""]);
    assert_eq!(edit(&text, &wanted, INITRAMFS).unwrap().text, None);
    let keep = strings(&["resize"]);
    let mut later = want(nfs_root());
    (later.add, later.remove) = (&keep, &add);
    assert_eq!(
        edit(&text, &later, INITRAMFS).unwrap().text.unwrap(),
        format!("{NFS} resize quiet\n")
    );
}

#[test]
fn a_read_only_root_is_granted() {
    let add = strings(&["ro"]);
    let mut wanted = want(nfs_root());
    wanted.add = &add;
    let text = edit("root=UUID=x rw quiet", &wanted, INITRAMFS)
        .unwrap()
        .text
        .unwrap();
    assert_eq!(text, format!("{} quiet ro", NFS.replace(" rw", "")));
    assert_eq!(edit(&text, &wanted, INITRAMFS).unwrap().text, None);
}

#[test]
fn the_property_cmdline_cannot_set_arguments_of_other_properties() {
    for bad in [
        "root=UUID=x",
        "nfsroot=a:/b",
        "ip=dhcp",
        "a b",
        "",
        "--",
        "a=\"b",
    ] {
        let add = strings(&[bad]);
        let mut wanted = want(nfs_root());
        wanted.add = &add;
        assert!(edit("quiet", &wanted, INITRAMFS).is_err(), "{bad}");
    }
}

fn sorted(text: &str) -> Vec<String> {
    let line = Line::parse(text).unwrap();
    let mut tokens: Vec<String> = line.tokens().map(str::to_string).collect();
    tokens.sort();
    tokens
}

proptest! {
    #[test]
    fn foreign_tokens_stay_and_an_edit_is_idempotent(
        before in proptest::collection::vec("(quiet|console=tty[0-9]|a\\.b=c-d|x=\"y z\")", 0..5),
        middle in "(root=UUID=x|root=/dev/sda2 ro|root=/dev/nfs nfsroot=1\\.2\\.3\\.4:/x rw|)",
        local in proptest::collection::vec("(rootfstype=ext4|fsck\\.mode=skip|resize|resume=UUID=[a-c])", 0..3),
        after in proptest::collection::vec("[m-q]{1,3}(=[a-z,]{0,5})?", 0..5),
        gap in "[ \t]{1,3}", end in "(\n|)",
    ) {
        let tokens: Vec<String> = before.iter().cloned()
            .chain(middle.split_whitespace().map(str::to_string))
            .chain(local.iter().cloned())
            .chain(after.iter().cloned())
            .collect();
        let text = tokens.join(&gap) + &end;
        let wanted = want(nfs_root());
        let edited = edit(&text, &wanted, INITRAMFS).unwrap();
        let new = edited.text.clone().unwrap_or(text.clone());
        let again = edit(&new, &wanted, INITRAMFS).unwrap();
        prop_assert_eq!(again.text, None);
        let foreign: Vec<&String> = before.iter().chain(&after).collect();
        let line = Line::parse(&new).unwrap();
        let mut rest = line.tokens();
        for token in foreign {
            prop_assert!(rest.any(|t| t == token), "{} lost {}", new, token);
        }
        prop_assert_eq!(new.ends_with('\n'), text.ends_with('\n'));
        if let Some(spec) = middle.strip_prefix("root=").filter(|m| !m.starts_with("/dev/nfs")) {
            let mut back = want(RootPlace::Local(spec.split(' ').next().unwrap().into()));
            back.stash = &edited.stripped;
            let restored = edit(&new, &back, INITRAMFS).unwrap().text.unwrap();
            let (mut restored, mut original) = (sorted(&restored), sorted(&text));
            // A repeated local argument is restored once.
            restored.dedup();
            original.dedup();
            prop_assert_eq!(restored, original);
        }
    }
}
