use super::*;
use crate::boot::cmdline::edit;
use crate::boot::spec::{NfsVersion, RootPlace, Want};

const UUID: &str = "12345678-1234-1234-1234-123456789abc";

fn iscsi() -> IscsiRoot {
    IscsiRoot {
        server: Ipv4Addr::new(10, 0, 0, 1),
        target: "iqn.2026-11.internal.netbe:1a2b3c4d:nog:first".to_string(),
        initiator: "iqn.2026-11.internal.netbe:1a2b3c4d:nog".to_string(),
        user: "nog".to_string(),
        secret: "0123456789abcdef".to_string(),
        uuid: UUID.to_string(),
    }
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
        ip: crate::boot::Ip::Dhcp,
        add: &[],
        remove: &[],
        stash,
        programs: Vec::new(),
        started_with: None,
    }
}

fn by(mounter: Mounter) -> Mounting {
    Mounting {
        mounter,
        has_mount_nfs: false,
    }
}

#[test]
fn a_line_names_the_disk_in_its_initramfs_syntax_and_a_second_edit_is_none() {
    let disk = format!("root=UUID={UUID}");
    let tools = "iscsi_initiator=iqn.2026-11.internal.netbe:1a2b3c4d:nog \
                 iscsi_target_name=iqn.2026-11.internal.netbe:1a2b3c4d:nog:first iscsi_target_ip=10.0.0.1 \
                 iscsi_username=nog iscsi_password=0123456789abcdef";
    let dracut = "netroot=iscsi:nog:0123456789abcdef@10.0.0.1::3260:1:iqn.2026-11.internal.netbe:1a2b3c4d:nog:first \
                  rd.iscsi.initiator=iqn.2026-11.internal.netbe:1a2b3c4d:nog";
    for (before, mounter, after) in [
        (
            "quiet root=PARTUUID=1-2 rootfstype=ext4 rootwait",
            Mounter::InitramfsTools,
            format!("quiet {disk} {tools} rw ip=dhcp rootwait"),
        ),
        (
            "root=/dev/nfs nfsroot=10.0.0.1:/x,vers=3 rw ip=dhcp quiet",
            Mounter::InitramfsTools,
            format!("{disk} {tools} rw ip=dhcp quiet"),
        ),
        (
            "root=nfs4:10.0.0.1:/x:vers=4.2 rw ip=dhcp",
            Mounter::Dracut,
            format!("{disk} {dracut} rw ip=dhcp"),
        ),
    ] {
        let want = want(RootPlace::Iscsi(iscsi()), &[]);
        let edited = edit(before, &want, by(mounter)).unwrap();
        assert_eq!(edited.text.as_deref(), Some(after.as_str()));
        assert_eq!(edit(&after, &want, by(mounter)).unwrap().text, None);
        let line = Line::parse(&after).unwrap();
        let against = |how| iscsi().check("cmdline.txt", &line, how);
        assert_eq!(against(by(mounter)), Vec::<String>::new());
        assert!(!against(by(Mounter::Unknown)).is_empty());
    }
}

#[test]
fn a_line_with_another_target_or_read_only_has_reasons() {
    let line = format!("root=UUID={UUID} iscsi_target_name=iqn.other ro");
    let line = Line::parse(&line).unwrap();
    let reasons = iscsi().check("default", &line, by(Mounter::InitramfsTools));
    assert_eq!(reasons.len(), 6, "{reasons:?}");
}

#[test]
fn the_line_goes_back_to_nfs_and_to_a_disk() {
    let before = "console=tty1 root=PARTUUID=1-2 rootfstype=ext4 rootwait";
    let how = by(Mounter::InitramfsTools);
    let there = edit(before, &want(RootPlace::Iscsi(iscsi()), &[]), how).unwrap();
    let (text, stash) = (there.text.unwrap(), there.stripped);
    let nfs = RootPlace::Nfs {
        server: Ipv4Addr::new(10, 0, 0, 1),
        path: "/srv/x".to_string(),
        version: Some(NfsVersion::V3),
        options: None,
    };
    let back = edit(&text, &want(nfs, &stash), how).unwrap();
    let line = back.text.unwrap();
    assert!(!line.contains("iscsi") && !line.contains(UUID), "{line}");
    assert!(
        line.contains("root=/dev/nfs nfsroot=10.0.0.1:/srv/x"),
        "{line}"
    );
    assert_eq!(back.stripped, Vec::<String>::new());
    let local = RootPlace::Local("PARTUUID=1-2".to_string());
    let back = edit(&text, &want(local, &stash), how).unwrap();
    assert_eq!(back.text.as_deref(), Some(before));
}

#[test]
fn without_an_initramfs_that_reads_it_there_is_no_line() {
    for mounter in [Mounter::Kernel, Mounter::Mkinitcpio, Mounter::Unknown] {
        let edited = edit("quiet", &want(RootPlace::Iscsi(iscsi()), &[]), by(mounter));
        assert!(edited.is_err());
    }
}

#[test]
fn an_initramfs_without_the_iscsi_programs_has_reasons() {
    let module = "usr/lib/modules/6.1.0/kernel/drivers/scsi/sd_mod.ko";
    let root = std::collections::BTreeMap::from([(module.to_string(), b"x".to_vec())]);
    let has = |iscsi, sd_mod: bool| {
        let mut found = Contents::default();
        (found.init, found.iscsi) = (true, iscsi);
        found.names.extend(sd_mod.then(|| "sd_mod".to_string()));
        found
    };
    for (found, want) in [
        (None, None),
        (Some(has(false, true)), Some("iscsistart")),
        (Some(has(true, false)), Some("sd_mod.ko")),
        (Some(has(true, true)), None),
    ] {
        let said = iscsi().missing(&root, "6.1.0", found.as_ref());
        assert_eq!(said.is_some(), want.is_some());
        assert!(said.is_none_or(|said| said.contains(want.unwrap())));
    }
}
