//! The manual pages that are written by hand: clean roff, in 80 columns.
//!
//! Not for the generated ones, whose help texts are checked where they are made.

use std::path::Path;
use std::process::Command;

/// Returns what groff prints of a page, in the width that man(1) gives it on a terminal of 80 columns, and what it warns of.
fn formatted(page: &Path, options: &[&str]) -> (String, String) {
    let mut groff = Command::new("groff");
    groff
        .args(["-t", "-man", "-ww", "-Kutf8", "-rLL=78n"])
        .args(options)
        .arg(page);
    let output = groff.output().expect("groff is installed (groff-base)");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn pages_written_by_hand_are_clean_and_fit_a_terminal() {
    let man = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let pages = std::fs::read_dir(man)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut seen = 0;
    for page in pages.filter(|page| page.extension().is_some_and(|end| end == "7")) {
        let (text, warnings) = formatted(&page, &["-Tutf8", "-P-cbou"]);
        assert_eq!(warnings, "", "{}", page.display());
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{}: {line}", page.display());
        }
        seen += 1;
    }
    assert!(seen > 0, "there are none");
}
