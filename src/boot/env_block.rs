//! GRUB's environment block: the one file that GRUB itself writes, in place, before it boots.
//!
//! Format: GRUB manual, "Environment block"; 1,024 bytes, a signature, `name=value` lines, and `#` up to the end. This one has
//! one variable, the environment to boot for once. Pure.

/// The variable.
pub const ONCE: &str = "netbe_once";
/// How long such a file is, in bytes.
pub const LENGTH: usize = 1024;

const SIGNATURE: &str = "# GRUB Environment Block\n";

/// Returns a block that has GRUB boot an environment once, or nothing.
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

/// Returns whether it is such a block, which GRUB reads and writes.
pub fn is_valid(text: &str) -> bool {
    text.len() == LENGTH && text.starts_with(SIGNATURE)
}

/// Returns the environment that GRUB has not booted yet; `None` if there is none, or it is no such block.
pub fn once(text: &str) -> Option<&str> {
    let lines = text.strip_prefix(SIGNATURE)?.lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(ONCE)?.strip_prefix('='));
    values.next().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_says_what_is_booted_once() {
        for env in [None, Some("second"), Some(&"x".repeat(64)[..])] {
            let text = block(env);
            assert!(is_valid(&text));
            assert_eq!(once(&text), env);
        }
        // As GRUB leaves it, and what is none.
        let left = format!("{SIGNATURE}{ONCE}=\n####");
        for text in [left.as_str(), "", "netbe_once=a\n", SIGNATURE] {
            assert_eq!(once(text), None, "{text}");
            assert!(!is_valid(text), "{text}");
        }
    }
}
