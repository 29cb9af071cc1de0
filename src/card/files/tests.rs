use std::fs;
use std::path::Path;

use super::*;

const FILES: [&str; 8] = [
    "start4.elf",
    "fixup4.dat",
    "bcm2711-rpi-4-b.dtb",
    "kernel8.img",
    "initramfs8",
    "cmdline.txt",
    "config.txt",
    "overlays/vc4.dtbo",
];

/// Writes a boot half with the name of an environment in each file; `more` only in this one.
fn half(at: &Path, name: &str, more: &str) -> Tree {
    for file in FILES.iter().chain([&more]).filter(|file| !file.is_empty()) {
        let path = at.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("# {name}\n")).unwrap();
    }
    Tree::open(at).unwrap()
}

fn wanted(boot: &Tree, name: &str) -> Wanted {
    let directory = format!("netbe/{name}");
    let kind = CardKind::RaspberryPi;
    let files = kind.files(boot, &directory, "nog/a", None).unwrap();
    Wanted {
        kind,
        directory,
        manifest: "{}\n".to_string(),
        switch: files.switch,
        readmes: files.readmes,
        files: boot_files(boot, "").unwrap(),
    }
}

/// Returns which environment a card boots, all of whose files are its own.
fn boots(card: &Path) -> String {
    let config = fs::read_to_string(card.join("config.txt")).unwrap();
    let dir = CardKind::RaspberryPi.directory_of(&config).unwrap();
    let name = dir.strip_prefix("netbe/").unwrap();
    for file in FILES
        .iter()
        .filter(|file| CardKind::RaspberryPi.firmware(file).is_none())
    {
        let text = fs::read_to_string(card.join(dir).join(file)).unwrap();
        assert_eq!(text, format!("# {name}\n"), "{file}");
    }
    assert!(card.join(dir).join("overlays/README").is_file());
    for file in ["start4.elf", "fixup4.dat"] {
        assert!(card.join(file).is_file(), "{file}");
    }
    assert!(config.contains(&format!("# {name}\n")));
    name.to_string()
}

/// Returns the files of a card that replace others, and did not.
fn leftovers(card: &Path) -> Vec<String> {
    let names = Tree::open(card).unwrap().names("").unwrap();
    names.into_iter().filter(|n| n.ends_with(NEW)).collect()
}

#[test]
fn a_cut_after_any_change_leaves_the_old_or_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| half(&dir.path().join(name), name, ""));
    let count = Found::nothing(CardKind::RaspberryPi)
        .steps(&wanted(&new, "new"))
        .len();
    let mut seen = Vec::new();
    for cut in 0..=count {
        let at = dir.path().join(format!("card{cut}"));
        fs::create_dir(&at).unwrap();
        let card = Tree::open(&at).unwrap();
        let deploy = |boot: &Tree, name: &str, cut: usize| {
            let steps = look(CardKind::RaspberryPi, &card, boot)
                .unwrap()
                .steps(&wanted(boot, name));
            let taken = steps.iter().take(cut);
            taken.for_each(|step| take(&card, boot, step).unwrap());
        };
        deploy(&old, "old", usize::MAX);
        deploy(&new, "new", cut);
        seen.push(boots(&at));
        // What a cut left is in the way of nothing.
        deploy(&new, "new", usize::MAX);
        assert_eq!(boots(&at), "new", "{cut}");
        assert!(leftovers(&at).is_empty(), "{cut}: {:?}", leftovers(&at));
    }
    assert_eq!((seen[0].as_str(), seen[count].as_str()), ("old", "new"));
    assert!(seen.is_sorted_by(|a, b| a >= b), "{seen:?}");
}

#[test]
fn files_are_durable_before_the_switch() {
    let dir = tempfile::tempdir().unwrap();
    let boot = half(&dir.path().join("new"), "new", "");
    let found = Found {
        current: Some("netbe/old".to_string()),
        directories: vec!["netbe/older".to_string(), "netbe/old".to_string()],
        ..Found::nothing(CardKind::RaspberryPi)
    };
    let steps = found.steps(&wanted(&boot, "new"));
    let switch = Step::Replace("config.txt".to_string());
    let at = steps.iter().position(|step| *step == switch).unwrap();
    assert_eq!(steps[at - 1], Step::Sync);
    assert_eq!(steps[at + 1..], [Step::Sync]);
    let removed = steps.iter().filter(|step| matches!(step, Step::Remove(_)));
    assert_eq!(
        removed.collect::<Vec<_>>(),
        [&Step::Remove("netbe/older".to_string())]
    );
}

#[test]
fn firmware_is_replaced_where_it_differs_alone() {
    let dir = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| half(&dir.path().join(name), name, ""));
    fs::write(dir.path().join("new/start4.elf"), "# old\n").unwrap();
    let at = dir.path().join("card");
    fs::create_dir(&at).unwrap();
    let card = Tree::open(&at).unwrap();
    for (boot, name) in [(&old, "old"), (&new, "new")] {
        let steps = look(CardKind::RaspberryPi, &card, boot)
            .unwrap()
            .steps(&wanted(boot, name));
        for step in &steps {
            take(&card, boot, step).unwrap();
        }
        let replaces = |file: &str| steps.contains(&Step::Replace(file.to_string()));
        assert_eq!(replaces("start4.elf"), name == "old");
        assert!(replaces("fixup4.dat"));
    }
    let fixup = fs::read_to_string(at.join("fixup4.dat")).unwrap();
    assert_eq!(fixup, "# new\n");
}

#[test]
fn leftovers_of_an_interrupted_write_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let boot = half(&dir.path().join("new"), "new", "");
    let at = dir.path().join("card");
    fs::create_dir(&at).unwrap();
    for name in ["start.elf.netbe-new", "mine.netbe-new"] {
        fs::write(at.join(name), "").unwrap();
    }
    let card = Tree::open(&at).unwrap();
    for step in look(CardKind::RaspberryPi, &card, &boot)
        .unwrap()
        .steps(&wanted(&boot, "new"))
    {
        take(&card, &boot, &step).unwrap();
    }
    // Of a name that netbe does not give.
    assert_eq!(leftovers(&at), ["mine.netbe-new"]);
}

#[test]
fn files_of_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let boot = half(&dir.path().join("new"), "new", "");
    let at = dir.path().join("card");
    fs::create_dir_all(at.join("netbe/mine")).unwrap();
    for (file, text) in [
        ("wpa.conf", "x"),
        ("netbe/mine/y", "y"),
        ("config.txt", "gpu_mem=64\n"),
    ] {
        fs::write(at.join(file), text).unwrap();
    }
    let card = Tree::open(&at).unwrap();
    for _ in 0..3 {
        let steps = look(CardKind::RaspberryPi, &card, &boot)
            .unwrap()
            .steps(&wanted(&boot, "new"));
        steps
            .iter()
            .for_each(|step| take(&card, &boot, step).unwrap());
    }
    let read = |file: &str| fs::read_to_string(at.join(file)).unwrap();
    assert_eq!(
        (read("wpa.conf"), read("netbe/mine/y")),
        ("x".into(), "y".into())
    );
    assert_eq!(read("config.txt.before-netbe"), "gpu_mem=64\n");
}

#[test]
fn names_that_fat_lacks_are_refused() {
    for name in ["a:b", "KERNEL8.img", "a."] {
        let dir = tempfile::tempdir().unwrap();
        let boot = half(dir.path(), "new", name);
        let refused = boot_files(&boot, "").unwrap_err().to_string();
        assert!(
            refused.contains("cannot be written to a card"),
            "{name}: {refused}"
        );
    }
}
