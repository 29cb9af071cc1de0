use super::*;
use proptest::prelude::*;

const SPEC: &str = "10.0.0.1:/srv/netbe/nodes/nog/envs/first/boot";

fn want(boot_mount: &str) -> Want<'_> {
    Want {
        boot_spec: Some(SPEC),
        boot_mount,
        version: NfsVersion::V4_2,
        read_only: false,
        rest: false,
        there: &[],
    }
}

fn managed(boot_mount: &str) -> String {
    format!("{SPEC} {boot_mount} nfs defaults,vers=4.2,_netdev,nofail,x-netbe 0 0")
}

/// Edits, checks that a second edit changes nothing and that the reverse restores the bytes; returns the edit.
fn edited(text: &str, boot_mount: &str) -> String {
    let want = want(boot_mount);
    let new = edit(text, &want).unwrap().unwrap();
    assert_eq!(edit(&new, &want).unwrap(), None, "{new}");
    let local = Want {
        boot_spec: None,
        ..want
    };
    let back = edit(&new, &local).unwrap();
    assert_eq!(back.as_deref(), Some(text));
    new
}

fn rested(text: &str, starts: &[&str]) -> String {
    let lines = text.split_inclusive('\n');
    lines
        .map(|l| match starts.iter().any(|s| l.starts_with(s)) {
            true => format!("{DISABLED}{l}"),
            false => l.to_string(),
        })
        .collect()
}

#[test]
fn raspberry_pi_os() {
    let text = include_str!("../../../tests/fixtures/boot/rpios-bookworm/fstab");
    let new = edited(text, "/boot/firmware");
    assert_eq!(boot_mount(text).as_deref(), Some("/boot/firmware"));
    assert_eq!(
        new,
        format!(
            "proc            /proc           proc    defaults          0       0\n\
             #netbe# PARTUUID=4e639091-01  /boot/firmware  vfat    defaults          0       2\n\
             {}\n\
             #netbe# PARTUUID=4e639091-02  /               ext4    defaults,noatime  0       1\n\
             # a swapfile is not a swap partition, no line here\n\
             #   use  dphys-swapfile swap[on|off]  for that\n",
            managed("/boot/firmware")
        )
    );
    assert_eq!(boot_mount(&new).as_deref(), Some("/boot/firmware"));
    let old = include_str!("../../../tests/fixtures/boot/rpios-bullseye/fstab");
    assert_eq!(boot_mount(old).as_deref(), Some("/boot"));
}

#[test]
fn debian_with_swap_and_esp() {
    let text = include_str!("../../../tests/fixtures/boot/debian-amd64/fstab");
    let new = edited(text, "/boot");
    assert_eq!(boot_mount(text), None);
    let expected = rested(text, &["UUID="]) + &managed("/boot") + "\n";
    assert_eq!(new, expected);
}

#[test]
fn arch_with_tabs() {
    let text = include_str!("../../../tests/fixtures/boot/arch/fstab");
    assert_eq!(boot_mount(text).as_deref(), Some("/boot"));
    let new = edited(text, "/boot");
    assert!(new.contains("\n#netbe# UUID=7B77-95E7      \t/boot     \tvfat"));
    assert!(new.contains("\n#netbe# UUID=3f9c8f7e-1c94-4a09-9b44-0d2b3a6e5c77\t/   "));
}

#[test]
fn a_setup_made_by_hand() {
    let text = include_str!("../../../tests/fixtures/boot/handmade/fstab");
    assert_eq!(boot_mount(text).as_deref(), Some("/boot/firmware"));
    let new = edited(text, "/boot/firmware");
    assert_eq!(
        new,
        rested(text, &["10.42"]) + "\n" + &managed("/boot/firmware")
    );
}

#[test]
fn line_ends_stay() {
    for (text, expected) in [
        ("", format!("{}\n", managed("/boot"))),
        ("# a", format!("# a\n{}", managed("/boot"))),
        ("# a\r\n", format!("# a\r\n{}\r\n", managed("/boot"))),
        (
            "# a\r\n/dev/sda1 / ext4",
            format!("# a\r\n#netbe# /dev/sda1 / ext4\r\n{}", managed("/boot")),
        ),
        ("\n\n", format!("\n\n{}\n", managed("/boot"))),
    ] {
        assert_eq!(edited(text, "/boot"), expected);
    }
}

