//! The files of a distribution about itself and its packages.

use std::fs;
use std::time::Duration;

use netbe::fs::rooted::Tree;
use netbe::packages::{self, Inventory, Source};

use super::Target;
use super::mutation::Seeds;

/// Where dpkg keeps what is installed.
const STATUS: &str = "var/lib/dpkg/status";

pub(super) fn targets() -> Vec<Target> {
    let of = |name, seeds, make| Target {
        name,
        seeds,
        short: 8_000,
        memory: (128 << 10, 200),
        time: Duration::from_millis(100),
        make,
    };
    vec![
        of("os-release", os_releases(), || Box::new(os_release)),
        of("dpkg", statuses(), || Box::new(database(STATUS))),
        of("apk", apks(), || Box::new(database("lib/apk/db/installed"))),
        of("pacman", descriptions(), || {
            Box::new(database("var/lib/pacman/local/a-1-1/desc"))
        }),
        of("apt", uris(), || Box::new(apt)),
        of("primary.xml", primaries(), || {
            Box::new(index("ID=fedora", "dnf/r-1/repodata/1-primary.xml"))
        }),
        of("sync.db", syncs(), || {
            Box::new(index("ID=arch", "var/lib/pacman/sync/core.db"))
        }),
    ]
}

fn os_releases() -> Seeds {
    Seeds::texts(
        &[
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n",
            "NAME='Arch Linux ARM'\nID=archarm\nID_LIKE=\"arch x\"\n# c\nPRETTY_NAME=\"a \\\"b\\\" \\$c \\\\\"\n",
        ],
        &["ID=", "ID_LIKE=", "PRETTY_NAME=", "NAME=", "\\\"", "$'\\n'"],
    )
}

fn os_release(bytes: &[u8]) {
    let found = packages::recognise(&String::from_utf8_lossy(bytes));
    let _ = (found.downloads().is_some(), found.full_upgrade().is_some());
}

fn statuses() -> Seeds {
    Seeds::texts(
        &[
            "Package: bash\nEssential: yes\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2+b8\nDescription: x\n Version: 9\n .\n\n\
             Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\nVersion: 2:2.36~rc1-9\n\n",
            "Package: gone\nStatus: deinstall ok config-files\nVersion: 1.0\n\nPackage: broken\nStatus: install reinstreq half-installed\nVersion: 2.0\n",
        ],
        &[
            "Package: ",
            "Version: ",
            "Status: install ok installed\n",
            "Multi-Arch: same\n",
            "Architecture: ",
            "\n\n",
            "~",
            "1:2-3",
        ],
    )
}

fn apks() -> Seeds {
    Seeds::texts(
        &[
            "C:Q1pt=\nP:busybox\nV:1.36.1-r5\nA:x86_64\nF:bin\nR:busybox\n\nP:musl\nV:1.2.4_git20230717-r4\nA:x86_64\n\n",
        ],
        &["P:", "V:", "A:", "\n\n", "_rc1", "-r0", "~"],
    )
}

fn descriptions() -> Seeds {
    Seeds::texts(
        &[
            "%NAME%\nlinux-aarch64\n\n%VERSION%\n1:6.6.1-1\n\n%DEPENDS%\ncoreutils\nkmod\n\n%ARCH%\naarch64\n",
        ],
        &["%NAME%\n", "%VERSION%\n", "%ARCH%\n", "\n\n", ":", "-1"],
    )
}

/// Reads what is installed by a database of which one file is another; then as a half of it was installed.
fn database(path: &'static str) -> impl FnMut(&[u8]) {
    let top = super::trees::directory();
    let file = top.join(path);
    fs::create_dir_all(file.parent().expect("it is in a directory")).expect("there is room");
    let tree = Tree::open(&top).expect("it is there");
    let read = move |bytes: &[u8]| -> Option<Inventory> {
        fs::write(&file, bytes).expect("there is room");
        packages::installed(&tree).ok()
    };
    move |bytes| {
        let (Some(one), Some(other)) = (read(bytes), read(&bytes[bytes.len() / 2..])) else {
            return;
        };
        for package in &one.packages {
            let whole = !package.name.is_empty() && !package.version.is_empty();
            assert!(whole && !package.name.contains('\n'), "{package:?}");
        }
        assert!(packages::changes(&one, &one).is_empty(), "{one:?}");
        let there = packages::changes(&one, &other);
        let back = packages::changes(&other, &one);
        assert_eq!(
            (there.added.len(), there.removed.len()),
            (back.removed.len(), back.added.len())
        );
        assert_eq!(
            (there.upgraded.len(), there.downgraded.len()),
            (back.downgraded.len(), back.upgraded.len()),
            "{there:?} {back:?}"
        );
    }
}

