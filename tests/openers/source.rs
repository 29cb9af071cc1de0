//! Reading the source of the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Holds the ways that are in the source against those that may be.
pub(crate) fn compare(ways: &'static [&str], list: &[(&str, &str, usize, &str)]) {
    let mut found: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for file in sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
        let name = file.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src/"));
        let name = name.unwrap().to_str().unwrap().to_string();
        let text = code(&fs::read_to_string(&file).unwrap());
        for way in ways {
            let count = count(&text, way);
            if count > 0 {
                found.insert((name.clone(), way), count);
            }
        }
    }
    let mut wrong = Vec::new();
    for ((file, way), count) in &found {
        let allowed = list.iter().find(|a| (a.0, a.1) == (file, *way));
        if allowed.map_or(0, |a| a.2) != *count {
            wrong.push(format!(
                "(\"{file}\", \"{way}\", {count}, …) is not on the list"
            ));
        }
    }
    for (file, way, ..) in list {
        if !found.contains_key(&((*file).to_string(), *way)) {
            wrong.push(format!(
                "(\"{file}\", \"{way}\") is on the list, and not in the source"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the files with code of the program in them.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        if name == "tests" {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// Returns a file's code without its comments and its tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let text = text
        .split("#[cfg(test)]\npub(super) mod tests {")
        .next()
        .unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Counts the places where a way stands by itself: `openat(` is in no other word.
fn count(text: &str, way: &str) -> usize {
    let starts = text.match_indices(way).map(|(at, _)| at);
    starts
        .filter(|at| {
            let before = text[..*at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
        .count()
}
