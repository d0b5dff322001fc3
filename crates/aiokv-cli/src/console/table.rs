//! Tables for a person: columns under titles, no lines, one line a row, cut to the width.

use aiokv::binding::Entry;
use comfy_table::presets::NOTHING;
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Row, Table,
};

use super::text::{age, age_seconds, characters, cut, harmless, type_name};

/// What stands between two columns.
const PADDING: (u16, u16) = (0, 2);

/// Entries as lines of `width` columns: key, type, age where the value is a time, value.
pub(crate) fn entries<'entry>(
    entries: impl IntoIterator<Item = &'entry Entry>,
    width: u16,
) -> String {
    let rows: Vec<_> = entries.into_iter().map(|entry| (entry, age_of(entry))).collect();
    let has_ages = rows.iter().any(|(_, age)| age.is_some());
    let titles: &[&str] =
        if has_ages { &["KEY", "TYPE", "AGE", "VALUE"] } else { &["KEY", "TYPE", "VALUE"] };
    let width_max = usize::from(width);
    let rows = rows.into_iter().map(|(entry, age)| {
        let (key, value) = (characters(entry.key_text()), entry.value_text());
        // The rest is for the value. Of that, the table cuts more: this way arranging it costs what
        // is shown and not what is stored.
        let (shown_key, shown_value) = (cut(&key, width_max / 3), cut(value, width_max));
        let mut cells = vec![
            Cell::new(harmless(&shown_key)).add_attribute(Attribute::Bold),
            Cell::new(type_name(value)).add_attribute(Attribute::Dim),
        ];
        if has_ages {
            let age = Cell::new(age.unwrap_or_default()).fg(Color::DarkYellow);
            cells.push(age.set_alignment(CellAlignment::Right));
        }
        cells.push(Cell::new(harmless(&shown_value)).fg(color(value)));
        cells
    });
    table(titles, rows, width)
}

/// Rows of text under titles, or under none.
pub(crate) fn rows<const COLUMNS: usize>(
    titles: &[&str],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
    width: u16,
) -> String {
    let third = usize::from(width) / 3;
    let rows = rows.into_iter().map(|mut cells| {
        cells[0] = cut(&cells[0], third).into_owned();
        cells
    });
    table(titles, rows, width)
}

/// All columns but the last are as wide as what is in them.
fn table<R: Into<Row>>(titles: &[&str], rows: impl Iterator<Item = R>, width: u16) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        // Whoever prints it takes colours out that are not wanted.
        .enforce_styling();
    if !titles.is_empty() {
        table.set_header(titles.iter().map(|it| Cell::new(it).add_attribute(Attribute::Dim)));
    }
    for row in rows {
        let mut row = row.into();
        row.max_height(1);
        table.add_row(row);
    }
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        if index < last {
            column.set_padding(PADDING).set_constraint(ColumnConstraint::ContentWidth);
        } else {
            column.set_padding((0, 0));
        }
    }
    table.style_text_only();
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn age_of(entry: &Entry) -> Option<String> {
    age_seconds(entry.value_text()).map(age)
}

fn color(value_text: &str) -> Color {
    match type_name(value_text) {
        "string" => Color::DarkGreen,
        "number" => Color::DarkCyan,
        "boolean" | "null" => Color::DarkMagenta,
        _ => Color::Reset,
    }
}
