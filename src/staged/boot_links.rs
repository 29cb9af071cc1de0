//! Replaces links out of the boot half: kernels, initramfs and device trees in `/usr/lib/modules`.
//!
//! openSUSE and Fedora link `/boot/vmlinuz-VERSION` to `../usr/lib/modules/VERSION/vmlinuz` if both are one filesystem.
//! TFTP serves only the boot half, so such a link is replaced with a copy of its target; a link that leaves the boot half
//! and comes back is rewritten to stay inside. Not for dangling links, nor for whether the files boot.

use std::fs::File;
use std::os::unix::fs::FileTypeExt;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fstat};

use super::{first_notes, half_replaced};
use crate::fs::copy::attributes::Attributes;
use crate::fs::copy::{self, Contents, Rules};
use crate::fs::interrupt;
use crate::fs::rooted::{Tree, replacement};

/// The maximum depth at which links are found: boot loader entries and device trees of a kernel are no deeper.
const DEPTH: usize = 4;
/// The maximum number of links that are followed, as in the kernel.
const LINKS: usize = 40;
/// The maximum number of notes about links.
const NAMED: usize = 12;

/// The target of a link in a boot half.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// In the boot half, by a path that stays in it.
    Within,
    /// In the boot half, by a path that leaves it: the path relative to its top.
    Back(String),
    /// In the root half: the path relative to its top.
    Root(String),
}

/// Replaces links to the root half with their targets, in the boot half, which is mounted at `mount`.
///
/// Returns notes, a sentence each. A second call changes nothing.
pub fn replace_links(root: &Tree, boot: &Tree, mount: &str) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let mut directories = vec![(String::new(), DEPTH)];
    while let Some((directory, depth)) = directories.pop() {
        for name in boot.names(&directory)? {
            interrupt::check()?;
            let path = joined(&directory, &name);
            let Some(found) = boot.symlink_metadata(&path)? else {
                continue;
            };
            if found.is_dir() && depth > 1 {
                directories.push((path, depth - 1));
            } else if found.file_type().is_symlink() {
                let note = replace_link(root, boot, mount, &path);
                notes.extend(note.with_context(|| format!("following the link {mount}/{path}"))?);
            }
        }
    }
    Ok(first_notes(notes, NAMED, &format!("links in {mount}")))
}

fn replace_link(root: &Tree, boot: &Tree, mount: &str, path: &str) -> Result<Option<String>> {
    let (directory, _) = path.rsplit_once('/').unwrap_or(("", path));
    let place = joined(mount.trim_matches('/'), directory);
    let (mut at, mut target) = (place, boot.link_target(path)?);
    for _ in 0..LINKS {
        let Some(text) = target.to_str() else {
            return Ok(None);
        };
        let found = match leads(mount, &at, text) {
            Target::Within => return Ok(None),
            Target::Back(inner) => {
                replace_by_link(boot, path, &upwards(directory, &inner))?;
                return Ok(None);
            }
            Target::Root(found) => found,
        };
        let Some(kind) = root.symlink_metadata(&found)?.map(|m| m.file_type()) else {
            return Ok(None);
        };
        if kind.is_symlink() {
            target = root.link_target(&found)?;
            at = found.rsplit_once('/').map_or("", |(at, _)| at).to_string();
            continue;
        }
        if kind.is_block_device() || kind.is_char_device() || kind.is_fifo() || kind.is_socket() {
            return Ok(None);
        }
        let replaced = match kind.is_dir() {
            true => replace_by_directory(root, &found, boot, path)?,
            false => replace_by_file(root, &found, boot, path)?,
        };
        return Ok(replaced.then(|| {
            format!(
                "{mount}/{path} was a link to /{found}, which TFTP does not hand out; here it is a copy of that"
            )
        }));
    }
    Ok(None)
}

/// Returns the target of a link in a directory, which is a path from the top of the whole system.
fn leads(mount: &str, directory: &str, target: &str) -> Target {
    let mount: Vec<&str> = parts(mount).collect();
    let mut at: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => parts(directory).collect(),
    };
    let mut stays = at.starts_with(&mount);
    for part in parts(target) {
        match part {
            ".." => {
                at.pop();
            }
            part => at.push(part),
        }
        stays &= at.starts_with(&mount);
    }
    match at.strip_prefix(mount.as_slice()) {
        Some(_) if stays => Target::Within,
        Some(inner) => Target::Back(inner.join("/")),
        None => Target::Root(at.join("/")),
    }
}

