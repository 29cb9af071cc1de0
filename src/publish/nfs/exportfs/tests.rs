use super::*;

const OURS: &str = "# netbe pool u\n\
    \"/p/nodes/nog/envs/a/boot\" 10.0.0.0/24(rw,fsid=1)\n\
    \"/p/nodes/nog/envs/a/root\" 10.0.0.0/24(rw,fsid=2)\n\
    \"/p/nodes/ordo/envs/x/root\" ordo.lan(rw,fsid=3) 10.0.0.8/99(rw,fsid=3)\n";

#[track_caller]
fn means(said: &str, sentences_of_it: &[&str]) {
    assert_eq!(sentences(said, OURS), sentences_of_it, "{said}");
}

#[test]
fn nothing_said_means_nothing() {
    means("", &[]);
    means("\n\n", &[]);
}

#[test]
fn what_is_ours_names_the_environment_or_the_node() {
    for (said, meant) in [
        (
            "exportfs: Failed to stat /p/nodes/nog/envs/a/root: No such file or directory\n\
             exportfs: Failed to stat /p/nodes/nog/envs/a/boot: No such file or directory\n",
            "nog/a is not exported whole: no such file or directory; netbe check nog says what is left of it",
        ),
        (
            "exportfs: /p/nodes/nog/envs/a/root does not support NFS export\n",
            "nog/a cannot be mounted: the NFS server does not export the filesystem it is on; is the pool there? findmnt -T /p/nodes/nog/envs/a/root",
        ),
        (
            "exportfs: /p/nodes/nog/envs/a/root is not a directory. Remote access will fail\n",
            "nog/a cannot be mounted: /p/nodes/nog/envs/a/root is not a directory; netbe check nog says what is left of it",
        ),
        (
            "exportfs: Failed to resolve ordo.lan\nexportfs: Failed to resolve ordo.lan\n",
            "ordo cannot mount as ordo.lan: this machine cannot find an address for that name; getent hosts ordo.lan, or name the address: netbe set clients=ADDRESS",
        ),
        (
            "exportfs: Invalid prefix `99' for 10.0.0.8/99\n",
            "ordo cannot mount as 10.0.0.8/99: that is no network; netbe set clients=ADDRESS/LENGTH",
        ),
        (
            "exportfs: duplicated export entries:\nexportfs: \t10.0.0.0/24:/p/nodes/nog/envs/a/root\n\
             exportfs: \t10.0.0.0/24:/p/nodes/nog/envs/a/root\n",
            "nog/a is exported to 10.0.0.0/24 by a line of somebody else's too, which is not needed: grep -r /p/nodes/nog/envs/a/root /etc/exports /etc/exports.d",
        ),
        (
            "exportfs: incompatible duplicated export entries:\n\
             exportfs: \t10.0.0.0/24:/p/nodes/nog/envs/a/root (0x425) [IGNORED]\n\
             exportfs: \t10.0.0.0/24:/p/nodes/nog/envs/a/root (0x420)\n",
            "a line of somebody else's that exports nog/a to 10.0.0.0/24 otherwise is ignored: take it out; grep -r /p/nodes/nog/envs/a/root /etc/exports /etc/exports.d",
        ),
        (
            "exportfs: incompatible duplicated export entries:\n\
             exportfs: \t10.0.0.0/24:/p/nodes/nog/envs/a/root (0x420) [IGNORED]\n\
             exportfs: \t10.0.0.0/24:/p/nodes/nog/envs/a/root (0x425)\n",
            "nog/a is exported to 10.0.0.0/24 as a line of somebody else's has it, not as netbe's: take that out, then exportfs -ra; grep -r /p/nodes/nog/envs/a/root /etc/exports /etc/exports.d",
        ),
    ] {
        means(said, &[meant]);
    }
}

#[test]
fn a_table_that_cannot_be_written() {
    means(
        "exportfs: could not open /var/lib/nfs/.etab.lock for locking: errno 30 (Read-only file system)\n\
         exportfs: can't lock /var/lib/nfs/etab for writing\n",
        &[
            "the NFS server was told nothing: /var/lib/nfs/.etab.lock cannot be written, errno 30 (Read-only file system); then netbe publish",
        ],
    );
}

#[test]
fn what_is_somebody_elses_is_one_sentence() {
    let complains = "the NFS server complains of what is not netbe's: ";
    for said in [
        "/etc/exports.d/other.exports:2: unknown keyword \"fancy\"",
        "/etc/exports.d/a.exports: 1: bad fsid \"fsid=zz\"",
        "/etc/exports.d/a.exports:1: syntax error: bad option list",
        "unknown flavor foo",
        "Failed to stat relative: No such file or directory",
        "Failed to resolve 1.2.3.4.5",
        "Invalid prefix `98' for 10.0.0.8/98",
        "/proc does not support NFS export",
        "/srv/iso is not a directory. Remote access will fail",
        "No host name given with /srv (rw,no_subtree_check), suggest *(rw,no_subtree_check) to avoid warning",
    ] {
        means(
            &format!("exportfs: {said}\n\n"),
            &[&format!("{complains}{said}")],
        );
    }
    means(
        "exportfs: /etc/exports [1]: Neither 'subtree_check' or 'no_subtree_check' specified for export \"10.0.0.9:/srv\".\n  \
         Assuming default behaviour ('no_subtree_check').\n  NOTE: this default has changed since nfs-utils version 1.0.x\n\n",
        &[],
    );
    means(
        "exportfs: incompatible duplicated export entries:\nexportfs: \t10.0.0.0/24:/srv (0x425) [IGNORED]\n\
         exportfs: \t10.0.0.0/24:/srv (0x420)\nexportfs: Failed to stat /srv/a: No such file or directory\n\
         exportfs: Failed to stat /p/nodes/nog/envs/gone/root: No such file or directory\n",
        &[&format!(
            "{complains}two lines for 10.0.0.0/24:/srv (0x425) [IGNORED]; and 2 more, which exportfs -ra shows"
        )],
    );
}

#[test]
fn a_pool_that_is_not_there_does_not_fill_the_screen() {
    let paths: Vec<String> = (0..1000)
        .map(|n| format!("/p/nodes/n{n}/envs/a/root"))
        .collect();
    let ours: String = paths
        .iter()
        .map(|p| format!("\"{p}\" 10.0.0.1(rw)\n"))
        .collect();
    let said: String = paths
        .iter()
        .map(|p| format!("exportfs: Failed to stat {p}: No such file or directory\n"))
        .collect();
    let found = sentences(&said, &ours);
    assert_eq!(found.len(), 6, "{found:#?}");
    assert_eq!(found[5], "and 995 more of the kind: exportfs -ra shows all");
}
