use super::*;

fn line(key: &str, value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

#[test]
fn values_may_hold_newlines_and_equals_signs() {
    let mut text = line("SCHILY.xattr.user.a", b"x\ny=\n\0z");
    text.extend(line("path", b"a\nb"));
    text.extend(line("size", b"8589934592"));
    let mut extended = Extended::default();
    extended.add(&text).unwrap();
    assert_eq!(extended.xattrs, [("user.a".into(), b"x\ny=\n\0z".to_vec())]);
    assert_eq!(extended.path.as_deref(), Some(&b"a\nb"[..]));
    assert_eq!(extended.size, Some(8_589_934_592));
}

#[test]
fn later_records_win_and_an_empty_one_takes_back() {
    let mut extended = Extended::default();
    extended.add(&line("uid", b"12")).unwrap();
    extended.add(&line("uid", b"34")).unwrap();
    assert_eq!(extended.uid, Some(34));
    extended.add(&line("uid", b"")).unwrap();
    assert_eq!(extended.uid, None);
}

#[test]
fn times_have_nanoseconds_and_may_lie_before_the_epoch() {
    for (text, seconds, nanoseconds) in [
        ("1700000000.123456789", 1_700_000_000, 123_456_789),
        ("1700000000.5", 1_700_000_000, 500_000_000),
        ("1.1234567891", 1, 123_456_789),
        ("7", 7, 0),
        ("-7", -7, 0),
        ("-1.25", -2, 750_000_000),
    ] {
        let parsed = time(text.as_bytes()).unwrap();
        assert_eq!(
            (parsed.tv_sec(), parsed.tv_nsec()),
            (seconds, nanoseconds),
            "{text}"
        );
    }
    for text in ["", "x", "1.x", "--1", "1e5"] {
        assert!(time(text.as_bytes()).is_err(), "{text:?}");
    }
}

#[test]
fn attributes_of_libarchive_are_decoded() {
    let mut extended = Extended::default();
    extended
        .add(&line("LIBARCHIVE.xattr.user.a%3db", b"AAH/Cg"))
        .unwrap();
    assert_eq!(extended.xattrs, [("user.a=b".into(), vec![0, 1, 255, 10])]);
}

#[test]
fn attributes_too_long_for_a_file_are_an_error() {
    let fits = vec![b'x'; XATTR_VALUE];
    let long = vec![b'x'; ACL_TEXT + 1];
    for (key, value, is_fine) in [
        ("SCHILY.xattr.user.a", &fits[..], true),
        ("SCHILY.xattr.user.a", &long[..=XATTR_VALUE], false),
        ("SCHILY.acl.access", &long, false),
        ("SCHILY.acl.default", &long, false),
    ] {
        let said = Extended::default().add(&line(key, value));
        assert_eq!(said.is_ok(), is_fine, "{key}");
    }
}

#[test]
fn garbage_is_an_error() {
    for text in [
        &b"12"[..],
        b"99 path=x\n",
        b"3 a\n",
        b"-1 path=x\n",
        b"10 path=xx!",
        b"18446744073709551616 a=b\n",
    ] {
        assert!(Extended::default().add(text).is_err(), "{text:?}");
    }
}