fn uris() -> Seeds {
    Seeds::texts(
        &[
            "Reading package lists...\n'http://deb.example/pool/v/vim_9.0-2%2b_amd64.deb' vim_2%3a9.0-2_amd64.deb 1567724 SHA256:0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789\nW: else\n",
        ],
        &["' ", "SHA256:", "'file:", ".deb", "../", "/", "MD5Sum:"],
    )
}

fn apt(bytes: &[u8]) {
    let debian = packages::recognise("ID=debian")
        .downloads()
        .expect("Debian is known");
    let Source::Listed { read, .. } = debian.source else {
        panic!("apt tells what it fetches");
    };
    for archive in read(&String::from_utf8_lossy(bytes)) {
        let name = archive.file;
        assert!(
            name.ends_with(".deb")
                && !name.contains(['/', '\0', '\n', ' '])
                && !name.starts_with('.'),
            "{name:?}"
        );
    }
}

fn primaries() -> Seeds {
    Seeds::texts(
        &[
            "<?xml version=\"1.0\"?>\n<metadata><package type=\"rpm\"><checksum type=\"sha256\">0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789</checksum><size package=\"12\"/><location href=\"P/a&amp;-1.rpm\"/></package></metadata>",
        ],
        &[
            "<package>",
            "</package>",
            "<![CDATA[",
            "<!--",
            "&#x2f;",
            "../",
            "href=\"",
            "<!DOCTYPE",
        ],
    )
}

/// Makes an archive of one file.
fn tar(name: &str, text: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, text.as_bytes())
        .expect("it is in memory");
    tar.into_inner().expect("it is in memory")
}

fn syncs() -> Seeds {
    let text = "%FILENAME%\na-1-1-any.pkg.tar.zst\n\n%CSIZE%\n7\n\n%SHA256SUM%\n0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789\n";
    Seeds::new(
        vec![tar("a-1-1/desc", text)],
        &["%FILENAME%\n", "../", "/desc", "%CSIZE%\n"],
    )
}

/// Reads an index as what the repositories of a distribution offer.
fn index(os_release: &'static str, path: &'static str) -> impl FnMut(&[u8]) {
    let top = super::trees::directory();
    let file = top.join(path);
    fs::create_dir_all(file.parent().expect("it has one")).expect("it is writable");
    let downloads = packages::recognise(os_release)
        .downloads()
        .expect("it is known");
    move |bytes| {
        fs::write(&file, bytes).expect("it is writable");
        let tree = Tree::open(&top).expect("it is there");
        for archive in downloads
            .offered(&tree, &tree, &|_| true)
            .unwrap_or_default()
        {
            let inside = archive
                .file
                .split('/')
                .all(|p| !matches!(p, "" | "." | ".."));
            assert!(inside, "{:?}", archive.file);
        }
    }
}

/// Runs this room's readers on long things.
pub(super) fn long() -> Vec<(String, Duration)> {
    let stanzas: String = (0..20_000)
        .map(|n| format!("Package: p{n}\nStatus: install ok installed\nVersion: {n}\n\n"))
        .collect();
    let digits = format!(
        "Package: p\nStatus: a b installed\nVersion: {}\n\n",
        "1~".repeat(1 << 19)
    );
    [stanzas, digits]
        .iter()
        .map(|text| {
            let ((), took) = super::timed(|| database(STATUS)(text.as_bytes()));
            (format!("dpkg: {:?}…", &text[..20]), took)
        })
        .collect()
}
