//! A small operating system, true in everything netbe looks at.
//!
//! Its tree is laid out like a Debian's, its shell runs (busybox), its kernel says its version and does nothing else. Made
//! in milliseconds; real systems come from `scripts/make-system`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::kernel;

/// Where the package busybox-static puts its program.
const BUSYBOX: &str = "/bin/busybox";

/// The commands busybox is called by in a system.
const COMMANDS: &str = "sh cat cp mv rm ls ln mkdir touch echo sleep true false env id test sed grep mount umount \
    readlink stat sync uname kill ps hostname chmod chown mknod head tail wc find tee";

/// A directory tree to be, as text and bytes; [`System::build`] makes it.
#[derive(Debug, Clone)]
pub struct System {
    entries: BTreeMap<String, Entry>,
    version: String,
    boot: &'static str,
}

#[derive(Debug, Clone)]
enum Entry {
    Directory(u32),
    File(Vec<u8>, u32),
    Link(String),
}

impl System {
    /// Returns an amd64 Debian whose kernel, `6.1.0-50-amd64`, lies in `/boot`, as a PC has it.
    pub fn debian() -> Self {
        let version = "6.1.0-50-amd64";
        let mut system = Self::base("debian", "amd64", version, "boot");
        let busybox = fs::read(BUSYBOX).unwrap_or_else(|error| {
            panic!("{BUSYBOX}: {error}; `scripts/install-needs test` installs it")
        });
        system = system.program("usr/bin/busybox", &busybox);
        for command in COMMANDS.split_whitespace() {
            system = system.link(&format!("usr/bin/{command}"), "busybox");
        }
        system
            .file(
                "etc/fstab",
                "# / was on /dev/sda1 during installation\n\
                 UUID=6b1a4c0e-52d7-4f0c-9f37-0d6e1a5b7c11 /               ext4    errors=remount-ro 0       1\n\
                 UUID=0f7c2d0a-9a44-4c57-8f0b-3f0f1f6b2e92 none            swap    sw              0       0\n",
            )
            .kernel(version)
    }

    /// Returns an arm64 Raspberry Pi OS whose firmware partition lies at `/boot/firmware`; kernel `6.6.31+rpt-rpi-v8`.
    ///
    /// Its programs cannot run: their headers say arm64, and nothing follows.
    pub fn raspberry_pi() -> Self {
        let version = "6.6.31+rpt-rpi-v8";
        let mut system = Self::base("raspberrypi", "arm64", version, "boot/firmware")
            .program("usr/bin/busybox", &elf_header(183))
            .link("usr/bin/sh", "busybox")
            .file(
                "etc/fstab",
                "proc            /proc           proc    defaults          0       0\n\
                 PARTUUID=5c491eca-01  /boot/firmware  vfat    defaults          0       2\n\
                 PARTUUID=5c491eca-02  /               ext4    defaults,noatime  0       1\n",
            )
            .file(
                "boot/firmware/cmdline.txt",
                "console=serial0,115200 console=tty1 root=PARTUUID=5c491eca-02 rootfstype=ext4 fsck.repair=yes rootwait quiet\n",
            )
            .file(
                "boot/firmware/config.txt",
                "# For more options see http://rptl.io/configtxt\ndtparam=audio=on\nauto_initramfs=1\narm_64bit=1\n\n\
                 [cm4]\notg_mode=1\n\n[all]\n",
            );
        for name in [
            "start4.elf",
            "fixup4.dat",
            "bcm2711-rpi-4-b.dtb",
            "overlays/disable-bt.dtbo",
        ] {
            system = system.file(&format!("boot/firmware/{name}"), &format!("{name}\n"));
        }
        system.kernel(version)
    }

