use super::pxelinux::{APPEND, binaries, debian};
use super::*;

fn programs(names: &[&'static str]) -> Vec<Program> {
    let program = |name: &&'static str| Program {
        name,
        bytes: format!("the program {name}").into_bytes(),
    };
    names.iter().map(program).collect()
}

const SIGNED: [&str; 2] = ["shimx64.efi", "grubx64.efi"];

fn wanting(loader: Option<Loader>, programs: Vec<Program>) -> Want<'static> {
    Want {
        programs,
        ..want(loader)
    }
}

#[test]
fn uefi_boots_the_kernel_and_arguments_of_the_pxelinux_menu() {
    let (mut boot, mut root) = debian();
    let own = "search --fs-uuid 1234\n";
    boot.insert("grub/grub.cfg".into(), own.into());
    let wanted = wanting(Some(Loader::GrubEfi), programs(&SIGNED));
    let planned = apply(&mut boot, &root, &wanted);
    assert_eq!(planned.loader, Loader::GrubEfi);
    assert_eq!(planned.notes, Vec::<String>::new());
    let origin = "# made by netbe for nog/first from pxelinux.cfg/default, whose APPEND holds the arguments\n";
    assert_eq!(
        content(&boot, "grub/netbe.cfg"),
        format!(
            "{origin}set timeout=1\nmenuentry nog/first {{\n  linux /vmlinuz-6.1.0-32-amd64 console=ttyS0,115200n8 {APPEND} \
             BOOTIF=01-$net_default_mac\n  initrd /initrd.img-6.1.0-32-amd64\n}}\n"
        )
    );
    assert_eq!(
        content(&boot, "netbe.ipxe"),
        format!(
            "#!ipxe\n{origin}kernel vmlinuz-6.1.0-32-amd64 console=ttyS0,115200n8 {APPEND} BOOTIF=01-${{netX/mac:hexhyp}} \
             initrd=initrd.img-6.1.0-32-amd64\ninitrd initrd.img-6.1.0-32-amd64\nboot\n"
        )
    );
    assert_eq!(content(&boot, "grub/grub.cfg"), own);
    mount_boot(&mut root, "/boot");
    let none: Vec<String> = Vec::new();
    assert_eq!(reasons(&boot, &root, &wanted, "/boot"), none);
    assert_eq!(recognise(&boot), Some(Loader::GrubEfi));
    assert_eq!(apply(&mut boot, &root, &wanted).writes, Vec::new());

    let made = crate::boot::normalize::settings(&boot).unwrap();
    for file in ["grub/netbe.cfg", "netbe.ipxe"] {
        let of_it = made.iter().find(|(name, _)| name == file).unwrap();
        assert_eq!(of_it.1.rest, "");
    }
    assert!(made.iter().all(|(name, _)| name != "grub/grub.cfg"));

    let on_trial = content(&boot, "grub/netbe.cfg").replace("rw ip", "rw panic=10 ip");
    boot.insert("grub/netbe.cfg".into(), on_trial.into_bytes());
    assert_eq!(reasons(&boot, &root, &wanted, "/boot"), none);

    let menu = content(&boot, "pxelinux.cfg/default").replace("console=ttyS0", "console=tty0");
    boot.insert("pxelinux.cfg/default".into(), menu.into_bytes());
    let found = reasons(&boot, &root, &wanted, "/boot");
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].contains("grub/netbe.cfg, which UEFI firmware boots by, says something else"),
        "{found:#?}"
    );
    boot.remove("netbe.ipxe");
    let found = reasons(&boot, &root, &wanted, "/boot");
    assert!(
        found[1].contains("netbe.ipxe, which UEFI firmware boots by, is missing"),
        "{found:#?}"
    );
    let renewed = apply(&mut boot, &root, &wanted);
    assert_eq!(renewed.writes.len(), 2);
    assert_eq!(reasons(&boot, &root, &wanted, "/boot"), none);
}

