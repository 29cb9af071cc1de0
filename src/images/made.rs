//! Converts a root half of files to one with an image, and back.
//!
//! Uses mke2fs(8), which fills the new filesystem without mounting it. Works on halves of an unpublished stage: after an
//! interruption at any point, the stage is deleted.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Access, DISK, Opened};
use crate::btrfs::subvolume;
use crate::fs::path_error::if_exists;
use crate::fs::rooted::Tree;
use crate::fs::{copy, opener, server_packages};
use crate::hex;

/// The size of the disk, in bytes; the file is sparse.
const SIZE: u64 = 32 << 30;

/// The features of the filesystem: those that every Linux since 4.4 can mount. See mke2fs.conf(5).
const FEATURES: &str = "[defaults]
\tbase_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
\tblocksize = 4096
\tinode_size = 256
\tinode_ratio = 16384
\tenable_periodic_fsck = 0
[fs_types]
\text4 = {
\t\tfeatures = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
\t}
";

/// Replaces the files of a half by an image with them, whose filesystem has this UUID.
pub fn fill(half: &Path, uuid: &str) -> Result<()> {
    server_packages::require("mke2fs")?;
    let files = set_aside(half)?;
    let disk = half.join(DISK);
    let image = opener::new_file_at(&opener::directory(half)?, DISK)?;
    image.set_len(SIZE)?;
    drop(image);
    let mut features = tempfile::NamedTempFile::new().context("writing mke2fs.conf")?;
    features.write_all(FEATURES.as_bytes())?;
    let output = Command::new("mke2fs")
        .env("MKE2FS_CONFIG", features.path())
        .args(["-q", "-F", "-t", "ext4", "-U", uuid])
        // Otherwise the machine's kernel would write these zeros later, over the network.
        .args(["-E", "lazy_itable_init=0,root_owner=0:0", "-d"])
        .args([&files, &disk])
        .output()
        .context("running mke2fs")?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("mke2fs could not make the disk image: {}", message.trim());
    }
    remove(&files)
}

/// Replaces the image of a half by its files.
pub fn spread(half: &Path) -> Result<()> {
    let with_image = set_aside(half)?;
    let opened = Opened::over(&with_image, Access::Read)?;
    let rules = copy::Rules::default();
    let (from, to) = (opener::directory(&with_image)?, opener::directory(half)?);
    copy::tree(&from, &to, &rules, &mut |_| {}).context("copying the files of the disk image")?;
    drop(from);
    opened.close()?;
    // mke2fs creates it, for files that a later filesystem check recovers.
    if_exists(std::fs::remove_dir(half.join("lost+found"))).context("removing lost+found")?;
    remove(&with_image)
}

/// Returns the UUID of the filesystem in a half that has only an image; `None` for a half of files.
///
/// For a half whose record is lost. Reads only the superblock of the filesystem, which has the UUID at byte 104:
/// Documentation/filesystems/ext4 of Linux.
pub fn uuid_of(half: &Path) -> Result<Option<String>> {
    let tree = Tree::open(half)?;
    if tree.names("")? != [DISK] {
        return Ok(None);
    }
    let Some(mut image) = tree.open_file(DISK)? else {
        return Ok(None);
    };
    let mut superblock = [0; 128];
    image.seek(SeekFrom::Start(1024))?;
    image.read_exact(&mut superblock)?;
    let uuid = hex::uuid(superblock[104..120].try_into()?);
    Ok((superblock[56..58] == [0x53, 0xef]).then_some(uuid))
}

/// Renames a half in its directory, and creates an empty one in its place.
fn set_aside(half: &Path) -> Result<PathBuf> {
    let mut aside = half.as_os_str().to_owned();
    aside.push(".before");
    let aside = PathBuf::from(aside);
    std::fs::rename(half, &aside).with_context(|| format!("renaming {}", half.display()))?;
    subvolume::create(half)?;
    Ok(aside)
}

fn remove(half: &Path) -> Result<()> {
    subvolume::delete_open(&opener::directory(half)?)
        .with_context(|| format!("removing {}", half.display()))
}
