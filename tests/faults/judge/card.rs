//! The rules that hold for a card at every instant: it boots one environment, with all of its files.

use std::fs;
use std::path::Path;

use super::Faults;
use crate::ground::CARD;
use crate::report::against;

/// What firmware reads from the top of a card only.
const AT_THE_TOP: [&str; 3] = ["start4.elf", "fixup4.dat", "config.txt"];

/// Judges the card; one that was never written has nothing to judge.
pub(super) fn faults(pool: &Path) -> Faults {
    let card = Path::new(CARD);
    let Ok(config) = fs::read_to_string(card.join("config.txt")) else {
        return Faults::new();
    };
    let broken = |why: String| vec![against(9, format!("the card: {why}"))];
    let prefix = config.lines().find_map(|l| l.strip_prefix("os_prefix="));
    let Some(prefix) = prefix else {
        return broken(format!("its config.txt is {config:?}"));
    };
    let from = card.join(prefix);
    let line = fs::read_to_string(from.join("cmdline.txt")).unwrap_or_default();
    let root = line.split([':', ',', ' ']).find(|word| {
        let is_root = word.strip_prefix(&format!("{}/", pool.display()));
        is_root.is_some_and(|path| path.ends_with("/root"))
    });
    let Some(root) = root.map(Path::new) else {
        return broken(format!("{prefix}cmdline.txt is {line:?}"));
    };
    let boot = root.with_file_name("boot");
    let mut faults = Faults::new();
    if !root.is_dir() {
        faults.extend(broken(format!(
            "it boots {}, which is gone",
            root.display()
        )));
    }
    for entry in fs::read_dir(&boot).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let at_the_top = AT_THE_TOP.iter().any(|file| name == *file);
        let its = if at_the_top { card } else { &from }.join(&name);
        let (Ok(wanted), false) = (fs::read(entry.path()), name == "config.txt") else {
            continue;
        };
        if fs::read(&its).ok() != Some(wanted) {
            let why = format!("{} is not that of {}", its.display(), boot.display());
            faults.extend(broken(why));
        }
    }
    faults
}
