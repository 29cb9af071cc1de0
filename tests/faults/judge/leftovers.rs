//! What an interrupted command may leave, hidden, and a repair takes away.

use std::fs;
use std::path::Path;

use crate::support::output;

/// Returns what an interrupted command left: hidden work, half-replaced files, subvolumes that belong to nothing.
pub(crate) fn leftovers(pool: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut envs = 0;
    look_for_hidden(pool, pool, 0, &mut found, &mut envs);
    let listed = output(
        std::process::Command::new("btrfs")
            .args(["subvolume", "list", "-o"])
            .arg(pool),
    );
    let subvolumes = String::from_utf8_lossy(&listed).lines().count();
    if subvolumes != 2 * envs {
        found.push(format!(
            "{subvolumes} subvolumes for {envs} environments and bases"
        ));
    }
    found
}

/// Walks a pool's own directories, not into environments; counts these.
fn look_for_hidden(
    pool: &Path,
    directory: &Path,
    depth: usize,
    found: &mut Vec<String>,
    envs: &mut usize,
) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        let below = path
            .strip_prefix(pool)
            .unwrap_or(&path)
            .display()
            .to_string();
        let is_work = name.starts_with(".staged-") || name.starts_with(".trash-");
        if is_work || name.starts_with('.') && name.ends_with(".new") {
            found.push(below);
            continue;
        }
        // nodes/NODE/envs/ENV; what is inside belongs to the node. Its base is two subvolumes more.
        let is_env = depth == 3 && directory.ends_with("envs") && path.is_dir();
        let is_base = depth == 4 && name == ".base";
        *envs += usize::from(is_env || is_base);
        let whole = || {
            let record = fs::read_to_string(path.join("base.json")).unwrap_or_default();
            ["root", "boot"].iter().all(|half| path.join(half).exists())
                && record.contains("\"id\"")
        };
        if is_base && !whole() {
            found.push(format!("{below}, which is not whole"));
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && name != "root"
            && name != "boot"
            && depth < 5
        {
            look_for_hidden(pool, &path, depth + 1, found, envs);
        }
    }
}
