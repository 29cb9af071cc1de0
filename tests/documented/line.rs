//! A command line that a page has: where it stands, and what a person types of it.

/// Where on its page a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In the code block that begins at this line.
    Block(usize),
    /// In running text.
    Inline,
}

/// A line that may be a command.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The page, from the top of the repository.
    pub file: String,
    /// Its line there.
    pub number: usize,
    /// What is typed.
    pub text: String,
    /// Where on the page.
    pub kind: Kind,
}

impl Found {
    pub(crate) fn new(file: &str, number: usize, text: &str, kind: Kind) -> Self {
        let text = text.trim().to_string();
        Self {
            file: file.to_string(),
            number,
            text,
            kind,
        }
    }
}

/// Returns what a person types of a line: not a remark that two or more blanks set apart.
pub(crate) fn typed(line: &str) -> String {
    let mut quote = None;
    let mut blanks = 0;
    for (at, mark) in line.char_indices() {
        match (quote, mark) {
            (None, ' ') => {
                blanks += 1;
                if blanks == 2 && at > 1 {
                    return line[..at - 1].to_string();
                }
                continue;
            }
            (None, '\'' | '"') => quote = Some(mark),
            (Some(open), mark) if open == mark => quote = None,
            _ => {}
        }
        blanks = 0;
    }
    line.to_string()
}

#[test]
fn a_remark_is_not_typed() {
    assert_eq!(typed("netbe init    # a pool"), "netbe init");
    assert_eq!(typed("netbe init -d 'a  b'  c"), "netbe init -d 'a  b'");
}
