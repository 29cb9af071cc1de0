//! Images whose filesystem was made to be read wrongly: each ends in an error, and soon.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::disks::{MIB, ext};
use crate::pool::{Pool, run, shell};
use crate::support::unmount;
use crate::system;

/// Makes a filesystem with a small system in it.
fn minimal_image(pool: &Pool, options: &str) -> PathBuf {
    let from = pool.work.join("system");
    if !from.exists() {
        std::fs::create_dir(&from).unwrap();
        system::minimal(&from);
    }
    let image = pool.work.join("rigged.img");
    let _ = std::fs::remove_file(&image);
    File::create(&image).unwrap().set_len(24 * MIB).unwrap();
    shell(&format!(
        "mkfs.ext4 -q -F {options} -d '{}' '{}'",
        from.display(),
        image.display()
    ));
    image
}

/// Brings it in, and returns what went wrong; nothing of the image is mounted for it.
fn refused(pool: &Pool, image: &Path) -> String {
    let begin = Instant::now();
    let error = pool.import_file(image).expect_err("it is rigged");
    assert!(begin.elapsed() < Duration::from_secs(60));
    pool.renew();
    format!("{error:#}")
}

#[test]
fn the_servers_kernel_is_not_asked() {
    let pool = Pool::new();
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    // Directories whose names make no sense, and an order to the kernel for that case.
    let image = minimal_image(&pool, "-b 4096 -O ^metadata_csum,^has_journal");
    run("tune2fs", &["-e", "remount-ro", image.to_str().unwrap()]);
    let block = shell(&format!(
        "debugfs -R 'blocks /etc' '{}' 2>/dev/null",
        image.display()
    ));
    let at = block.trim().parse::<u64>().unwrap() * 4096;
    let file = File::options().write(true).open(&image).unwrap();
    file.write_all_at(&[1, 0, 0, 0, 3, 0, 5, 0], at).unwrap();
    let output = refused(&pool, &image);
    assert!(
        output.contains("a directory entry is malformed"),
        "{output}"
    );
    // Blocks that are larger than pages are: no kernel mounts them.
    let image = minimal_image(&pool, "-b 65536");
    pool.import_file(&image).unwrap();
    assert!(pool.root.join("usr/bin/dash").exists());
}

#[test]
fn looped_and_contradictory_filesystems_are_refused() {
    let pool = Pool::new();
    for (commands, word) in [
        ("ln /etc /home/lars/again", "in two places"),
        ("ln / /home/lars/top", "in two places"),
        ("sif /etc/passwd mode 0170644", "no valid file type"),
        ("sif /etc/passwd links_count 0", "not a file"),
        ("ln <8> /etc/journal", "which is reserved"),
        ("sif /etc flags 0x80800", "--kernel-driver"),
        ("sif /bin size 70000", "a symbolic link of"),
        ("sif /etc size 81920", "has holes"),
        ("sif /etc/passwd block[0] 0x1f30b", "is malformed"),
        ("sif /etc/passwd block[5] 0x7ffffff", "beyond its end"),
    ] {
        let image = minimal_image(&pool, "-b 1024");
        shell(&format!(
            "debugfs -w -R '{commands}' '{}' 2>/dev/null",
            image.display()
        ));
        let error = pool.import_file(&image).err();
        pool.renew();
        let error = error.unwrap_or_else(|| panic!("{commands}: it was taken"));
        let failure = error
            .chain()
            .find_map(|e| e.downcast_ref::<netbe::failure::Failure>());
        let hint = failure.and_then(|f| f.hint.clone()).unwrap_or_default();
        let output = format!("{error:#} {hint}");
        assert!(output.contains(word), "{commands}: {output}");
    }
}

#[test]
fn a_table_of_itself_is_no_file_without_end() {
    let pool = Pool::new();
    let image = minimal_image(
        &pool,
        "-b 1024 -O ^extent,^64bit,^metadata_csum,^has_journal",
    );
    let debugfs = |command: &str| {
        shell(&format!(
            "debugfs -w -R '{command}' '{}' 2>/dev/null",
            image.display()
        ))
    };
    let free = debugfs("ffb 1 20000");
    let block: u32 = free.split_whitespace().last().unwrap().parse().unwrap();
    let file = File::options().write(true).open(&image).unwrap();
    let table = block.to_le_bytes().repeat(256);
    file.write_all_at(&table, u64::from(block) * 1024).unwrap();
    for level in ["IND", "DIND", "TIND"] {
        debugfs(&format!("sif /etc/passwd block[{level}] {block}"));
    }
    debugfs("sif /etc/passwd size 16000000000");
    let output = refused(&pool, &image);
    assert!(output.contains("more blocks than there are"), "{output}");
}

