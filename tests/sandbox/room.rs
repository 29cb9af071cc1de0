//! A root of busybox alone, a boot half, and something outside that must not be touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use netbe::sandbox::{Durable, Ended, Io, Network, Program, Sandbox};

use crate::wait::wait_until;

const BUSYBOX: &str = "/bin/busybox";
const APPLETS: &[&str] = &[
    "sh",
    "cat",
    "chmod",
    "chroot",
    "dd",
    "echo",
    "env",
    "grep",
    "hostname",
    "id",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mknod",
    "mount",
    "ps",
    "rm",
    "setsid",
    "sleep",
    "stty",
    "test",
    "touch",
    "tty",
    "umount",
    "yes",
    "seq",
    "wc",
    "trap",
    "nice",
    "stat",
    "chown",
    "mkfifo",
    "setpriv",
    "start-stop-daemon",
    "mv",
    "nc",
    "nslookup",
    "su",
    "true",
];

pub(crate) struct Room {
    dir: tempfile::TempDir,
}

/// What a room cannot be built without, and this machine does not have.
pub(crate) fn missing() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("they need root: sudo scripts/test");
    }
    if !Path::new(BUSYBOX).exists() {
        return Some("there is no /bin/busybox: apt-get install busybox-static");
    }
    if !Path::new("/usr/bin/slirp4netns").exists() {
        return Some("there is no slirp4netns: apt-get install slirp4netns");
    }
    None
}

/// Where the rooms are: mounted where only this process, and what it starts, sees it.
fn rooms() -> PathBuf {
    std::env::temp_dir().join(format!("netbe-rooms-{}-", std::process::id()))
}

/// Gives this process a mount table that nobody else on the machine changes meanwhile, with a place for the rooms.
pub(crate) fn seclude() {
    use nix::mount::{MsFlags, mount};
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    fs::create_dir_all(rooms()).unwrap();
    mount(Some(&rooms()), &rooms(), none, MsFlags::MS_BIND, none).unwrap();
    // As systemd has them: what a program unmounts elsewhere goes here, too, unless it took care.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SHARED, none).unwrap();
}

/// Takes the place for the rooms away.
pub(crate) fn leave() {
    let _ = nix::mount::umount2(&rooms(), nix::mount::MntFlags::MNT_DETACH);
    let _ = fs::remove_dir_all(rooms());
}

impl Room {
    /// Builds the root.
    pub(crate) fn new() -> Self {
        let room = Self {
            dir: tempfile::tempdir_in(rooms()).unwrap(),
        };
        for dir in ["bin", "etc", "usr/sbin", "root", "var/lib/dpkg"] {
            fs::create_dir_all(room.root().join(dir)).unwrap();
        }
        fs::create_dir(room.boot()).unwrap();
        let users = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
        fs::write(room.root().join("etc/passwd"), users).unwrap();
        fs::create_dir(room.outside("")).unwrap();
        fs::write(room.outside("canary"), "alive").unwrap();
        fs::copy(BUSYBOX, room.root().join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", room.root().join("bin").join(applet)).unwrap();
        }
        room
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub(crate) fn boot(&self) -> PathBuf {
        self.dir.path().join("boot")
    }

    /// A path outside of the environment, that nothing inside may reach.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.dir.path().join("outside").join(name)
    }

    /// Runs a script inside, in this process; the answer and all it wrote.
    pub(crate) fn sh(&self, script: &str) -> (anyhow::Result<Ended>, String) {
        self.run(&["/bin/sh", "-c", script])
    }

    pub(crate) fn run(&self, argv: &[&str]) -> (anyhow::Result<Ended>, String) {
        self.run_with(Durable::Always, None, argv)
    }

    pub(crate) fn run_with(
        &self,
        durable: Durable,
        packages: Option<&Path>,
        argv: &[&str],
    ) -> (anyhow::Result<Ended>, String) {
        let network = Network::Private(Vec::new());
        self.run_in(&network, durable, packages, argv)
    }

