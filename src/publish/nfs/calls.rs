//! The calls of exportfs(8) that turn one exports file into another: text in, arguments out.
//!
//! `exportfs -ra` processes every export of the server, however few have changed. Promises that new exports are added before
//! old ones are withdrawn. Not for making the calls.

use std::collections::BTreeMap;

/// How many calls are made, at most, instead of one for all exports: with 1,500 of them and a running server a call takes
/// 0.33 to 0.45 s, and `exportfs -ra` 0.74 to 0.94 s. An environment comes by two and goes by one.
const MOST: usize = 2;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) arguments: Vec<String>,
    /// Its step in a plan.
    pub(super) step: String,
}

/// A path and the options of each of its clients.
type Exports = BTreeMap<String, BTreeMap<String, String>>;

/// Returns the calls; `None` where `exportfs -ra` is quicker, or a line is not of netbe's form.
pub(super) fn calls(before: &str, after: &str) -> Option<Vec<Call>> {
    let (before, after) = (read(before)?, read(after)?);
    let none = BTreeMap::new();
    let mut calls = Vec::new();
    for (path, clients) in &after {
        let old = before.get(path).unwrap_or(&none);
        let mut by_options: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (client, options) in clients.iter().filter(|(c, o)| old.get(*c) != Some(o)) {
            by_options.entry(options).or_default().push(client);
        }
        for (options, clients) in by_options {
            // Without -i, exportfs would read all files.
            let mut arguments = vec!["-i".to_string(), "-o".to_string(), options.to_string()];
            arguments.extend(clients.iter().map(|client| format!("{client}:{path}")));
            let step = format!("export {path} to {}", clients.join(", "));
            calls.push(Call { arguments, step });
        }
    }
    let mut withdrawn = Vec::new();
    for (path, clients) in &before {
        let new = after.get(path).unwrap_or(&none);
        let gone = clients.keys().filter(|client| !new.contains_key(*client));
        withdrawn.extend(gone.map(|client| format!("{client}:{path}")));
    }
    if !withdrawn.is_empty() {
        let step = format!("withdraw the exports {}", withdrawn.join(", "));
        let arguments = [vec!["-u".to_string()], withdrawn].concat();
        calls.push(Call { arguments, step });
    }
    (calls.len() <= MOST).then_some(calls)
}

/// Returns the exports of a file.
fn read(text: &str) -> Option<Exports> {
    let mut exports = Exports::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (path, clients) = line.strip_prefix('"')?.split_once("\" ")?;
        let clients = clients.split(' ').map(|client| {
            let (client, options) = client.strip_suffix(')')?.split_once('(')?;
            // exportfs would end the client at the colon of an IPv6 address.
            let is_plain = !client.is_empty() && !client.contains(':') && !client.starts_with('-');
            is_plain.then(|| (client.to_string(), options.to_string()))
        });
        let clients = clients.collect::<Option<BTreeMap<_, _>>>()?;
        if exports.insert(unescaped(path)?, clients).is_some() {
            return None;
        }
    }
    Some(exports)
}

/// Returns a path without the octal escapes of exports(5), which a call does not have.
fn unescaped(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(more.get(..3)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 8).ok()?);
        rest = &more[3..];
    }
    String::from_utf8(bytes).ok().filter(|p| p.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(before: &str, after: &str) -> Option<Vec<String>> {
        let calls = calls(before, after)?;
        Some(calls.iter().map(|call| call.arguments.join(" ")).collect())
    }

    #[test]
    fn only_differences_are_called_for_and_exports_come_first() {
        let a = "# netbe pool u\n\"/p/a\" 10.0.0.1(rw,fsid=1) nog.lan(rw,fsid=1)\n\"/p/c\\040d\" @all(ro)\n";
        assert_eq!(of(a, a).unwrap(), Vec::<String>::new());
        let b = "# netbe pool u\n\"/p/a\" 10.0.0.1(rw,fsid=1)\n\"/p/b\" 10.0.0.0/24(rw) h(rw)\n";
        let want = [
            "-i -o rw 10.0.0.0/24:/p/b h:/p/b",
            "-u nog.lan:/p/a @all:/p/c d",
        ];
        assert_eq!(of(a, b).unwrap(), want);
        // Other options for the same client are no other export.
        let c = a.replace("@all(ro)", "@all(rw)");
        assert_eq!(of(a, &c).unwrap(), ["-i -o rw @all:/p/c d"]);
    }

    #[test]
    fn many_changes_and_unusual_lines_are_left_to_exportfs_r() {
        let many = |n: usize| -> String { (0..n).map(|n| format!("\"/{n}\" h(rw)\n")).collect() };
        assert_eq!(of("", &many(MOST)).map(|calls| calls.len()), Some(MOST));
        assert_eq!(of("", &many(MOST + 1)), None);
        // All withdrawn exports are in one call.
        assert_eq!(of(&many(100), "").map(|calls| calls.len()), Some(1));
        for odd in [
            "\"/a\" fd00::/8(rw)\n",
            "\"/a\" -x(rw)\n",
            "/a h(rw)\n",
            "\"/a\"\n",
            "\"/a\" h\n",
            "\"/a\\04\" h(rw)\n",
            "\"a\" h(rw)\n",
            "\"/a\" h(rw)\n\"/a\" g(rw)\n",
        ] {
            assert_eq!(of("", odd), None, "{odd}");
            assert_eq!(of(odd, ""), None, "{odd}");
        }
    }
}