/// Returns the text of a link from a directory to a path, both relative to the same top.
fn upwards(directory: &str, place: &str) -> String {
    let up = parts(directory).map(|_| "..");
    let all: Vec<&str> = up.chain(parts(place)).collect();
    match all.is_empty() {
        true => ".".to_string(),
        false => all.join("/"),
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|p| !p.is_empty() && *p != ".")
}

fn joined(directory: &str, name: &str) -> String {
    match (directory, name) {
        ("", name) => name.to_string(),
        (directory, "") => directory.to_string(),
        (directory, name) => format!("{directory}/{name}"),
    }
}

/// Returns the temporary name, beside a path, of its replacement.
fn staged(path: &str) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    joined(directory, &replacement(name))
}

fn replace_by_file(root: &Tree, from: &str, boot: &Tree, path: &str) -> Result<bool> {
    let Some(source) = root.open_file(from)? else {
        return Ok(false);
    };
    if boot.notes_change() {
        return Ok(true);
    }
    let new = staged(path);
    boot.remove_file(&new)?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
    let copy = File::from(boot.open_at(&new, flags, Mode::from_bits_truncate(0o600))?);
    let stat = fstat(&source)?;
    let size = stat.st_size.cast_unsigned();
    Contents::default().copy(&source, &copy, size, &mut |_| {})?;
    let mut attributes = Attributes::from_stat(&stat);
    attributes.mode &= 0o777;
    attributes.apply(&copy)?;
    // Durable, since a machine may boot it at once.
    copy.sync_all()?;
    take_place(boot, &new, path)?;
    Ok(true)
}

/// Replaces a link by a copy of a directory of device trees; no other directories are known to be needed.
fn replace_by_directory(root: &Tree, from: &str, boot: &Tree, path: &str) -> Result<bool> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if !name.starts_with("dtb") && name != "overlays" {
        return Ok(false);
    }
    if boot.notes_change() {
        return Ok(true);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let source = File::from(root.open_at(from, flags, Mode::empty())?);
    let new = staged(path);
    half_replaced::remove(boot, &new)?;
    boot.make_dirs(&new)?;
    let copy = File::from(boot.open_at(&new, flags | OFlag::O_NOFOLLOW, Mode::empty())?);
    copy::tree(&source, &copy, &Rules::default(), &mut |_| {})?;
    if boot.is_durable() {
        // As of a file.
        nix::unistd::syncfs(&copy)?;
    }
    // A directory cannot take the place of a link by a mere rename: the link has the hidden name afterwards.
    boot.exchange(&new, name)?;
    boot.remove_file(&new)?;
    Ok(true)
}

fn replace_by_link(boot: &Tree, path: &str, target: &str) -> Result<()> {
    let new = staged(path);
    boot.remove_file(&new)?;
    boot.symlink(target, &new)?;
    take_place(boot, &new, path)
}

