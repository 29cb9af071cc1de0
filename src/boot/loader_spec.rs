//! The files that systemd-boot reads: an entry for each environment, and the default in its configuration.
//!
//! Formats: The Boot Loader Specification, type #1, and loader.conf(5). Pure.

use anyhow::Result;

use super::files::BootFiles;
use super::pxelinux;

/// Its configuration, on the EFI system partition.
pub const LOADER_CONF: &str = "loader/loader.conf";
/// The directory of entries.
pub const ENTRIES: &str = "loader/entries";
/// The suffix of netbe's entries.
///
/// It separates an environment's name from `.conf`, since a name that ends in `+3` would be taken for a boot counter.
const OWN: &str = ".netbe.conf";
/// The length of the line of the default, with ignored blanks: so it is replaced in place, and so within one sector of the
/// disk.
const LINE: usize = 224;
/// The prefix of the line before it, which keeps the former default.
const BEFORE: &str = "# before netbe: ";

/// The boot settings of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnBoot {
    /// The kernel, as a path in the boot half.
    pub kernel: String,
    /// The files of its initramfs.
    pub initramfs: Vec<String>,
    /// The kernel command line.
    pub options: String,
}

impl OwnBoot {
    /// Reads them from a boot half; `None` if it has no menu.
    pub fn of(boot: &dyn BootFiles) -> Result<Option<Self>> {
        let Some((menu, _)) = pxelinux::read(boot, pxelinux::DEFAULT)? else {
            return Ok(None);
        };
        let loads = pxelinux::loads(&menu, pxelinux::DEFAULT, boot, None)?;
        Ok(Some(Self {
            kernel: loads.kernel,
            initramfs: loads.initramfs,
            options: loads.append,
        }))
    }

    /// Returns the kernel and then the files of the initramfs.
    pub fn files(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.kernel).chain(&self.initramfs)
    }
}

/// Returns the name of the entry of an environment.
pub fn id(node: &str, env: &str) -> String {
    format!("{node}-{env}{OWN}")
}

/// Returns the environment of an entry of a node.
pub fn env_of<'i>(id: &'i str, node: &str) -> Option<&'i str> {
    id.strip_prefix(node)?.strip_prefix('-')?.strip_suffix(OWN)
}

/// Returns whether an entry is netbe's.
pub fn is_own(id: &str) -> bool {
    id.ends_with(OWN)
}

/// Returns an entry; `place` returns a file's path on the partition, and a higher `order` comes first.
pub fn entry(
    title: &str,
    order: u64,
    boots: &OwnBoot,
    mut place: impl FnMut(&str) -> String,
) -> String {
    let mut text = format!(
        "# made by netbe\ntitle {title}\nsort-key netbe\nversion {order:020}\nlinux /{}\n",
        place(&boots.kernel)
    );
    for file in &boots.initramfs {
        text.push_str(&format!("initrd /{}\n", place(file)));
    }
    text.push_str(&format!("options {}\n", boots.options));
    text
}

/// Returns a configuration with another default, and the differing bytes if they are all in one line.
pub fn with_default(conf: &str, id: &str) -> Edited {
    let line = format!("{:<LINE$}\n", format!("default {id}"));
    if let Some(start) = own_line(conf) {
        let mut text = conf.to_string();
        text.replace_range(start..start + line.len(), &line);
        return Edited {
            in_place: Some((start, line)),
            text,
        };
    }
    let (defaults, others): (Vec<&str>, Vec<&str>) = conf.lines().partition(|l| is_default(l));
    let before: String = defaults
        .iter()
        .map(|line| format!("{BEFORE}{}\n", line.trim()))
        .collect();
    let others: String = others.iter().map(|line| format!("{line}\n")).collect();
    Edited {
        text: format!("{line}{before}{others}"),
        in_place: None,
    }
}

/// A configuration with another default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The whole text.
    pub text: String,
    /// The offset in bytes and the new bytes there, if nothing else differs; `None` if more of the text differs.
    pub in_place: Option<(usize, String)>,
}

/// Returns the default entry of a configuration, if it is netbe's.
pub fn own_default(conf: &str) -> Option<&str> {
    let line = conf.lines().find(|line| is_default(line))?;
    let id = line.split_whitespace().nth(1)?;
    is_own(id).then_some(id)
}

/// Returns a configuration as it was before netbe's default; `None` if it has none.
pub fn without_default(conf: &str) -> Option<String> {
    own_default(conf)?;
    let lines = conf.lines().filter(|line| !is_default(line));
    let restored = lines.map(|line| line.strip_prefix(BEFORE).unwrap_or(line));
    Some(restored.map(|line| format!("{line}\n")).collect())
}

fn is_default(line: &str) -> bool {
    line.split_whitespace().next() == Some("default")
}

/// Returns the offset of netbe's line, if the line has its full length.
fn own_line(conf: &str) -> Option<usize> {
    let is_own = conf.get(LINE..=LINE) == Some("\n") && conf.lines().next().is_some_and(is_default);
    is_own.then_some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_files_on_the_partition() {
        let boots = OwnBoot {
            kernel: "vmlinuz-6.1".to_string(),
            initramfs: vec!["initrd.img-6.1".to_string()],
            options: "root=UUID=1 rw".to_string(),
        };
        assert_eq!(
            entry("nog: a", 7, &boots, |file| format!("netbe/1-{file}")),
            "# made by netbe\ntitle nog: a\nsort-key netbe\nversion 00000000000000000007\n\
             linux /netbe/1-vmlinuz-6.1\ninitrd /netbe/1-initrd.img-6.1\noptions root=UUID=1 rw\n"
        );
        assert!(is_own(&id("nog", "a+3")) && !id("nog", "a+3").ends_with("+3.conf"));
    }

    #[test]
    fn the_default_is_replaced_in_its_place_and_given_back() {
        for conf in [
            "",
            "timeout 3\n#console-mode keep\n",
            "default debian-*\ntimeout 3\n",
            "  default\t@saved\neditor no\n",
        ] {
            let first = with_default(conf, &id("nog", "first"));
            assert_eq!(first.in_place, None);
            assert_eq!(own_default(&first.text), Some("nog-first.netbe.conf"));
            let longest = id(&"n".repeat(64), &"e".repeat(64));
            for next in ["nog-second.netbe.conf", longest.as_str()] {
                let edited = with_default(&first.text, next);
                assert_eq!(own_default(&edited.text), Some(next));
                let (at, line) = edited.in_place.unwrap();
                let mut bytes = first.text.clone().into_bytes();
                bytes[at..at + line.len()].copy_from_slice(line.as_bytes());
                assert_eq!(bytes, edited.text.as_bytes());
                assert!(at + line.len() <= 512 && edited.text.len() == first.text.len());
            }
            let trimmed: String = conf
                .lines()
                .map(|l| match is_default(l) {
                    true => format!("{}\n", l.trim()),
                    false => format!("{l}\n"),
                })
                .collect();
            assert_eq!(without_default(&first.text), Some(trimmed));
            assert_eq!(without_default(conf), None);
        }
    }
}
