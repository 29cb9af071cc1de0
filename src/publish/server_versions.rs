//! The NFS versions that this machine's server offers: by the running server, else by its configuration.
//!
//! A version that is not mentioned counts as offered: its default depends on the kernel. Reads only.

use std::path::{Path, PathBuf};

/// The table of the running server: `+3 +4 +4.1 -4.2`.
const RUNNING: &str = "proc/fs/nfsd/versions";
/// The configuration, whose drop-in directory overrides it: nfs.conf(5).
const CONFIGURATION: &str = "etc/nfs.conf";
const MORE: &str = "etc/nfs.conf.d";

/// The known settings of versions.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Versions that are refused, each with the file that says so.
    refused: Vec<(String, String)>,
}

impl Offered {
    /// Returns the file by which a version is refused.
    pub fn refuses(&self, version: &str) -> Option<&str> {
        let refusal = |wanted: &str| {
            let mut refused = self.refused.iter();
            refused
                .find(|(v, _)| v == wanted)
                .map(|(_, place)| place.as_str())
        };
        // Without version 4, its minor versions are refused too.
        refusal(version).or_else(|| refusal(version.split_once('.')?.0))
    }
}

/// Returns what the server beneath `top` offers; `read` returns a file's text.
pub fn offered(top: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Offered {
    let running = read(&top.join(RUNNING)).filter(|text| !text.trim().is_empty());
    if let Some(text) = running {
        let refused = text
            .split_whitespace()
            .filter_map(|word| word.strip_prefix('-'));
        return Offered {
            refused: refused
                .map(|v| (v.to_string(), format!("/{RUNNING}: -{v}")))
                .collect(),
        };
    }
    let mut files = vec![top.join(CONFIGURATION)];
    files.extend(more(&top.join(MORE)));
    let mut offered = Offered::default();
    for file in files {
        for (version, is_on) in settings(&read(&file).unwrap_or_default()) {
            offered.refused.retain(|(v, _)| *v != version);
            if !is_on {
                let place = format!("{}: vers{version}=n", file.display());
                offered.refused.push((version, place));
            }
        }
    }
    offered
}

/// Returns the files that override the configuration, in the order in which they are read.
fn more(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "conf"));
    files.sort();
    files
}

/// Returns the versions in a configuration, and whether each is offered.
fn settings(text: &str) -> Vec<(String, bool)> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            section = name.trim().to_ascii_lowercase();
        } else if let ("nfsd", Some((key, value))) = (section.as_str(), line.split_once('='))
            && let Some(version) = key.trim().to_ascii_lowercase().strip_prefix("vers")
        {
            let value = value.trim().to_ascii_lowercase();
            let is_off = ["n", "no", "0", "f", "false", "off"].contains(&value.as_str());
            found.push((version.to_string(), !is_off));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(running: Option<&str>, configuration: &str, version: &str) -> bool {
        let read = |path: &Path| match path.to_str()? {
            "/none/proc/fs/nfsd/versions" => running.map(str::to_string),
            "/none/etc/nfs.conf" => Some(configuration.to_string()),
            _ => None,
        };
        offered(Path::new("/none"), &read)
            .refuses(version)
            .is_some()
    }

    #[test]
    fn the_running_server_is_believed_else_its_configuration() {
        for (running, configuration, version, expected) in [
            (None, "", "3", false),
            (None, "[nfsd]\nvers3=n\n", "3", true),
            (None, "[nfsd]\n vers3 = No\n", "3", true),
            (None, "[nfsd]\n# vers3=n\n", "3", false),
            (None, "[mountd]\nvers3=n\n", "3", false),
            (None, "[nfsd]\nvers3=n\nvers3=y\n", "3", false),
            (None, "[nfsd]\nvers4=n\n", "4.2", true),
            (None, "[nfsd]\nvers4.2=n\n", "4.1", false),
            (
                Some("-2 +3 +4 +4.1 +4.2\n"),
                "[nfsd]\nvers3=n\n",
                "3",
                false,
            ),
            (Some("-2 -3 +4 +4.1 +4.2\n"), "", "3", true),
            (Some("+3 +4 +4.1 -4.2\n"), "", "4.2", true),
            (Some("\n"), "[nfsd]\nvers3=n\n", "3", true),
        ] {
            assert_eq!(
                refused(running, configuration, version),
                expected,
                "{running:?} {configuration:?} {version}"
            );
        }
    }
}
