use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

pub(in crate::lifecycle::trial) fn pending(kind: Kind, fetched: Option<i64>) -> PendingBoot {
    PendingBoot {
        env: "b".parse().unwrap(),
        kind,
        since: Some(at(0)),
        within: (kind == Kind::Try).then_some(600),
        set_in: None,
        boot_id_before: Some("old".to_string()),
        known_boot_ids: Vec::new(),
        used_before: false,
        fetched: fetched.map(at),
        its: false,
        withdrawn: None,
        elsewhere: false,
    }
}

fn firsts(files: &[(i64, &str)], its: bool) -> Vec<First> {
    let first = |(seconds, file): &(i64, &str)| First {
        since: Some(at(0)),
        env: "b".to_string(),
        time: at(*seconds),
        file: file.to_string(),
        its,
    };
    files.iter().map(first).collect()
}

struct Case<'a> {
    kind: Kind,
    fetched: Option<i64>,
    seen: &'a [(i64, &'a str)],
    reported: Option<(i64, &'a str)>,
    left: bool,
    now: i64,
    want: Verdict,
}

fn ways() -> Vec<Fetched> {
    let way = |kernel: &str, initramfs: &str| Fetched {
        kernel: kernel.to_string(),
        initramfs: vec![initramfs.to_string()],
    };
    vec![
        way("kernel8.img", "initramfs8"),
        way("kernel_2712.img", "initramfs_2712"),
    ]
}

fn back(seconds: i64) -> Verdict {
    Verdict::LeadBack(Fetching {
        time: at(seconds),
        its: false,
    })
}

#[test]
fn the_course_of_a_trial() {
    let fetch: &[(i64, &str)] = &[(20, "initramfs8"), (30, "kernel8.img")];
    let both: &[(i64, &str)] = &[
        (20, "initramfs_2712"),
        (30, "kernel_2712.img"),
        (32, "initramfs8"),
        (33, "kernel8.img"),
    ];
    let halfway: &[(i64, &str)] = &[(20, "kernel8.img")];
    let plain = |kind, fetched, now, want| Case {
        kind,
        fetched,
        seen: &[],
        reported: None,
        left: false,
        now,
        want,
    };
    let seen = |seen, kind, now, want| Case {
        seen,
        ..plain(kind, None, now, want)
    };
    let told = |reported, kind, fetched, now, want| Case {
        reported: Some(reported),
        ..plain(kind, fetched, now, want)
    };
    let left = |kind, want| Case {
        left: true,
        ..plain(kind, Some(30), 100, want)
    };
    use Verdict::*;
    let cases = [
        plain(Kind::Try, None, 100_000, Wait),
        seen(fetch, Kind::Try, 33, Wait),
        seen(fetch, Kind::Try, 35, back(30)),
        seen(fetch, Kind::Once, 35, back(30)),
        // Another way, fetched after the first, moves nothing.
        seen(both, Kind::Try, 35, back(30)),
        seen(both, Kind::Try, 900, back(30)),
        // The clock was set back since: it is over, and not to be waited for.
        seen(fetch, Kind::Try, 10, back(30)),
        seen(halfway, Kind::Try, 139, Wait),
        seen(halfway, Kind::Try, 140, back(20)),
        told((50, "old"), Kind::Try, None, 60, Wait),
        told((-5, "new"), Kind::Try, None, 60, Wait),
        told((50, "new"), Kind::Try, None, 60, Passed),
        told((50, "new"), Kind::Once, None, 60, back(60)),
        plain(Kind::Try, Some(30), 629, Wait),
        plain(Kind::Try, Some(30), 630, NotInTime),
        told((50, "new"), Kind::Try, Some(30), 700, Passed),
        left(Kind::Try, LeftUnsaid),
        left(Kind::Once, Over),
        plain(Kind::Once, Some(30), 100_000, Wait),
    ];
    for (i, case) in cases.iter().enumerate() {
        let boot = pending(case.kind, case.fetched);
        let facts = Facts {
            boot: &boot,
            fetched: &firsts(case.seen, false),
            ways: &ways(),
            reported: case.reported.map(|(t, id)| (at(t), id)),
            mounted: false,
            sole_client: false,
            active: false,
            left: case.left,
            fetches_are_recorded: true,
            now: at(case.now),
        };
        assert_eq!(judge(facts), case.want, "case {i}");
        let active = Facts {
            active: true,
            ..facts
        };
        assert_eq!(judge(active), Over, "case {i}, active");
    }
}

