//! The paths that a send stream changes, from the output of `btrfs receive --dump`.
//!
//! Pure. Not for the contents of files.

/// Returns the paths that a send stream changes, from `btrfs receive --dump`: sorted, without those of which only times change.
pub(super) fn changed(dump: &str) -> Vec<String> {
    const QUIET: [&str; 3] = ["utimes", "snapshot", "subvol"];
    let mut paths = std::collections::BTreeSet::new();
    for line in dump.lines() {
        let Some((kind, rest)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        if QUIET.contains(&kind) {
            continue;
        }
        let mut words = rest.trim_start();
        let mut take = |words: &mut &str| {
            let end = words
                .find("  ")
                .or_else(|| words.find(" dest="))
                .unwrap_or(words.len());
            let path = words.get(..end).unwrap_or_default().trim();
            if let Some((_, inside)) = path.strip_prefix("./").unwrap_or(path).split_once('/') {
                let inside = inside.replace("\\ ", " ");
                if !is_passing(&inside) {
                    paths.insert(format!("/{inside}"));
                }
            }
            *words = words.get(end..).unwrap_or_default();
        };
        take(&mut words);
        if let Some(at) = words.find("dest=") {
            words = words.get(at + "dest=".len()..).unwrap_or_default();
            if kind == "rename" {
                take(&mut words);
            }
        }
    }
    paths.into_iter().collect()
}

/// Returns whether a path is a temporary name in the stream, or one that a system writes at every boot.
fn is_passing(path: &str) -> bool {
    let is_orphan = |name: &str| {
        let mut parts = name.strip_prefix('o').unwrap_or_default().split('-');
        let is_number = |part: Option<&str>| {
            part.is_some_and(|p| !p.is_empty() && p.bytes().all(|c| c.is_ascii_digit()))
        };
        (0..3).all(|_| is_number(parts.next())) && parts.next().is_none()
    };
    let first = path.split('/').next().unwrap_or_default();
    let passing = [
        "var/log/",
        "var/cache/",
        "var/tmp/",
        "tmp/",
        "run/",
        "var/lib/systemd/",
    ];
    is_orphan(first) || passing.iter().any(|start| path.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_paths_are_those_a_person_looks_for() {
        let dump = "snapshot        ./.now  uuid=1 transid=2\n\
            utimes          ./.now/etc  atime=1\n\
            mkfile          ./.now/o300-9-0\n\
            rename          ./.now/o300-9-0  dest=./.now/etc/new\n\
            update_extent   ./.now/etc/hosts  offset=0 len=3\n\
            clone           ./.now/srv/db  offset=0 len=3 from=./.now/srv/other clone_offset=0\n\
            update_extent   ./.now/var/log/syslog  offset=0 len=3\n\
            unlink          ./.now/etc/a\\ b\n";
        assert_eq!(
            changed(dump),
            ["/etc/a b", "/etc/hosts", "/etc/new", "/srv/db"]
        );
    }
}
