//! Writing an existing node's identity into the texts of another node's system.
//!
//! Pure. The node's files are not trusted: an invalid name, or a text that is too long, is ignored.

use super::OWN_ADDRESS;

/// The maximum number of lines that are copied from `etc/hosts`.
const LINES: usize = 64;
/// The longest host name: `HOST_NAME_MAX`.
const NAME: usize = 64;

/// Returns the host name in an `etc/hostname`; `None` if there is none.
pub fn host_name(text: &str) -> Option<&str> {
    let name = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let is_name = name.len() <= NAME && name.bytes().all(is_letter);
    (is_name && first_label(name) != "localhost" && !name.starts_with('.')).then_some(name)
}

/// Copies the lines that name a node from its own `etc/hosts` into another; `None` if unchanged.
///
/// Lines of Debian's address of the host name, 127.0.1.1, are replaced; lines of other addresses are added, unless one with
/// that address names the node already.
pub fn hosts_of(text: &str, own: &str, name: &str) -> Option<String> {
    let name = first_label(name);
    let mut edited = text.to_string();
    let mut is_replaced = false;
    for line in own.lines().filter(|line| names(line, name)).take(LINES) {
        let address = address(line);
        if address == Some(OWN_ADDRESS) {
            if !is_replaced {
                edited = without(&edited, OWN_ADDRESS);
            }
            is_replaced = true;
        } else if edited
            .lines()
            .any(|other| self::address(other) == address && names(other, name))
        {
            continue;
        }
        add(&mut edited, line);
    }
    let same = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(String::from).collect();
        lines.sort();
        lines
    };
    (same(&edited) != same(text)).then_some(edited)
}

fn add(text: &mut String, line: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
}

fn without(text: &str, gone: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines.filter(|line| address(line) != Some(gone)).collect()
}

fn entry(line: &str) -> impl Iterator<Item = &str> {
    line.split('#')
        .next()
        .unwrap_or_default()
        .split_whitespace()
}

fn address(line: &str) -> Option<&str> {
    entry(line).next()
}

fn names(line: &str, name: &str) -> bool {
    entry(line).skip(1).any(|word| first_label(word) == name)
}

fn first_label(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Returns the number of a user or group in another system, by its name; root's if the name does not exist there.
///
/// `from` and `to` are texts such as `etc/passwd` or `etc/group`. A number without a name stays.
pub fn owner(from: &str, to: &str, number: u32) -> u32 {
    let named = |line: &str| -> Option<(String, u32)> {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        Some((name.to_string(), number.parse().ok()?))
    };
    let mut all = from.lines().filter_map(named);
    let Some((name, _)) = all.find(|(_, of)| *of == number && number != 0) else {
        return number;
    };
    let mut there = to.lines().filter_map(named);
    there
        .find(|(of, _)| *of == name)
        .map_or(0, |(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_one_word() {
        for (text, expected) in [
            ("nog\n", Some("nog")),
            ("# mine\n\n nog.lan \n", Some("nog.lan")),
            ("localhost.localdomain\n", None),
            ("two words\n", None),
            ("../x\n", None),
            ("", None),
        ] {
            assert_eq!(host_name(text), expected, "{text:?}");
        }
        assert_eq!(host_name(&"x".repeat(65)), None);
    }

    #[test]
    fn hosts_name_the_node_as_its_own_do() {
        const NEW: &str = "127.0.0.1\tlocalhost\n127.0.1.1\tnog\n10.0.0.1 server";
        for (own, expected) in [
            ("127.0.1.1\tnog\n10.0.0.2 ordo\n", None),
            (
                "127.0.1.1 nog.lan nog # here\n",
                Some("127.0.0.1\tlocalhost\n10.0.0.1 server\n127.0.1.1 nog.lan nog # here\n"),
            ),
            (
                "10.0.0.7 nog.lan nog\n# 10.0.0.8 nog\n10.0.0.9 nogger\n",
                Some(
                    "127.0.0.1\tlocalhost\n127.0.1.1\tnog\n10.0.0.1 server\n10.0.0.7 nog.lan nog\n",
                ),
            ),
        ] {
            let edited = hosts_of(NEW, own, "nog.lan");
            assert_eq!(edited.as_deref(), expected, "{own}");
            assert_eq!(hosts_of(expected.unwrap_or(NEW), own, "nog"), None, "{own}");
        }
        let many: String = (0..9999)
            .map(|n| format!("10.0.{}.{} nog\n", n / 99, n % 99))
            .collect();
        assert!(hosts_of(NEW, &many, "nog").unwrap().lines().count() < 80);
    }

    #[test]
    fn an_owner_is_known_by_its_name() {
        let from = "root:x:0:\nkeys:x:101:\ngone:x:102:\n";
        let to = "root:x:0:\nother:x:101:\nkeys:x:998:\n";
        for (number, expected) in [(0, 0), (101, 998), (102, 0), (7, 7)] {
            assert_eq!(owner(from, to, number), expected, "{number}");
        }
    }
}
