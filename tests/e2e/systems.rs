//! Real systems for machines to run, and packages for them to be upgraded with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::server::script;
use crate::support::{Netbe, run};

/// The units that no story is about.
const RESTING: &str = "ssh.service e2scrub_reap.service getty-static.service systemd-binfmt.service \
     proc-sys-fs-binfmt_misc.automount systemd-update-utmp.service kmod-static-nodes.service modprobe@.service \
     modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service \
     modprobe@fuse.service modprobe@loop.service sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount \
     systemd-journal-flush.service systemd-random-seed.service systemd-sysusers.service rpc-statd-notify.service \
     systemd-update-utmp-runlevel.service systemd-repart.service systemd-pstore.service";

/// The programs that look for what no story's machine has, and make units for it.
const GENERATORS: &str = "bless-boot cryptsetup debug gpt-auto hibernate-resume integritysetup rc-local run \
     system-update sysv veritysetup";

/// The drivers of hardware that does no work in any story.
const DRIVERS: &str = "ata_generic ata_piix button evdev kvm kvm_amd powernow_k8 psmouse";

/// Returns a shell's commands, without a `'`, that fit the Debian whose root they run in for an emulated processor.
///
/// What no story is about does not start: that is half of the time to a login. And systemd waits longer than 90 s for a
/// unit or a device: where its console's device came later, on a busy machine, there was no login at all.
pub(crate) fn for_slow_machines() -> String {
    format!(
        "mkdir -p /etc/systemd/system.conf.d
         printf \"[Manager]\\nDefaultDeviceTimeoutSec=900\\nDefaultTimeoutStartSec=900\\n\" \
             >/etc/systemd/system.conf.d/slow.conf
         for unit in {RESTING}; do ln -s /dev/null /etc/systemd/system/$unit; done
         mkdir -p /etc/systemd/system-generators
         for name in {GENERATORS}; do
             ln -s /dev/null /etc/systemd/system-generators/systemd-$name-generator
         done
         printf \"blacklist %s\\n\" {DRIVERS} >/etc/modprobe.d/resting.conf
         touch /root/.hushlogin"
    )
}

/// Puts a version of the greeting into a repository, with another package that it depends on.
pub(crate) fn make_greeting(repository: &Path, version: &str, other: Option<&Path>) {
    let mut make = Command::new("sh");
    make.args([Path::new(&script("package")), repository]);
    run(make.arg(version).args(other));
}

/// Puts a version of the greeting into a repository inside a root on this machine.
pub(crate) fn offer_greeting_inside(root: &Path, version: &str) {
    make_greeting(&root.join("srv/apt"), version, None);
    let source = "deb [trusted=yes] file:/srv/apt ./\n";
    fs::write(root.join("etc/apt/sources.list"), source).unwrap();
}

/// Has the package manager of an environment, which is fitted for slow machines, install the greeting.
pub(crate) fn install_greeting(netbe: &Netbe, environment: &str) {
    let install = format!(
        "{}\napt-get -q update && apt-get -qy install netbe-greeting",
        for_slow_machines()
    );
    let output = netbe.run_with(&["run", environment, "--", "sh", "-ec", &install]);
    assert_eq!(output.status, 0, "{output:#?}");
}

/// Returns a real system's file, making it where it is not there yet.
pub(crate) fn real(arguments: &[&str]) -> PathBuf {
    file_of("scripts/make-system", arguments)
}

/// Returns a package with a newer kernel than that of the real Debian.
pub(crate) fn newest_kernel() -> PathBuf {
    file_of("tests/e2e/newest-kernel", &[])
}

/// Returns the disk of a PC that was installed on btrfs: `grub`, `systemd-boot`, `newer-grub`.
pub(crate) fn local_disk(loader: &str) -> PathBuf {
    file_of("tests/e2e/local-disk", &[loader])
}

/// Returns a directory with the packages that a Debian needs to have its root by iSCSI.
pub(crate) fn open_iscsi() -> PathBuf {
    file_of("tests/e2e/open-iscsi", &[])
}

/// Returns a directory with Debian's signed shim and GRUB of an architecture, as their packages lay them out.
pub(crate) fn signed_loaders(architecture: &str) -> PathBuf {
    file_of("tests/e2e/signed-loaders", &[architecture])
}

/// Has this machine run programs of another architecture, as Debian calls it.
pub(crate) fn emulate(architecture: &str) {
    if architecture == "arm64" && std::env::consts::ARCH == "aarch64" {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systems/binfmt");
    run(Command::new(script).arg(architecture));
}

/// Runs a script that prints the name of a file.
fn file_of(script: &str, arguments: &[&str]) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let output = Command::new(&script)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("the script can be run");
    assert!(output.status.success(), "{} failed", script.display());
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
