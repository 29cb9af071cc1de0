//! An fstab: one line of it is netbe's, and without that one it is as it was.

use netbe::boot::{NfsVersion, fstab};

use super::{SPEC, text};
use crate::fuzz::mutation::Seeds;

pub(super) fn fstabs() -> Seeds {
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

pub(super) fn fstab_text(bytes: &[u8]) {
    let before = text(bytes);
    let entries = fstab::entries(&before);
    let _ = fstab::boot_mount(&before);
    let mut nfs = fstab::Want {
        boot_spec: Some(SPEC),
        boot_mount: "/boot/firmware",
        version: NfsVersion::V3,
        read_only: false,
        rest: false,
        there: &[],
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
        .filter(fstab::Entry::is_managed)
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
    let rested = before.lines().any(|l| l.starts_with(fstab::DISABLED));
    if !rested && !entries.iter().any(fstab::Entry::is_managed) {
        assert_eq!(back, before, "there and back is another file");
    }
}
