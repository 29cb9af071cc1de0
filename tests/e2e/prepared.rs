//! A pool with a real Debian in it, which the first story makes, and every other has a copy of.
//!
//! By the netbe that was just built: it is made again with each build. On this machine, where programs start ten times as
//! fast as in the boot server.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use crate::scene;
use crate::server::{self, ADDRESS};
use crate::support::{Netbe, run};
use crate::systems;

/// Where netbe keeps what must not lie on the pool.
const STATE: &str = "/var/lib/netbe";

/// Where it is kept.
#[derive(Debug)]
pub(crate) struct Prepared {
    directory: PathBuf,
}

impl Prepared {
    /// Returns that of this build, without the ones of older builds.
    pub(crate) fn of_this_program() -> Self {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e-prepared");
        let program = fs::metadata(env!("CARGO_BIN_EXE_netbe")).expect("it was just built");
        let system = systems::real(&[]);
        let system = system.file_name().expect("a file has a name");
        let name = format!(
            "{}-{}-{}",
            program.ino(),
            program.mtime(),
            system.to_string_lossy()
        );
        Self {
            directory: all.join(name),
        }
    }

    /// Gives a server that is not started yet a copy of the pool, and this mount namespace what belongs to it.
    ///
    /// In a mount namespace that is the caller's own; waits while another story makes it.
    pub(crate) fn copy_to(&self, disk: &Path) {
        let all = self.directory.parent().expect("it is in a directory");
        fs::create_dir_all(all).expect("the build's directory is writable");
        let file = File::create(all.join(".lock")).expect("the directory is writable");
        let _lock = Flock::lock(file, FlockArg::LockExclusive).expect("a file can be locked");
        if !self.directory.is_dir() {
            self.make(all);
        }
        run(Command::new("cp")
            .args(["--sparse=always", "--reflink=auto"])
            .arg(self.directory.join("disk"))
            .arg(disk));
        run(Command::new("tar")
            .args(["-C", STATE, "-xf"])
            .arg(self.directory.join("state.tar")));
    }

    fn make(&self, all: &Path) {
        for old in fs::read_dir(all).into_iter().flatten().flatten() {
            let _ = fs::remove_dir_all(old.path());
        }
        let making = all.join(".making");
        fs::create_dir(&making).expect("the directory is writable");
        let disk = making.join("disk");
        scene::make_pool(&disk);
        scene::with_pool_here(&disk, &making, import_debian);
        run(Command::new("tar")
            .args(["-C", STATE, "-cf"])
            .arg(making.join("state.tar"))
            .arg("."));
        fs::rename(&making, &self.directory).expect("the directory is writable");
    }
}

/// Brings a real Debian in as the template `debian`, whose packages come from the server: so far the greeting, 1.0.
fn import_debian(netbe: &Netbe) {
    netbe.ok(&format!("init --server {ADDRESS}"));
    netbe.ok(&format!("import debian {}", systems::real(&[]).display()));
    let root = Path::new(server::POOL).join("nodes/debian/active/root");
    systems::offer_greeting_inside(&root, "1.0");
    systems::install_greeting(netbe, "debian");
    fs::remove_dir_all(root.join("srv/apt")).unwrap();
    fs::remove_file(root.join("etc/apt/apt.conf.d/90outside")).unwrap();
    let source = format!("deb [trusted=yes] http://{ADDRESS}/ ./\n");
    fs::write(root.join("etc/apt/sources.list"), source).unwrap();
    let cmdline = format!("cmdline={}", server::CMDLINE);
    assert_eq!(netbe.run_with(&["set", &cmdline]).status, 0);
}
