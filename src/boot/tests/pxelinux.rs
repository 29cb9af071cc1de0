use super::*;

pub(super) fn debian() -> (Half, Half) {
    let mut boot = half(&[
        ("initrd.img-6.1.0-32-amd64", "x"),
        ("config-6.1.0-32-amd64", "x"),
    ]);
    let mut root = half(&[
        (
            "etc/fstab",
            include_str!("../../../tests/fixtures/boot/debian-amd64/fstab"),
        ),
        (
            "etc/default/grub",
            "GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"console=ttyS0,115200n8\"\n",
        ),
        ("usr/sbin/update-initramfs", "x"),
        ("etc/initramfs-tools/modules", "x"),
        ("usr/sbin/mount.nfs", "x"),
        ("usr/lib/modules/6.1.0-32-amd64/modules.dep", "x"),
    ]);
    root.insert("usr/bin/sh".into(), elf(62));
    // An x86 kernel is known by the word in its header.
    let mut kernel = vec![0; 0x400];
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    boot.insert("vmlinuz-6.1.0-32-amd64".into(), kernel);
    (boot, root)
}

pub(super) fn binaries() -> Vec<Program> {
    let program = |name| Program {
        name,
        bytes: format!("the program {name}").into_bytes(),
    };
    ["pxelinux.0", "ldlinux.c32"].map(program).to_vec()
}

pub(super) const APPEND: &str =
    "root=/dev/nfs nfsroot=10.0.0.1:/srv/netbe/nodes/nog/envs/first/root,vers=3,tcp rw ip=dhcp";

#[test]
fn a_system_without_a_menu_gets_one() {
    let (mut boot, mut root) = debian();
    let wanted = Want {
        programs: binaries(),
        ..want(None)
    };
    let plan = apply(&mut boot, &root, &wanted);
    assert_eq!(plan.loader, Loader::Pxelinux);
    assert_eq!(plan.notes, Vec::<String>::new());
    assert_eq!(
        content(&boot, "pxelinux.cfg/default"),
        format!(
            "# made by netbe for nog/first; KERNEL, INITRD and FDTDIR follow the newest kernel, APPEND is kept\n\
             DEFAULT netbe\nPROMPT 0\nTIMEOUT 10\n\nLABEL netbe\n  KERNEL vmlinuz-6.1.0-32-amd64\n  \
             INITRD initrd.img-6.1.0-32-amd64\n  IPAPPEND 2\n  APPEND console=ttyS0,115200n8 {APPEND}\n"
        )
    );
    mount_boot(&mut root, "/boot");
    assert_eq!(
        reasons(&boot, &root, &wanted, "/boot"),
        Vec::<String>::new()
    );
    assert_eq!(
        summary(&boot, &root).kernel_version.as_deref(),
        Some("6.1.0-32-amd64")
    );
    // After an upgrade the menu has the new kernel; the user's changes stay.
    let text = content(&boot, "pxelinux.cfg/default").replace("rw ip", "rw  panic=5 ip");
    boot.insert("pxelinux.cfg/default".into(), text.clone().into_bytes());
    boot.insert("vmlinuz-6.1.0-33-amd64".into(), b"x".to_vec());
    boot.insert("initrd.img-6.1.0-33-amd64".into(), b"x".to_vec());
    let renamed = Want {
        name: "nog/second",
        ..wanted.clone()
    };
    apply(&mut boot, &root, &renamed);
    let expected = text
        .replace("6.1.0-32", "6.1.0-33")
        .replace("nog/first;", "nog/second;");
    assert_eq!(content(&boot, "pxelinux.cfg/default"), expected);
    assert_eq!(
        reasons(&boot, &root, &renamed, "/boot"),
        [
            "the kernel vmlinuz-6.1.0-33-amd64 is version 6.1.0-33-amd64, and the root has no modules for it in lib/modules"
        ]
    );
    // Without an initramfs the kernel mounts the root.
    boot.remove("initrd.img-6.1.0-33-amd64");
    apply(&mut boot, &root, &renamed);
    assert!(!content(&boot, "pxelinux.cfg/default").contains("INITRD initrd"));
    assert!(content(&boot, "pxelinux.cfg/default").contains(",vers=4.2,tcp rw  panic=5"));
}

#[test]
fn a_users_menu_is_not_changed() {
    let menu = "# ours\r\nUI menu.c32\r\nDEFAULT two\r\nlabel one\r\n  kernel a\r\n  append root=UUID=x\r\nlabel two\r\n\
                \tMENU LABEL Two\r\n\tTEXT HELP\r\n label not-one\r\n\tENDTEXT\r\n\tlinux   vmlinuz-6.1.0-32-amd64\r\n\
                \tappend   initrd=initrd.img-6.1.0-32-amd64   root=UUID=y ro\tquiet \r\n\tIPAPPEND 2\r\n";
    let (mut boot, mut root) = debian();
    boot.insert("pxelinux.cfg/default".into(), menu.into());
    boot.insert("vmlinuz-6.1.0-99-amd64".into(), b"x".to_vec());
    for name in ["pxelinux.0", "ldlinux.c32", "menu.c32"] {
        boot.insert(name.into(), b"x".to_vec());
    }
    let plan = apply(&mut boot, &root, &want(None));
    assert_eq!(plan.stripped, ["root=UUID=y", "ro"]);
    assert_eq!(
        content(&boot, "pxelinux.cfg/default"),
        menu.replace("root=UUID=y ro", APPEND)
    );
    mount_boot(&mut root, "/boot");
    assert_eq!(
        reasons(&boot, &root, &want(None), "/boot"),
        Vec::<String>::new()
    );
    let seen = summary(&boot, &root);
    assert_eq!(seen.kernel_file.as_deref(), Some("vmlinuz-6.1.0-32-amd64"));
    assert_eq!(seen.initramfs, ["initrd.img-6.1.0-32-amd64"]);
}