#[test]
fn one_of_bios_and_uefi_is_enough_where_neither_is_asked_for() {
    for (loader, given, missing) in [
        (None, &[][..], Some("pxelinux.0")),
        (None, &SIGNED[..], None),
        (None, &["snponly.efi"][..], None),
        // One of the two is of no use.
        (None, &SIGNED[..1], Some("pxelinux.0")),
        (
            Some(Loader::GrubEfi),
            &[][..],
            Some("shimx64.efi and grubx64.efi"),
        ),
        (Some(Loader::GrubEfi), &["snponly.efi"][..], None),
        (Some(Loader::Pxelinux), &SIGNED[..], Some("pxelinux.0")),
    ] {
        let (mut boot, mut root) = debian();
        mount_boot(&mut root, "/boot");
        let wanted = wanting(loader, programs(given));
        apply(&mut boot, &root, &wanted);
        let found = reasons(&boot, &root, &wanted, "/boot");
        match missing {
            None => assert_eq!(found, Vec::<String>::new(), "{loader:?} {given:?}"),
            Some(name) => assert!(
                found.iter().any(|why| why.contains(name)),
                "{loader:?} {given:?} {found:?}"
            ),
        }
    }
    // Both, where both are there.
    let (mut boot, mut root) = debian();
    mount_boot(&mut root, "/boot");
    let wanted = wanting(None, [binaries(), programs(&SIGNED)].concat());
    assert_eq!(apply(&mut boot, &root, &wanted).loader, Loader::Pxelinux);
    assert_eq!(
        reasons(&boot, &root, &wanted, "/boot"),
        Vec::<String>::new()
    );
    // It matters where UEFI is what boots it.
    boot.remove("grub/netbe.cfg");
    for (model, faults) in [(None, 0), (Some(Model::PcBios), 0), (Some(Model::PcEfi), 1)] {
        let wanted = Want {
            model,
            ..wanted.clone()
        };
        let found = reasons(&boot, &root, &wanted, "/boot");
        assert_eq!(found.len(), faults, "{model:?} {found:?}");
    }
}

#[test]
fn uefi_adds_the_arguments_that_pxelinux_adds() {
    let (made, mut root) = {
        let (mut boot, root) = debian();
        let wanted = wanting(Some(Loader::GrubEfi), programs(&SIGNED));
        apply(&mut boot, &root, &wanted);
        (boot, root)
    };
    mount_boot(&mut root, "/boot");
    let menu = content(&made, "pxelinux.cfg/default").to_string();
    for (adds, has_card) in [
        ("", false),
        ("  IPAPPEND 0\n", false),
        // The address is in the line: GRUB and iPXE need not add what PXELINUX does.
        ("  IPAPPEND 1\n", false),
        ("  IPAPPEND 2\n", true),
        ("  IPAPPEND 3\n", true),
        ("  SYSAPPEND 0x2\n", true),
        ("  SYSAPPEND 0x7\n", true),
        ("  SYSAPPEND 4\n", false),
    ] {
        let mut boot = made.clone();
        let theirs = menu.replace("  IPAPPEND 2\n", adds);
        let theirs = theirs.replace("# made by netbe", "# ours,");
        boot.insert("pxelinux.cfg/default".into(), theirs.into());
        let wanted = wanting(Some(Loader::GrubEfi), programs(&SIGNED));
        apply(&mut boot, &root, &wanted);
        for file in ["grub/netbe.cfg", "netbe.ipxe"] {
            let text = content(&boot, file);
            assert_eq!(text.contains("BOOTIF=01-"), has_card, "{adds} {text}");
            assert_eq!(text.matches(" ip=dhcp").count(), 1, "{adds} {text}");
        }
        // An initramfs of initramfs-tools reads an address, a card, or both.
        let none: Vec<String> = Vec::new();
        assert_eq!(reasons(&boot, &root, &wanted, "/boot"), none, "{adds}");
    }
}

#[test]
fn arguments_arrive_as_the_kernel_would_read_them() {
    for (append, in_grub) in [
        ("quiet", "quiet"),
        ("initrd=a,b quiet", "quiet"),
        ("dyndbg=\"file x +p\" quiet", "'dyndbg=file x +p' quiet"),
        ("a=$b c=d;e f='g'", r"'a=$b' 'c=d;e' 'f='\''g'\'''"),
    ] {
        let loads = crate::boot::pxelinux::Loads {
            kernel: "a b".into(),
            initramfs: vec![],
            append: append.into(),
            configuration: None,
            added: 0,
            tree: None,
            overlays: vec![],
            tree_dir: None,
            faults: vec![],
            notes: vec![],
        };
        let [(_, grub), (_, ipxe)] = crate::boot::uefi::configurations("nog/a", &loads);
        let line = format!("  linux '/a b' {in_grub}\n}}\n");
        assert!(grub.contains(&line), "{grub}");
        assert!(!ipxe.contains("initrd"), "{ipxe}");
    }
}

#[test]
fn programs_for_another_processor_are_not_asked_for() {
    let (mut boot, mut root) = debian();
    root.insert("usr/bin/sh".into(), elf(243));
    let wanted = wanting(Some(Loader::GrubEfi), Vec::new());
    apply(&mut boot, &root, &wanted);
    let found = reasons(&boot, &root, &wanted, "/boot");
    let why = "runs x86_64 or aarch64";
    assert!(found.iter().any(|one| one.contains(why)), "{found:#?}");
}