#[test]
fn an_attributes_value_is_looked_for_in_no_tree_without_end() {
    let pool = Pool::new();
    let image = minimal_image(&pool, "-b 1024 -O ea_inode,^metadata_csum,^has_journal");
    let top = pool.work.join("mounted");
    std::fs::create_dir(&top).unwrap();
    run(
        "mount",
        &["-o", "loop", image.to_str().unwrap(), top.to_str().unwrap()],
    );
    xattr::set(top.join("etc/passwd"), "user.large", &[7; 5000]).unwrap();
    unmount(&top);
    let debugfs = |command: &str| {
        shell(&format!(
            "debugfs -w -R '{command}' '{}' 2>/dev/null",
            image.display()
        ))
    };
    let holds_a_value = |n: &u32| debugfs(&format!("stat <{n}>")).contains("Flags: 0x280000");
    let inode = (11..80).find(holds_a_value).unwrap();
    // Five levels, each of which leads to the next one as often as it can, and nothing at the end: 84^5 ways.
    let free = debugfs("ffb 5 18000");
    let blocks: Vec<u32> = free
        .split_whitespace()
        .filter_map(|w| w.parse().ok())
        .collect();
    let file = File::options().write(true).open(&image).unwrap();
    for (n, block) in blocks.iter().enumerate() {
        let depth = 4 - n as u16;
        let entries = if depth == 0 { 0 } else { 84 };
        let head = [0xf30a, entries, 84, depth, 0, 0]
            .map(u16::to_le_bytes)
            .concat();
        let next = blocks.get(n + 1).copied().unwrap_or_default();
        let entry = [0, next, 0].map(u32::to_le_bytes).concat();
        let node = [head, entry.repeat(entries.into())].concat();
        file.write_all_at(&node, u64::from(*block) * 1024).unwrap();
    }
    let map = [
        0x0003_f30a,
        0x0005_0003,
        0,
        0,
        blocks[0],
        0,
        0,
        blocks[0],
        0,
        0,
        blocks[0],
        0,
    ];
    for (n, word) in map.iter().enumerate() {
        debugfs(&format!("sif <{inode}> block[{n}] {word}"));
    }
    let output = refused(&pool, &image);
    assert!(output.contains("more blocks than"), "{output}");
}

#[test]
fn a_journal_that_is_one_block_over_and_over_is_not_played_back() {
    const BLOCK: u64 = 4096;
    let pool = Pool::new();
    let image = minimal_image(&pool, "-b 4096 -O ^metadata_csum,^64bit -J size=4");
    let debugfs = |command: &str| {
        shell(&format!(
            "debugfs -w -R '{command}' '{}' 2>/dev/null",
            image.display()
        ))
    };
    let file = File::options().write(true).open(&image).unwrap();
    let write = |block: u32, bytes: &[u8]| {
        file.write_all_at(bytes, u64::from(block) * BLOCK).unwrap();
    };
    let free = debugfs("ffb 16 1500");
    let words = free.split_whitespace().filter_map(|w| w.parse().ok());
    let blocks: Vec<u32> = words.collect();
    let [head, revoke, index, leaves @ ..] = &blocks[..16] else {
        panic!("{free}");
    };
    let big = |words: &[u32]| {
        words
            .iter()
            .flat_map(|w| w.to_be_bytes())
            .collect::<Vec<_>>()
    };
    let ring = 340 * leaves.len() as u32;
    // Its superblock; then, wherever it is looked at, a thousand blocks that are something else since.
    let mut superblock = big(&[0xc03b_3998, 4, 0, 4096, ring, 1, 7, 1, 0, 0, 1]);
    superblock.resize(4096, 0);
    write(*head, &superblock);
    let mut revoked = big(&[0xc03b_3998, 5, 7, 4096]);
    revoked.extend(big(&(100..1120).collect::<Vec<u32>>()));
    write(*revoke, &revoked);
    let node = |depth: u16, entries: &[[u32; 3]]| {
        let count = entries.len() as u16;
        let head = [0xf30a, count, 340, depth, 0, 0].map(u16::to_le_bytes);
        let entries = entries.iter().flatten().flat_map(|w| w.to_le_bytes());
        let mut bytes: Vec<u8> = head.concat();
        bytes.extend(entries);
        bytes
    };
    let mut indices = Vec::new();
    for (n, leaf) in leaves.iter().enumerate() {
        let first = 340 * n as u32;
        let place = |at: u32| if at == 0 { *head } else { *revoke };
        let entries = (first..first + 340).map(|at| [at, 1, place(at)]);
        write(*leaf, &node(0, &entries.collect::<Vec<_>>()));
        indices.push([first, *leaf, 0]);
    }
    write(*index, &node(1, &indices));
    for (n, word) in [0x0001_f30a, 0x0002_0004, 0, 0, *index, 0]
        .iter()
        .enumerate()
    {
        debugfs(&format!("sif <8> block[{n}] {word}"));
    }
    debugfs("feature needs_recovery");
    let output = refused(&pool, &image);
    assert!(output.contains("larger than any"), "{output}");
}

#[test]
fn a_file_with_two_names_is_one_however_deep_it_lies() {
    let pool = Pool::new();
    let image = minimal_image(&pool, "-b 4096");
    let name = "x".repeat(200);
    let mut made = String::from("cd /home\n");
    for _ in 0..30 {
        made.push_str(&format!("mkdir {name}\ncd {name}\n"));
    }
    made.push_str("write /etc/hostname one\nln one two\nsif one links_count 2\n");
    let commands = pool.work.join("commands");
    std::fs::write(&commands, made).unwrap();
    shell(&format!(
        "debugfs -w -f '{}' '{}' 2>&1",
        commands.display(),
        image.display()
    ));
    pool.import_file(&image).unwrap();
    let found = shell(&format!(
        "cd '{}'; find home -name two -links 2 | wc -l",
        pool.root.display()
    ));
    assert_eq!(found.trim(), "1");
}

#[test]
fn a_pool_is_not_filled_to_its_last_byte() {
    let pool = Pool::new();
    let from = pool.work.join("large");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    shell(&format!(
        "yes | head -c 60M > '{}/home/filled'",
        from.display()
    ));
    let image = ext(&pool, &from, 100 * MIB, "ext4");
    shell(&format!(
        "fallocate -l 400M '{}/filler'",
        pool.top.display()
    ));
    let output = refused(&pool, &image);
    assert!(output.contains("are kept free"), "{output}");
}
