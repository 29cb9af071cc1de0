//! Menus as people write them: the label that boots when no key is pressed is edited and verified.

use super::pxelinux::{APPEND, debian};
use super::*;

const DEFAULT: &str = "pxelinux.cfg/default";
const LABELS: &str = "LABEL local\n  LOCALBOOT 0\nLABEL one\n  KERNEL vmlinuz-6.1.0-32-amd64\n  INITRD initrd.img-6.1.0-32-amd64\n  \
                      APPEND root=UUID=1 one\nLABEL two\n  KERNEL vmlinuz-6.1.0-32-amd64\n  INITRD initrd.img-6.1.0-32-amd64\n  \
                      APPEND root=UUID=1 two\n";

fn with_menu(head: &str) -> (Half, Half) {
    let (mut boot, mut root) = debian();
    boot.insert(DEFAULT.into(), format!("{head}{LABELS}").into_bytes());
    for name in ["pxelinux.0", "ldlinux.c32", "menu.c32"] {
        boot.insert(name.into(), b"x".to_vec());
    }
    mount_boot(&mut root, "/boot");
    (boot, root)
}

#[test]
fn the_label_booted_without_a_key_press_is_edited() {
    for (head, label) in [
        ("DEFAULT one\n", "one"),
        (
            "DEFAULT one\nPROMPT 0\nTIMEOUT 50\nONTIMEOUT local\n",
            "one",
        ),
        ("DEFAULT one\nPROMPT 1\nTIMEOUT 50\nONTIMEOUT two\n", "two"),
        ("DEFAULT one\nPROMPT 1\nONTIMEOUT two\n", "one"),
        ("DEFAULT menu.c32\nTIMEOUT 50\nONTIMEOUT two\n", "two"),
        ("DEFAULT local\nPROMPT 1\nTIMEOUT 9\nONTIMEOUT two\n", "two"),
        ("UI menu.c32\nDEFAULT two\nTIMEOUT 50\n", "two"),
        (
            "UI menu.c32\nTIMEOUT 50\nLABEL zero\n MENU DEFAULT\n KERNEL vmlinuz-6.1.0-32-amd64\n INITRD initrd.img-6.1.0-32-amd64\n APPEND zero\n",
            "zero",
        ),
        ("DEFAULT nothing\nONERROR two\n", "two"),
        ("DEFAULT two quiet\n", "two"),
    ] {
        let (mut boot, root) = with_menu(head);
        apply(&mut boot, &root, &want(None));
        let menu = content(&boot, DEFAULT);
        let edited: Vec<&str> = menu.lines().filter(|l| l.contains("10.0.0.1")).collect();
        assert_eq!(edited.len(), 1, "{head}{edited:?}");
        assert!(edited[0].contains(label), "{head}{edited:?}");
        let why = reasons(&boot, &root, &want(None), "/boot");
        assert_eq!(why, Vec::<String>::new(), "{head}");
    }
}

#[test]
fn a_menu_that_boots_something_else_has_reasons() {
    for (head, word) in [
        (
            "DEFAULT one\nPROMPT 1\nTIMEOUT 50\nONTIMEOUT local\n",
            "ONTIMEOUT, when no key is pressed, boots the label local",
        ),
        (
            "DEFAULT menu.c32\nTIMEOUT 50\nONTIMEOUT local\nLABEL x\n MENU DEFAULT\n KERNEL vmlinuz-6.1.0-32-amd64\n",
            "which is LOCALBOOT",
        ),
        (
            "UI menu.c32\nDEFAULT one\nTIMEOUT 50\nONTIMEOUT poweroff.c32\n",
            "boots poweroff.c32",
        ),
        (
            "DEFAULT one\nONTIMEOUT local\nTIMEOUT 50\nUI vesamenu.c32\n",
            "vesamenu.c32, which is not in the boot folder",
        ),
        (
            "DEFAULT hdt.c32\nLABEL x\n MENU DEFAULT\n KERNEL vmlinuz-6.1.0-32-amd64\n",
            "hdt.c32",
        ),
        (
            "LABEL x\n MENU DEFAULT\n KERNEL vmlinuz-6.1.0-32-amd64\n",
            "waits at its prompt",
        ),
        (
            "DEFAULT ghost\nLABEL x\n MENU DEFAULT\n KERNEL vmlinuz-6.1.0-32-amd64\n",
            "no such LABEL",
        ),
        (
            "DEFAULT vmlinuz-6.1.0-32-amd64\nLABEL x\n MENU DEFAULT\n KERNEL vmlinuz-6.1.0-32-amd64\n",
            "by itself",
        ),
        (
            "DEFAULT disk\nLABEL disk\n KERNEL chain.c32\n APPEND hd0\nLABEL x\n MENU DEFAULT\n KERNEL vmlinuz-6.1.0-32-amd64\n",
            "chain.c32, no Linux kernel",
        ),
        ("DEFAULT one root=/dev/sda1\n", "root=/dev/sda1"),
    ] {
        let (mut boot, root) = with_menu(head);
        apply(&mut boot, &root, &want(None));
        let why = reasons(&boot, &root, &want(None), "/boot");
        assert!(why.iter().any(|r| r.contains(word)), "{head}{why:?}");
    }
}

