//! Finds the packages that a package manager reported as kept back, although newer versions exist.
//!
//! Text in, names out. The node controls the text: words without the form of a package name are skipped.

use std::collections::BTreeSet;

/// The longest name, in bytes.
const LONGEST: usize = 128;

/// Headings before indented lines of names.
const HEADINGS: &[(&str, Names)] = &[
    // apt before and since version 3.
    ("The following packages have been kept back:", Names::All),
    (
        "The following upgrades have been deferred due to phasing:",
        Names::All,
    ),
    ("Not upgrading:", Names::All),
    ("Not upgrading yet due to phasing:", Names::All),
    // dnf, in a table.
    ("Skipping packages with conflicts:", Names::First),
    ("Skipping packages with broken dependencies:", Names::First),
];

/// Which words of a line are names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    All,
    First,
}

/// Returns the packages that `output` names as kept back, sorted; at most `most` are read.
pub fn kept_back(output: &str, most: usize) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut under: Option<Names> = None;
    for line in output.lines() {
        if found.len() >= most {
            break;
        }
        if let Some(name) = ignored_by_pacman(line) {
            found.insert(name.to_string());
        }
        let plain = line.trim_end();
        if let Some((_, names)) = HEADINGS.iter().find(|(heading, _)| *heading == plain) {
            under = Some(*names);
            continue;
        }
        if is_zyppers(plain) {
            under = Some(Names::All);
            continue;
        }
        // dnf's advice on how to install them anyway.
        if under == Some(Names::First) && plain.starts_with('(') {
            continue;
        }
        let Some(names) = under.filter(|_| line.starts_with(' ') && !plain.is_empty()) else {
            under = None;
            continue;
        };
        match names {
            Names::All => found.extend(plain.split_whitespace().filter_map(name)),
            // A line that is indented further continues the one before.
            Names::First if !line.starts_with("  ") => {
                found.extend(plain.split_whitespace().next().and_then(name));
            }
            Names::First => {}
        }
    }
    found.into_iter().take(most).collect()
}

/// `The following 2 package updates will NOT be installed:`
fn is_zyppers(line: &str) -> bool {
    line.starts_with("The following ")
        && line.contains(" package update")
        && line.ends_with(" will NOT be installed:")
}

/// `warning: linux: ignoring package upgrade (6.1-1 => 6.2-1)`
fn ignored_by_pacman(line: &str) -> Option<&str> {
    let (name, rest) = line.strip_prefix("warning: ")?.split_once(": ")?;
    let is = rest.starts_with("ignoring package upgrade (") && name_of(name);
    is.then_some(name)
}

fn name(word: &str) -> Option<String> {
    name_of(word).then(|| word.to_string())
}

fn name_of(word: &str) -> bool {
    word.len() <= LONGEST
        && word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"+-._:@".contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_back_packages_are_read_from_each_package_managers_output() {
        for (said, want) in [
            (
                "Calculating upgrade...\nThe following packages have been kept back:\n  linux-image-amd64 nvidia-driver\n  vim\n0 upgraded, 0 newly installed, 0 to remove and 3 not upgraded.\n",
                &["linux-image-amd64", "nvidia-driver", "vim"][..],
            ),
            (
                "The following upgrades have been deferred due to phasing:\n  ubuntu-advantage-tools\nThe following packages will be upgraded:\n  bash\n",
                &["ubuntu-advantage-tools"],
            ),
            (
                "Not upgrading:\n  libc6:i386  vim\n\nUpgrading:\n  bash\n\nSummary:\n  Upgrading: 1, Not Upgrading: 2\n",
                &["libc6:i386", "vim"],
            ),
            (
                "Skipping packages with conflicts:\n(add '--best --allowerasing' to command line to force their upgrade):\n a-b       x86_64  2-1   updates  1 M\n a-name-that-is-long\n           x86_64  2-1   updates  1 M\n\nTransaction Summary\n",
                &["a-b", "a-name-that-is-long"],
            ),
            (
                "The following 2 package updates will NOT be installed:\n  gtk3-tools libfoo\n\nNothing to do.\n",
                &["gtk3-tools", "libfoo"],
            ),
            (
                ":: Starting full system upgrade...\nwarning: linux: ignoring package upgrade (6.1-1 => 6.2-1)\n there is nothing to do\n",
                &["linux"],
            ),
            ("The following packages have been kept back:\n", &[]),
            ("Not upgrading:\n  $(reboot) \u{1b}[2J ok\n", &["ok"]),
            ("warning: x y: ignoring package upgrade (1)\n", &[]),
            ("", &[]),
        ] {
            assert_eq!(kept_back(said, 100), want, "{said}");
        }
        let many = format!("Not upgrading:\n {}\n", "a b c d ".repeat(9));
        assert_eq!(kept_back(&many, 2).len(), 2);
    }
}
