//! The files and folders that CONTRIBUTING names, in its lists of what to touch: each is in the repository.
//!
//! Not for what they contain.

use std::path::Path;

/// Folders of a pool, which are written as folders of the repository are.
const OF_A_POOL: &[&str] = &["envs/"];

/// Returns the paths that an inline code names: `{a,b}` is each of them, and a part in capitals stands for any name.
fn paths(code: &str) -> Vec<String> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "_-./{},".contains(c);
    let ends = ["/", ".rs", ".md", ".toml", ".8"];
    let is_named = code.contains('/') || ends.iter().any(|end| code.ends_with(end));
    if !is_named || !code.chars().all(is_path) || code.starts_with('/') || OF_A_POOL.contains(&code)
    {
        return Vec::new();
    }
    match code.split_once('{').zip(code.split_once('}')) {
        Some(((head, _), (list, tail))) => {
            let list = list.split_once('{').map_or("", |(_, list)| list);
            let of = |name: &str| format!("{head}{name}{tail}");
            list.split(',').map(of).collect()
        }
        None => vec![code.to_string()],
    }
}

/// Returns whether there is such a path from the top of the repository, or from `src`.
fn exists(path: &str) -> bool {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = path.rsplit('/').next().unwrap_or_default();
    let stands_for_any = name.contains(|c: char| c.is_ascii_uppercase()) && name.ends_with(".rs");
    let path = match stands_for_any {
        true => Path::new(path).parent().unwrap(),
        false => Path::new(path),
    };
    top.join(path).exists() || top.join("src").join(path).exists()
}

#[test]
fn each_path_that_contributing_names_exists() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/CONTRIBUTING.md");
    let text = std::fs::read_to_string(file).unwrap();
    // Every second part is between two marks.
    let named: Vec<String> = text.split('`').skip(1).step_by(2).flat_map(paths).collect();
    assert!(named.len() > 100, "{named:?}");
    let missing: Vec<&String> = named.iter().filter(|path| !exists(path)).collect();
    assert!(missing.is_empty(), "CONTRIBUTING.md names {missing:?}");
}

#[test]
fn paths_are_read_from_inline_code() {
    assert_eq!(paths("src/{a,b}.rs"), ["src/a.rs", "src/b.rs"]);
    assert_eq!(paths("tests/e2e/"), ["tests/e2e/"]);
    for code in [
        "/srv/netbe",
        "envs/",
        "NETBE_SHOW=1",
        "fs::opener",
        "a b/c.rs",
    ] {
        assert_eq!(paths(code), [""; 0], "{code}");
    }
}