#[test]
fn a_menu_program_needs_its_libraries() {
    let (mut boot, root) = with_menu("UI menu.c32\nTIMEOUT 50\nDEFAULT one\n");
    boot.insert(
        "menu.c32".into(),
        b"\x7fELF\0libutil.c32\0libcom32.c32\0".to_vec(),
    );
    boot.insert("libcom32.c32".into(), b"x".to_vec());
    apply(&mut boot, &root, &want(None));
    let why = reasons(&boot, &root, &want(None), "/boot");
    assert!(
        why.len() == 1 && why[0].contains("needs libutil.c32"),
        "{why:?}"
    );
    boot.insert("bios/libutil.c32".into(), b"x".to_vec());
    let menu = format!("PATH bios\n{}", content(&boot, DEFAULT));
    boot.insert(DEFAULT.into(), menu.into());
    assert_eq!(
        reasons(&boot, &root, &want(None), "/boot"),
        Vec::<String>::new()
    );
}

#[test]
fn included_files_are_read_and_edited_in_place() {
    let (mut boot, root) = with_menu("");
    let labels = content(&boot, DEFAULT).to_string();
    boot.insert("pxelinux.cfg/labels".into(), labels.clone().into());
    boot.insert(
        "pxelinux.cfg/colours".into(),
        b"MENU COLOR x\nINCLUDE pxelinux.cfg/default\n".to_vec(),
    );
    for head in [
        "INCLUDE pxelinux.cfg/labels\nDEFAULT two\n",
        "UI menu.c32\nTIMEOUT 50\nMENU INCLUDE pxelinux.cfg/labels\nDEFAULT two\n",
        "UI menu.c32 pxelinux.cfg/labels\nTIMEOUT 50\nDEFAULT two\n",
    ] {
        boot.insert("pxelinux.cfg/labels".into(), labels.clone().into());
        boot.insert(DEFAULT.into(), head.into());
        let plan = apply(&mut boot, &root, &want(None));
        assert_eq!(plan.writes.len(), 1, "{head}");
        assert_eq!(
            content(&boot, "pxelinux.cfg/labels"),
            labels.replace("root=UUID=1 two", &format!("{APPEND} two")),
            "{head}"
        );
        assert_eq!(content(&boot, DEFAULT), head);
        assert_eq!(
            reasons(&boot, &root, &want(None), "/boot"),
            Vec::<String>::new()
        );
    }
    // One that includes itself ends.
    boot.insert(
        DEFAULT.into(),
        b"INCLUDE pxelinux.cfg/colours\nDEFAULT one\n".to_vec(),
    );
    let _ = plan(&boot, &root, &want(None));
    // One that is missing is told.
    boot.insert(
        DEFAULT.into(),
        format!("INCLUDE none.cfg\nDEFAULT two\n{labels}").into(),
    );
    let plan = apply(&mut boot, &root, &want(None));
    assert!(plan.notes[0].contains("none.cfg"), "{:?}", plan.notes);
}

#[test]
fn a_menu_that_waits_for_ever_has_a_note() {
    for (head, waits) in [
        ("UI menu.c32\nDEFAULT one\n", true),
        ("PROMPT 1\nDEFAULT one\n", true),
        ("DEFAULT one\n", false),
        ("UI menu.c32\nTOTALTIMEOUT 600\nDEFAULT one\n", false),
    ] {
        let (mut boot, root) = with_menu(head);
        let notes = apply(&mut boot, &root, &want(None)).notes;
        assert_eq!(
            notes.iter().any(|n| n.contains("waits for a key")),
            waits,
            "{head}"
        );
    }
}

/// An ARM board with U-Boot.
fn board(menu: &str) -> (Half, Half) {
    let (_, mut root) = debian();
    root.insert("usr/bin/sh".into(), elf(183));
    let boot = half(&[
        ("vmlinuz-6.1.0-32-amd64", "x"),
        ("dtbs/a.dtb", "x"),
        (DEFAULT, menu),
    ]);
    mount_boot(&mut root, "/boot");
    (boot, root)
}

