//! The init program of a system whose root is read-only, added to a root half or removed.
//!
//! Works on a root half in an unpublished stage, or in place. The program: `boot::read_only`.

use std::io;

use crate::boot::read_only::{BENEATH, Machines, PROGRAM, program};
use crate::fs::rooted::Tree;
use crate::pool::properties;
use crate::pool::record::{NodeRecord, PoolRecord};

/// Returns the machines that boot a node read-only; `None` if its root is writable.
pub(super) fn machines(record: &NodeRecord, pool: &PoolRecord) -> Option<Machines> {
    let several = properties::has_several_machines(Some(record), pool);
    let keys = properties::effective("ssh-keys", Some(record), pool);
    let machines = if several {
        Machines::Several(
            keys.and_then(|keys| keys.value.parse().ok())
                .unwrap_or_default(),
        )
    } else {
        Machines::One
    };
    properties::is_read_only(Some(record), pool).then_some(machines)
}

/// Returns the program as a file of the root half, with its path.
pub(super) fn file(read_only: Option<Machines>) -> Option<(String, String)> {
    let text = program(read_only?);
    Some((PROGRAM.to_string(), text))
}

/// Adds the program to a root half, or removes it.
pub(super) fn set(root: &Tree, read_only: Option<Machines>) -> io::Result<()> {
    let Some((path, text)) = file(read_only) else {
        if root.symlink_metadata(PROGRAM)?.is_some() {
            root.remove_file(PROGRAM)?;
        }
        return Ok(());
    };
    root.make_dirs(BENEATH)?;
    if root.read_text(&path)?.as_deref() != Some(text.as_str()) {
        root.place(&path, text.as_bytes(), 0o755, (0, 0))?;
    }
    Ok(())
}
