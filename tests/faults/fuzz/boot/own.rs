//! Files that name a machine, and its report of a completed boot.

use netbe::boot::{identity, report};

use super::text;
use crate::fuzz::mutation::Seeds;

pub(super) fn hosts() -> Seeds {
    Seeds::texts(
        &[
            "127.0.0.1\tlocalhost\n127.0.1.1\traspberrypi.lan raspberrypi\n::1\t\tlocalhost ip6-localhost # raspberrypi\n10.0.0.7 raspberrypi\n",
            "InitiatorName=iqn.1993-08.org.debian:01:abc\n",
            "",
        ],
        &[
            "127.0.1.1 ",
            "::1 ",
            "raspberrypi",
            "raspberrypi.lan",
            "localhost",
            "nog",
            "InitiatorName=",
            "GenerateName=yes",
        ],
    )
}

pub(super) fn hosts_text(bytes: &[u8]) {
    let before = text(bytes);
    if let Some(after) = identity::hosts(Some(&before), Some("raspberrypi"), "nog") {
        assert_eq!(
            identity::hosts(Some(&after), Some("raspberrypi"), "nog"),
            None,
            "edited twice: {after:?}"
        );
        assert_eq!(before.matches('\n').count(), after.matches('\n').count());
    }
    if let Some(after) = identity::initiator_name("nog", &before) {
        assert_eq!(
            identity::initiator_name("nog", &after),
            None,
            "edited twice: {after:?}"
        );
    }
}

pub(super) fn reports() -> Seeds {
    Seeds::texts(
        &["boot_id=0c3f2f8e-9a7c-4c11-8c33-aa2f63b5b1aa\nkernel=6.1.0-50-amd64\ntime=1795249224\n"],
        &["boot_id=", "kernel=", "time="],
    )
}

pub(super) fn report_text(bytes: &[u8]) {
    drop(report::parse(&text(bytes)));
}
