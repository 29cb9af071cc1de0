//! The inclusion of a pool's files: one line in a file of dnsmasq's configuration directory.
//!
//! One dnsmasq serves all pools of a server. The first pool's configuration has the settings of the server: ports,
//! addresses, boot settings. Further pools add their machines. Not for the running dnsmasq.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result};

use super::config_file;
use crate::fs::atomic::{self, Durable};

/// Debian's directory of further dnsmasq configuration.
pub const DIRECTORY: &str = "/etc/dnsmasq.d";

/// The file that includes the first pool's.
pub const FIRST: &str = "/etc/dnsmasq.d/netbe.conf";

/// Whether dnsmasq will read a pool's files at its next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installed {
    /// It does not.
    No,
    /// It does.
    Ours,
    /// The file exists, and was not written by netbe.
    Foreign,
}

/// How dnsmasq includes a pool's files, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// The file with the line.
    pub file: PathBuf,
    /// Whether the line exists.
    pub installed: Installed,
    /// The state directory of the first pool, if that is another one.
    pub first: Option<PathBuf>,
}

/// Returns how dnsmasq includes the files of the pool with that state directory.
pub fn find(state: &Path) -> Inclusion {
    let at_first = |installed| Inclusion {
        file: PathBuf::from(FIRST),
        installed,
        first: None,
    };
    match line_in(Path::new(FIRST)) {
        Line::None => at_first(Installed::No),
        Line::Foreign => at_first(Installed::Foreign),
        Line::Of(first) if first == state => at_first(Installed::Ours),
        // The pool does not exist any more: dnsmasq would not start with the line.
        Line::Of(first) if !config_file(&first).exists() => at_first(Installed::No),
        Line::Of(first) => {
            let file = own_file(state);
            let installed = match line_in(&file) {
                Line::None => Installed::No,
                Line::Of(found) if found == state => Installed::Ours,
                _ => Installed::Foreign,
            };
            Inclusion {
                file,
                installed,
                first: Some(first),
            }
        }
    }
}

/// Includes a pool's files by a line in `file`, from dnsmasq's next start on.
pub fn include(file: &Path, state: &Path) -> Result<()> {
    fs::create_dir_all(DIRECTORY).with_context(|| format!("making {DIRECTORY}"))?;
    let pool_file = own_file(state);
    // Reading a file twice is an error for options that can be given only once.
    if pool_file != file && line_in(&pool_file) == Line::Of(state.to_path_buf()) {
        fs::remove_file(&pool_file).with_context(|| format!("removing {}", pool_file.display()))?;
    }
    let text = format!("conf-file={}\n", config_file(state).display());
    Ok(atomic::file(file, text.as_bytes(), Durable::AtOnce)?)
}

/// Returns the state directory that the text of a file includes; `None` if it has any other content.
pub(super) fn included(text: &str) -> Option<PathBuf> {
    let lines = active_lines(text);
    let [line] = lines.as_slice() else {
        return None;
    };
    let file = line.strip_prefix("conf-file=")?;
    file.strip_suffix("/publish/dnsmasq.conf")
        .map(PathBuf::from)
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    None,
    Of(PathBuf),
    Foreign,
}

fn line_in(file: &Path) -> Line {
    match fs::read_to_string(file) {
        Ok(text) => included(&text).map_or(Line::Foreign, Line::Of),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Line::None,
        Err(_) => Line::Foreign,
    }
}

/// Returns the file of a pool that is not the first.
fn own_file(state: &Path) -> PathBuf {
    let uuid = state.file_name().unwrap_or_default().to_string_lossy();
    let short: String = uuid.chars().take(8).collect();
    Path::new(DIRECTORY).join(format!("netbe-{short}.conf"))
}

pub(super) fn active_lines(text: &str) -> Vec<&str> {
    text.lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_includes_a_pool() {
        let text = "# by netbe\nconf-file=/var/lib/netbe/u/publish/dnsmasq.conf\n";
        assert_eq!(included(text), Some(PathBuf::from("/var/lib/netbe/u")));
        for other in [
            "",
            "port=0\n",
            "conf-file=/etc/x.conf\n",
            "conf-file=/a/publish/dnsmasq.conf\nport=0\n",
        ] {
            assert_eq!(included(other), None, "{other}");
        }
    }

    #[test]
    fn a_further_pool_has_a_file_of_its_own() {
        assert_eq!(
            own_file(Path::new("/var/lib/netbe/0123456789ab")),
            Path::new("/etc/dnsmasq.d/netbe-01234567.conf")
        );
    }
}