#[test]
fn u_boot_goes_by_rules_of_its_own() {
    const K: &str = "KERNEL vmlinuz-6.1.0-32-amd64\nAPPEND root=UUID=1";
    for (menu, label, word) in [
        (format!("LABEL a\n{K} a\nLABEL b\n{K} b\n"), " a", ""),
        (
            format!("DEFAULT a\nONTIMEOUT b\nLABEL a\n{K} a\nLABEL b\n{K} b\n"),
            " b",
            "",
        ),
        (
            format!("LABEL a\n{K} a\nLABEL b\nMENU DEFAULT\n{K} b\n"),
            " b",
            "",
        ),
        (
            format!("DEFAULT ghost\nLABEL a\n{K} a\nLABEL b\n{K} b\n"),
            " a",
            "",
        ),
        (
            format!("DEFAULT d\nLABEL d\nLOCALBOOT 1\nLABEL b\n{K} b\n"),
            " b",
            "own disk",
        ),
        (
            format!("INCLUDE gone\nDEFAULT b\nLABEL b\n{K} b\n"),
            " b",
            "gives up",
        ),
        (
            format!("DEFAULT b\nLABEL b\n{K} b\nFDT dtbs/b.dtb\n"),
            " b",
            "device tree dtbs/b.dtb",
        ),
        (
            format!("DEFAULT b\nLABEL b\n{K} b\nFDT dtbs/a.dtb\n"),
            " b",
            "",
        ),
        (
            format!("DEFAULT b\nLABEL b\n{K} b\nFDTDIR dtbs/\n"),
            " b",
            "",
        ),
    ] {
        let (mut boot, root) = board(&menu);
        apply(&mut boot, &root, &want(None));
        let edited: Vec<&str> = content(&boot, DEFAULT)
            .lines()
            .filter(|l| l.contains("10.0.0.1"))
            .collect();
        assert!(
            edited.len() == 1 && edited[0].ends_with(label),
            "{menu}{edited:?}"
        );
        let why = reasons(&boot, &root, &want(None), "/boot");
        match word {
            "" => assert_eq!(why, Vec::<String>::new(), "{menu}"),
            word => assert!(why.iter().any(|r| r.contains(word)), "{menu}{why:?}"),
        }
    }
    let (mut boot, root) = board(&format!(
        "DEFAULT b\nLABEL b\n{K} b\nFDTDIR trees\nFDTOVERLAYS dtbs/a.dtb o/x.dtbo\n"
    ));
    let notes = apply(&mut boot, &root, &want(None)).notes;
    assert!(
        notes.iter().any(|n| n.contains("o/x.dtbo"))
            && notes.iter().any(|n| n.contains("folder trees")),
        "{notes:?}"
    );
}

#[test]
fn text_after_a_hash_is_a_fit_configuration() {
    let (mut boot, root) =
        board("DEFAULT b\nLABEL b\nKERNEL fitImage#conf-board.dtb\nAPPEND root=UUID=1\n");
    boot.insert("fitImage".into(), b"x".to_vec());
    apply(&mut boot, &root, &want(None));
    assert_eq!(
        reasons(&boot, &root, &want(None), "/boot"),
        Vec::<String>::new()
    );
    assert_eq!(
        summary(&boot, &root).kernel_file.as_deref(),
        Some("fitImage")
    );
}

#[test]
fn device_trees_that_were_named_come_along() {
    let (_, mut root) = debian();
    root.insert("usr/bin/sh".into(), elf(183));
    let mut boot = half(&[
        ("vmlinuz-6.1.0-32-amd64", "x"),
        ("dtbs/board.dtb", "x"),
        ("dtbs/overlays/spi.dtbo", "x"),
        (
            "extlinux/extlinux.conf",
            "LABEL a\n  LINUX /boot/vmlinuz-6.1.0-32-amd64\n  FDT /boot/dtbs/board.dtb\n  FDTOVERLAYS \
             /boot/dtbs/overlays/spi.dtbo /boot/dtbs/overlays/gone.dtbo\n  APPEND root=UUID=1 console=ttyS2\n",
        ),
    ]);
    apply(&mut boot, &root, &want(None));
    let menu = content(&boot, DEFAULT);
    for line in [
        "  FDT dtbs/board.dtb\n",
        "  FDTOVERLAYS dtbs/overlays/spi.dtbo\n",
        "console=ttyS2",
    ] {
        assert!(menu.contains(line), "{menu}");
    }
    mount_boot(&mut root, "/boot");
    assert_eq!(
        reasons(&boot, &root, &want(None), "/boot"),
        Vec::<String>::new()
    );
    boot.remove("dtbs/board.dtb");
    let why = reasons(&boot, &root, &want(None), "/boot");
    assert!(why[0].contains("the device tree dtbs/board.dtb"), "{why:?}");
}
