use proptest::prelude::*;

use super::*;

fn get(target: &str, fields: &str) -> Parsed {
    parse(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n").as_bytes())
}

fn named(target: &str) -> Option<String> {
    match get(target, "") {
        Parsed::Whole(request, _) => Some(request.name),
        Parsed::Refused(Status::NotFound | Status::BadRequest) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_are_decoded() {
    for (target, name) in [
        ("/a/b", Some("/a/b")),
        ("/a%20b?x=/y#z", Some("/a b")),
        ("http://10.0.0.1:80/a%2Fb", Some("/a/b")),
        ("/a%2e%2e/%zz%", Some("/a../%zz%")),
        ("/%00", None),
        ("/%ff", None),
        ("/a%0ab", None),
    ] {
        assert_eq!(named(target).as_deref(), name, "{target}");
    }
    assert_eq!(named(&format!("/{}", "a".repeat(REQUEST_MAX))), None);
}

#[test]
fn fields_of_a_request_are_parsed() {
    let of = |fields: &str| match get("/a", fields) {
        Parsed::Whole(request, _) => Ok((request.range, request.closes)),
        Parsed::Refused(status) => Err(status),
        Parsed::Part => panic!("it is whole"),
    };
    assert_eq!(of(""), Ok((None, false)));
    assert_eq!(of("Connection: TE, Close\r\n"), Ok((None, true)));
    let range = Some(Range::From(5, Some(9)));
    assert_eq!(of("range: bytes=5-9\r\n"), Ok((range, false)));
    assert_eq!(
        of("Range: bytes=5-9\r\nIf-Range: \"x\"\r\n"),
        Ok((None, false))
    );
    assert_eq!(of("Range: bytes=1-2,5-9\r\n"), Ok((None, false)));
    assert_eq!(of("Content-Length: 0\r\n"), Ok((None, false)));
    assert_eq!(of("Content-Length: 5\r\n"), Err(Status::BadRequest));
    assert_eq!(
        of("Transfer-Encoding: chunked\r\n"),
        Err(Status::BadRequest)
    );
    assert_eq!(of(&"a: b\r\n".repeat(FIELDS_MAX)), Err(Status::TooLarge));
    assert_eq!(parse(b"GET /a HTTP/1.0\r\n\r\nmore"), {
        let request = Request {
            name: "/a".into(),
            is_head: false,
            range: None,
            closes: true,
        };
        Parsed::Whole(request, 19)
    });
    assert_eq!(
        parse(b"POST /a HTTP/1.1\r\n\r\n"),
        Parsed::Refused(Status::NotAllowed)
    );
    assert_eq!(parse(b"GET /a HTTP/1.1\r\nHost"), Parsed::Part);
    let long = format!("GET /{}", "a".repeat(HEAD_MAX));
    assert_eq!(parse(long.as_bytes()), Parsed::Refused(Status::TooLarge));
}

#[test]
fn ranges_of_a_file() {
    for (text, size, part) in [
        ("bytes=0-", 10, Some((0, 10))),
        ("bytes=3-99", 10, Some((3, 10))),
        ("bytes=9-9", 10, Some((9, 10))),
        ("bytes=10-", 10, None),
        ("bytes=-4", 10, Some((6, 10))),
        ("bytes=-40", 10, Some((0, 10))),
        ("bytes=-0", 10, None),
        ("bytes=0-", 0, None),
        ("bytes=0-18446744073709551615", 10, Some((0, 10))),
    ] {
        assert_eq!(Range::parse(text).unwrap().of(size), part, "{text}");
    }
    for ignored in [
        "bytes=",
        "bytes=-",
        "bytes=9-3",
        "bytes=a-b",
        "items=0-1",
        "bytes=+1-2",
    ] {
        assert_eq!(Range::parse(ignored), None, "{ignored}");
    }
}

#[test]
fn a_head_has_length_type_and_range() {
    let head = Head {
        status: Status::Partial,
        name: "/x.efi",
        part: (5, 10),
        size: 20,
        closes: false,
    };
    let text = head.text();
    assert!(
        text.starts_with("HTTP/1.1 206 Partial Content\r\nDate: "),
        "{text}"
    );
    for line in [
        "Connection: keep-alive",
        "Content-Type: application/efi",
        "Content-Length: 5",
        "Content-Range: bytes 5-9/20",
    ] {
        assert!(text.lines().any(|l| l == line), "{text}");
    }
    assert!(text.ends_with("\r\n\r\n"));
    let text = refusal(Status::NotFound, 0, false, true);
    assert!(
        text.ends_with("Content-Length: 10\r\n\r\nNot Found\n"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_parsed(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
        if let Parsed::Whole(request, length) = parse(&bytes) {
            prop_assert!(length <= bytes.len() && request.name.len() <= REQUEST_MAX);
        }
    }

    #[test]
    fn any_target_and_fields_are_parsed(target in "[!-~]{0,1100}", fields in "([A-Za-z-]{1,9}: [ -~]{0,20}\r\n){0,9}") {
        if let Parsed::Whole(request, _) = get(&target, &fields) {
            prop_assert!(!request.name.chars().any(char::is_control));
            if let Some(range) = request.range && let Some((first, end)) = range.of(100) {
                prop_assert!(first < end && end <= 100);
            }
        }
    }
}
