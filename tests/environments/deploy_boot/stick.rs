//! Sticks of PCs with UEFI firmware, and cards of boards with U-Boot.

use std::fs;
use std::path::Path;

use super::{card, deploy};
use crate::support::{MAC, Pool, System};

/// Returns the directory that a switch names.
fn named(card: &Path, switch: &str) -> String {
    let text = fs::read_to_string(card.join(switch)).unwrap();
    let line = text.lines().next().unwrap();
    line.strip_prefix("# netbe card ").unwrap().to_string()
}

#[test]
fn a_stick_boots_a_pc_by_shim_and_grub() {
    let debian = System::debian()
        .file("usr/lib/shim/shimx64.efi.signed", "shim")
        .file(
            "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
            "grub 1",
        );
    let pool = Pool::with_template_of(&debian);
    let netbe = pool.netbe();
    netbe.ok(&format!("create nog/a --mac {MAC}"));
    let at = card(&pool, "stick", "size=64m");
    fs::create_dir_all(at.join("grub")).unwrap();
    fs::write(at.join("grub/grub.cfg"), "of the user\n").unwrap();
    let plan = netbe.ok(&format!("deploy nog --boot {} -n", at.display()));
    assert!(plan.contains("/grub/grub.cfg"), "{plan}");
    deploy(&pool, "nog", &at);
    let read = |file: &str| fs::read_to_string(at.join(file)).unwrap();
    assert_eq!(read("EFI/BOOT/BOOTX64.EFI"), "shim");
    assert_eq!(read("EFI/BOOT/grubx64.efi"), "grub 1");
    assert_eq!(read("grub/grub.cfg.before-netbe"), "of the user\n");
    let first = named(&at, "grub/grub.cfg");
    let config = read("grub/grub.cfg");
    let kernel = format!("  linux /{first}/vmlinuz");
    assert!(config.contains(&kernel), "{config}");
    assert!(config.contains("/nodes/nog/envs/a/root"), "{config}");
    for line in config
        .lines()
        .filter(|l| l.starts_with("  linux") || l.starts_with("  initrd"))
    {
        let file = line.split_whitespace().nth(1).unwrap();
        assert!(at.join(file.trim_start_matches('/')).is_file(), "{line}");
    }
    netbe.ok("create nog/b");
    netbe.ok("activate nog/b");
    assert!(netbe.ok("status nog").contains("behind"));
    fs::write(at.join("EFI/BOOT/grubx64.efi.netbe-new"), "cut").unwrap();
    deploy(&pool, "nog", &at);
    assert!(!at.join("EFI/BOOT/grubx64.efi.netbe-new").exists());
    assert_ne!(named(&at, "grub/grub.cfg"), first);
    assert!(!netbe.ok("status nog").contains("behind"));
    pool.assert_sound();
}
