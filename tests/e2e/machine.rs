//! Machines without a disk, by QEMU: a PC with its stock PXE ROM, and an arm64 board that is given what firmware fetched.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::child::{self, EndedChild};
use crate::console::Console;
use crate::firmware::Loaded;
pub(crate) use crate::running::Running;
use crate::support::run;

/// How long a machine may take to come up: many times what it takes on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1200);

/// U-Boot for QEMU's board.
const U_BOOT: &str = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";
/// How much memory a machine has, in megabytes.
const MEMORY: &str = "1024";

/// Writes the device tree of an arm64 board with U-Boot.
///
/// With that as its firmware: without one it has devices more.
pub(crate) fn write_device_tree(path: &Path) {
    let mut command = board();
    let dump = format!("dumpdtb={}", path.display());
    command.args(["-machine", &dump, "-bios", U_BOOT, "-m", MEMORY]);
    command.args(["-nodefaults", "-display", "none"]);
    run(&mut command);
}

/// Returns the command of an arm64 board.
fn board() -> Command {
    let mut command = child::command("qemu-system-aarch64");
    command.args(["-machine", "virt", "-cpu", "cortex-a72"]);
    command
}

/// What a machine is; it can be switched on.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    name: String,
    /// The tap that its network card is in, and the address of that.
    card: Option<(String, String)>,
    directory: PathBuf,
    disk: Option<PathBuf>,
    /// Where it takes orders of a switch.
    switch: Option<String>,
}

impl Machine {
    /// Describes one, whose network card is in this tap.
    pub(crate) fn new(name: &str, tap: &str, mac: &str, directory: &Path) -> Self {
        Self {
            name: name.to_string(),
            card: Some((tap.to_string(), mac.to_string())),
            directory: directory.to_path_buf(),
            disk: None,
            switch: None,
        }
    }

    /// Describes one that has a disk, the file at this path, and no network; its firmware remembers what it is told.
    pub(crate) fn alone(name: &str, directory: &Path, disk: &Path) -> Self {
        Self {
            name: name.to_string(),
            card: None,
            directory: directory.to_path_buf(),
            disk: Some(disk.to_path_buf()),
            switch: None,
        }
    }

    /// Has its power be switched by what is told to this address and port: `system_reset`.
    pub(crate) fn with_switch(mut self, address: &str) -> Self {
        self.switch = Some(address.to_string());
        self
    }

    /// Gives it a disk, the file at this path.
    pub(crate) fn with_disk(mut self, file: &Path) -> Self {
        self.disk = Some(file.to_path_buf());
        self
    }

    /// Switches a PC on: its ROM asks the network.
    pub(crate) fn power_on(&self) -> Running {
        let mut command = child::command("qemu-system-x86_64");
        // Without graphics the BIOS and its ROMs print on the serial port.
        command.args([
            "-machine",
            "pc,graphics=off",
            "-cpu",
            "qemu64",
            "-boot",
            "n",
        ]);
        self.start(command, ",bootindex=1")
    }

    /// Switches a PC on whose BIOS boots from its disk.
    pub(crate) fn power_on_from_disk(&self) -> Running {
        let mut command = child::command("qemu-system-x86_64");
        command.args(["-machine", "pc,graphics=off", "-cpu", "qemu64"]);
        self.start(command, "")
    }

    /// Switches a PC on whose UEFI firmware boots from its disk, and starts what is not signed.
    pub(crate) fn power_on_by_uefi(&self) -> Running {
        self.start(self.uefi(false), "")
    }

    /// Switches a PC with UEFI firmware on; with `secure`, it starts nothing that is not signed.
    ///
    /// What it remembers is gone with the power.
    pub(crate) fn power_on_uefi(&self, secure: bool) -> Running {
        self.start(self.uefi(secure), ",bootindex=1,romfile=")
    }

    /// Switches a PC on whose UEFI firmware boots from its disk alone, and starts nothing that is not signed.
    pub(crate) fn power_on_uefi_from_disk(&self) -> Running {
        let disk = self.disk.as_ref().expect("it has a disk");
        let drive = format!("file={},if=none,id=stick,format=raw", disk.display());
        let mut command = self.uefi(true);
        command.args(["-drive", &drive]);
        command.args(["-device", "virtio-blk-pci,drive=stick,bootindex=1"]);
        let without = Self {
            disk: None,
            ..self.clone()
        };
        without.start(command, ",romfile=")
    }

