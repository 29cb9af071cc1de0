//! GRUB's environment block, which GRUB itself writes, in place, before it boots.
//!
//! Format: GRUB manual, "Environment block", and grub-core/lib/envblk.c: a signature, `name=value` lines, a backslash before
//! characters that are literal, and `#` up to the end. It is 1,024 bytes in a file of netbe's own, with one variable, the
//! environment to boot for once; or a sector that also has GRUB's own variables, which stay. Pure.

/// The variable.
pub const ONCE: &str = "netbe_once";
/// The length of netbe's own file, in bytes.
pub const LENGTH: usize = 1024;

const SIGNATURE: &str = "# GRUB Environment Block\n";

/// Returns a block of netbe's own that has GRUB boot an environment once, or nothing.
pub fn block(once: Option<&str>) -> String {
    let mut text = SIGNATURE.to_string();
    if let Some(env) = once {
        text.push_str(&format!("{ONCE}={env}\n"));
    }
    while text.len() < LENGTH {
        text.push('#');
    }
    text
}

/// Returns a block of this length without any variable.
pub fn empty<const N: usize>() -> [u8; N] {
    let mut bytes = [b'#'; N];
    let signature = SIGNATURE.as_bytes();
    bytes[..signature.len()].copy_from_slice(signature);
    bytes
}

/// Returns whether it is a block that GRUB can read and write: its lines are complete.
pub fn is_block(bytes: &[u8]) -> bool {
    content(bytes).is_some()
}

/// Returns the environment to boot once, which GRUB has not erased yet; `None` if there is none, or it is no such block.
pub fn once(bytes: &[u8]) -> Option<&str> {
    let value = lines(content(bytes)?).find_map(value)?;
    std::str::from_utf8(value)
        .ok()
        .filter(|value| !value.is_empty())
}

/// Returns the block with this environment to boot once, or none, and with everything else unchanged; `None` if it is no
/// block, or has no space.
pub fn with_once<const N: usize>(bytes: &[u8; N], once: Option<&str>) -> Option<[u8; N]> {
    let content = content(bytes)?;
    let mut text = SIGNATURE.as_bytes().to_vec();
    for line in lines(content).filter(|line| value(line).is_none()) {
        text.extend_from_slice(line);
    }
    if let Some(env) = once {
        text.extend_from_slice(format!("{ONCE}={env}\n").as_bytes());
    }
    let mut block = [b'#'; N];
    block.get_mut(..text.len())?.copy_from_slice(&text);
    Some(block)
}

/// Returns the lines between the signature and the padding; `None` if it is no block, or GRUB cannot add to it.
fn content(bytes: &[u8]) -> Option<&[u8]> {
    let last = bytes.iter().rposition(|byte| *byte != b'#')?;
    let text = bytes[..=last].strip_prefix(SIGNATURE.as_bytes())?;
    let is_whole = lines(text).all(|line| line.ends_with(b"\n"));
    is_whole.then_some(text)
}

/// Returns the lines, each with its end, as GRUB splits them: a newline after a backslash ends no line.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_meant = false;
    text.split_inclusive(move |byte| {
        let ends = *byte == b'\n' && !is_meant;
        is_meant = *byte == b'\\' && !is_meant;
        ends
    })
}

/// Returns the value in a line of netbe's variable; `None` for any other line.
fn value(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(ONCE.as_bytes())?.strip_prefix(b"=")?;
    value.strip_suffix(b"\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_names_the_environment_booted_once() {
        for env in [None, Some("second"), Some(&"x".repeat(64)[..])] {
            let text = block(env);
            assert!(is_block(text.as_bytes()) && text.len() == LENGTH);
            assert_eq!(once(text.as_bytes()), env);
        }
        // As GRUB leaves it.
        let left = format!("{SIGNATURE}{ONCE}=\n####");
        assert!(is_block(left.as_bytes()));
        assert_eq!(once(left.as_bytes()), None);
        for text in ["", "netbe_once=a\n", "# GRUB Environment Block", "####"] {
            assert_eq!(once(text.as_bytes()), None, "{text}");
            assert!(!is_block(text.as_bytes()), "{text}");
        }
        assert!(!is_block(&[0; 512]));
        // A block without room for more, to which GRUB cannot add.
        let broken = format!("{SIGNATURE}next_entry=a####");
        assert!(!is_block(broken.as_bytes()));
    }

    #[test]
    fn text_inside_a_value_is_not_a_variable() {
        let text = format!("{SIGNATURE}a=b\\\n{ONCE}=c\\\\\n{ONCE}=d\n");
        assert_eq!(once(text.as_bytes()), Some("d"));
        let text = format!("{SIGNATURE}a=b\\\n{ONCE}=c\n#");
        assert_eq!(once(text.as_bytes()), None);
        let text = format!("{SIGNATURE}{ONCE}s=c\nx{ONCE}=c\n#");
        assert_eq!(once(text.as_bytes()), None);
    }

    /// A sector with these lines, as GRUB would have written them.
    fn sector(lines: &[String]) -> Option<[u8; 512]> {
        let text = format!("{SIGNATURE}{}", lines.concat());
        let mut bytes = [b'#'; 512];
        bytes
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        Some(bytes)
    }

    proptest! {
        #[test]
        fn invariant_13_other_variables_stay(
            before in prop::collection::vec("[a-z_]{1,12}=([ -\\[\\]-~äß]|\\\\\n|\\\\\\\\){0,20}\n", 0..6),
            old in prop::option::of("[a-z0-9.-]{0,64}"),
            after in prop::collection::vec("(saved_entry|next_entry|#)=?[a-z>]{0,9}\n", 0..4),
            env in "[a-z0-9][a-z0-9.-]{0,63}",
        ) {
            let others = [before.clone(), after.clone()].concat();
            let line = |env: &str| format!("{ONCE}={env}\n");
            let whole = [before, old.iter().map(|env| line(env)).collect(), after].concat();
            let (Some(whole), Some(without)) = (sector(&whole), sector(&others)) else {
                return Ok(());
            };
            prop_assert_eq!(with_once(&whole, None), Some(without));
            let with = [others, vec![line(&env)]].concat();
            let with = sector(&with);
            prop_assert_eq!(with_once(&whole, Some(&env)), with);
            if let Some(with) = with {
                prop_assert_eq!(once(&with), Some(env.as_str()));
                prop_assert_eq!(with_once(&with, None), Some(without));
            }
        }

        #[test]
        fn whatever_is_there_is_kept_or_refused(bytes in prop::collection::vec(any::<u8>(), 512)) {
            let bytes: [u8; 512] = bytes.try_into().unwrap();
            prop_assert_eq!(with_once(&bytes, Some("a")), None);
            let mut signed = bytes;
            signed[..SIGNATURE.len()].copy_from_slice(SIGNATURE.as_bytes());
            if let Some(new) = with_once(&signed, Some("a")) {
                prop_assert_eq!(once(&new), Some("a"));
            }
        }
    }

    #[test]
    fn a_full_block_is_not_changed() {
        let full = sector(&[format!("a={}\n", "b".repeat(512 - 25 - 3 - 13))]).unwrap();
        assert!(with_once(&full, Some("a")).is_some());
        assert_eq!(with_once(&full, Some("abc")), None);
        assert_eq!(with_once(&full, None), Some(full));
        assert_eq!(
            with_once(&empty(), Some("a")),
            sector(&[format!("{ONCE}=a\n")])
        );
    }
}
