//! No node's lock is held while programs read or make disk images, nor while an environment's own programs run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{MAC, Pool, System, wait_until};

fn system() -> System {
    System::debian()
        .program("usr/sbin/update-initramfs", b"#!/bin/sh\n")
        .file("etc/initramfs-tools/initramfs.conf", "MODULES=most\n")
}

/// A pool whose node `nog` has its roots on disk images from now on: `a` is of files, `b` an image, and active.
fn pool() -> Pool {
    let pool = Pool::with_template_of(&system());
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    pool.netbe().ok("set root=iscsi nog");
    pool.netbe().ok("create nog/b -a");
    pool
}

/// Programs that netbe finds first: they do something, and then what the real ones do.
struct StandIns<'p> {
    pool: &'p Pool,
    directory: PathBuf,
}

impl<'p> StandIns<'p> {
    fn new(pool: &'p Pool, does: &str) -> Self {
        let directory = pool.beside().join("stand-ins");
        fs::create_dir(&directory).unwrap();
        let here = directory.display();
        for program in ["bwrap", "mke2fs"] {
            let text = format!(
                "#!/bin/sh\nhere={here}\n{does}\nPATH=/usr/sbin:/usr/bin:/sbin:/bin exec {program} \"$@\"\n"
            );
            let file = directory.join(program);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { pool, directory }
    }

    fn command(&self, line: &str) -> Command {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.directory.display());
        let mut command = self.pool.netbe().plain();
        command.env("PATH", path).args(line.split_whitespace());
        command
    }

    fn spawn(&self, line: &str) -> Child {
        self.command(line).stdin(Stdio::null()).spawn().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Returns the text of a file; nothing where there is none.
fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

#[test]
fn invariant_11_the_lock_of_a_node_is_free_while_its_images_are_read_and_made() {
    let pool = pool();
    let look = format!(
        "echo $0 >>$here/ran
         for lock in {0}/nog {0}/ordo; do
             test ! -e $lock || flock --nonblock --exclusive $lock true || echo $0 >>$here/held
         done",
        pool.at("locks").display()
    );
    let programs = StandIns::new(&pool, &look);
    let tree = pool.beside().join("tree");
    system().build(&tree);
    for line in [
        // Of files, and of an image.
        "create nog/c --from base".to_string(),
        "create nog/d --from nog/b".to_string(),
        format!("import nog/e {}", tree.display()),
        "run nog/d -- true".to_string(),
        "upgrade nog/d --name f -- touch /etc/new".to_string(),
        "upgrade nog/d --name g --keep -- false".to_string(),
        "create ordo/x --from nog/b".to_string(),
        "activate nog/c".to_string(),
        "rollback nog".to_string(),
    ] {
        let _ = fs::remove_file(programs.file("ran"));
        let ended = programs.command(&line).output().unwrap();
        let fails = line.ends_with("false");
        assert_eq!(ended.status.success(), !fails, "{line}: {ended:?}");
        assert_ne!(text(&programs.file("ran")), "", "{line}");
        assert_eq!(text(&programs.file("held")), "", "{line}");
    }
    assert_eq!(pool.names("nog"), ["a", "b", "c", "d", "e", "f", "g"]);
    pool.netbe().ok("destroy -y nog/g");
    pool.assert_sound();
}

#[test]
fn invariant_11_a_node_goes_on_while_its_image_is_made() {
    let pool = pool();
    let waits =
        "case $0 in *mke2fs) touch $here/begun; until test -e $here/go; do sleep 0.1; done;; esac";
    let programs = StandIns::new(&pool, waits);
    let making = programs.spawn("create nog/c --from base");
    wait_until("mke2fs runs", || programs.file("begun").exists());
    pool.refuses(5, "create nog/c --wait 0", &["nog/c", "netbe create nog/c"]);
    for line in [
        "describe nog/a words",
        "activate nog/a",
        "create nog/d",
        "set cmdline=quiet nog",
    ] {
        pool.netbe().ok(&format!("{line} --wait 0"));
    }
    pool.netbe().ok("status nog");
    fs::write(programs.file("go"), "").unwrap();
    assert!(making.wait_with_output().unwrap().status.success());
    // What was set meanwhile holds for it: it came to be after that.
    let line = pool.boot_text("nog/c");
    assert!(line.contains(" quiet"), "{line}");
    assert_eq!(pool.names("nog"), ["a", "b", "c", "d"]);
    pool.assert_sound();
}
