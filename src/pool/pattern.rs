//! Names and patterns of nodes, as on the command line: `nog`, `rack1-*`.
//!
//! In a pattern `*` stands for any characters and `?` for one. Each node is chosen once, in the order of the words. Pure. Not
//! for patterns of environments.

use std::str::FromStr;

use super::name::{NodeName, NotAName, Operand};
use crate::failure::Failure;

/// A name, or a pattern of the names of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named<T> {
    /// One, which need not exist.
    One(T),
    /// All nodes whose names match.
    Matching(Pattern),
}

/// A pattern of node names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl<T: FromStr<Err = NotAName>> FromStr for Named<T> {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        // No name has these characters, and there are no patterns of environments.
        let is_pattern = text.contains(['*', '?']) && !text.contains('/');
        let is_valid =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '*' | '?');
        match is_pattern && text.chars().all(is_valid) {
            true => Ok(Self::Matching(Pattern(text.to_string()))),
            false => text.parse().map(Self::One),
        }
    }
}

impl From<NodeName> for Operand {
    fn from(node: NodeName) -> Self {
        Self { node, env: None }
    }
}

impl Pattern {
    fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut of_name) = (0, 0);
        // The position of the last star, and how much of the name it stands for.
        let mut star: Option<(usize, usize)> = None;
        while of_name < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, of_name));
                    at += 1;
                }
                Some(&c) if c == b'?' || c == name[of_name] => {
                    at += 1;
                    of_name += 1;
                }
                _ => match star {
                    Some((last, taken)) => {
                        star = Some((last, taken + 1));
                        at = last + 1;
                        of_name = taken + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|&c| c == b'*')
    }
}

/// Returns the nodes that the words stand for, each once, and a failure for each pattern without a match.
pub fn chosen<T>(words: &[Named<T>], nodes: &[NodeName]) -> (Vec<T>, Vec<Failure>)
where
    T: Clone + PartialEq + From<NodeName>,
{
    let (mut all, mut failures): (Vec<T>, Vec<Failure>) = (Vec::new(), Vec::new());
    for word in words {
        let found: Vec<T> = match word {
            Named::One(name) => vec![name.clone()],
            Named::Matching(pattern) => {
                let matching = nodes.iter().filter(|node| pattern.matches(node.as_str()));
                let found: Vec<T> = matching.cloned().map(T::from).collect();
                if found.is_empty() {
                    failures.push(
                        Failure::not_found(format!("no node matches {}", pattern.0))
                            .hint("netbe status"),
                    );
                }
                found
            }
        };
        for one in found {
            if !all.contains(&one) {
                all.push(one);
            }
        }
    }
    (all, failures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;
    use proptest::prelude::*;

    #[test]
    fn words_mean_the_nodes_that_match_each_once() {
        let nodes = ["nog", "rack1-a", "rack1-b", "rack2-a", "rack10"].map(|n| n.parse().unwrap());
        for (words, want, unmatched) in [
            (&["rack1-*"][..], &["rack1-a", "rack1-b"][..], 0),
            (
                &["*"],
                &["nog", "rack1-a", "rack1-b", "rack2-a", "rack10"],
                0,
            ),
            (
                &["rack?-a", "rack1-*"],
                &["rack1-a", "rack2-a", "rack1-b"],
                0,
            ),
            (&["*-a"], &["rack1-a", "rack2-a"], 0),
            (&["n*g", "nog", "n*"], &["nog"], 0),
            (&["*a*k*1*"], &["rack1-a", "rack1-b", "rack10"], 0),
            (&["new", "rack9-*", "no?"], &["new", "nog"], 1),
            (&["no"], &["no"], 0),
            (&["?"], &[], 1),
        ] {
            let words: Vec<Named<NodeName>> = words.iter().map(|w| w.parse().unwrap()).collect();
            let (found, failures) = chosen(&words, &nodes);
            let found: Vec<&str> = found.iter().map(NodeName::as_str).collect();
            assert_eq!(found, want, "{words:?}");
            assert_eq!(failures.len(), unmatched, "{words:?}");
            assert!(failures.iter().all(|f| f.kind == Kind::NotFound));
        }
    }

    #[test]
    fn texts_that_are_neither_name_nor_pattern_are_refused() {
        for text in ["rack1-[ab]", "RACK*", "a/b*", "", "../*", "*/b", "a b*"] {
            assert!(text.parse::<Named<Operand>>().is_err(), "{text}");
        }
        let both: Named<Operand> = "nog/first".parse().unwrap();
        assert!(matches!(both, Named::One(operand) if operand.env.is_some()));
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_and_every_star(name in "[a-z0-9]{1,20}", at in 0usize..20) {
            let (head, tail) = name.split_at(at.min(name.len()));
            for pattern in [format!("{head}*{tail}"), format!("{head}**"), format!("*{tail}*"), "?".repeat(name.len())] {
                prop_assert!(Pattern(pattern.clone()).matches(&name), "{}", pattern);
            }
            let longer = Pattern(format!("{name}?"));
            prop_assert!(!longer.matches(&name));
        }
    }
}