#[test]
fn ambiguous_menus_are_errors() {
    for (menu, word) in [
        (
            "label a\n kernel x\nlabel b\n kernel y\n",
            "no DEFAULT says",
        ),
        (
            "default c\nlabel a\n kernel x\nlabel b\n kernel y\n",
            "no DEFAULT says",
        ),
        ("label a\n kernel x\nlabel a\n kernel y\n", "twice"),
        ("default vmlinuz\nappend root=UUID=x\n", "no LABEL"),
        ("label a\n append root=UUID=x\n", "names no kernel"),
        (
            "label a\n kernel x\n append root=UUID=x root=UUID=y\n",
            "root=UUID=x and root=UUID=y",
        ),
    ] {
        let (mut boot, root) = debian();
        boot.insert("pxelinux.cfg/default".into(), menu.into());
        let error = format!("{:#}", plan(&boot, &root, &want(None)).unwrap_err());
        assert!(
            error.contains(word) && error.contains("pxelinux.cfg/default"),
            "{word}: {error}"
        );
        assert!(!reasons(&boot, &root, &want(None), "/boot").is_empty());
    }
}

#[test]
fn common_arguments_become_the_labels_own() {
    let (mut boot, root) = debian();
    let menu = "append quiet root=UUID=x\nlabel a\n  kernel vmlinuz-6.1.0-32-amd64";
    boot.insert("pxelinux.cfg/default".into(), menu.into());
    apply(&mut boot, &root, &want(None));
    assert_eq!(
        content(&boot, "pxelinux.cfg/default"),
        format!(
            "{menu}\n  APPEND quiet {}\n",
            APPEND.replace(",vers=3", ",vers=4.2")
        )
    );
}

#[test]
fn a_file_for_one_node_is_edited_too() {
    let (mut boot, root) = debian();
    let menu = "label a\n kernel vmlinuz-6.1.0-32-amd64\n append root=UUID=x\n";
    for name in ["default", "01-88-99-aa-bb-cc-dd", "C0A8025B", "notes.txt"] {
        boot.insert(format!("pxelinux.cfg/{name}"), menu.into());
    }
    let plan = apply(&mut boot, &root, &want(None));
    let written: Vec<&str> = plan.writes.iter().map(|(p, _)| p.as_str()).collect();
    assert_eq!(
        written,
        [
            "pxelinux.cfg/01-88-99-aa-bb-cc-dd",
            "pxelinux.cfg/C0A8025B",
            "pxelinux.cfg/default"
        ]
    );
    assert_eq!(plan.stripped, ["root=UUID=x"]);
}

#[test]
fn arm_gets_its_device_trees_and_no_bios() {
    let (_, mut root) = debian();
    root.insert("usr/bin/sh".into(), elf(183));
    let mut boot = half(&[
        ("vmlinuz-linux", "x"),
        ("initramfs-linux.img", "x"),
        ("dtbs/rockchip/a.dtb", "x"),
        (
            "extlinux/extlinux.conf",
            "default arch\nlabel arch\n  kernel ../vmlinuz-linux\n  append console=ttyS2,1500000 root=UUID=x rw\n",
        ),
    ]);
    let wanted = Want {
        programs: binaries(),
        ..want(None)
    };
    let plan = apply(&mut boot, &root, &wanted);
    assert_eq!(plan.writes.len(), 1);
    let menu = content(&boot, "pxelinux.cfg/default");
    assert!(menu.contains("  FDTDIR dtbs\n"), "{menu}");
    assert!(
        menu.contains("APPEND console=ttyS2,1500000 root=/dev/nfs "),
        "{menu}"
    );
    assert_eq!(plan.stripped, ["root=UUID=x", "rw"]);
    // Debian has them in the root half.
    let mut boot = half(&[("vmlinuz-6.1.0-32-amd64", "x")]);
    root.insert(
        "usr/lib/linux-image-6.1.0-32-amd64/rockchip/a.dtb".into(),
        b"x".to_vec(),
    );
    let plan = apply(&mut boot, &root, &wanted);
    assert!(
        plan.notes[0].contains("/usr/lib/linux-image-6.1.0-32-amd64"),
        "{:?}",
        plan.notes
    );
}

