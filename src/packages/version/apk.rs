//! apk's order of versions (apk-package(5)).
//!
//! `1.2.3b_rc1_p2~hash-r4`: numbers, a letter, suffixes with optional numbers, a commit, a revision.

use std::cmp::Ordering;

use super::{compare_numbers, split};

/// Suffixes, oldest first; those of the first list sort before the version without one.
const BEFORE: &[&str] = &["alpha", "beta", "pre", "rc"];
const AFTER: &[&str] = &["cvs", "svn", "git", "hg", "p"];

/// Compares two versions.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (Tokens::parse(a), Tokens::parse(b));
    loop {
        let (a, b) = (left.next(), right.next());
        if a.kind != b.kind {
            // Equal so far: the longer one is newer, unless it continues with `_rc` or similar.
            return match (a.is_before(), b.is_before()) {
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                _ => b.kind.cmp(&a.kind),
            };
        }
        let order = a.compare(&b);
        if order.is_ne() || matches!(a.kind, Kind::End | Kind::Invalid) {
            return order;
        }
    }
}

/// Types of tokens, in the order in which they may occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    First,
    Number,
    Letter,
    Suffix,
    SuffixNumber,
    Commit,
    Revision,
    End,
    Invalid,
}

struct Token<'a> {
    kind: Kind,
    text: &'a str,
}

impl Token<'_> {
    fn is_before(&self) -> bool {
        self.kind == Kind::Suffix && BEFORE.contains(&self.text)
    }

    /// Compares with a token of the same type.
    fn compare(&self, other: &Self) -> Ordering {
        let (a, b) = (self.text, other.text);
        match self.kind {
            // After a point, a number with a leading zero is a fraction: 1.01 is older than 1.1.
            Kind::Number if a.starts_with('0') || b.starts_with('0') => a.cmp(b),
            Kind::First | Kind::Number | Kind::SuffixNumber | Kind::Revision => {
                compare_numbers(a, b)
            }
            Kind::Suffix => rank(a).cmp(&rank(b)),
            Kind::Letter | Kind::Commit | Kind::End | Kind::Invalid => a.cmp(b),
        }
    }
}

fn rank(suffix: &str) -> Option<usize> {
    BEFORE.iter().chain(AFTER).position(|s| *s == suffix)
}

struct Tokens<'a> {
    rest: &'a str,
    last: Option<Kind>,
}

impl<'a> Tokens<'a> {
    fn parse(version: &'a str) -> Self {
        Self {
            rest: version,
            last: None,
        }
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.read().unwrap_or(Token {
            kind: Kind::Invalid,
            text: self.rest,
        });
        self.last = Some(token.kind);
        token
    }

    /// Takes the next token; `None` if it is not allowed here.
    fn read(&mut self) -> Option<Token<'a>> {
        let digit = |c: char| c.is_ascii_digit();
        let Some(last) = self.last else {
            return self.take(Kind::First, self.rest, digit);
        };
        let Some(first) = self.rest.chars().next() else {
            return Some(Token {
                kind: Kind::End,
                text: "",
            });
        };
        let rest = self.rest.get(1..).unwrap_or_default();
        match first {
            '.' if last <= Kind::Number => self.take(Kind::Number, rest, digit),
            'a'..='z' if last <= Kind::Number => {
                let (text, rest) = self.rest.split_at(1);
                self.rest = rest;
                Some(Token {
                    kind: Kind::Letter,
                    text,
                })
            }
            '_' if last <= Kind::SuffixNumber => {
                let word = |c: char| c.is_ascii_lowercase();
                rank(split(rest, word).0)?;
                self.take(Kind::Suffix, rest, word)
            }
            '0'..='9' if last == Kind::Suffix => self.take(Kind::SuffixNumber, self.rest, digit),
            '~' if last < Kind::Commit => {
                self.take(Kind::Commit, rest, |c| matches!(c, '0'..='9' | 'a'..='f'))
            }
            '-' if last < Kind::Revision => {
                self.take(Kind::Revision, rest.strip_prefix('r')?, digit)
            }
            _ => None,
        }
    }

    fn take(
        &mut self,
        kind: Kind,
        from: &'a str,
        belongs: impl Fn(char) -> bool,
    ) -> Option<Token<'a>> {
        let (text, rest) = split(from, belongs);
        if text.is_empty() {
            return None;
        }
        self.rest = rest;
        Some(Token { kind, text })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{assert_ascending, assert_equal};
    use super::*;

    /// Mostly from apk's own tests.
    #[test]
    fn versions_are_ordered_as_apk_orders_them() {
        assert_ascending(
            compare,
            &[
                &["0.1.0_alpha", "0.1.0_alpha2", "0.1.3_alpha", "2.34"],
                &["4_beta", "23_foo"],
                &["1.0", "1.0bc"],
                &["1.0.4-r3", "1.0.4-r4", "1.6", "2.2.39-r1"],
                &["1.1_alpha1", "1.1", "1.2", "1.2.1"],
                &["1.3_alpha", "1.3_alpha2", "1.3_alpha3"],
                &["2.3.0b-r1", "2.3.0b-r2", "3.10.18-r1", "4.8-r1"],
                &["0.2.0-r1", "3.1_p16", "3.1_p17"],
                &["1.06-r6", "006"],
                &["1.6", "1.39"],
                &["1.05-r18", "1.05-r19", "2.2.5"],
                &["2.5.1-r8", "2.5.1a-r1"],
                &["2.9.11_pre20061021-r1", "2.9.11_pre20061021-r2", "5.36-r1"],
                &["1.5.13-r1", "1.5.13.1", "1.5.14"],
                &[
                    "0.9.28-r2",
                    "0.9.28.1",
                    "087-r1",
                    "103",
                    "104-r9",
                    "104-r11",
                ],
                &["1.3-r0", "1.3.1-r0"],
                &["1.3_pre1-r1", "1.3.2"],
                &["1.0_p9-r0", "1.0_p10-r0"],
                &["0.1.0_alpha_pre2", "0.1.0_alpha"],
                &["1.0.0_pre20191002222144-r0", "1.0.0_pre20210530193627-r0"],
                // By the manual's grammar.
                &[
                    "1.0_alpha",
                    "1.0_beta",
                    "1.0_pre",
                    "1.0_rc",
                    "1.0",
                    "1.0_cvs",
                    "1.0_svn",
                    "1.0_git",
                    "1.0_hg",
                    "1.0_p",
                ],
                &["1.0_rc1", "1.0_rc1_p1", "1.0_rc2"],
                &["1.01", "1.1", "1.10"],
                &["1.36.1-r0", "1.36.1-r2", "1.36.1-r15", "1.37.0-r0"],
                &["1.0~abc", "1.0~abd"],
            ],
        );
    }

    #[test]
    fn one_version_may_be_written_in_several_ways() {
        assert_equal(compare, &[("1.0-r1", "1.0-r01"), ("6", "006")]);
    }
}
