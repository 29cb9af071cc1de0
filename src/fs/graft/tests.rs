//! A graft that fails.

use std::fs;

use super::*;

#[test]
fn a_graft_that_is_not_finished_leaves_no_copies() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    fs::create_dir_all(&from).unwrap();
    fs::create_dir_all(&to).unwrap();
    fs::write(from.join("letter"), "dear").unwrap();
    let mut graft = Graft::new(&from, Path::new(""), &to).unwrap();
    let letter = Path::new("letter");
    assert_eq!(graft.put(letter, letter).unwrap(), Put::Done);
    // As a copy that failed half way.
    fs::write(to.join(&graft.aside_name).join("half"), "de").unwrap();
    assert_eq!(leftovers(&to).unwrap().len(), 1);
    drop(graft);
    assert_eq!(all_names_in(&to).unwrap(), ["letter"]);
}
