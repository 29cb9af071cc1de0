//! pacman: what is installed, a directory a package, and in it a file `desc`; and its sync databases.

use std::io::{self, Read};

use super::Package;
use super::apt::{Archive, sha256};
use super::package::{Unread, text};
use super::step::{CACHE, FETCHING, KEYS, LISTS, PACKAGES, Step};
use crate::fs::rooted::Tree;

/// How much of one package's description is read at once, in bytes.
const DESCRIPTION_LIMIT: u64 = 1 << 20;

/// Where it is.
const LOCAL: &str = "var/lib/pacman/local";

/// The largest description of a package that is read, in bytes; they have some hundred.
const LIMIT: u64 = 1 << 20;
/// The same for all of them together.
const ALL: u64 = 256 << 20;

/// Returns the packages of an environment; `None` where there is no such list.
pub(super) fn installed(root: &Tree) -> Result<Option<Vec<Package>>, Unread> {
    let failed = |why: std::io::Error| Unread::damaged(LOCAL, &why);
    if !root
        .metadata(LOCAL)
        .map_err(failed)?
        .is_some_and(|m| m.is_dir())
    {
        return Ok(None);
    }
    let mut packages = Vec::new();
    let mut left = ALL;
    // One of the names is that of a file, with the list's own version.
    for name in root.names(LOCAL).map_err(failed)? {
        if let Some(text) = text(root, &format!("{LOCAL}/{name}/desc"), LIMIT)? {
            left = left
                .checked_sub(text.len() as u64)
                .ok_or_else(|| Unread::damaged(LOCAL, "it is larger than 256 MiB"))?;
            packages.extend(package(&text));
        }
    }
    Ok(Some(packages))
}

/// Returns the package a `desc` is of: `%NAME%` and `%VERSION%`, the value on the line after.
fn package(desc: &str) -> Option<Package> {
    let value = |key: &str| {
        let mut lines = desc.lines();
        lines.find(|line| *line == key)?;
        lines.next().filter(|value| !value.is_empty())
    };
    Some(Package::new(value("%NAME%")?, "", value("%VERSION%")?))
}

/// Reads a sync database: an archive with a file `NAME-VERSION/desc` for each package.
pub(super) fn offered(index: impl Read, offer: &mut dyn FnMut(Archive)) -> io::Result<()> {
    // Raw: names are short, and a long one would be held in memory whatever its length.
    for entry in tar::Archive::new(index).entries()?.raw(true) {
        let entry = entry?;
        if !entry.path_bytes().ends_with(b"/desc") {
            continue;
        }
        let mut text = Vec::new();
        entry.take(DESCRIPTION_LIMIT).read_to_end(&mut text)?;
        if let Some(archive) = described(&String::from_utf8_lossy(&text)) {
            offer(archive);
        }
    }
    Ok(())
}

/// Reads one package's `desc`: a line `%NAME%`, the lines that it stands for, an empty line.
fn described(text: &str) -> Option<Archive> {
    let field = |name: &str| {
        let mut lines = text.lines().skip_while(|line| *line != name);
        lines.nth(1).map(str::trim)
    };
    let file = field("%FILENAME%")?;
    (!file.contains('/')).then_some(Archive {
        file: file.to_string(),
        size: field("%CSIZE%")?.parse().ok()?,
        sha256: sha256(field("%SHA256SUM%")?)?,
    })
}

/// For every pacman: no question, no bar. It waits for no lock; in a copy nobody else holds one.
const PACMAN: &[&str] = &[
    "pacman",
    "--noconfirm",
    "--noprogressbar",
    "--color",
    "never",
    "--cachedir",
    CACHE,
];

/// The packages with the keys that others are signed with: after some months without an upgrade the new
/// ones are not known yet, and everything signed with them would be refused.
///
/// Of others of Arch's family it is not known what theirs is called.
fn keyrings(id: &str) -> &'static [&'static str] {
    match id {
        "arch" => &["archlinux-keyring"],
        "archarm" => &["archlinuxarm-keyring"],
        "endeavouros" => &["archlinux-keyring", "endeavouros-keyring"],
        "manjaro" => &["archlinux-keyring", "manjaro-keyring"],
        _ => &[],
    }
}

/// Returns the commands of the full upgrade of a distribution with that `ID`.
pub(super) fn full_upgrade(id: &str) -> Vec<Step> {
    // The one package that is new for a moment stays no partial upgrade: everything else follows, or
    // nothing of it is kept.
    let (first, keys): (&str, &[&str]) = match keyrings(id) {
        [] => (LISTS, &[]),
        keys => (KEYS, keys),
    };
    let needed: &[&str] = match keys.is_empty() {
        true => &[],
        false => &["--needed"],
    };
    vec![
        pacman(first, &[&["-Sy"], needed, keys].concat()),
        pacman(PACKAGES, &["-Su"]),
    ]
}

fn pacman(what: &'static str, arguments: &[&str]) -> Step {
    Step::new(what, &[PACMAN, arguments].concat(), &[])
}

/// Returns what downloads the packages of a full upgrade, and no more.
pub(super) fn fetch() -> Step {
    pacman(FETCHING, &["-Suw"])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_directory_is_a_package() {
        let root = tempfile::tempdir().unwrap();
        let tree = Tree::open(root.path()).unwrap();
        assert_eq!(installed(&tree).unwrap(), None);
        let local = root.path().join(LOCAL);
        for (name, desc) in [
            (
                "bash-5.2.021-1",
                "%NAME%\nbash\n\n%VERSION%\n5.2.021-1\n\n%DESC%\nThe GNU Bourne Again shell\n",
            ),
            ("vim-1:9.0-2", "%VERSION%\n1:9.0-2\n\n%NAME%\nvim\n"),
            // What an interrupted transaction may leave.
            ("empty-1-1", ""),
            ("half-1-1", "%NAME%\n\n%VERSION%"),
        ] {
            fs::create_dir_all(local.join(name)).unwrap();
            fs::write(local.join(name).join("desc"), desc).unwrap();
        }
        fs::create_dir(local.join("without-1-1")).unwrap();
        fs::write(local.join("ALPM_DB_VERSION"), "9\n").unwrap();
        let mut found = installed(&tree).unwrap().unwrap();
        found.sort();
        assert_eq!(
            found,
            [
                Package::new("bash", "", "5.2.021-1"),
                Package::new("vim", "", "1:9.0-2")
            ]
        );
    }

    #[test]
    fn a_link_out_of_the_root_leads_nowhere() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("desc"), "%NAME%\na\n%VERSION%\n1\n").unwrap();
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(LOCAL)).unwrap();
        let link = root.path().join(LOCAL).join("a-1");
        std::os::unix::fs::symlink(outside.path(), link).unwrap();
        let tree = Tree::open(root.path()).unwrap();
        assert_eq!(installed(&tree).unwrap(), Some(Vec::new()));
    }
}
