//! Accounts, hosts, fstab and boot files: by content.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::support::{MAC, Pool, System};
use crate::{at, read, write};

#[test]
fn accounts_are_merged_one_by_one() {
    let pool = Pool::with_node();
    write(
        &pool,
        "nog/a",
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nold:x:1001:1001::/:/bin/sh\n",
    );
    write(
        &pool,
        "nog/a",
        "etc/shadow",
        "root:*:1::::::\nold:*:1::::::\n",
    );
    fs::set_permissions(
        at(&pool, "nog/a", "etc/shadow"),
        std::os::unix::fs::PermissionsExt::from_mode(0o640),
    )
    .unwrap();
    pool.netbe().ok("create nog/b");
    // A person is added on the node; the upgrade added a service, and removed what the node has not.
    write(
        &pool,
        "nog/a",
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nold:x:1001:1001::/:/bin/sh\nann:x:1002:1002::/home/ann:/bin/sh\n",
    );
    write(
        &pool,
        "nog/a",
        "etc/shadow",
        "root:secret:2::::::\nold:*:1::::::\nann:hash:2::::::\n",
    );
    write(
        &pool,
        "nog/b",
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\n_app:x:105:105::/:/bin/false\n",
    );
    write(
        &pool,
        "nog/b",
        "etc/shadow",
        "root:*:1::::::\n_app:!:1::::::\n",
    );
    let done = pool.netbe().run("merge nog/a nog/b --name m");
    assert_eq!(done.status, 0, "{}{}", done.stdout, done.stderr);
    assert_eq!(
        read(&pool, "nog/m", "etc/passwd"),
        "root:x:0:0::/root:/bin/sh\n_app:x:105:105::/:/bin/false\nann:x:1002:1002::/home/ann:/bin/sh\n"
    );
    assert_eq!(
        read(&pool, "nog/m", "etc/shadow"),
        "root:secret:2::::::\n_app:!:1::::::\nann:hash:2::::::\n"
    );
    let mode = at(&pool, "nog/m", "etc/shadow").metadata().unwrap().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn an_account_that_both_changed_stays_as_in_to_and_is_named() {
    let pool = Pool::with_node();
    write(
        &pool,
        "nog/a",
        "etc/passwd",
        "ann:x:1002:1002::/home/ann:/bin/sh\n",
    );
    pool.netbe().ok("create nog/b");
    write(
        &pool,
        "nog/a",
        "etc/passwd",
        "ann:x:1002:1002::/home/ann:/bin/zsh\n",
    );
    write(
        &pool,
        "nog/b",
        "etc/passwd",
        "ann:x:1002:1002::/home/ann:/bin/bash\n",
    );
    let done = pool.netbe().run("merge nog/a nog/b --name m");
    assert_eq!(done.status, 1, "{}", done.stderr);
    assert!(
        done.stdout
            .contains("C /etc/passwd  ann: changed in both; FROM's: /etc/passwd.netbe-a"),
        "{}",
        done.stdout
    );
    assert!(read(&pool, "nog/m", "etc/passwd").ends_with("bash\n"));
    assert!(read(&pool, "nog/m", "etc/passwd.netbe-a").ends_with("zsh\n"));
}

#[test]
fn a_line_of_fstab_and_an_argument_come_along_and_netbes_own_are_the_results() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    let fstab = at(&pool, "nog/a", "etc/fstab");
    let text = fs::read_to_string(&fstab).unwrap();
    fs::write(&fstab, text + "nas:/media /media nfs ro 0 0\n").unwrap();
    let done = pool.netbe().run("merge nog/a nog/b --name m");
    assert_eq!(done.status, 0, "{}{}", done.stdout, done.stderr);
    let merged = read(&pool, "nog/m", "etc/fstab");
    assert!(
        merged.contains("nas:/media /media nfs ro 0 0\n"),
        "{merged}"
    );
    assert!(merged.contains("nodes/nog/envs/m/boot"), "{merged}");
    assert!(!merged.contains("nodes/nog/envs/a/"), "{merged}");
    assert!(pool.boot_text("nog/m").contains("nodes/nog/envs/m/root"));
    pool.assert_sound();
    // Changed in both: TO's, and a conflict.
    let fstab = at(&pool, "nog/b", "etc/fstab");
    let text = fs::read_to_string(&fstab).unwrap();
    fs::write(&fstab, text + "tmpfs /var/tmp tmpfs defaults 0 0\n").unwrap();
    let done = pool.netbe().run("merge nog/a nog/b --name n");
    assert_eq!(done.status, 1, "{}", done.stdout);
    assert!(
        done.stdout.contains("C /etc/fstab  changed in both"),
        "{}",
        done.stdout
    );
    assert!(!read(&pool, "nog/n", "etc/fstab").contains("nas:/media"));
}

#[test]
fn a_setting_of_the_loader_comes_along() {
    let pool = Pool::with_template_of(&System::raspberry_pi());
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    pool.netbe().ok("create nog/b");
    let line = pool.boot_text("nog/a");
    let file = pool.half("nog/a", "boot").join("cmdline.txt");
    fs::write(
        &file,
        line.trim_end().to_string() + " usbcore.quirks=1:2:u\n",
    )
    .unwrap();
    let done = pool.netbe().run("merge nog/a nog/b --name m");
    assert_eq!(done.status, 0, "{}{}", done.stdout, done.stderr);
    let merged = pool.boot_text("nog/m");
    assert!(merged.contains("usbcore.quirks=1:2:u"), "{merged}");
    assert!(merged.contains("nodes/nog/envs/m/root"), "{merged}");
}

#[test]
fn the_names_of_the_machine_are_no_conflict() {
    let pool = Pool::with_node();
    let hosts = read(&pool, "nog/a", "etc/hosts");
    pool.netbe().ok("create nog/b");
    write(
        &pool,
        "nog/a",
        "etc/hosts",
        &format!("{hosts}10.0.0.7 nas\n"),
    );
    let done = pool.netbe().run("merge nog/a nog/b --name m");
    assert_eq!(done.status, 0, "{}{}", done.stdout, done.stderr);
    assert!(read(&pool, "nog/m", "etc/hosts").ends_with("10.0.0.7 nas\n"));
}
