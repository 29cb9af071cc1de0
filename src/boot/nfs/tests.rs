use super::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn how(mounter: Mounter) -> Mounting {
    Mounting {
        mounter,
        has_mount_nfs: false,
    }
}

fn text(how: Mounting, version: Option<NfsVersion>, options: Option<&str>) -> String {
    match tokens(how, SERVER, "/srv/e", version, options) {
        Ok(t) => format!("{} {}", t.root, t.nfsroot.unwrap_or_default()),
        Err(e) => format!("error: {e}"),
    }
}

#[test]
fn each_mounter_has_its_syntax() {
    for (mounter, version, options, expected) in [
        (
            Mounter::InitramfsTools,
            None,
            None,
            "root=/dev/nfs nfsroot=10.0.0.1:/srv/e,vers=3,tcp",
        ),
        (
            Mounter::Mkinitcpio,
            None,
            None,
            "root=/dev/nfs nfsroot=10.0.0.1:/srv/e,vers=3,tcp",
        ),
        (
            Mounter::Unknown,
            None,
            None,
            "root=/dev/nfs nfsroot=10.0.0.1:/srv/e,vers=3,tcp",
        ),
        (
            Mounter::Kernel,
            None,
            None,
            "root=/dev/nfs nfsroot=10.0.0.1:/srv/e,vers=4.2,tcp",
        ),
        (
            Mounter::Kernel,
            Some(NfsVersion::V4_1),
            Some("proto=tcp,nconnect=4"),
            "root=/dev/nfs nfsroot=10.0.0.1:/srv/e,vers=4.1,proto=tcp,nconnect=4",
        ),
        (
            Mounter::Kernel,
            Some(NfsVersion::V3),
            Some("vers=4.1"),
            "root=/dev/nfs nfsroot=10.0.0.1:/srv/e,vers=3,tcp",
        ),
        (
            Mounter::Kernel,
            None,
            Some("v3"),
            "root=/dev/nfs nfsroot=10.0.0.1:/srv/e,tcp,v3",
        ),
        (
            Mounter::InitramfsTools,
            None,
            Some("actimeo=120"),
            "root=/dev/nfs nfsroot=10.0.0.1:/srv/e,vers=3,tcp,acregmin=120,acregmax=120,acdirmin=120,acdirmax=120",
        ),
        (
            Mounter::Kernel,
            None,
            Some("actimeo=120"),
            "root=/dev/nfs nfsroot=10.0.0.1:/srv/e,vers=4.2,tcp,actimeo=120",
        ),
        (
            Mounter::Dracut,
            None,
            None,
            "root=nfs4:10.0.0.1:/srv/e:vers=4.2,tcp ",
        ),
        (
            Mounter::Dracut,
            Some(NfsVersion::V3),
            None,
            "root=nfs:10.0.0.1:/srv/e:vers=3,tcp ",
        ),
    ] {
        assert_eq!(text(how(mounter), version, options), expected);
    }
}

#[test]
fn mounts_beyond_klibc_are_an_error_without_a_hook() {
    for (version, options, word) in [
        (Some(NfsVersion::V4_1), None, "version 3 only, not vers=4.1"),
        (
            None,
            Some("proto=tcp"),
            "does not know the mount option proto=tcp",
        ),
        (
            None,
            Some("noatime"),
            "does not know the mount option noatime",
        ),
        (None, Some("vers=4"), "version 3 only"),
    ] {
        let klibc = how(Mounter::InitramfsTools);
        assert!(text(klibc, version, options).contains(word));
        let helped = Mounting {
            has_mount_nfs: true,
            ..klibc
        };
        assert!(!text(helped, version, options).contains("error"));
    }
}

#[test]
fn paths_that_a_command_line_cannot_contain_are_refused() {
    for path in [
        "/srv/a b",
        "/srv/a,b",
        "/srv/a:b",
        "/srv/\"a\"",
        "/srv/%s",
        "/srv/\n",
    ] {
        assert!(tokens(how(Mounter::Kernel), SERVER, path, None, None).is_err());
    }
}

#[test]
fn both_syntaxes_are_parsed() {
    for mounter in [Mounter::Kernel, Mounter::Dracut, Mounter::InitramfsTools] {
        let line = Line::parse(&text(how(mounter), None, None)).unwrap();
        let back = found(&line).unwrap().unwrap();
        assert_eq!(
            (back.server.as_str(), back.path.as_str()),
            ("10.0.0.1", "/srv/e")
        );
        assert_eq!(back.in_root, mounter == Mounter::Dracut);
        assert!(back.options.starts_with("vers="));
    }
    let read = |text: &str| found(&Line::parse(text).unwrap());
    assert_eq!(read("root=LABEL=x").unwrap(), None);
    assert_eq!(read("root=nfs:/srv/x").unwrap().unwrap().path, "/srv/x");
    assert_eq!(
        read("root=/dev/nfs nfsroot=/srv/x")
            .unwrap()
            .unwrap()
            .server,
        ""
    );
    assert!(read("root=/dev/nfs").is_err());
}
