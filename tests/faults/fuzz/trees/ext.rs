//! ext filesystems copied, as disk images have them for the root.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use netbe::formats::disk_image::{Filesystem, Partition, Readable};

use super::{Place, on};
use crate::fuzz::mutation::Seeds;
use crate::fuzz::sources::{fill, memory_file};

/// How large each of them is, in bytes.
const SIZE: u64 = 96 << 10;

pub(super) fn filesystems() -> Seeds {
    let work = tempfile::tempdir().expect("there is room");
    let from = work.path().join("from");
    fs::create_dir_all(from.join("etc/deep")).expect("there is room");
    symlink("../etc", from.join("etc/deep/link")).expect("there is room");
    fs::write(from.join("etc/file"), "k".repeat(3000)).expect("there is room");
    fs::write(from.join("short"), "x").expect("there is room");
    fs::hard_link(from.join("short"), from.join("again")).expect("there is room");
    xattr::set(from.join("short"), "user.name", b"value").expect("there is room");
    let made = [
        "^has_journal,^metadata_csum,^64bit,inline_data",
        "^has_journal,^metadata_csum,^extent,^64bit",
    ];
    let seeds = made.map(|features| {
        let image = work.path().join("image");
        fs::write(&image, vec![0; SIZE as usize]).expect("there is room");
        let made = Command::new("mkfs.ext4")
            .args([
                "-q", "-F", "-b", "1024", "-N", "24", "-I", "256", "-O", features, "-d",
            ])
            .args([&from, &image])
            .status();
        assert!(made.is_ok_and(|status| status.success()), "mkfs.ext4");
        fs::read(&image).expect("it was made")
    });
    Seeds::new(
        seeds.into(),
        &["\u{a}\u{f3}", "\u{0}\u{0}\u{2}\u{ea}", "..", "system.data"],
    )
}

pub(super) fn copy_ext() -> impl FnMut(&[u8]) {
    let place = Place::new();
    let file = memory_file();
    let partition = Partition {
        number: 0,
        start: 0,
        size: SIZE,
        part_uuid: None,
        part_label: None,
        filesystem: Some(Filesystem::Ext),
        container: None,
        uuid: None,
        label: None,
    };
    move |bytes| {
        fill(&file, bytes);
        file.set_len(SIZE).expect("memory takes everything");
        let readable = match Readable::open(&file, &partition) {
            Ok(readable) => readable,
            Err(e) => return judge(Err(e)),
        };
        judge(readable.has("etc/deep/link/file").map(drop));
        on(&place, |directory| {
            let to = fs::File::open(directory).expect("it is there");
            judge(readable.copy("", &to, &mut |_| {}).map(drop));
        });
    }
}

/// The reader turns its own panics into errors; here they are none the less.
fn judge(read: anyhow::Result<()>) {
    let output = read.err().map_or(String::new(), |e| format!("{e:#}"));
    assert!(
        !output.contains("is damaged: it makes no sense"),
        "{output}"
    );
}