fn take_place(boot: &Tree, new: &str, path: &str) -> Result<()> {
    let name = path.rsplit('/').next().unwrap_or(path);
    Ok(boot.rename(new, name)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn root(path: &str) -> Target {
        Target::Root(path.to_string())
    }

    #[test]
    fn a_link_leads_where_the_whole_system_has_it() {
        let back = |path: &str| Target::Back(path.to_string());
        for (mount, directory, target, expected) in [
            ("/boot", "boot", "vmlinuz-6.1", Target::Within),
            ("/boot", "boot", ".", Target::Within),
            ("/boot", "boot/a/b", "../../vmlinuz", Target::Within),
            (
                "/boot",
                "boot",
                "../usr/lib/modules/6.1/vmlinuz",
                root("usr/lib/modules/6.1/vmlinuz"),
            ),
            (
                "/boot",
                "boot",
                "/usr/lib/modules/6.1/vmlinuz",
                root("usr/lib/modules/6.1/vmlinuz"),
            ),
            ("/boot", "boot", "/boot/vmlinuz-6.1", back("vmlinuz-6.1")),
            ("/boot", "boot", "../boot/vmlinuz-6.1", back("vmlinuz-6.1")),
            (
                "/boot",
                "boot",
                "../../../../boot//./vmlinuz",
                back("vmlinuz"),
            ),
            ("/boot", "boot", "../bootx/vmlinuz", root("bootx/vmlinuz")),
            (
                "/boot/firmware",
                "boot/firmware",
                "../vmlinuz",
                root("boot/vmlinuz"),
            ),
            (
                "/boot/firmware",
                "boot/firmware",
                "/boot/firmware/k",
                back("k"),
            ),
        ] {
            assert_eq!(
                leads(mount, directory, target),
                expected,
                "{directory} {target}"
            );
        }
        assert_eq!(upwards("", "a/b"), "a/b");
        assert_eq!(upwards("x/y", "a"), "../../a");
        assert_eq!(upwards("", ""), ".");
    }

    /// Makes both halves of a system, and runs `replace_links` on them; returns the boot half and the notes.
    fn brought(links: &[(&str, &str)]) -> (tempfile::TempDir, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let (r, b) = (dir.path().join("root"), dir.path().join("boot"));
        for made in ["usr/lib/modules/6.1/dtb/nxp", "etc"] {
            fs::create_dir_all(r.join(made)).unwrap();
        }
        symlink("usr/lib", r.join("lib")).unwrap();
        fs::write(r.join("usr/lib/modules/6.1/vmlinuz"), "kernel").unwrap();
        fs::write(r.join("usr/lib/modules/6.1/dtb/nxp/a.dtb"), "tree").unwrap();
        symlink("usr/lib/modules/6.1/vmlinuz", r.join("kernel")).unwrap();
        fs::create_dir_all(b.join("entries")).unwrap();
        fs::create_dir_all(b.join(".dtb.netbe-new/when-killed")).unwrap();
        for (name, target) in links {
            symlink(target, b.join(name)).unwrap();
        }
        let (root, boot) = (Tree::open(&r).unwrap(), Tree::open(&b).unwrap());
        let notes = replace_links(&root, &boot, "/boot").unwrap();
        assert!(replace_links(&root, &boot, "/boot").unwrap().is_empty());
        (dir, notes)
    }

    #[test]
    fn what_links_lead_to_comes_into_the_boot_half() {
        let (dir, notes) = brought(&[
            ("vmlinuz-6.1", "../usr/lib/modules/6.1/vmlinuz"),
            ("vmlinuz", "vmlinuz-6.1"),
            ("Image", "/lib/modules/6.1/vmlinuz"),
            ("entries/linux", "../../kernel"),
            ("dtb", "../lib/modules/6.1/dtb"),
            ("absolute", "/boot/vmlinuz-6.1"),
            ("nothing", "../usr/lib/modules/9/vmlinuz"),
            ("everything", "/"),
            ("loop", "../boot/loop"),
        ]);
        let boot = dir.path().join("boot");
        for name in ["vmlinuz-6.1", "Image", "entries/linux"] {
            assert!(
                boot.join(name).symlink_metadata().unwrap().is_file(),
                "{name}"
            );
            assert_eq!(fs::read_to_string(boot.join(name)).unwrap(), "kernel");
        }
        for (name, target) in [
            ("vmlinuz", "vmlinuz-6.1"),
            ("absolute", "vmlinuz-6.1"),
            ("nothing", "../usr/lib/modules/9/vmlinuz"),
            ("everything", "/"),
        ] {
            let found = fs::read_link(boot.join(name)).unwrap();
            assert_eq!(found.to_str(), Some(target), "{name}");
        }
        assert_eq!(
            fs::read_to_string(boot.join("dtb/nxp/a.dtb")).unwrap(),
            "tree"
        );
        assert!(!boot.join("dtb/when-killed").exists());
        assert!(boot.join(".dtb.netbe-new").symlink_metadata().is_err());
        assert_eq!(notes.len(), 4, "{notes:?}");
    }

    #[test]
    fn no_link_leads_out_of_the_environment() {
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret");
        fs::write(&secret, "the server's").unwrap();
        let climbing = format!("../../../../../../../..{}", secret.display());
        let (dir, notes) = brought(&[("a", secret.to_str().unwrap()), ("b", &climbing)]);
        assert!(notes.is_empty(), "{notes:?}");
        let boot = dir.path().join("boot");
        assert!(boot.join("a").symlink_metadata().unwrap().is_symlink());
        assert!(boot.join("b").symlink_metadata().unwrap().is_symlink());
    }
}
