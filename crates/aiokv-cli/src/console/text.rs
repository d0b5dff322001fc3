//! JSON text as a person, or a program that wants plain text, gets to see it.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use unicode_width::UnicodeWidthChar;

use aiokv::binding::{decode_string, stored_time};

/// The characters of a JSON string. A lone surrogate, which a Python program can store and UTF-8
/// cannot express, has U+FFFD in its place.
pub(crate) fn characters(text: &str) -> Cow<'_, str> {
    match decode_string(text) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}

/// A value for `--raw`: the characters of a string, the text of anything else.
pub(crate) fn raw(value_text: &str) -> Cow<'_, str> {
    if value_text.starts_with('"') { characters(value_text) } else { value_text.into() }
}

/// Text with every character escaped that a terminal would obey instead of showing it. JSON stays
/// the same JSON.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(obeyed) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if obeyed(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write!(escaped, "\\u{unit:04x}").expect("a string takes everything");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped.into()
}

/// As much of a text as fits into `width` columns; what does not fit gives way to an ellipsis.
pub(crate) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    let mut columns = 0;
    let mut end_before_ellipsis = 0;
    for (at, character) in text.char_indices() {
        if columns < width {
            end_before_ellipsis = at;
        }
        columns += character.width().unwrap_or(0);
        if columns > width {
            return format!("{}…", &text[..end_before_ellipsis]).into();
        }
    }
    text.into()
}

/// Control characters, and those that change the direction of the text around them.
fn obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The name of a value's type, as JSON calls it.
pub(crate) fn type_name(value_text: &str) -> &'static str {
    match value_text.as_bytes().first() {
        Some(b'"') => "string",
        Some(b'[') => "array",
        Some(b'{') => "object",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// How long ago the time is that a value stands for, in seconds; negative for the future. `None`
/// for a value that hardly stands for a time.
pub(crate) fn age_seconds(value_text: &str) -> Option<f64> {
    // From 2001 on, and at most a year from now: smaller numbers count something, and larger ones
    // are identifiers.
    const EARLIEST: f64 = 1e9;
    const YEAR: f64 = 366.0 * 86_400.0;
    // A cheap look, before text is decoded that may be long.
    if !value_text.starts_with(|first: char| first.is_ascii_digit() || first == '[') {
        return None;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let time = stored_time(value_text)?;
    (EARLIEST..=now + YEAR).contains(&time).then_some(now - time)
}

/// An age in the largest unit that it has at least two of, such as `90 s`, `3 h` or `in 5 min`.
pub(crate) fn age(seconds: f64) -> String {
    const UNITS: [(&str, f64); 4] = [("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0)];
    let length = seconds.abs();
    let fits = |(_, unit): &&(&str, f64)| length >= 2.0 * unit;
    let (name, unit) = UNITS.iter().find(fits).unwrap_or(&UNITS[3]);
    let number = (length / unit).floor();
    if seconds <= -1.0 { format!("in {number} {name}") } else { format!("{number} {name}") }
}

/// A number of bytes as a person reads it.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_240_000 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// A number of entries in words.
pub(crate) fn entries(number: usize) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_in_the_largest_unit_that_it_has_two_of() {
        for (seconds, words) in [
            (0.4, "0 s"),
            (119.9, "119 s"),
            (120.0, "2 min"),
            (7200.0, "2 h"),
            (200_000.0, "2 d"),
            (-0.5, "0 s"),
            (-600.0, "in 10 min"),
        ] {
            assert_eq!(age(seconds), words);
        }
    }

    #[test]
    fn only_what_may_be_a_time_has_an_age() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        for time in [format!("{now}"), format!("[1, {now}.5]"), format!("{}", now + 3600)] {
            let seconds = age_seconds(&time).expect("a time");
            assert!((-3600.0..60.0).contains(&seconds), "{time}: {seconds}");
        }
        for text in ["41", "-1", "[1, 2]", "123456789012345678", "\"1700000000\"", "null", "NaN"] {
            assert_eq!(age_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_as_in_json() {
        assert_eq!(harmless("a\u{1b}[31m\n\u{9b}\u{202e}"), r"a\u001b[31m\u000a\u009b\u202e");
        assert!(matches!(harmless("日本 é \\ \""), Cow::Borrowed(_)));
    }

    #[test]
    fn a_text_is_cut_to_columns() {
        assert_eq!(cut("abcd", 4), "abcd");
        assert_eq!(cut("abcde", 4), "abc…");
        // Two columns each, so that one column stays empty.
        assert_eq!(cut("日本日", 4), "日…");
        assert_eq!(cut("日本", 4), "日本");
    }
}
