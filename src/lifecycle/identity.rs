//! tmp
use crate::pool::NodeName;
use anyhow::Result;
use std::path::Path;
/// tmp
pub fn reset(_root: &Path, _boot: &Path, _old: &NodeName, _new: &NodeName) -> Result<Vec<String>> {
    Ok(vec![])
}
/// tmp
pub fn rename_host(_root: &Path, _old: &NodeName, _new: &NodeName) -> Result<()> {
    Ok(())
}
