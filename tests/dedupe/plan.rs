//! `dedupe -n` names what is then shared, as the extents on disk tell, and refuses the same.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::support::{Pool, noise, output, run};
use crate::{MIB, data, pool};

/// Returns where on disk the files of a node's environment lie, by their names.
fn extents(pool: &Pool, node: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(data(pool, node)).unwrap() {
        let path = entry.unwrap().path();
        let said = output(Command::new("filefrag").arg("-v").arg(&path));
        let lies: Vec<String> = String::from_utf8(said)
            .unwrap()
            .lines()
            .filter_map(|line| Some(line.split(':').nth(2)?.to_string()))
            .collect();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        all.insert(name, lies.join(","));
    }
    all
}

#[test]
fn a_dry_run_lists_exactly_the_files_whose_extents_change() {
    let pool = pool(3);
    let nodes = ["n1", "n2", "n3"];
    let chattr = |flag: &str, node: &str, name: &str| {
        run(Command::new("chattr")
            .arg(flag)
            .arg(data(&pool, node).join(name)));
    };
    for node in nodes {
        let data = data(&pool, node);
        fs::write(data.join("same"), noise(MIB, 1)).unwrap();
        // The kernel shares no extents of files with and without checksums.
        fs::write(data.join("unsummed"), "").unwrap();
        if node == "n2" {
            chattr("+C", node, "unsummed");
        }
        fs::write(data.join("unsummed"), noise(MIB, 2)).unwrap();
        fs::write(data.join("immutable"), noise(MIB, 3)).unwrap();
        let mut nearly = noise(4 * MIB, 4);
        nearly[MIB] ^= u8::from(node == "n3");
        fs::write(data.join("nearly"), nearly).unwrap();
    }
    chattr("+i", "n2", "immutable");
    run(Command::new("sync").arg("-f").arg(pool.path()));
    let plan = pool.plans("dedupe");
    let before = nodes.map(|node| extents(&pool, node));
    let output = pool.netbe().ok("dedupe");
    let mut changed = String::new();
    for (node, before) in nodes.iter().zip(before) {
        let after = extents(&pool, node);
        let files = before.iter().filter(|(name, at)| &after[*name] != *at);
        match files.count() {
            0 => {}
            1 => changed += &format!("would share 1 file of {node}/a\n"),
            n => changed += &format!("would share {n} files of {node}/a\n"),
        }
    }
    chattr("-i", "n2", "immutable");
    let (steps, freed) = plan.split_once("would free ").unwrap();
    assert_eq!(steps, changed, "{output}");
    assert!(
        output.contains(&format!(": {} freed", freed.trim())),
        "{output} {plan}"
    );
}