    fn base(name: &str, architecture: &str, version: &str, boot: &'static str) -> Self {
        let mut system = Self {
            entries: BTreeMap::new(),
            version: version.to_string(),
            boot,
        };
        for directory in [
            "boot",
            "dev",
            "etc",
            "home",
            "proc",
            "run",
            "srv",
            "sys",
            "usr/bin",
            "usr/sbin",
            "usr/lib",
            "var/lib/systemd",
            "var/log",
        ] {
            system = system.directory(directory, 0o755);
        }
        system = system
            .directory("root", 0o700)
            .directory("tmp", 0o1777)
            .link("bin", "usr/bin")
            .link("sbin", "usr/sbin")
            .link("lib", "usr/lib")
            .link("etc/os-release", "../usr/lib/os-release")
            .link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")
            .file(
                "usr/lib/os-release",
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n\
                 VERSION_CODENAME=bookworm\nID=debian\n",
            )
            .file("usr/lib/systemd/systemd", "\x7fELF, as far as anybody looks\n")
            .file("usr/lib/systemd/system/boot-complete.target", "[Unit]\n")
            .file("etc/hostname", &format!("{name}\n"))
            .file(
                "etc/hosts",
                &format!("127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n::1\t\tlocalhost ip6-localhost\n"),
            )
            .file("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
            .file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
            .file("etc/group", "root:x:0:\n")
            .file("var/lib/dpkg/arch", &format!("{architecture}\n"))
            .file("var/lib/dpkg/status", &packages(architecture, version))
            .with("var/lib/systemd/random-seed", &[0x5a; 32], 0o600);
        for kind in ["ed25519", "ecdsa"] {
            system = system
                .with(
                    &format!("etc/ssh/ssh_host_{kind}_key"),
                    host_key(kind).as_bytes(),
                    0o600,
                )
                .file(
                    &format!("etc/ssh/ssh_host_{kind}_key.pub"),
                    &format!("ssh-{kind} AAAAoftheimage root@{name}\n"),
                );
        }
        system
    }

    /// Gives it a kernel of another version in place of the one it has, with initramfs and modules.
    pub fn kernel(self, version: &str) -> Self {
        let old = self.version.clone();
        let mut system = self
            .without(&format!("usr/lib/modules/{old}"))
            .without(&format!("boot/vmlinuz-{old}"))
            .without(&format!("boot/initrd.img-{old}"));
        system.version = version.to_string();
        system = system
            .file(
                &format!("usr/lib/modules/{version}/modules.dep"),
                "kernel/fs/nfs/nfs.ko:\n",
            )
            .file(
                &format!("usr/lib/modules/{version}/kernel/fs/nfs/nfs.ko"),
                "module\n",
            );
        if system.boot == "boot/firmware" {
            return system
                .with(
                    "boot/firmware/kernel8.img",
                    &kernel::arm64_gzip(version),
                    0o755,
                )
                .with("boot/firmware/initramfs8", &initramfs(version), 0o755);
        }
        system
            .with(
                &format!("boot/vmlinuz-{version}"),
                &kernel::bzimage(version),
                0o644,
            )
            .with(
                &format!("boot/initrd.img-{version}"),
                &initramfs(version),
                0o644,
            )
            .file(&format!("boot/config-{version}"), "CONFIG_NFS_FS=m\n")
    }

    /// Gives its kernel these modules, by path, and an initramfs that has these files and nothing else.
    #[must_use]
    pub fn modules(self, modules: &[&str], initramfs: &[&str]) -> Self {
        let (dir, image) = (
            format!("usr/lib/modules/{}", self.version),
            format!("boot/initrd.img-{}", self.version),
        );
        let index: String = modules.iter().map(|path| format!("{path}:\n")).collect();
        let system = modules.iter().fold(self, |system, path| {
            system.file(&format!("{dir}/{path}"), "module\n")
        });
        system
            .file(&format!("{dir}/modules.dep"), &index)
            .file(&format!("{dir}/modules.builtin"), "kernel/fs/fat/fat.ko\n")
            .with(&image, &kernel::cpio(initramfs), 0o644)
    }

    /// Returns the version of its kernel.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Gives it a file, mode 0644, in place of what stands there.
    #[must_use]
    pub fn file(self, path: &str, content: &str) -> Self {
        self.with(path, content.as_bytes(), 0o644)
    }

    /// Gives it a program, mode 0755; a text that starts with `#!/bin/sh` runs.
    #[must_use]
    pub fn program(self, path: &str, content: &[u8]) -> Self {
        self.with(path, content, 0o755)
    }

    /// Gives it a file with a mode.
    #[must_use]
    pub fn with(mut self, path: &str, content: &[u8], mode: u32) -> Self {
        self.entries
            .insert(path.to_string(), Entry::File(content.to_vec(), mode));
        self
    }

    /// Gives it a directory with a mode.
    #[must_use]
    pub fn directory(mut self, path: &str, mode: u32) -> Self {
        self.entries
            .insert(path.to_string(), Entry::Directory(mode));
        self
    }

    /// Gives it a symbolic link.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.entries
            .insert(path.to_string(), Entry::Link(target.to_string()));
        self
    }

    /// Takes a path away, and everything below it.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        let below = format!("{path}/");
        self.entries
            .retain(|name, _| name != path && !name.starts_with(&below));
        self
    }

    /// Makes the tree in a directory, which may exist; directories not named get mode 0755.
    pub fn build(&self, directory: &Path) {
        for (name, entry) in &self.entries {
            let path = directory.join(name);
            let parent = path.parent().expect("an entry is below the top");
            fs::create_dir_all(parent).expect("a directory can be made");
            match entry {
                Entry::Directory(_) => fs::create_dir_all(&path),
                Entry::File(content, _) => fs::write(&path, content),
                Entry::Link(target) => symlink(target, &path),
            }
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if let Entry::Directory(mode) | Entry::File(_, mode) = entry {
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode))
                    .expect("one's own file can be changed");
            }
        }
    }
}

fn packages(architecture: &str, version: &str) -> String {
    let package = |name: &str, version: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nPriority: optional\nArchitecture: {architecture}\n\
             Version: {version}\nDescription: {name}\n\n"
        )
    };
    package("base-files", "12.4+deb12u12")
        + &package("busybox-static", "1:1.35.0-4")
        + &package(&format!("linux-image-{version}"), "6.1.170-1")
}

fn host_key(kind: &str) -> String {
    format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\nthe {kind} key of the image\n-----END OPENSSH PRIVATE KEY-----\n"
    )
}

/// Returns the head of a gzip stream that unpacks to a few bytes: as much initramfs as anybody looks at.
fn initramfs(version: &str) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder
        .write_all(format!("070701 initramfs of {version}\n").as_bytes())
        .and_then(|()| encoder.finish())
        .expect("memory takes everything")
}

/// Returns the header of a 64-bit little-endian ELF program for a machine (183 is arm64).
fn elf_header(machine: u16) -> Vec<u8> {
    let mut header = vec![0_u8; 64];
    header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    header[16..18].copy_from_slice(&2_u16.to_le_bytes());
    header[18..20].copy_from_slice(&machine.to_le_bytes());
    header[20..24].copy_from_slice(&1_u32.to_le_bytes());
    header
}
