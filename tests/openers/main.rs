//! Every way a file is opened, and every way something is shown, read off the source: what a node may have planted is opened
//! by `fs::opener` alone, and what it may have written is shown by `terminal` alone.
//!
//! Opening acts, so a file is looked at before. A way that is not on the list here fails this test: it goes through
//! `opener` or `Tree`, or onto the list with a reason why nobody but the server's own root chooses what stands there.

// clippy.toml allows this in tests, and takes their helpers for something else.
#![allow(clippy::unwrap_used)]

mod printing;
mod source;
use source::compare;

/// What opens a file, or lets another open one by its path.
const WAYS: &[&str] = &[
    "File::open(",
    "File::options(",
    "File::create",
    "OpenOptions",
    "openat(",
    "openat2(",
    "fcntl::open(",
    "open_by_handle_at(",
    "libc::open",
    "read_dir(",
    "fs::read(",
    "fs::read_to_string",
    "fs::write(",
    "fs::copy(",
    "Connection::open",
    "Dir::from_fd(",
    "Dir::new(",
    "Dir::read_from(",
    "Dir::open",
    "Dir::from(",
    "tempfile_in(",
    "mkstemp",
    "SYS_open",
    "open_tree(",
    "rustix::fs::open",
];

/// This room looks before it opens, or is what does.
const OPENER: &str = "it is the way: looked at first, opened then";
/// A file or directory of the server's own.
const SERVERS: &str = "a file of the server's own, which no node can reach";
/// Something new.
const NEW: &str = "made anew with O_EXCL: what already exists is not opened";
/// What the kernel answers without opening anything else.
const DIRECTORY: &str = "with O_DIRECTORY or O_PATH only";
/// The directory that a person named, to ask the kernel what it lies on.
const DIRECTORY_ASKED: &str = "a directory that a person named, or the pool's own";
/// Of the pool, not of an environment.
const POOLS: &str = "names or records of the pool itself, which is root's";
/// A descriptor that is open already.
const OPEN: &str = "reads the names of a directory that is open";

/// What the kernel tells.
const PROC: &str = "the kernel's /proc";
/// The same.
const SYS: &str = "the kernel's /sys";

