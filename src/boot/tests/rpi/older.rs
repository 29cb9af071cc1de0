//! The Raspberry Pis that start from a card with `bootcode.bin`.

use super::*;
use crate::boot;
use crate::boot::rpi::Model;

/// Returns a 32-bit system for a machine with this device tree and kernel.
fn system(tree: &str, file: &str, version: &str) -> (Half, Half) {
    let (mut boot, mut root) = rpios();
    boot.retain(|name, _| {
        !["kernel", "bcm27", "start", "fixup", "initramfs"]
            .iter()
            .any(|start| name.starts_with(start))
    });
    for name in ["bootcode.bin", "start.elf", "fixup.dat", tree] {
        boot.insert(name.into(), b"x".to_vec());
    }
    boot.insert(file.into(), kernel(version));
    boot.insert("config.txt".into(), b"".to_vec());
    root.insert(format!("lib/modules/{version}/modules.dep"), b"x".to_vec());
    let mut arm = elf(40);
    arm[4] = 1;
    root.insert("bin/sh".into(), arm);
    mount_boot(&mut root, "/boot/firmware");
    apply(&mut boot, &root, &want(None));
    (boot, root)
}

#[test]
fn each_boots_by_its_own_kernel_and_device_tree() {
    for (tree, file, version, model) in [
        (
            "bcm2708-rpi-b-plus.dtb",
            "kernel.img",
            "6.1.21+",
            Model::Pi1,
        ),
        (
            "bcm2708-rpi-zero-w.dtb",
            "kernel.img",
            "6.1.21+",
            Model::Zero,
        ),
        ("bcm2835-rpi-b.dtb", "kernel.img", "6.1.21+", Model::Pi1),
        (
            "bcm2709-rpi-2-b.dtb",
            "kernel7.img",
            "6.1.21-v7+",
            Model::Pi2,
        ),
        (
            "bcm2709-rpi-cm2.dtb",
            "kernel7.img",
            "6.1.21-v7+",
            Model::Pi2,
        ),
        (
            "bcm2710-rpi-2-b.dtb",
            "kernel7.img",
            "6.1.21-v7+",
            Model::Pi2v12,
        ),
    ] {
        let (boot, root) = system(tree, file, version);
        for model in [None, Some(boot::Model::Pi(model))] {
            let wanted = Want {
                model,
                ..want(None)
            };
            let why = reasons(&boot, &root, &wanted, "/boot/firmware");
            assert_eq!(why, Vec::<String>::new(), "{tree} {model:?}");
        }
        assert_eq!(
            summary(&boot, &root).kernel_version.as_deref(),
            Some(version)
        );
        for without in [tree, file, "start.elf"] {
            let mut boot = boot.clone();
            boot.remove(without);
            let wanted = Want {
                model: Some(boot::Model::Pi(model)),
                ..want(None)
            };
            let why = reasons(&boot, &root, &wanted, "/boot/firmware");
            assert!(why[0].contains(&format!(" {model}")), "{without} {why:?}");
        }
    }
}

#[test]
fn files_for_newer_models_are_verified_for_those() {
    let (mut boot, root) = system("bcm2709-rpi-2-b.dtb", "kernel7.img", "6.1.21-v7+");
    // A kernel whose modules nobody kept, for a machine nobody has.
    boot.insert("kernel.img".into(), kernel("6.1.21+"));
    for tree in ["bcm2708-rpi-b.dtb", "bcm2710-rpi-3-b.dtb"] {
        boot.insert(tree.into(), b"x".to_vec());
    }
    let why = |model: Option<Model>| {
        let wanted = Want {
            model: model.map(boot::Model::Pi),
            ..want(None)
        };
        reasons(&boot, &root, &wanted, "/boot/firmware")
    };
    assert_eq!(why(None), Vec::<String>::new());
    assert_eq!(why(Some(Model::Pi2)), Vec::<String>::new());
    assert!(why(Some(Model::Pi1))[0].contains("no modules for it"));
}

#[test]
fn a_section_for_an_older_one_is_edited_and_verified() {
    let (mut boot, root) = system("bcm2708-rpi-b.dtb", "kernel.img", "6.1.21+");
    boot.insert("bcm2710-rpi-3-b.dtb".into(), b"x".to_vec());
    boot.insert("kernel7.img".into(), boot["kernel.img"].clone());
    boot.insert("config.txt".into(), b"[pi1]\ncmdline=one.txt\n".to_vec());
    boot.insert("one.txt".into(), b"console=tty1 root=UUID=1\n".to_vec());
    apply(&mut boot, &root, &want(None));
    assert!(content(&boot, "one.txt").contains("10.0.0.1"));
    assert!(content(&boot, "cmdline.txt").contains("10.0.0.1"));
}
