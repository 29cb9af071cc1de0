//! Tables for people, and lines of tab-separated fields for scripts.
//!
//! On a terminal no line is wider than the terminal: empty columns are left out, then others are shortened, in an order that
//! each table defines. Elsewhere nothing is shortened.

use comfy_table::{CellAlignment, Table};
use unicode_width::UnicodeWidthStr;

use crate::terminal::{beginning, is_harmful};

/// The number of blanks between two columns.
const BETWEEN: usize = 2;
/// The mark for omitted text.
const CUT: char = '…';

/// The properties of the output that answers are drawn for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether heads are bold.
    pub colour: bool,
    /// The width of the terminal in columns; `None` elsewhere.
    pub width: Option<usize>,
}

/// A step that makes a table narrower: a column, by its head, and its minimum width.
#[derive(Debug, Clone, Copy)]
pub enum Narrow {
    /// Cuts the end of its cells.
    End(&'static str, usize),
    /// Cuts the middle of its cells: their ends also differ.
    Middle(&'static str, usize),
    /// Cuts its cells at this width, without a mark: of a time the date remains.
    At(&'static str, usize),
    /// Leaves the column out.
    Without(&'static str),
}

/// The columns of a table.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// Their heads.
    pub heads: &'a [&'static str],
    /// The heads of columns with numbers, which are aligned to the right.
    pub numbers: &'a [&'static str],
    /// The heads of columns that are left out if all cells are empty or `-`.
    pub optional: &'a [&'static str],
    /// The steps for a table that is too wide, applied in this order until it fits.
    pub narrow: &'a [Narrow],
}

/// Returns a table without borders.
pub fn table(columns: Columns<'_>, mut rows: Vec<Vec<String>>, look: Look) -> String {
    for cell in rows.iter_mut().flatten() {
        if cell.contains(is_harmful) {
            *cell = super::clean(cell);
        }
    }
    let mut grid = Grid {
        heads: columns.heads.to_vec(),
        rows,
    };
    for head in columns.optional {
        if grid.says_nothing(head) {
            grid.drop(head);
        }
    }
    if let Some(width) = look.width {
        for step in columns.narrow {
            match grid.width().checked_sub(width) {
                None | Some(0) => break,
                Some(over) => grid.narrow(*step, over),
            }
        }
    }
    grid.draw(columns.numbers, look)
}

/// The heads and cells to be drawn.
struct Grid {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    fn at(&self, head: &str) -> Option<usize> {
        self.heads.iter().position(|found| *found == head)
    }

    fn says_nothing(&self, head: &str) -> bool {
        let at = self.at(head);
        at.is_some_and(|at| {
            let mut cells = self.rows.iter().map(|row| row[at].as_str());
            cells.all(|cell| cell.is_empty() || cell == "-")
        })
    }

    fn drop(&mut self, head: &str) {
        if let Some(at) = self.at(head) {
            self.heads.remove(at);
            self.rows.iter_mut().for_each(|row| drop(row.remove(at)));
        }
    }