#[test]
fn other_lines_stay() {
    for line in [
        "# UUID=x / ext4 defaults 0 1",
        "UUID=x /mnt/stick ext4 noauto,user 0 0",
        "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0",
        "UUID=x /san ext4 _netdev 0 2",
        "/dev/disk/by-path/ip-10.0.0.9:3260-iscsi-iqn.a-lun-0 /san xfs defaults 0 0",
        "/dev/nbd0 /srv ext4 defaults 0 0",
        "/swapfile none swap sw 0 0",
        "/dev/zram0 none swap sw 0 0",
        "tmpfs /tmp tmpfs nosuid 0 0",
        "nas:/data\\040x /data nfs vers=3 0 0",
        "/boot/firmware /boot none bind 0 0",
        "half a-line",
    ] {
        let text = format!("{line}\n");
        let expected = format!("{text}{}\n", managed("/boot/firmware"));
        assert_eq!(edited(&text, "/boot/firmware"), expected);
    }
}

#[test]
fn a_disk_that_is_there_is_known_by_any_of_its_names() {
    let there = ["UUID=x", "PARTLABEL=data", "/dev/sda3"].map(str::to_string);
    for (line, comes_back) in [
        ("UUID=x /home ext4", true),
        ("/dev/disk/by-uuid/x /home ext4", true),
        ("/dev/disk/by-partlabel/data /home ext4", true),
        ("/dev/disk/by-label/data /home ext4", false),
        ("/dev/sda3 none swap", true),
        ("/dev/sda4 none swap", false),
        ("UUID=x / ext4", false),
        ("UUID=x /boot vfat", false),
        ("UUID=x /boot/firmware vfat", false),
    ] {
        let want = Want {
            there: &there,
            ..want("/boot")
        };
        let text = format!("{DISABLED}{line}\n{}\n", managed("/boot"));
        assert_eq!(edit(&text, &want).unwrap().is_some(), comes_back, "{line}");
    }
}

#[test]
fn local_disks_rest_however_they_are_named() {
    for line in [
        "UUID=x /home ext4 defaults 0 2",
        "PARTUUID=aabbccdd-03 /home ext4 defaults,noatime 0 2",
        "LABEL=\"my data\" /data xfs nofail 0 2",
        "PARTLABEL=data /data ext4 defaults 0 2",
        "/dev/mmcblk0p3 /home ext4 defaults 0 2",
        "/dev/disk/by-path/pci-0000:00:1f.2-ata-1-part3 /var btrfs subvol=@var 0 0",
        "/dev/disk/by-id/ata-X-part3 /var ext4",
        "/dev/mapper/vg-home /home ext4 defaults 0 2",
        "/dev/vg/home\t/home\text4\tx-systemd.automount 0 2",
        "/dev/md0 /srv ext4 defaults 0 2",
        "tank/home /home zfs defaults 0 0",
        "UUID=x /boot\\040two ext4 defaults 0 2",
        "UUID=x none swap sw 0 0",
        "/dev/zvol/tank/swap none swap sw 0 0",
    ] {
        let text = format!("proc /proc proc defaults 0 0\n{line}\n");
        let new = edited(&text, "/boot");
        assert!(new.contains(&format!("\n{DISABLED}{line}\n")), "{new}");
        assert_eq!(disabled(&new).len(), 1, "{new}");
        assert!(has_managed_line(&new) && !has_managed_line(&text));
    }
}

#[test]
fn later_lines_are_the_users_choice() {
    let text = edited("UUID=a / ext4 defaults 0 1\n", "/boot") + "UUID=b none swap sw 0 0\n";
    assert_eq!(edit(&text, &want("/boot")).unwrap(), None);
    let text = text + "UUID=c / ext4 defaults 0 1\n";
    let new = edit(&text, &want("/boot")).unwrap().unwrap();
    assert!(new.ends_with("#netbe# UUID=c / ext4 defaults 0 1\n"));
}

#[test]
fn netbes_line_is_updated() {
    let old = "a:/b\t/boot  nfs4 rw,vers=3,nolock,noatime,x-netbe  0\t0 # mine";
    let new = edit(old, &want("/boot/firmware")).unwrap().unwrap();
    assert_eq!(
        new,
        format!("{SPEC}\t/boot/firmware  nfs4 rw,vers=4.2,noatime,x-netbe  0\t0 # mine")
    );
    let v3 = Want {
        version: NfsVersion::V3,
        ..want("/boot/firmware")
    };
    let back = edit(&new, &v3).unwrap().unwrap();
    assert!(back.contains(" rw,vers=3,nolock,noatime,x-netbe "));
    assert_eq!(edit(&back, &v3).unwrap(), None);
    let bare = edit("a:/b /boot nfs x-netbe", &v3).unwrap().unwrap();
    assert!(bare.ends_with(" nfs vers=3,nolock,x-netbe"));
}