/// File, way, how often, and why that is safe.
const ALLOWED: &[(&str, &str, usize, &str)] = &[
    ("evidence/this_machine.rs", "fs::read_to_string", 4, PROC),
    ("lifecycle/adopt/block.rs", "fs::read(", 1, SERVERS),
    ("lifecycle/adopt/block.rs", "read_dir(", 1, SERVERS),
    ("lifecycle/adopt/loader.rs", "File::open(", 1, SERVERS),
    ("lifecycle/adopt/loader.rs", "fs::read(", 2, SERVERS),
    (
        "lifecycle/adopt/own_pool.rs",
        "fs::read_to_string",
        1,
        POOLS,
    ),
    ("lifecycle/adopt/own_pool.rs", "read_dir(", 2, POOLS),
    ("lifecycle/adopt/machine.rs", "fs::read(", 1, SERVERS),
    ("lifecycle/adopt/machine.rs", "fs::read_to_string", 2, PROC),
    ("lifecycle/adopt/machine.rs", "read_dir(", 1, SERVERS),
    ("publish/local.rs", "fs::read(", 1, POOLS),
    ("publish/once.rs", "File::options(", 1, SERVERS),
    ("publish/once.rs", "fs::read(", 1, SERVERS),
    ("fs/efi_variable.rs", "fs::read(", 1, SYS),
    ("btrfs/trees.rs", "fs::read_to_string", 1, SYS),
    ("lifecycle/adopt/package_hooks.rs", "read_dir(", 1, SERVERS),
    ("lifecycle/import/unpack/file.rs", "File::options(", 1, NEW),
    ("staged/pc_programs.rs", "fs::read(", 1, SERVERS),
    ("pool/deployed.rs", "fs::read_to_string", 1, SERVERS),
    (
        "lifecycle/export/target.rs",
        "File::options(",
        1,
        "where a person said that the stream goes; a file is made anew",
    ),
    ("lifecycle/export/target.rs", "tempfile_in(", 1, NEW),
    (
        "images/opened.rs",
        "File::options(",
        1,
        "the kernel's /dev/fuse",
    ),
    ("images/opened.rs", "tempfile_in(", 2, NEW),
    ("images/ends_with_us.rs", "File::open(", 1, PROC),
    ("publish/iscsi/lio.rs", "fs::read_to_string", 1, SERVERS),
    ("publish/iscsi/tgt.rs", "fs::read_to_string", 1, SERVERS),
    ("staged/root_image.rs", "fs::read_to_string", 1, PROC),
    ("fs/server_packages.rs", "fs::read_to_string", 1, SERVERS),
    (
        "lifecycle/init/filesystem.rs",
        "fs::read_to_string",
        1,
        PROC,
    ),
    ("lifecycle/init/backing.rs", "File::create", 1, SERVERS),
    (
        "lifecycle/init/backing.rs",
        "fs::read_to_string",
        1,
        SERVERS,
    ),
    (
        "lifecycle/init/services/installed_units.rs",
        "fs::read_to_string",
        3,
        SERVERS,
    ),
    (
        "lifecycle/init/services/missing.rs",
        "fs::read_to_string",
        2,
        SERVERS,
    ),
    (
        "lifecycle/init/services/units.rs",
        "fs::read_to_string",
        1,
        SERVERS,
    ),
    ("lifecycle/upgrade/program.rs", "File::options(", 1, NEW),
    ("lifecycle/in_use.rs", "fs::read_to_string", 3, PROC),
    (
        "lifecycle/in_use/processes.rs",
        "fs::read_to_string",
        2,
        PROC,
    ),
    ("lifecycle/in_use/processes.rs", "read_dir(", 2, PROC),
    (
        "packages/rpm/sqlite.rs",
        "Connection::open",
        1,
        "a copy in a directory of netbe's own",
    ),
    (
        "packages/rpm/sqlite.rs",
        "File::create",
        1,
        "a copy in a directory of netbe's own",
    ),
    ("pool/environment/dir.rs", "openat(", 1, DIRECTORY),
    ("staged/host_keys.rs", "fs::read(", 1, NEW),
    ("pool/environment/dir.rs", "openat2(", 2, DIRECTORY),
    ("pool/state.rs", "File::open(", 1, DIRECTORY_ASKED),
    ("fs/dir_names.rs", "read_dir(", 1, POOLS),
    ("btrfs/health.rs", "read_dir(", 1, SYS),
    ("btrfs/reserved.rs", "read_dir(", 1, SYS),
    ("btrfs/reserved.rs", "fs::read_to_string", 1, SYS),
    (
        "btrfs/reserved.rs",
        "File::options(",
        1,
        "the device of the pool's filesystem, whose number and superblock are compared before it is used",
    ),
    (
        "btrfs/reserved.rs",
        "OpenOptions",
        1,
        "the trait for the flags of the line above",
    ),
    ("publish/reserved_block.rs", "fs::read(", 1, SERVERS),
    ("pool/lock/watch.rs", "read_dir(", 1, POOLS),
    ("packages/cache.rs", "read_dir(", 1, POOLS),
    ("packages/cache.rs", "tempfile_in(", 1, NEW),
    (
        "publish/dnsmasq/daemon.rs",
        "fs::read_to_string",
        5,
        SERVERS,
    ),
    (
        "publish/dnsmasq/inclusion.rs",
        "fs::read_to_string",
        1,
        SERVERS,
    ),
    ("publish/dnsmasq/daemon.rs", "read_dir(", 1, SERVERS),
    (
        "publish/dnsmasq/surroundings.rs",
        "fs::read_to_string",
        2,
        SERVERS,
    ),
    ("publish/nfs.rs", "fs::read(", 1, SERVERS),
    ("publish/nfs.rs", "fs::read_to_string", 3, SERVERS),
    ("evidence/nfsd.rs", "fs::read_to_string", 1, SERVERS),
    ("publish/server.rs", "fs::read_to_string", 3, SERVERS),
    (
        "lifecycle/check/published.rs",
        "fs::read_to_string",
        1,
        SERVERS,
    ),
    ("lifecycle/check/limits.rs", "fs::read_to_string", 1, PROC),
    ("publish/server_versions.rs", "read_dir(", 1, SERVERS),
    ("publish/port_holder.rs", "fs::read_to_string", 2, PROC),
    ("publish/port_holder.rs", "read_dir(", 2, PROC),
    ("sandbox/rootfs.rs", "fcntl::open(", 1, DIRECTORY),
    (
        "sandbox/cgroup.rs",
        "read_dir(",
        1,
        "the kernel's control groups",
    ),
    (
        "fs/mounts.rs",
        "open_tree(",
        3,
        "a copy of a mount, of a half, of the pool, and of what is open already",
    ),
    ("sandbox/lending.rs", "fs::read_to_string", 1, SERVERS),
    ("sandbox/this_program.rs", "openat(", 1, DIRECTORY),
    ("serve/clients.rs", "File::open(", 1, PROC),
    ("serve/confinement.rs", "fs::read_to_string", 1, PROC),
    ("serve/open.rs", "openat2(", 3, DIRECTORY),
    ("fs/rooted.rs", "Dir::new(", 1, OPEN),
    ("fs/rooted/half_replaced.rs", "Dir::new(", 1, OPEN),
    ("fs/rooted.rs", "fcntl::open(", 1, OPENER),
    ("fs/rooted.rs", "openat2(", 2, OPENER),
    ("btrfs/subvolume/nested.rs", "libc::open", 1, DIRECTORY),
    (
        "btrfs/subvolume/nested.rs",
        "open_by_handle_at(",
        1,
        DIRECTORY,
    ),
    ("btrfs/compare/files.rs", "Dir::new(", 1, OPEN),
    ("fs/copy/look.rs", "Dir::new(", 1, OPEN),
    ("fs/copy/look.rs", "openat2(", 1, DIRECTORY),
    ("btrfs/dedupe.rs", "tempfile_in(", 1, NEW),
    (
        "formats/disk_image/loop_device.rs",
        "File::options(",
        1,
        "a loop device, which netbe has attached itself",
    ),
    (
        "formats/disk_image/mount.rs",
        "File::options(",
        2,
        "a file in a directory of netbe's own",
    ),
    ("fs/opener.rs", "fcntl::open(", 4, OPENER),
    ("fs/opener.rs", "openat(", 4, OPENER),
    (
        "fs/opener/without_devices.rs",
        "openat2(",
        1,
        "where no device can be opened; a pipe does not block",
    ),
    ("fs/opener.rs", "openat2(", 2, OPENER),
    ("btrfs/removal.rs", "Dir::new(", 1, OPEN),
    ("btrfs/removal.rs", "openat2(", 1, DIRECTORY),
    (
        "btrfs/subvolume/identity.rs",
        "File::open(",
        1,
        DIRECTORY_ASKED,
    ),
    ("fs/atomic.rs", "OpenOptions", 3, NEW),
    ("fs/atomic/owner.rs", "fs::read_to_string", 2, PROC),
    ("btrfs/health.rs", "fs::read_to_string", 1, SYS),
    ("sandbox/bounds.rs", "fs::read_to_string", 1, PROC),
    (
        "sandbox/cgroup.rs",
        "fs::read_to_string",
        2,
        "the kernel's control groups, and /proc",
    ),
    (
        "sandbox/cgroup.rs",
        "fs::write(",
        3,
        "the kernel's control groups",
    ),
    ("sandbox/network/connection.rs", "fs::write(", 1, PROC),
    ("sandbox/privileges.rs", "fs::read_to_string", 1, PROC),
    ("sandbox/quotas.rs", "fs::read_to_string", 1, PROC),
    (
        "sandbox/sockets.rs",
        "File::options(",
        1,
        "the kernel's /proc: a program's memory",
    ),
    (
        "evidence/nfsd.rs",
        "OpenOptions",
        1,
        "the kernel's /proc: the NFS server's caches",
    ),
];

#[test]
fn every_way_to_open_a_file_is_known() {
    compare(WAYS, ALLOWED);
}