    fn column(&self, at: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[at].width());
        cells.chain([self.heads[at].width()]).max().unwrap_or(0)
    }

    fn width(&self) -> usize {
        let columns: usize = (0..self.heads.len()).map(|at| self.column(at)).sum();
        columns + BETWEEN * self.heads.len().saturating_sub(1)
    }

    /// Makes the table narrower by `over` columns, or as many as the step can.
    fn narrow(&mut self, step: Narrow, over: usize) {
        let (head, least, cut): (_, _, fn(&str, usize) -> String) = match step {
            Narrow::Without(head) => return self.drop(head),
            Narrow::End(head, least) => (head, least, end),
            Narrow::Middle(head, least) => (head, least, middle),
            Narrow::At(head, least) => (head, least, |cell, _| cell.to_string()),
        };
        let Some(at) = self.at(head) else { return };
        let now = self.column(at);
        let width = now.saturating_sub(over).max(least).max(head.width());
        if let Narrow::At(_, least) = step {
            for row in &mut self.rows {
                row[at] = row[at].chars().take(least).collect();
            }
        }
        for row in self.rows.iter_mut().filter(|row| row[at].width() > width) {
            row[at] = cut(&row[at], width);
        }
    }

    fn draw(self, numbers: &[&str], look: Look) -> String {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        let right: Vec<bool> = self.heads.iter().map(|h| numbers.contains(h)).collect();
        if !self.heads.is_empty() {
            table.set_header(self.heads);
        }
        table.add_rows(self.rows);
        // The first column at the margin.
        for (column, is_right) in table.column_iter_mut().zip(right) {
            column.set_padding((0, BETWEEN as u16));
            if is_right {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text = String::new();
        for (i, line) in table.to_string().lines().enumerate() {
            let line = line.trim_end();
            let line = look
                .width
                .map_or(line.to_string(), |width| end(line, width));
            // The whole line is made bold: an escape sequence inside a cell would count as width.
            match look.colour && i == 0 {
                true => text.push_str(&format!("\x1b[1m{line}\x1b[0m")),
                false => text.push_str(&line),
            }
            text.push('\n');
        }
        text
    }
}

/// Returns the beginning of a text that is wider than this, with a mark for the rest.
pub fn end(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let cut = beginning(text, width.saturating_sub(1));
    format!("{}{CUT}", cut.trim_end())
}

fn middle(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let rest = width.saturating_sub(1);
    let backwards: String = text.chars().rev().collect();
    let last: String = beginning(&backwards, rest / 2).chars().rev().collect();
    format!("{}{CUT}{last}", beginning(text, rest - rest / 2))
}

/// Returns lines of fields with one tab between; `-` for an empty one.
pub fn tabbed(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for row in rows {
        for (i, field) in row.iter().enumerate() {
            if i > 0 {
                text.push('\t');
            }
            match field.is_empty() {
                true => text.push('-'),
                false => text.push_str(&super::clean(field)),
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: Columns<'static> = Columns {
        heads: &["NODE", "KERNEL", "SIZE", "CREATED", "TEXT"],
        numbers: &["SIZE"],
        optional: &["KERNEL", "TEXT"],
        narrow: &[
            Narrow::End("TEXT", 6),
            Narrow::At("CREATED", 10),
            Narrow::Middle("NODE", 5),
            Narrow::Without("TEXT"),
        ],
    };

    fn rows(all: &[[&str; 5]]) -> Vec<Vec<String>> {
        let row = |cells: &[&str; 5]| cells.iter().map(|c| (*c).to_string()).collect();
        all.iter().map(row).collect()
    }

    fn drawn(all: &[[&str; 5]], width: usize) -> String {
        let look = Look {
            colour: false,
            width: Some(width),
        };
        table(COLUMNS, rows(all), look)
    }

    #[test]
    fn empty_columns_are_left_out_and_the_others_are_shortened_in_order() {
        let all = [
            ["nog", "-", "9 B", "2026-11-30 11:09", "before the upgrade"],
            ["rack-with-a-name", "", "12 B", "2026-11-30 11:10", ""],
        ];
        assert_eq!(
            drawn(&all, 80),
            "NODE              SIZE  CREATED           TEXT\n\
             nog                9 B  2026-11-30 11:09  before the upgrade\n\
             rack-with-a-name  12 B  2026-11-30 11:10\n"
        );
        assert_eq!(
            drawn(&all, 54),
            "NODE              SIZE  CREATED           TEXT\n\
             nog                9 B  2026-11-30 11:09  before the…\n\
             rack-with-a-name  12 B  2026-11-30 11:10\n"
        );
        assert_eq!(
            drawn(&all, 36),
            "NODE        SIZE  CREATED     TEXT\n\
             nog          9 B  2026-11-30  befor…\n\
             rack-…name  12 B  2026-11-30\n"
        );
        assert_eq!(
            drawn(&all, 24),
            "NODE   SIZE  CREATED\n\
             nog     9 B  2026-11-30\n\
             ra…me  12 B  2026-11-30\n"
        );
    }

    #[test]
    fn where_there_is_no_terminal_everything_is_there() {
        let long = "x".repeat(300);
        let all = rows(&[["nog", "6.1", "9 B", "2026-11-30 11:09", &long]]);
        assert!(table(COLUMNS, all, Look::default()).contains(&long));
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(cells in proptest::collection::vec("[a-z日🙂é ]{0,40}", 10), width in 1..120usize) {
            let all: Vec<Vec<String>> = cells.chunks(5).map(<[String]>::to_vec).collect();
            let look = Look { colour: false, width: Some(width) };
            for line in table(COLUMNS, all, look).lines() {
                prop_assert!(line.width() <= width, "{line:?}");
            }
        }
    }
}
