//! Tables for people, and lines of tab-separated fields for scripts.

use comfy_table::Table;

/// Returns a table without borders; with `colour`, bold heads.
pub fn table(heads: &[&str], rows: &[Vec<String>], colour: bool) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    if !heads.is_empty() {
        table.set_header(heads);
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| super::clean(cell)));
    }
    // The first column at the margin, two spaces between columns.
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for (i, line) in table.to_string().lines().enumerate() {
        // Around the finished line: an escape sequence inside a cell would count as width.
        match colour && i == 0 && !heads.is_empty() {
            true => text.push_str(&format!("\x1b[1m{}\x1b[0m", line.trim_end())),
            false => text.push_str(line.trim_end()),
        }
        text.push('\n');
    }
    text
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