    pub(crate) fn run_in(
        &self,
        network: &Network,
        durable: Durable,
        packages: Option<&Path>,
        argv: &[&str],
    ) -> (anyhow::Result<Ended>, String) {
        let path = self.dir.path().join("log");
        let log = fs::File::create(&path).unwrap();
        let (root, boot) = (self.root(), self.boot());
        let sandbox = Sandbox {
            root: &root,
            boot: &boot,
            boot_mount: "/boot/firmware",
            hostname: "nog",
            durable,
            network,
            packages,
            data: &[],
        };
        let ended = sandbox.run(Program {
            argv: argv.iter().map(|word| (*word).to_string()).collect(),
            env: vec![("GIVEN".into(), "yes".into())],
            io: Io::Log { log, echo: false },
        });
        (
            ended,
            String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned(),
        )
    }

    /// What the last run wrote, of another process too.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// What a script wrote, which must have ended well.
    pub(crate) fn output(&self, script: &str) -> String {
        let (ended, text) = self.sh(script);
        assert_eq!(ended.unwrap(), Ended::Exited(0), "{script}: {text}");
        text
    }

    /// The command line of another process that plays netbe; `log` is `-` for its own stdio.
    pub(crate) fn netbe(&self, log: &str, script: &str) -> Command {
        let log = match log {
            "-" => PathBuf::from("-"),
            name => self.dir.path().join(name),
        };
        // Whoever is started in the background is to ignore SIGINT, and what is ignored stays so: it would never end.
        let mut command = Command::new("env");
        command
            .arg("--default-signal=INT,QUIT,TERM,HUP")
            .arg(std::env::current_exe().unwrap())
            .arg("drive")
            .args([self.root(), self.boot(), log])
            .args(["--", "/bin/sh", "-c", script])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Starts a netbe and waits until its program has said so, by making the file `/root/ready`.
    pub(crate) fn started(&self, script: &str) -> Child {
        let child = self
            .netbe("log", &format!("touch /root/ready; {script}"))
            .spawn()
            .unwrap();
        let ready = self.root().join("root/ready");
        wait_until("it begins", || ready.exists());
        fs::remove_file(ready).unwrap();
        child
    }

    /// Every file of the root with all that must not change: kind, mode, owner, content.
    pub(crate) fn listing(&self) -> BTreeMap<PathBuf, String> {
        let mut all = BTreeMap::new();
        list(&self.root(), &mut all);
        all
    }

    pub(crate) fn assert_outside_is_untouched(&self) {
        let names: Vec<_> = fs::read_dir(self.outside(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["canary"]);
        assert_eq!(fs::read(self.outside("canary")).unwrap(), b"alive");
    }
}

fn list(dir: &Path, all: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let m = path.symlink_metadata().unwrap();
        let content = if m.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else if m.is_file() && m.len() < 10_000 {
            String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
        } else {
            String::new()
        };
        let what = format!("{:o} {} {} {content}", m.mode(), m.uid(), m.gid());
        all.insert(path.clone(), what);
        if m.is_dir() {
            list(&path, all);
        }
    }
}

/// Whether some process that this one has started, or that was started by such a one, has this word on its command line.
///
/// Others on this machine may run the same tests: theirs do not see these rooms.
pub(crate) fn anyone_runs(word: &str) -> bool {
    let rooms = rooms().file_name().unwrap().to_str().unwrap().to_string();
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let has_word = fs::read(entry.path().join("cmdline")).is_ok_and(|line| {
            line.split(|b| *b == 0)
                .any(|found| found == word.as_bytes())
        });
        has_word
            && fs::read_to_string(entry.path().join("mountinfo"))
                .is_ok_and(|table| table.contains(&rooms))
    })
}

/// The mounts of this process, by number and place: what a sandbox must not add to. The rest of a line changes by what
/// others do to the same filesystem.
pub(crate) fn mounts() -> String {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        format!("{} {}\n", fields[0], fields[4])
    };
    table.lines().map(mount).collect()
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
