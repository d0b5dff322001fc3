//! The table of entries that a person sees.

use aiokv::binding::Entry;
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Row, Table, Width,
};

use super::text::{age, age_seconds, characters, harmless, type_name};

/// How much of the width the keys may take.
const KEY_PERCENTAGE_MAX: u16 = 50;

/// Entries as lines of `width` characters: key, type, age where the value is a time, value. What
/// does not fit is cut.
pub(crate) fn entries<'entry>(
    entries: impl IntoIterator<Item = &'entry Entry>,
    width: u16,
) -> String {
    let rows: Vec<_> = entries.into_iter().map(|entry| (entry, age_of(entry))).collect();
    let has_ages = rows.iter().any(|(_, age)| age.is_some());
    let mut table = plain(width);
    let mut titles = vec!["KEY", "TYPE", "AGE", "VALUE"];
    if !has_ages {
        titles.remove(2);
    }
    table.set_header(titles.iter().map(|title| Cell::new(title).add_attribute(Attribute::Dim)));
    for (entry, age) in rows {
        let value = entry.value_text();
        let key = characters(entry.key_text());
        let mut row = Row::new();
        row.max_height(1);
        row.add_cell(Cell::new(cut(&harmless(&key), width)).add_attribute(Attribute::Bold));
        row.add_cell(Cell::new(type_name(value)).add_attribute(Attribute::Dim));
        if has_ages {
            let age = Cell::new(age.unwrap_or_default()).fg(Color::Yellow);
            row.add_cell(age.set_alignment(CellAlignment::Right));
        }
        row.add_cell(Cell::new(harmless(cut(value, width))).fg(color(value)));
        table.add_row(row);
    }
    let last = table.column_count() - 1;
    for index in 0..last {
        let column = table.column_mut(index).expect("there are that many");
        column.set_constraint(match index {
            0 => ColumnConstraint::UpperBoundary(Width::Percentage(KEY_PERCENTAGE_MAX)),
            _ => ColumnConstraint::ContentWidth,
        });
    }
    table.trim_fmt() + "\n"
}

/// A table without lines, of this width.
pub(crate) fn plain(width: u16) -> Table {
    let mut table = Table::new();
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        // Whoever prints it takes colours out that are not wanted.
        .enforce_styling();
    table
}

fn age_of(entry: &Entry) -> Option<String> {
    age_seconds(entry.value_text()).map(age)
}

fn color(value_text: &str) -> Color {
    match type_name(value_text) {
        "string" => Color::Green,
        "number" => Color::Cyan,
        "boolean" | "null" => Color::Magenta,
        _ => Color::Reset,
    }
}

/// At least as much of a text as fits into `width` characters, so that arranging the table costs
/// what is shown and not what is stored.
fn cut(text: &str, width: u16) -> &str {
    match text.char_indices().nth(usize::from(width) + 1) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
