//! FATs copied, as disk images have them for what firmware reads.

use std::fs;

use netbe::formats::disk_image;

use super::{Place, on};
use crate::fuzz::mutation::Seeds;
use crate::fuzz::sources::{fill, memory_file};

pub(super) fn fats() -> Seeds {
    let mut disk = memory_file();
    disk.set_len(96 << 10).expect("memory takes everything");
    let options = fatfs::FormatVolumeOptions::new()
        .fats(1)
        .max_root_dir_entries(16);
    fatfs::format_volume(&mut disk, options).expect("memory can be formatted");
    {
        use std::io::Write;
        let fat =
            fatfs::FileSystem::new(&mut disk, fatfs::FsOptions::new()).expect("it was formatted");
        let top = fat.root_dir();
        top.create_dir("overlays").expect("there is room");
        for (name, content) in [
            ("config.txt", "arm_64bit=1\n"),
            ("overlays/a long name.dtbo", "x"),
            ("KERNEL.IMG", &"k".repeat(3000)),
        ] {
            let mut file = top.create_file(name).expect("there is room");
            file.write_all(content.as_bytes()).expect("there is room");
        }
    }
    let mut bytes = vec![0; 16 << 10];
    // The files stand at its beginning; the rest is empty, and zeros again when it is read.
    std::os::unix::fs::FileExt::read_at(&disk, &mut bytes, 0).expect("it can be read");
    Seeds::new(
        vec![bytes],
        &[
            "CONFIG  TXT",
            "..         ",
            ".          ",
            "OVERLAYS   ",
            "\u{ff}\u{f}",
        ],
    )
}

pub(super) fn copy_fat() -> impl FnMut(&[u8]) {
    let place = Place::new();
    let file = memory_file();
    move |bytes| {
        fill(&file, bytes);
        let size = 96 << 10;
        file.set_len(size).expect("memory takes everything");
        let _ = disk_image::fat_names(&file, 0, size);
        on(&place, |directory| {
            let to = fs::File::open(directory).expect("it is there");
            let _ = disk_image::copy_fat(&file, 0, size, &to, &mut |_| {});
        });
    }
}
