//! A pool with a real Debian in it, which the first story makes, and every other has a copy of.
//!
//! By the netbe that was just built: it is made again with each build. Bringing Debian in takes as long as half a boot.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use crate::server::Server;
use crate::support::run;
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

    /// Waits until no other story makes it.
    pub(crate) fn lock(&self) -> Flock<File> {
        let all = self.directory.parent().expect("it is in a directory");
        fs::create_dir_all(all).expect("the build's directory is writable");
        let file = File::create(all.join(".lock")).expect("the directory is writable");
        Flock::lock(file, FlockArg::LockExclusive).expect("a file can be locked")
    }

    pub(crate) fn exists(&self) -> bool {
        self.directory.is_dir()
    }

    /// Gives a server that is not started yet a copy of the pool, and this mount namespace what belongs to it.
    pub(crate) fn copy_to(&self, disk: &Path) {
        run(Command::new("cp")
            .args(["--sparse=always", "--reflink=auto"])
            .arg(self.directory.join("disk"))
            .arg(disk));
        run(Command::new("tar")
            .args(["-C", STATE, "-xf"])
            .arg(self.directory.join("state.tar")));
    }

    /// Keeps the pool of a server.
    pub(crate) fn keep(&self, server: &Server, disk: &Path) {
        let all = self.directory.parent().expect("it is in a directory");
        for old in fs::read_dir(all).into_iter().flatten().flatten() {
            let _ = fs::remove_dir_all(old.path());
        }
        let making = all.join(".making");
        fs::create_dir(&making).expect("the directory is writable");
        server.ok("fsfreeze --freeze /srv/netbe");
        run(Command::new("cp")
            .args(["--sparse=always", "--reflink=auto"])
            .arg(disk)
            .arg(making.join("disk")));
        server.ok("fsfreeze --unfreeze /srv/netbe");
        let state = server.ok(&format!("tar -C {STATE} -cf - . | base64 -w0"));
        let decode = format!("base64 -d >{}/state.tar", making.display());
        let mut decoding = Command::new("sh")
            .args(["-c", &decode])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("a shell is there");
        let mut stdin = decoding.stdin.take().expect("it is piped");
        std::io::Write::write_all(&mut stdin, state.as_bytes()).expect("it reads all");
        drop(stdin);
        assert!(decoding.wait().expect("it was started").success());
        fs::rename(&making, &self.directory).expect("the directory is writable");
    }
}
