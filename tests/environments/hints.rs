//! Hints and remedies: commands that work when pasted, for the right pool and by the right name.

use std::fs;
use std::path::Path;

use crate::support::{PROGRAMS, Pool, refusal};

/// Runs what the hint of a refused command says; returns it.
fn paste(pool: &Pool, line: &str) -> String {
    let output = pool.netbe().run(line);
    assert_ne!(output.status, 0, "{line}: {output:#?}");
    let hint = output.stderr.lines().find_map(|l| l.strip_prefix("hint: "));
    let hint = hint.unwrap_or_else(|| panic!("{line} has no hint: {output:#?}"));
    let command = hint.strip_prefix("netbe ");
    pool.netbe()
        .ok(command.unwrap_or_else(|| panic!("{line} has no command for a hint: {hint}")));
    hint.to_string()
}

#[test]
fn the_hint_of_a_refusal_works_when_pasted() {
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
fn the_hint_names_the_only_possible_environment() {
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
fn each_hint_is_a_command_without_placeholders() {
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

#[test]
fn printed_commands_name_the_pool_of_the_command_line() {
    let pool = Pool::with_node();
    let place = pool.path().display().to_string();
    let printed = |words: &[&str]| {
        let mut command = pool.netbe().plain();
        let output = command
            .env_remove("NETBE_POOL")
            .args(["--pool", &place])
            .args(words)
            .output();
        let output = output.unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    assert!(printed(&["list", "ordo"]).contains(&format!("hint: netbe --pool {place} list\n")));
    std::fs::remove_file(pool.at("nodes/nog/active")).unwrap();
    let remedy = format!("  remedy: netbe --pool {place} check --repair\n");
    assert!(
        printed(&["check"]).contains(&remedy),
        "{}",
        printed(&["check"])
    );
}

#[test]
fn create_quiet_prints_only_failures() {
    let pool = Pool::with_template();
    pool.netbe().ok("create nog/a --mac 02:00:00:00:77:01");
    pool.netbe().ok("create ordo/a --mac 02:00:00:00:77:02");
    let output = pool.netbe().run("-q create nog/b ordo/b");
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    let output = pool.netbe().run("-q create nog/b ordo/c");
    assert_eq!(output.stdout, "");
    assert!(output.stderr.starts_with("error: "), "{output:#?}");
}

#[test]
fn a_warning_starts_with_the_environments_name() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    std::fs::remove_file(pool.half("nog/b", "").join("env.json")).unwrap();
    let output = pool.netbe().run("status nog").stderr;
    assert!(output.starts_with("warning: nog/b: env.json "), "{output}");
}

#[test]
fn a_similar_name_is_suggested() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/before-the-upgrade");
    pool.refuses(4, "list nogg", &["no node nogg in ", "; did you mean nog?"]);
    pool.refuses(
        4,
        "activate nog/before-upgrade",
        &["; did you mean nog/before-the-upgrade?"],
    );
    pool.refuses(
        2,
        "get keeep",
        &["no property \"keeep\"; did you mean keep?"],
    );
}
