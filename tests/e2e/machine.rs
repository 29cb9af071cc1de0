//! Machines without a disk, by QEMU: a PC with its stock PXE ROM, and an arm64 board that is given what firmware fetched.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::child::{self, EndedChild};
use crate::console::{Console, is_shown};
use crate::firmware::Loaded;
use crate::support::{Outcome, run};

/// How long a machine may take to come up: many times what it takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(1200);

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

/// A machine that is on; dropping it takes the power away.
#[derive(Debug)]
pub(crate) struct Running {
    _process: EndedChild,
    pub(crate) console: Console,
    /// How many commands it was given, for their markers.
    commands: usize,
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
            _process: process,
            commands: 0,
        }
    }
}

impl Running {
    /// Waits until somebody could log in, and logs in as root. Returns what was on the console until then.
    pub(crate) fn wait_until_up(&mut self) -> String {
        let said = self.console.wait_for("login: ", PATIENCE);
        let time = self.console.since.elapsed().as_secs_f32();
        println!("{} boots in {time:.1} s", self.console.log().display());
        self.console.send("root\n");
        self.console.wait_for("# ", PATIENCE);
        // A shell that edits no lines, does not repeat what it is told, and is not talked into by the kernel.
        self.console
            .send("exec env PS1= sh; dmesg -n 1\nstty -echo -onlcr; dmesg -n 1; echo re\"\"ady\n");
        self.console.wait_for("ready\n", PATIENCE);
        said
    }

    /// Has U-Boot boot by the menu of its `pxe` command, as boards do by themselves.
    pub(crate) fn boot_by_pxe(&mut self) {
        self.console.wait_for("Hit any key", PATIENCE);
        self.console.send("\n");
        self.console.wait_for("=> ", PATIENCE);
        // Boards have this; without it U-Boot asks for no device tree.
        let with_tree = "setenv fdt_addr_r 4f000000";
        self.console
            .send(&format!("{with_tree}; dhcp; pxe get && pxe boot\n"));
    }

    /// Runs a command line in it, which prints lines; its errors are part of them.
    pub(crate) fn run(&mut self, line: &str) -> Outcome {
        self.commands += 1;
        let number = self.commands;
        if is_shown() {
            println!("\n  machine# {line}");
        }
        self.console.send(&format!(
            "echo begin-{number}; ({line}) 2>&1; echo end-{number} $?.\n"
        ));
        self.console
            .wait_for(&format!("begin-{number}\n"), PATIENCE);
        let stdout = self.console.wait_for(&format!("end-{number} "), PATIENCE);
        let status = self.console.wait_for(".\n", PATIENCE);
        Outcome {
            status: status.parse().expect("a status is a number"),
            stdout,
            stderr: String::new(),
        }
    }

    /// Runs a command line that must succeed, and returns what it printed.
    ///
    /// # Panics
    ///
    /// When its status is not 0.
    pub(crate) fn ok(&mut self, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!(outcome.status, 0, "{line}\n{outcome:#?}");
        outcome.stdout
    }

    /// Waits until all its units have started.
    ///
    /// # Panics
    ///
    /// When one of them has failed.
    pub(crate) fn is_well(&mut self) {
        let state = self.run("systemctl is-system-running --wait").stdout;
        let failed = "systemctl --failed --plain --no-legend --no-pager; systemctl status --failed --no-pager";
        assert_eq!(state, "running\n", "{}", self.run(failed).stdout);
    }

    /// Returns the name of the environment it runs, by its own root.
    pub(crate) fn environment(&mut self) -> String {
        let root = self.ok("findmnt -n -o SOURCE /");
        let name = root
            .trim()
            .trim_end_matches(']')
            .strip_suffix("/root")
            .and_then(|r| r.rsplit('/').next());
        name.unwrap_or_else(|| panic!("its root is {root:?}"))
            .to_string()
    }

    /// Waits until its console says so.
    pub(crate) fn wait_for(&mut self, words: &str) {
        self.console.wait_for(words, PATIENCE);
    }

    /// Has it restart itself, as its user does.
    pub(crate) fn restart(&mut self) {
        self.console.since = Instant::now();
        self.console.send("systemctl reboot\n");
    }
}
