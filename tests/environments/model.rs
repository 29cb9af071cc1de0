//! Which machine a node is, and that an environment is verified for that one.

use std::fs;

use crate::machine::{ADDRESS, STRANGER};
use crate::support::{MAC, Pool, System};

const SERIAL: &str = "9ffefdef";
const PI_4: [&str; 3] = ["start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb"];
const PI_3: [&str; 3] = ["start.elf", "fixup.dat", "bcm2710-rpi-3-b.dtb"];

/// A node whose `nog/a` boots a Pi 3 and a Pi 4, and whose `nog/b` lost what a Pi 4 needs.
fn pool() -> Pool {
    let pool = Pool::with_template_of(&System::raspberry_pi());
    for file in PI_3 {
        fs::write(pool.half("base/stock", "boot").join(file), "firmware\n").unwrap();
    }
    pool.netbe().ok(&format!("create nog/a --serial {SERIAL}"));
    pool.netbe().ok(&format!("set ip=dhcp,{ADDRESS} nog"));
    pool.netbe().ok("create nog/b");
    for file in PI_4 {
        fs::remove_file(pool.half("nog/b", "boot").join(file)).unwrap();
    }
    pool
}

fn fetch(pool: &Pool, client: &str, files: &[&str]) {
    fetch_as(pool, SERIAL, client, files);
}

fn fetch_as(pool: &Pool, name: &str, client: &str, files: &[&str]) {
    for file in files {
        let path = pool.at(&format!("tftp/{name}/{file}"));
        pool.netbe()
            .ok(&format!("transfer 9 {client} {}", path.display()));
    }
}

fn model(pool: &Pool) -> String {
    let line = pool.netbe().ok("get -H model nog");
    line.trim_end()
        .split('\t')
        .skip(2)
        .collect::<Vec<_>>()
        .join(" ")
}

fn is_refused(pool: &Pool) {
    for line in [
        "activate nog/b",
        "activate --try nog/b",
        "create nog/c --from nog/b -a",
    ] {
        let output = pool.refuses(3, line, &["start4.elf, firmware of a Raspberry Pi 4"]);
        assert!(!output.contains("Raspberry Pi 3"), "{output}");
    }
    let found = pool.netbe().run("check nog");
    assert_eq!(found.status, 1, "{found:#?}");
    assert!(found.stdout.contains("start4.elf"), "{found:#?}");
}

#[test]
fn a_machine_that_is_set_is_the_one_that_has_to_boot() {
    let pool = pool();
    pool.netbe().ok("set model=pi4 nog");
    assert_eq!(model(&pool), "rpi4 local");
    is_refused(&pool);
    let status = pool.netbe().ok("status nog");
    assert!(
        status.contains("machine  Raspberry Pi 4, as set\n"),
        "{status}"
    );
    pool.refuses(2, "set model=vax nog", &["model=vax", "rpi4"]);
    pool.netbe().ok("set model=rpi3 nog");
    let output = pool.netbe().run("activate nog/b");
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(!output.stderr.contains("Raspberry Pi"), "{output:#?}");
}

#[test]
fn a_damaged_file_of_a_machine_that_it_may_be_is_found() {
    let pool = pool();
    pool.netbe().ok("create nog/c");
    fs::write(pool.half("nog/c", "boot").join("start4.elf"), "").unwrap();
    // One that may be another machine's is no reason to refuse.
    pool.netbe().ok("activate nog/c");
    let found = pool.findings();
    let [(problem, remedy)] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert!(problem.starts_with("nog/c: start4.elf, firmware of a Raspberry Pi 4, is empty"));
    assert_eq!(remedy, "netbe set model=rpi3 nog");
    pool.netbe().ok("set model=rpi3 nog");
    pool.netbe().ok("check nog");
    pool.netbe().ok("set model=rpi4 nog");
    pool.refuses(3, "activate nog/c --once", &[]);
    assert_eq!(pool.netbe().run("check nog").status, 1);
}