    /// Switches a PC on whose UEFI firmware boots by HTTP, and starts what is not signed.
    pub(crate) fn power_on_uefi_by_http(&self) -> Running {
        let mut command = self.uefi(false);
        for kind in ["IPv4PXESupport", "IPv6PXESupport"] {
            let name = format!("name=opt/org.tianocore/{kind},string=n");
            command.arg("-fw_cfg").arg(name);
        }
        self.start(command, ",bootindex=1,romfile=")
    }

    fn uefi(&self, secure: bool) -> Command {
        let (code, variables) = match secure {
            true => ("OVMF_CODE_4M.ms.fd", "OVMF_VARS_4M.ms.fd"),
            false => ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
        };
        let mut command = child::command("qemu-system-x86_64");
        // Firmware that is built for Secure Boot alone writes what it remembers from where no system can.
        let machine = if secure { "q35,smm=on" } else { "q35" };
        command.args(["-machine", machine, "-cpu", "qemu64"]);
        if secure {
            command.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        }
        self.give_firmware(&mut command, Path::new("/usr/share/OVMF"), code, variables);
        command
    }

    /// Gives a machine UEFI firmware of this directory, with variables that it may change.
    fn give_firmware(&self, command: &mut Command, from: &Path, code: &str, variables: &str) {
        let memory = self.directory.join(format!("{}.vars", self.name));
        if self.card.is_some() || !memory.exists() {
            std::fs::copy(from.join(variables), &memory)
                .expect("the packages ovmf and qemu-efi-aarch64 are installed");
        }
        for (unit, file, more) in [(0, from.join(code), ",readonly=on"), (1, memory, "")] {
            let file = file.display();
            command.arg("-drive").arg(format!(
                "if=pflash,format=raw,unit={unit},file={file}{more}"
            ));
        }
    }

    /// Switches an arm64 board on, with what its firmware has loaded.
    pub(crate) fn power_on_with(&self, loaded: &Loaded) -> Running {
        let mut command = board();
        let place = |name: &str, bytes: &[u8]| {
            let path = self.directory.join(name);
            std::fs::write(&path, bytes).expect("the test's directory is writable");
            path
        };
        command
            .args(["-append", &loaded.cmdline])
            .arg("-kernel")
            .arg(place("kernel", &loaded.kernel))
            .arg("-initrd")
            .arg(place("initramfs", &loaded.initramfs));
        self.start(command, ",romfile=")
    }

    /// Switches an arm64 board on whose firmware is U-Boot, without anything that it has stored.
    pub(crate) fn power_on_u_boot(&self) -> Running {
        let mut command = board();
        command.args(["-bios", U_BOOT]);
        self.start(command, ",romfile=")
    }

    /// Switches an arm64 board on with UEFI firmware that starts nothing that is not signed.
    pub(crate) fn power_on_uefi_arm64(&self) -> Running {
        let mut command = board();
        let firmware = Path::new("/usr/share/AAVMF");
        self.give_firmware(
            &mut command,
            firmware,
            "AAVMF_CODE.ms.fd",
            "AAVMF_VARS.ms.fd",
        );
        self.start(command, ",bootindex=1,romfile=")
    }

    fn start(&self, mut command: Command, card: &str) -> Running {
        let log = self.directory.join(format!("{}.log", self.name));
        command
            .args([
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-m",
                MEMORY,
            ])
            .args(["-accel", "tcg", "-smp", "1"])
            .args([
                "-chardev",
                "stdio,id=console,signal=off",
                "-serial",
                "chardev:console",
            ])
            .args(self.card.iter().flat_map(|(tap, mac)| {
                [
                    "-netdev".to_string(),
                    format!("tap,id=net,ifname={tap},script=no,downscript=no"),
                    "-device".to_string(),
                    format!("virtio-net-pci,netdev=net,mac={mac}{card}"),
                ]
            }))
            .args(["-device", "virtio-rng-pci"])
            .args(self.disk.iter().flat_map(|file| {
                let drive = format!("file={},if=virtio,format=raw", file.display());
                ["-drive".to_string(), drive]
            }))
            .args(self.switch.iter().flat_map(|address| {
                let monitor = format!("tcp:{address},server=on,wait=off");
                ["-monitor".to_string(), monitor]
            }))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = EndedChild::start(&mut command);
        let child = process.child();
        let output = child.stdout.take().expect("it is piped");
        let keys = Box::new(child.stdin.take().expect("it is piped"));
        Running {
            console: Console::listen(&self.name, &log, output, Some(keys)),
            process,
            commands: 0,
        }
    }
}
