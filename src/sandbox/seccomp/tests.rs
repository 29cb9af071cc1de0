use super::*;

/// Runs a filter program as the kernel does, as far as programs here go.
fn answer(program: &BpfProgram, audit: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = [0u32; 16];
    data[0] = number;
    data[1] = audit;
    for (at, argument) in arguments.into_iter().enumerate() {
        data[4 + 2 * at] = (argument & 0xffff_ffff) as u32;
        data[5 + 2 * at] = (argument >> 32) as u32;
    }
    let (mut at, mut word) = (0, 0);
    loop {
        let i = &program[at];
        at += 1;
        let jump = |taken: bool| usize::from(if taken { i.jt } else { i.jf });
        match i.code {
            LOAD => word = data[i.k as usize / 4],
            0x54 => word &= i.k,
            JUMP => at += i.k as usize,
            JUMP_IF_EQUAL => at += jump(word == i.k),
            JUMP_IF_GREATER => at += jump(word > i.k),
            JUMP_IF_AT_LEAST => at += jump(word >= i.k),
            RETURN => return i.k,
            other => panic!("instruction {other:#x}"),
        }
    }
}

/// What a machine's whole filter says to a call; 0 where it is made.
fn asked(
    machine: &str,
    durable: Durable,
    audit: u32,
    number: u32,
    arguments: [u64; 6],
) -> Option<u32> {
    let programs = programs(machine, durable).unwrap();
    let answers = programs
        .iter()
        .map(|p| answer(p, audit, number, arguments))
        .filter(|a| *a != libc::SECCOMP_RET_ALLOW)
        .collect::<Vec<_>>();
    // Several of one kind would make the answer depend on their order.
    assert!(answers.len() <= 1 || answers.iter().all(|a| *a == answers[0]));
    answers.first().copied()
}

const MACHINES: &[(&str, &[Abi])] = &[
    ("x86_64", &[X86_64, X86]),
    ("x86", &[X86]),
    ("aarch64", &[AARCH64, ARM]),
    ("arm", &[ARM]),
    ("riscv64", &[RISCV64]),
];

fn errno(answer: Answer) -> Option<u32> {
    Some(libc::SECCOMP_RET_ERRNO | answer.errno())
}

#[test]
fn every_way_of_calling_has_the_same_rules() {
    let none = [0; 6];
    for (machine, abis) in MACHINES {
        for abi in *abis {
            let ask = |name: &str, arguments| {
                let number = (abi.number)(name).unwrap_or_else(|| panic!("{machine}: {name}"));
                let number = u32::try_from(number).unwrap();
                asked(machine, Durable::AtTheEnd, abi.audit, number, arguments)
            };
            for name in [
                "finit_module",
                "bpf",
                "keyctl",
                "clock_settime",
                "mount",
                "setns",
            ] {
                assert_eq!(
                    ask(name, none),
                    errno(Answer::Forbidden),
                    "{machine} {name}"
                );
            }
            let newuser = [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0];
            for name in ["unshare", "clone"] {
                assert_eq!(ask(name, newuser), errno(Answer::Forbidden), "{machine}");
                assert_eq!(ask(name, none), None);
            }
            for name in ["clone3", "inotify_init1", "io_setup"] {
                assert_eq!(ask(name, none), errno(Answer::Unknown), "{machine} {name}");
            }
            let beyond = [0, libc::TIOCSTI | 1 << 32, 0, 0, 0, 0];
            assert_eq!(ask("ioctl", beyond), errno(Answer::Forbidden));
            assert_eq!(ask("ioctl", [0, libc::TIOCGWINSZ, 0, 0, 0, 0]), None);
            for name in ["read", "execve", "fchownat", "getrandom"] {
                assert_eq!(ask(name, none), None, "{machine} {name}");
            }
        }
    }
}

#[test]
fn sockets_are_of_a_few_families() {
    let ask = |family: i32, kind: i32, protocol: i32| {
        let arguments = [family as u64, kind as u64, protocol as u64, 0, 0, 0];
        asked("x86_64", Durable::Always, X86_64.audit, 41, arguments)
    };
    for (family, protocol) in [
        (libc::AF_UNIX, 0),
        (libc::AF_INET, 0),
        (libc::AF_INET, libc::IPPROTO_TCP),
        (libc::AF_INET6, libc::IPPROTO_UDP),
        (libc::AF_INET6, libc::IPPROTO_ICMPV6),
        (libc::AF_NETLINK, libc::NETLINK_ROUTE),
    ] {
        assert_eq!(ask(family, 1, protocol), None, "{family} {protocol}");
    }
    for (family, protocol) in [
        (libc::AF_PACKET, 0),
        (libc::AF_VSOCK, 0),
        (libc::AF_ALG, 0),
        (libc::AF_INET, libc::IPPROTO_SCTP),
        (libc::AF_INET6, libc::IPPROTO_MPTCP),
        (libc::AF_NETLINK, libc::NETLINK_AUDIT),
        (libc::AF_NETLINK, libc::NETLINK_NETFILTER),
    ] {
        assert_eq!(
            ask(family, 1, protocol),
            errno(Answer::NoFamily),
            "{family} {protocol}"
        );
    }
}