#[test]
fn a_model_is_recognised_by_fetched_files() {
    let pool = pool();
    assert_eq!(model(&pool), "- default");
    fetch(&pool, STRANGER, &["start4.elf"]);
    assert_eq!(model(&pool), "- default");
    fetch(&pool, ADDRESS, &["config.txt", "start4.elf", "kernel8.img"]);
    assert_eq!(model(&pool), "rpi4 default");
    is_refused(&pool);
    let output = pool.netbe().fails(3, "activate nog/b");
    assert!(
        output.contains(
            "a Raspberry Pi 4, is not in the boot folder (nog is taken for one by what it fetched;"
        ),
        "{output}"
    );
    let json = pool.netbe().ok("status --json nog");
    assert!(json.contains("\"model\": \"rpi4\""), "{json}");
    // Another one now: neither is known.
    fetch(&pool, ADDRESS, &["start.elf"]);
    assert_eq!(model(&pool), "- default");
}

#[test]
fn a_machine_is_known_by_its_report() {
    let pool = pool();
    let dir = pool.half("nog/a", "root").join("var/lib/netbe");
    fs::create_dir_all(&dir).unwrap();
    let report =
        "boot_id=x\nkernel=6.6.31+rpt-rpi-v8\nmodel=Raspberry Pi 4 Model B Rev 1.4\0\ntime=1\n";
    fs::write(dir.join("booted"), report).unwrap();
    let status = pool.netbe().ok("status nog");
    assert!(
        status.contains("Raspberry Pi 4, by its report\n"),
        "{status}"
    );
    is_refused(&pool);
}

#[test]
fn an_unknown_model_is_warned_of_and_not_refused() {
    let pool = pool();
    let output = pool.netbe().run("activate nog/b");
    assert_eq!(output.status, 0, "{output:#?}");
    let words = [
        "nog/b: it boots on Raspberry Pi 3, and not on Raspberry Pi 4, Raspberry Pi 5",
        "netbe set model=rpi3 nog",
    ];
    for words in words {
        assert!(output.stderr.contains(words), "{words}: {output:#?}");
    }
    assert!(!pool.netbe().ok("status nog").contains("machine"));
    pool.assert_sound();
}

#[test]
fn a_pc_is_known_by_the_program_that_it_fetched() {
    let pool = Pool::with_template();
    let shim = "usr/lib/shim/shimx64.efi.signed";
    let grub = "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed";
    for program in [shim, grub] {
        let path = pool.half("base/stock", "root").join(program);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "of 15.8").unwrap();
    }
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    pool.netbe().ok(&format!("set ip=dhcp,{ADDRESS} nog"));
    let boot = |file: &str| fs::read_to_string(pool.half("nog/a", "boot").join(file)).unwrap();
    assert_eq!(
        (boot("shimx64.efi"), boot("grubx64.efi")),
        ("of 15.8".into(), "of 15.8".into())
    );
    assert!(boot("grub/netbe.cfg").contains("nodes/nog/envs/a/root"));
    pool.assert_sound();
    // What is no program does not take its place.
    for length in [0, 17 << 20] {
        let own = pool.half("nog/a", "root").join(shim);
        fs::File::create(own).unwrap().set_len(length).unwrap();
        pool.netbe().ok(&format!("create nog/of{length}"));
        let there = pool
            .half(&format!("nog/of{length}"), "boot")
            .join("shimx64.efi");
        assert_eq!(fs::read_to_string(there).unwrap(), "of 15.8");
    }
    // Its own newer one goes along.
    fs::write(pool.half("nog/a", "root").join(shim), "of 15.9").unwrap();
    pool.netbe().ok("create nog/b");
    let newer = pool.half("nog/b", "boot").join("shimx64.efi");
    assert_eq!(fs::read_to_string(newer).unwrap(), "of 15.9");

    for file in ["grubx64.efi", "snponly.efi"] {
        let _ = fs::remove_file(pool.half("nog/b", "boot").join(file));
    }
    // A BIOS may boot it.
    pool.netbe().ok("activate nog/b");
    pool.netbe().ok("activate nog/a");
    let name = MAC.replace(':', "-");
    fetch_as(&pool, &name, ADDRESS, &["shimx64.efi", "grubx64.efi"]);
    assert_eq!(model(&pool), "pc-efi default");
    let output = pool.netbe().fails(3, "activate nog/b");
    assert!(
        output.contains("which a PC with UEFI firmware starts, are not in the boot folder")
            && output.contains("(nog is taken for one by what it fetched;"),
        "{output}"
    );
    pool.netbe().ok("set model=pc-bios nog");
    pool.netbe().ok("activate nog/b");
    pool.netbe().ok("activate nog/a");
    pool.netbe().ok("set loader=grub-efi nog");
    pool.refuses(3, "activate nog/b", &["are not in the boot folder"]);
}
