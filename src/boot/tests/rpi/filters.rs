//! A `config.txt` for several machines: the file edited is the one that this machine reads.

use super::*;

const CMDLINES: [&str; 5] = [
    "cmdline.txt",
    "desk.txt",
    "lab.txt",
    "kit.txt",
    "next/cmdline.txt",
];

/// Returns the environment with this `config.txt`, and command lines for all it may name.
fn with_config(config: &str) -> (Half, Half) {
    let (mut boot, mut root) = rpios();
    boot.insert("config.txt".into(), config.into());
    for name in CMDLINES {
        boot.insert(name.into(), b"console=tty1 root=UUID=1\n".to_vec());
    }
    mount_boot(&mut root, "/boot/firmware");
    (boot, root)
}

fn edited(boot: &Half) -> Vec<&'static str> {
    let is_edited = |name: &&str| content(boot, name).contains("10.0.0.1");
    CMDLINES.into_iter().filter(is_edited).collect()
}

#[test]
fn the_file_this_machine_reads_is_edited_and_verified() {
    for (config, serial, files, note) in [
        ("cmdline=desk.txt\n", None, &["desk.txt"][..], ""),
        (
            "[0x1234abcd]\ncmdline=desk.txt\n[0x99]\ncmdline=lab.txt\n[all]\n",
            Some("1234abcd"),
            &["desk.txt"],
            "",
        ),
        (
            "[0x1234abcd]\ncmdline=desk.txt\n[0x99]\ncmdline=lab.txt\n[all]\n",
            Some("00000099"),
            &["lab.txt"],
            "",
        ),
        (
            "[0x1234abcd]\ncmdline=desk.txt\n[all]\n",
            Some("77"),
            &["cmdline.txt"],
            "",
        ),
        (
            "[0x1234abcd]\ncmdline=desk.txt\n[all]\n",
            None,
            &["cmdline.txt"],
            "netbe set serial=1234abcd nog",
        ),
        (
            "[pi4]\ncmdline=desk.txt\n[pi5]\ncmdline=lab.txt\n[all]\n",
            None,
            &["desk.txt", "lab.txt"],
            "",
        ),
        (
            "[pi400]\ncmdline=kit.txt\n[all]\n",
            None,
            &["cmdline.txt", "kit.txt"],
            "",
        ),
        (
            "[gpio4=1]\ncmdline=kit.txt\n[all]\n",
            None,
            &["cmdline.txt"],
            "[gpio4=1]",
        ),
        (
            "[EDID=VSC-TD2220]\nhdmi_group=2\n[all]\n",
            None,
            &["cmdline.txt"],
            "",
        ),
        ("include more.txt\n", None, &["lab.txt"], ""),
        ("include none.txt\n", None, &["cmdline.txt"], "none.txt"),
        (
            "dtoverlay=gone,cma-512\ndtoverlay=here\ndtoverlay=disable-bt\n",
            None,
            &["cmdline.txt"],
            "overlays/gone.dtbo",
        ),
    ] {
        let (mut boot, root) = with_config(config);
        boot.insert("more.txt".into(), b"cmdline=lab.txt\n".to_vec());
        boot.insert("overlays/here.dtbo".into(), b"x".to_vec());
        boot.insert(
            "overlays/overlay_map.dtb".into(),
            b"x\0disable-bt\0".to_vec(),
        );
        let wanted = Want {
            serial,
            ..want(None)
        };
        let plan = apply(&mut boot, &root, &wanted);
        assert_eq!(edited(&boot), files, "{config}");
        match note {
            "" => assert_eq!(plan.notes, Vec::<String>::new(), "{config}"),
            note => assert!(
                plan.notes.len() == 1 && plan.notes[0].contains(note),
                "{config}{:?}",
                plan.notes
            ),
        }
        let why = reasons(&boot, &root, &wanted, "/boot/firmware");
        assert_eq!(why, Vec::<String>::new(), "{config}");
        let seen = summary_for(&boot, &root, serial);
        assert!(
            files
                .iter()
                .all(|file| seen.texts.iter().any(|t| t == file)),
            "{seen:?}"
        );
    }
}

#[test]
fn sections_for_other_serials_do_not_count() {
    let (mut boot, root) = with_config(
        "[0x1234abcd]\nkernel=gone.img\n[0x99]\nkernel=kernel8.img\narm_64bit=1\n[all]\n",
    );
    apply(&mut boot, &root, &want(None));
    for (serial, sound) in [(None, true), (Some("99"), true), (Some("1234abcd"), false)] {
        let wanted = Want {
            serial,
            ..want(None)
        };
        let why = reasons(&boot, &root, &wanted, "/boot/firmware");
        assert_eq!(why.is_empty(), sound, "{serial:?} {why:?}");
    }
    // What any of them fetches is a boot.
    assert!(
        fetched(&boot)
            .iter()
            .any(|way| way.kernel == "kernel_2712.img")
    );
}