#[test]
fn pairs_and_kinds_are_no_way_around_the_families() {
    for (machine, abis) in MACHINES {
        for abi in *abis {
            let ask = |name: &str, arguments: [u64; 3]| {
                let number = u32::try_from((abi.number)(name).unwrap()).unwrap();
                let [a, b, c] = arguments;
                asked(
                    machine,
                    Durable::Always,
                    abi.audit,
                    number,
                    [a, b, c, 0, 0, 0],
                )
            };
            let family = |family: i32| family as u64;
            assert_eq!(ask("socketpair", [family(libc::AF_UNIX), 1, 0]), None);
            for other in [
                libc::AF_VSOCK,
                libc::AF_NETLINK,
                libc::AF_INET,
                libc::AF_TIPC,
            ] {
                let answer = ask("socketpair", [family(other), 1, 0]);
                assert_eq!(answer, errno(Answer::NoFamily), "{machine} {other}");
            }
            // Flags stand above the kind.
            for kind in [4, 5, 6, 10, 10 | libc::SOCK_CLOEXEC as u64] {
                for inet in [libc::AF_INET, libc::AF_INET6] {
                    let answer = ask("socket", [family(inet), kind, 0]);
                    assert_eq!(answer, errno(Answer::NoFamily), "{machine} {kind}");
                }
            }
            let stream = (libc::SOCK_STREAM | libc::SOCK_CLOEXEC) as u64;
            assert_eq!(ask("socket", [family(libc::AF_INET), stream, 0]), None);
        }
    }
}

#[test]
fn the_limit_on_core_files_can_be_asked_for_and_stays() {
    for (machine, abis) in MACHINES {
        for abi in *abis {
            let ask = |name: &str, arguments| {
                let number = u32::try_from((abi.number)(name).unwrap()).unwrap();
                asked(machine, Durable::Always, abi.audit, number, arguments)
            };
            let done = errno(Answer::Done);
            assert_eq!(ask("setrlimit", [4, 0x1000, 0, 0, 0, 0]), done, "{machine}");
            assert_eq!(ask("setrlimit", [7, 0x1000, 0, 0, 0, 0]), None);
            // An address whose lower half is null is one all the same.
            for new in [0x1000, 1 << 32] {
                assert_eq!(ask("prlimit64", [0, 4, new, 0, 0, 0]), done, "{machine}");
                assert_eq!(ask("prlimit64", [1, 4 | 1 << 32, new, 0, 0, 0]), done);
                assert_eq!(ask("prlimit64", [0, 7, new, 0, 0, 0]), None);
            }
            assert_eq!(ask("prlimit64", [0, 4, 0, 0x1000, 0, 0]), None);
        }
    }
}

#[test]
fn syncs_are_answered_only_where_all_is_made_durable_at_the_end() {
    for (machine, abis) in MACHINES {
        for abi in *abis {
            for name in ["fsync", "fdatasync", "sync", "syncfs"] {
                let number = u32::try_from((abi.number)(name).unwrap()).unwrap();
                let ask = |durable| asked(machine, durable, abi.audit, number, [0; 6]);
                assert_eq!(
                    ask(Durable::AtTheEnd),
                    errno(Answer::Done),
                    "{machine} {name}"
                );
                assert_eq!(ask(Durable::Always), None, "{machine} {name}");
            }
            let number = u32::try_from((abi.number)("msync").unwrap()).unwrap();
            let ask = |flags| {
                let arguments = [0, 0, flags, 0, 0, 0];
                asked(machine, Durable::AtTheEnd, abi.audit, number, arguments)
            };
            assert_eq!(ask(libc::MS_SYNC as u64), errno(Answer::Done));
            assert_eq!(ask(libc::MS_ASYNC as u64), None);
        }
    }
}

#[test]
fn system_calls_newer_than_the_table_do_not_exist() {
    let ask =
        |machine, abi: &Abi, number| asked(machine, Durable::Always, abi.audit, number, [0; 6]);
    for (machine, abis) in MACHINES {
        for abi in *abis {
            assert_eq!(ask(machine, abi, rules::NEWEST), None);
            assert_eq!(ask(machine, abi, rules::NEWEST + 1), errno(Answer::Unknown));
            assert_eq!(ask(machine, abi, u32::MAX), errno(Answer::Unknown));
        }
    }
    // x32: the number of a 64-bit call, with a bit.
    assert_eq!(
        ask("x86_64", &X86_64, 0x4000_0000 | 39),
        errno(Answer::Unknown)
    );
    // ARM's set_tls, and what lies before and behind its own.
    assert_eq!(ask("aarch64", &ARM, 0x000f_0005), None);
    assert_eq!(ask("aarch64", &ARM, 0x000e_ffff), errno(Answer::Unknown));
    assert_eq!(ask("aarch64", &ARM, 0x0090_0001), errno(Answer::Unknown));
}

#[test]
fn calls_of_another_architecture_are_deadly() {
    let killed = |machine, abi: &Abi| {
        let programs = programs(machine, Durable::Always).unwrap();
        let dead = libc::SECCOMP_RET_KILL_PROCESS;
        programs
            .iter()
            .all(|p| answer(p, abi.audit, 0, [0; 6]) == dead)
    };
    assert!(killed("x86_64", &ARM));
    assert!(killed("aarch64", &X86));
    assert!(killed("arm", &AARCH64));
    assert!(abis("sparc").is_err());
}

#[test]
fn every_name_is_one_of_a_call() {
    let all = [rules::FORBIDDEN, rules::UNKNOWN, rules::SYNCS].concat();
    // 32-bit ARM's, and of PowerPC's only: there is no filter for those, and no harm in the name.
    for name in all
        .iter()
        .filter(|n| !n.starts_with("pciconfig") && **n != "sync_file_range2")
    {
        let known = [X86_64, X86, AARCH64, ARM, RISCV64]
            .iter()
            .any(|abi| (abi.number)(name).is_some());
        assert!(known, "{name}");
    }
}
