//! The place of damage in a file: its line, with a mark under the character.

use aiokv::Damaged;
use unicode_width::UnicodeWidthStr;

use super::text::harmless;

/// How many characters of the line are shown before and after the place.
const CHARACTERS_MAX: usize = 30;

/// The line with the place, and below it a mark.
pub(crate) fn shown(place: &Damaged) -> String {
    let line = place.excerpt.split('\n').next().unwrap_or_default();
    let characters = Vec::from_iter(line.trim_end_matches('\r').chars());
    let at = place.excerpt_offset.min(characters.len());
    let start = at.saturating_sub(CHARACTERS_MAX);
    let end = characters.len().min(at + CHARACTERS_MAX);
    let text = |from: usize, to: usize| String::from_iter(&characters[from..to]);
    // The excerpt itself may begin in the middle of the line.
    let is_whole_before = start == 0 && place.excerpt_offset + 1 == place.column;
    let before = if is_whole_before { "" } else { "..." }.to_owned() + &harmless(&text(start, at));
    let after = text(at, end);
    let rest = if end < characters.len() { "..." } else { "" };
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let indent = " ".repeat(before.width());
    let here = if after.is_empty() && !place.excerpt.contains('\n') { " the end" } else { "" };
    format!(
        "  {number} | {before}{after}{rest}\n  {margin} | {indent}^{here}",
        after = harmless(&after)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damaged(content: &str) -> Damaged {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.json");
        std::fs::write(&path, content).expect("a new file");
        let store = aiokv::blocking::AioKv::new(&path).expect("a path");
        match store.keys("") {
            Err(aiokv::Error::Corrupt(corruption)) => corruption.place.clone().expect("a place"),
            other => panic!("{content:?} is damaged, but {other:?}"),
        }
    }

    #[test]
    fn the_mark_is_under_the_place() {
        let place = damaged("{\n  \"a\": 1,\n  \"b\" 2\n}\n");
        assert_eq!(shown(&place), "  3 |   \"b\" 2\n    |       ^");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let place = damaged("{\"日本\" 2}");
        assert_eq!(shown(&place), "  1 | {\"日本\" 2}\n    |         ^");
    }

    #[test]
    fn a_long_line_is_cut_on_both_sides() {
        let spaces = " ".repeat(200);
        let shown = shown(&damaged(&format!("{{\"a\":{spaces}?{spaces}}}")));
        let spaces = " ".repeat(30);
        let margin = " ".repeat(33);
        let after = &spaces[1..];
        assert_eq!(shown, format!("  1 | ...{spaces}?{after}...\n    | {margin}^"));
    }

    #[test]
    fn the_end_of_the_file_is_called_so() {
        assert_eq!(shown(&damaged("{\"a\": ")), "  1 | {\"a\": \n    |       ^ the end");
    }

    #[test]
    fn nothing_is_obeyed_by_the_terminal() {
        assert_eq!(shown(&damaged("{\u{1b}[31m}")), "  1 | {\\u001b[31m}\n    |  ^");
    }
}
