//! netbe's own program, which is a file of the server's, run inside by a script that names it.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::process::Command;

use super::server::Server;
use crate::suite::room::Room;

/// The word that has this program, as the script's, change its own file.
pub(super) const CHANGE: &str = "change-own-program";

/// A script that has the kernel run the program of whoever starts it: netbe's, which is a file of the server.
pub(super) fn stays_as_it_is(room: &Room) {
    let _server = Server::new(room);
    let script = room.root().join("tool");
    fs::write(&script, format!("#!/proc/self/exe {CHANGE}\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let itself = || {
        let file = fs::metadata("/proc/self/exe").unwrap();
        (file.mode(), file.uid(), file.ctime(), file.ctime_nsec())
    };
    let before = itself();
    // From another mount namespace than it was started in, as these tests are, and from the same.
    let (ended, text) = room.run(&["/tool"]);
    assert_eq!(text, "nothing\n", "{ended:?}");
    let log = room.outside("log");
    let status = Command::new(std::env::current_exe().unwrap())
        .arg("drive")
        .args([room.root(), room.boot(), log.clone()])
        .args(["--", "/tool"])
        .status();
    assert!(status.unwrap().success());
    assert_eq!(fs::read_to_string(log).unwrap(), "nothing\n");
    assert_eq!(itself(), before);
}

/// What the script has the program do, and says that it could: to give its own file what it has already.
pub(super) fn change() -> ! {
    let file = File::open("/proc/self/exe").unwrap();
    let found = file.metadata().unwrap();
    let attempts = [
        ("mode", file.set_permissions(found.permissions())),
        (
            "mode by name",
            fs::set_permissions("/proc/self/exe", found.permissions()),
        ),
        ("owner", fchown(&file, Some(found.uid()), Some(found.gid()))),
        (
            "attributes",
            xattr::set("/proc/self/exe", "user.netbe", b"mine"),
        ),
        ("times", file.set_modified(found.modified().unwrap())),
        (
            "a way to write",
            File::options().write(true).open("/proc/self/exe").map(drop),
        ),
    ];
    let done: Vec<&str> = attempts
        .iter()
        .filter(|(_, result)| result.is_ok())
        .map(|(what, _)| *what)
        .collect();
    match done.is_empty() {
        true => println!("nothing"),
        false => println!("{}", done.join(", ")),
    }
    std::process::exit(0)
}
