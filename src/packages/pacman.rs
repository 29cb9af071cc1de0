//! pacman: the full upgrade, the installed packages (a directory with a file `desc` for each), and the sync databases.

use std::io::{self, Read};

use super::Package;
use super::apt::{Archive, sha256};
use super::owned::{Owned, Owners};
use super::package::{Unread, text};
use super::step::{CACHE, FETCHING, KEYS, LISTS, PACKAGES, Step, installing, removing};
use crate::fs::rooted::Tree;

/// Bytes of a package's description read at once.
const DESCRIPTION_LIMIT: u64 = 1 << 20;

/// The database of installed packages.
const LOCAL: &str = "var/lib/pacman/local";

/// The largest description of a package, in bytes; most have some hundred.
const LIMIT: u64 = 1 << 20;
/// The limit for all of them.
const TOTAL_LIMIT: u64 = 256 << 20;

/// Returns the names in the database; `None` if there is none.
fn names(root: &Tree) -> Result<Option<Vec<String>>, Unread> {
    let failed = |why: io::Error| Unread::damaged(LOCAL, &why);
    let found = root.metadata(LOCAL).map_err(failed)?;
    let has_database = found.is_some_and(|found| found.is_dir());
    let names = has_database.then(|| root.names(LOCAL)).transpose();
    names.map_err(failed)
}

/// Returns the installed packages; `None` if there is no database.
pub(super) fn installed(root: &Tree) -> Result<Option<Vec<Package>>, Unread> {
    let Some(names) = names(root)? else {
        return Ok(None);
    };
    let mut packages = Vec::new();
    let mut remaining = TOTAL_LIMIT;
    // One name is that of a file with the database's version.
    for name in names {
        if let Some(text) = text(root, &format!("{LOCAL}/{name}/desc"), LIMIT)? {
            remaining = remaining
                .checked_sub(text.len() as u64)
                .ok_or_else(|| Unread::damaged(LOCAL, "it is larger than 256 MiB"))?;
            packages.extend(package(&text));
        }
    }
    Ok(Some(packages))
}

/// Returns a field of a `desc`: a line `%NAME%`, its values, an empty line.
fn field<'a>(desc: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = desc.lines().skip_while(|line| *line != name);
    lines
        .nth(1)
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

fn package(desc: &str) -> Option<Package> {
    Some(Package::new(
        field(desc, "%NAME%")?,
        "",
        field(desc, "%VERSION%")?,
    ))
}

/// Notes the files of all packages: `%FILES%` with one a line, `%BACKUP%` with configuration and its MD5 sum (alpm-files).
pub(super) fn owners(root: &Tree, owners: &mut Owners) -> Result<(), Unread> {
    for name in names(root)?.unwrap_or_default() {
        let Some(files) = text(root, &format!("{LOCAL}/{name}/files"), TOTAL_LIMIT)? else {
            continue;
        };
        let mut owned = None;
        for line in files.lines() {
            match line {
                "%FILES%" => owned = Some(Owned::File),
                "%BACKUP%" => owned = Some(Owned::Configuration),
                "" => owned = None,
                line => {
                    if let Some(owned) = owned {
                        owners.add(line.split('\t').next().unwrap_or(line), owned);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Reads a sync database: an archive with a file `NAME-VERSION/desc` for each package.
pub(super) fn offered(index: impl Read, offer: &mut dyn FnMut(Archive)) -> io::Result<()> {
    // Raw: extended names are not needed, and would be held in memory whatever their length.
    for entry in tar::Archive::new(index).entries()?.raw(true) {
        let entry = entry?;
        if !entry.path_bytes().ends_with(b"/desc") {
            continue;
        }
        let mut text = Vec::new();
        entry.take(DESCRIPTION_LIMIT).read_to_end(&mut text)?;
        if let Some(archive) = archive(&String::from_utf8_lossy(&text)) {
            offer(archive);
        }
    }
    Ok(())
}

fn archive(desc: &str) -> Option<Archive> {
    let file = field(desc, "%FILENAME%")?;
    (!file.contains('/')).then_some(Archive {
        file: file.to_string(),
        size: field(desc, "%CSIZE%")?.parse().ok()?,
        sha256: sha256(field(desc, "%SHA256SUM%")?)?,
    })
}

/// Common arguments: no questions, no progress bar. pacman does not wait for locks; in a copy there are none.
const PACMAN: &[&str] = &[
    "pacman",
    "--noconfirm",
    "--noprogressbar",
    "--color",
    "never",
    "--cachedir",
    CACHE,
];

/// Returns the packages with signing keys. After months without an upgrade new keys are missing, and packages signed
/// with them would be refused.
///
/// Unknown for other distributions of the family.
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
    // Upgrading the keys first is not a partial upgrade: the rest follows, or the result is discarded.
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

/// Returns the commands that install and remove packages.
pub(super) fn install_and_remove(added: &[String], removed: &[String]) -> Vec<Step> {
    vec![
        pacman(LISTS, &["-Sy"]),
        removing(pacman, &["-R"], removed),
        installing(pacman, &["-S", "--needed"], added),
    ]
}

fn pacman(what: &'static str, arguments: &[&str]) -> Step {
    Step::new(what, &[PACMAN, arguments].concat(), &[])
}

/// Returns the command that only downloads the packages of a full upgrade.
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
            // Left by an interrupted transaction.
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
    fn a_link_out_of_the_root_is_not_followed() {
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