#[test]
fn two_lines_of_netbes_are_an_error() {
    let twice = format!("{0}\n# x\n{0}\n", managed("/boot"));
    let error = edit(&twice, &want("/boot")).unwrap_err().to_string();
    assert!(error.contains("lines 1 and 3"), "{error}");
}

#[test]
fn the_boot_half_is_where_fstab_mounts_it() {
    for (text, place) in [
        ("", None),
        ("# PARTUUID=x /boot/firmware vfat defaults 0 2\n", None),
        ("PARTUUID=x-02 / ext4 defaults 0 1\nproc /proc proc\n", None),
        (
            "PARTUUID=x-01\t/boot/firmware\tvfat\tdefaults\t0\t2\n",
            Some("/boot/firmware"),
        ),
        (
            "PARTUUID=x-01 /boot/firmware/ vfat defaults 0 2\r\n",
            Some("/boot/firmware"),
        ),
        ("  LABEL=boot /boot vfat", Some("/boot")),
        ("UUID=a /boot ext4\nUUID=b /boot/efi vfat\n", Some("/boot")),
        (
            "UUID=a /boot ext4\nUUID=b /boot/firmware vfat\n",
            Some("/boot/firmware"),
        ),
        ("UUID=b /boot/efi vfat\n", None),
        ("UUID=b /b\\157ot vfat\n", Some("/boot")),
        ("/srv/boot /boot none bind 0 0\n", None),
        ("UUID=b\n", None),
        (
            "a:/b /boot nfs x-netbe\nUUID=b /boot/firmware vfat\n",
            Some("/boot"),
        ),
        ("a:/b /home nfs x-netbe\n", None),
        (
            "a:/b /home nfs x-netbe\n#netbe# UUID=a /boot vfat\n",
            Some("/boot"),
        ),
    ] {
        assert_eq!(boot_mount(text).as_deref(), place, "{text:?}");
    }
}

#[test]
fn fields_are_unescaped_and_unquoted() {
    let text =
        "LABEL=\"my\\040disk\" /mnt\\011x btrfs rw,subvol=@home 0 0\n\\04\\999ä\\040\\ /a \"b\"\n";
    let read = entries(text);
    assert_eq!(read[0].spec, "LABEL=my disk");
    assert_eq!(read[0].file, "/mnt\tx");
    assert_eq!(read[0].option("subvol"), Some("@home"));
    assert_eq!(read[0].option("sub"), None);
    assert_eq!(read[1].spec, "\\04\\999ä \\");
    assert_eq!(read[1].fstype, "\"b\"");
}

#[test]
fn entries_are_read_with_their_escapes() {
    let text = "a\\040b /x\\011y/ nfs4\r\n#c d e\n /dev/sda1\t/\text4 ro,noatime 0 1\nshort line\n";
    let read = entries(text);
    assert_eq!(read.len(), 2);
    assert_eq!(
        (read[0].spec.as_str(), read[0].file.as_str()),
        ("a b", "/x\ty")
    );
    assert_eq!(read[0].options, "defaults");
    assert_eq!(
        (read[1].file.as_str(), read[1].options.as_str()),
        ("/", "ro,noatime")
    );
    let spaced = Want {
        boot_spec: Some("1.2.3.4:/a b"),
        ..want("/boot")
    };
    assert!(
        edit("", &spaced)
            .unwrap()
            .unwrap()
            .starts_with("1.2.3.4:/a\\040b /boot nfs")
    );
}

proptest! {
    #[test]
    fn the_reverse_edit_is_exact(
        lines in proptest::collection::vec(
            "(#[ a-z]{0,9}|[ \t]{0,3}|(UUID=[ab]|/dev/sda1|n:/x|proc|/swap)[ \t]{1,2}(/|/boot|/boot/firmware/|/home|none)[ \t](ext4|nfs|swap|vfat)( [a-z,]{1,6}( 0 [012])?)?)",
            0..8,
        ),
        end in "(\n|\r\n)", last in any::<bool>(),
    ) {
        let mut text = lines.join(&end);
        if last && !text.is_empty() {
            text += &end;
        }
        let want = want("/boot/firmware");
        let new = edit(&text, &want).unwrap().unwrap();
        prop_assert_eq!(edit(&new, &want).unwrap(), None);
        let local = Want { boot_spec: None, ..want };
        prop_assert_eq!(edit(&text, &local).unwrap(), None);
        prop_assert_eq!(edit(&new, &local).unwrap().unwrap(), text);
        prop_assert_eq!(new.lines().filter(|l| l.contains("x-netbe")).count(), 1);
    }
}