#[test]
fn without_recorded_transfers_a_pending_boot_ends_by_its_time() {
    let day = ONCE_WITHOUT_FETCH.as_secs();
    for (kind, fetched, seconds, told, want) in [
        (Kind::Try, None, 599, false, Verdict::Wait),
        (Kind::Try, None, 600, false, Verdict::NotRecorded),
        (Kind::Try, None, 100_000, true, Verdict::Wait),
        (Kind::Once, None, day - 1, false, Verdict::Wait),
        (Kind::Once, None, day, false, Verdict::NotRecorded),
        (Kind::Once, None, day, true, Verdict::Wait),
        // The clock was set back.
        (Kind::Try, None, -1, false, Verdict::NotRecorded),
        (Kind::Try, Some(30), 629, false, Verdict::Wait),
        (Kind::Try, Some(30), 630, false, Verdict::NotInTime),
        (Kind::Once, Some(30), day, false, Verdict::Wait),
    ] {
        let boot = pending(kind, fetched);
        let facts = Facts {
            boot: &boot,
            fetched: &[],
            ways: &ways(),
            reported: None,
            mounted: false,
            sole_client: false,
            active: false,
            left: false,
            fetches_are_recorded: told,
            now: at(seconds),
        };
        assert_eq!(judge(facts), want, "{kind:?} {fetched:?} {seconds} {told}");
        // As of an older netbe.
        let boot = PendingBoot {
            within: None,
            ..boot.clone()
        };
        assert_eq!(
            judge(Facts {
                boot: &boot,
                ..facts
            }),
            want
        );
    }
}

#[test]
fn a_mounted_root_is_a_boot_that_has_begun() {
    fn facts(boot: &PendingBoot) -> Facts<'_> {
        Facts {
            boot,
            fetched: &[],
            ways: &[],
            reported: None,
            mounted: true,
            sole_client: true,
            active: false,
            left: false,
            fetches_are_recorded: true,
            now: at(5),
        }
    }
    let mut boot = pending(Kind::Try, None);
    let begun = Fetching {
        time: at(5),
        its: true,
    };
    assert_eq!(judge(facts(&boot)), Verdict::LeadBack(begun));
    boot.used_before = true;
    assert_eq!(judge(facts(&boot)), Verdict::Wait);
}

#[test]
fn the_power_of_a_machine_that_may_be_running_well_is_not_cut() {
    // By the node's address; seen elsewhere before; others in use now; a server to see it; minutes; what comes of it.
    let cases = [
        (true, false, Some(false), true, 1, true),
        (true, false, Some(false), false, 1, true),
        (true, true, Some(false), true, 60, false),
        (true, false, Some(true), true, 60, false),
        (true, false, None, true, 60, false),
        // Anybody may have fetched it.
        (false, false, Some(false), true, 7, false),
        (false, false, Some(false), true, 8, true),
        (false, false, Some(false), false, 60, false),
        (false, true, Some(false), true, 60, false),
        (false, false, Some(true), true, 60, false),
        (false, false, None, true, 60, false),
    ];
    for (i, (its, elsewhere, others_in_use, watched, minutes, want)) in cases.iter().enumerate() {
        let boot = PendingBoot {
            its: *its,
            elsewhere: *elsewhere,
            withdrawn: Some(at(0)),
            ..pending(Kind::Try, Some(0))
        };
        let facts = PowerFacts {
            boot: &boot,
            others_in_use: *others_in_use,
            watched: *watched,
            now: at(minutes * 60),
        };
        assert_eq!(may_cut_power(facts), *want, "case {i}");
    }
}
