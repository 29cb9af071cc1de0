use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Frames = Vec<(Part, Vec<u8>)>;

fn written(frames: &Frames) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), WITH_DATA).unwrap();
    for (part, payload) in frames {
        writer.frame(*part, payload).unwrap();
    }
    let length = writer.written();
    let bytes = writer.into_inner();
    assert_eq!(bytes.len() as u64, length);
    bytes
}

fn read(bytes: &[u8]) -> io::Result<Frames> {
    let mut reader = Reader::begin(bytes)?;
    let (mut found, mut payload) = (Vec::new(), Vec::new());
    while let Some(part) = reader.frame(&mut payload)? {
        found.push((part, payload.clone()));
    }
    Ok(found)
}

prop_compose! {
    fn frames()(head in vec(any::<u8>(), 0..60), root in vec(vec(any::<u8>(), 0..200), 0..3),
                boot in vec(vec(any::<u8>(), 0..200), 0..3), data in vec(vec(any::<u8>(), 0..200), 0..3),
                done in vec(any::<u8>(), 16)) -> Frames {
        let mut all = vec![(Part::Head, head)];
        all.extend(root.into_iter().map(|p| (Part::Root, p)));
        all.extend(boot.into_iter().map(|p| (Part::Boot, p)));
        for payload in data {
            all.extend([(Part::Path, b"/home".to_vec()), (Part::Data, payload)]);
        }
        all.push((Part::Done, done));
        all
    }
}

proptest! {
    #[test]
    fn frames_round_trip(frames in frames()) {
        prop_assert_eq!(read(&written(&frames)).unwrap(), frames);
    }

    #[test]
    fn a_changed_byte_is_detected(frames in frames(), at in any::<prop::sample::Index>(), by in 1_u8..) {
        let mut bytes = written(&frames);
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&bytes).is_err());
        let mut begun = first_line(WITH_DATA);
        begun.extend(bytes);
        prop_assert!(read(&begun).is_err());
    }
}

fn some() -> Frames {
    vec![
        (Part::Head, b"{}".to_vec()),
        (Part::Root, b"one".to_vec()),
        (Part::Root, b"two".to_vec()),
        (Part::Boot, b"six".to_vec()),
        (Part::Done, vec![0; 16]),
    ]
}

#[test]
fn a_stream_cut_or_extended_anywhere_is_an_error() {
    let bytes = written(&some());
    for length in 0..bytes.len() {
        let error = read(&bytes[..length]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "at {length}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(read(&longer).unwrap_err().to_string().contains("behind"));
}

#[test]
fn frames_out_of_order_are_errors() {
    let whole = written(&some());
    let frame = |i: usize| {
        let before = written(&some()[..i].to_vec()).len();
        before..before + 40 + some()[i].1.len()
    };
    let begin = &whole[..frame(0).start];
    // Missing, repeated, swapped, and of another stream.
    for order in [
        vec![0, 1, 3, 4],
        vec![0, 1, 1, 2, 3, 4],
        vec![0, 2, 1, 3, 4],
        vec![1, 2, 3, 4],
        vec![0, 0, 4],
    ] {
        let mut bytes = begin.to_vec();
        for i in order.iter().copied() {
            bytes.extend(&whole[frame(i)]);
        }
        assert!(read(&bytes).is_err(), "{order:?}");
    }
    let mut other = some();
    other[0].1 = b"[]".to_vec();
    let other = written(&other);
    let spliced = [&whole[..frame(2).start], &other[frame(2).start..]].concat();
    assert!(read(&spliced).is_err());
}

#[test]
fn types_have_an_order_and_a_size_limit() {
    for order in [
        vec![Part::Root],
        vec![Part::Head, Part::Boot, Part::Root],
        vec![Part::Head, Part::Head],
    ] {
        let frames: Frames = order.iter().map(|p| (*p, Vec::new())).collect();
        assert!(read(&written(&frames)).is_err(), "{order:?}");
    }
    let mut writer = Writer::begin(Vec::new(), WITH_DATA).unwrap();
    assert!(writer.frame(Part::Path, &[b'/'; 256]).is_err());
    // A claimed length is not allocated: this would be 4 GiB.
    let mut bytes = first_line(WITH_DATA);
    bytes.extend(b"HEAD\xff\xff\xff\xff");
    bytes.extend([0; 32]);
    assert!(read(&bytes).is_err());
}

#[test]
fn a_newer_format_is_reported() {
    let error = read(&first_line(3)).unwrap_err().to_string();
    assert!(error.contains("is of format 3"), "{error}");
    for line in [
        "NETBE-STREAM\n",
        "NETBE-STREAM 01\n",
        "NETBE-STREAM +1\n",
        "NETBE-STREAM 0\n",
    ] {
        let error = read(line.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{line:?}: {error}");
    }
}
