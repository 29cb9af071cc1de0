//! The hint of a refusal is a command that works when pasted.

use std::fs;
use std::path::Path;

use crate::support::{PROGRAMS, Pool, refusal};

/// Runs what the hint of a refused command says; returns it.
fn paste(pool: &Pool, line: &str) -> String {
    let said = pool.netbe().run(line);
    assert_ne!(said.status, 0, "{line}: {said:#?}");
    let hint = said.stderr.lines().find_map(|l| l.strip_prefix("hint: "));
    let hint = hint.unwrap_or_else(|| panic!("{line} has no hint: {said:#?}"));
    let command = hint.strip_prefix("netbe ");
    pool.netbe()
        .ok(command.unwrap_or_else(|| panic!("{line} has no command for a hint: {hint}")));
    hint.to_string()
}

#[test]
fn what_is_refused_is_followed_by_a_command_that_works() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("activate nog/b");
    for line in [
        "destroy nog -y",
        "destroy nog/a -y",
        "destroy /srv -y",
        "destroy --data nog -y",
        "confirm nog",
        "activate --try base/stock",
        "diff base/stock",
        "list nog/none",
        "set quiet",
        "set mac=dc:a6:32:01:02:09 base",
    ] {
        paste(&pool, line);
    }
    assert_eq!(
        (pool.names("nog"), pool.active("nog")),
        (vec!["a".to_string(), "b".to_string()], "b".to_string())
    );
}

#[test]
fn the_only_environment_that_can_be_meant_is_named() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    fs::remove_file(pool.at("nodes/nog/active")).unwrap();
    assert_eq!(paste(&pool, "create nog/c"), "netbe list nog");
    pool.netbe().ok("destroy nog/b -y");
    assert_eq!(paste(&pool, "create nog/c"), "netbe activate nog/a");
    pool.netbe().ok("create nog/b");
    assert_eq!(paste(&pool, "destroy nog/a -y"), "netbe activate nog/b");
    pool.refuses(refusal("confirm nog"), "confirm nog", &["no pending boot"]);
}

/// Returns the texts of the hints in a source file, as far as they stand there.
fn hints(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let literal = |text: &str, which: usize| -> Option<String> {
        let statement = text.split(".into()").next()?;
        statement.split('"').nth(2 * which + 1).map(str::to_string)
    };
    let begins = |mark: &str, which: usize| -> Vec<String> {
        let calls = source
            .match_indices(mark)
            .map(|(at, _)| &source[at + mark.len()..]);
        let quoted = calls.filter(|call| {
            let call = call.trim_start();
            call.starts_with('"') || call.starts_with("format!(")
        });
        quoted.filter_map(|call| literal(call, which)).collect()
    };
    [begins(".hint(", 0), begins(".hint_to(", 1)].concat()
}

fn sources(dir: &Path, all: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, all),
            false => all.push(fs::read_to_string(&path).unwrap()),
        }
    }
}

#[test]
fn a_hint_is_a_command_and_has_nothing_to_fill_in() {
    let mut all = Vec::new();
    sources(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")),
        &mut all,
    );
    let hints: Vec<String> = all.iter().flat_map(|text| hints(text)).collect();
    assert!(hints.len() > 80, "{}", hints.len());
    // What reads a source does not know where it goes: import fills that in, or makes it part of the message.
    let is_filled_in = |hint: &str| hint.contains("netbe import") || hint.contains(" FILE ");
    let is_placeholder =
        |word: &str| word.len() > 2 && word.bytes().all(|b| b.is_ascii_uppercase());
    for hint in hints.iter().filter(|hint| !is_filled_in(hint)) {
        let is_command = PROGRAMS.iter().any(|program| hint.starts_with(program));
        let mut words = hint.split(|c: char| !c.is_ascii_alphanumeric());
        assert!(is_command && !words.any(is_placeholder), "{hint}");
    }
}