#[test]
fn the_programs_for_a_bios_are_verified() {
    let (mut boot, mut root) = debian();
    let plan = apply(&mut boot, &root, &want(None));
    assert_eq!(plan.notes.len(), 2);
    mount_boot(&mut root, "/boot");
    let why = reasons(&boot, &root, &want(None), "/boot");
    assert_eq!(why.len(), 1, "{why:?}");
    assert!(
        why[0].starts_with("pxelinux.0 and ldlinux.c32, "),
        "{why:?}"
    );
    assert!(why[0].contains(" && netbe set --existing "), "{why:?}");
    boot.insert("pxelinux.0".into(), b"other".to_vec());
    let wanted = Want {
        programs: binaries(),
        ..want(None)
    };
    assert_eq!(apply(&mut boot, &root, &wanted).writes.len(), 2);
    assert_eq!(
        reasons(&boot, &root, &wanted, "/boot"),
        Vec::<String>::new()
    );
    // A kernel at an absolute path may be another node's.
    let menu = content(&boot, "pxelinux.cfg/default").replace("KERNEL vm", "KERNEL /vm");
    boot.insert("pxelinux.cfg/default".into(), menu.into());
    assert!(reasons(&boot, &root, &wanted, "/boot")[0].contains("not in this boot folder"));
}

#[test]
fn a_boot_half_without_a_kernel_is_an_error_with_a_remedy() {
    let (mut boot, root) = debian();
    boot.retain(|name, _| name.starts_with("config"));
    let error = plan(&boot, &root, &want(Some(Loader::Pxelinux))).unwrap_err();
    let failure = error.downcast_ref::<crate::failure::Failure>().unwrap();
    assert!(failure.message.contains("no kernel") && failure.message.contains("put it"));
}

#[test]
fn mismatched_files_are_found() {
    let (mut boot, mut root) = debian();
    let wanted = Want {
        programs: binaries(),
        ..want(None)
    };
    apply(&mut boot, &root, &wanted);
    mount_boot(&mut root, "/boot");
    let menu = content(&boot, "pxelinux.cfg/default").to_string();
    let other = menu.replace("INITRD initrd.img-6.1.0-32", "INITRD initrd.img-6.1.0-31");
    boot.insert("pxelinux.cfg/default".into(), other.into());
    boot.insert("initrd.img-6.1.0-31-amd64".into(), b"x".to_vec());
    assert_eq!(
        reasons(&boot, &root, &wanted, "/boot"),
        [
            "the initramfs initrd.img-6.1.0-31-amd64 is for version 6.1.0-31-amd64, and the kernel \
          vmlinuz-6.1.0-32-amd64 is version 6.1.0-32-amd64"
        ]
    );
    // Debian's kernel cannot mount an NFS root without an initramfs.
    boot.remove("initrd.img-6.1.0-32-amd64");
    boot.remove("pxelinux.cfg/default");
    boot.insert(
        "config-6.1.0-32-amd64".into(),
        b"CONFIG_NFS_FS=m\n# CONFIG_IP_PNP is not set\n".to_vec(),
    );
    apply(&mut boot, &root, &wanted);
    let why = reasons(&boot, &root, &wanted, "/boot");
    assert!(
        why[0].contains("cannot mount an NFS root by itself"),
        "{why:?}"
    );
    boot.insert(
        "config-6.1.0-32-amd64".into(),
        b"CONFIG_ROOT_NFS=y\n".to_vec(),
    );
    assert_eq!(
        reasons(&boot, &root, &wanted, "/boot"),
        Vec::<String>::new()
    );
}

/// Files of which only the beginnings are readable.
struct Failing<'a>(&'a Half);

impl BootFiles for Failing<'_> {
    fn names(&self, dir: &str) -> std::io::Result<Vec<String>> {
        self.0.names(dir)
    }

    fn head(&self, path: &str, limit: usize) -> std::io::Result<Option<Vec<u8>>> {
        match path.contains("vmlinu") && limit > 100 << 10 {
            true => Err(std::io::Error::from_raw_os_error(5)),
            false => self.0.head(path, limit),
        }
    }

    fn length(&self, path: &str) -> std::io::Result<Option<u64>> {
        self.0.length(path)
    }
}

#[test]
fn a_kernel_that_cannot_be_read_would_not_boot() {
    let (mut boot, mut root) = debian();
    let wanted = Want {
        programs: binaries(),
        ..want(None)
    };
    apply(&mut boot, &root, &wanted);
    mount_boot(&mut root, "/boot");
    // Without an x86 header the whole file is read.
    let reasons = verify(&Failing(&boot), &root, &wanted, "/boot", BOOT_SPEC).unwrap();
    assert_eq!(
        reasons,
        ["the kernel vmlinuz-6.1.0-32-amd64 cannot be read: Input/output error (os error 5)"]
    );
    // The newer of the two is not guessed either.
    for name in ["vmlinux-a", "vmlinux-b"] {
        boot.insert(name.into(), b"x".to_vec());
    }
    boot.remove("vmlinuz-6.1.0-32-amd64");
    assert!(super::super::pxelinux::kernels::newest(&Failing(&boot), None).is_err());
}
