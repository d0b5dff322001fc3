//! JSON text that stays text: what can be said about a value without building it.
//!
//! serde_json is the only judge of what is JSON. The helpers here walk over text that it accepted
//! or is about to judge, and know nothing but where strings begin and end.

use std::borrow::Cow;

/// How deeply lists and objects may be nested in a value: `[]` has depth 1.
///
/// One limit holds for storing and for loading, so whatever was stored can be read. It is what the
/// common JSON parsers accept without being told otherwise.
pub const MAX_DEPTH: usize = 128;

/// The bytes of `text` that stand outside of strings, with their positions.
fn outside_strings(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut in_string = false;
    let mut escaped = false;
    text.bytes().enumerate().filter(move |&(_, byte)| {
        if !in_string {
            in_string = byte == b'"';
            return !in_string;
        }
        if escaped {
            escaped = false;
        } else if byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            in_string = false;
        }
        false
    })
}

/// The position of the first bracket that exceeds [`MAX_DEPTH`].
pub(crate) fn too_deep(text: &str) -> Option<usize> {
    if !text.starts_with(['[', '{']) {
        return None;
    }
    // Most values have fewer brackets than the limit, those inside strings included.
    let opening = |byte: &u8| matches!(byte, b'[' | b'{');
    if text.as_bytes().iter().filter(|byte| opening(byte)).count() <= MAX_DEPTH {
        return None;
    }
    let mut depth = 0_usize;
    for (position, byte) in outside_strings(text) {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(position);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Whether the value stands on several lines. A line break inside a string is always escaped.
pub(crate) fn has_line_break(text: &str) -> bool {
    memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some()
}

/// The value on one line. A value that is on one line already keeps its spacing.
pub(crate) fn on_one_line(text: &str) -> Cow<'_, str> {
    if !has_line_break(text) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len());
    let mut copied = 0;
    for (position, byte) in outside_strings(text) {
        let spaced = matches!(byte, b',' | b':');
        if spaced || byte.is_ascii_whitespace() {
            let keep = position + usize::from(spaced);
            line.push_str(&text[copied..keep]);
            if spaced {
                line.push(' ');
            }
            copied = position + 1;
        }
    }
    line.push_str(&text[copied..]);
    Cow::Owned(line)
}

/// The tokens of a text that is JSON. Two texts that differ in white space only have the same.
pub fn without_white_space(text: &str) -> String {
    let mut tokens = String::with_capacity(text.len());
    let mut copied = 0;
    for (position, _) in outside_strings(text).filter(|(_, byte)| byte.is_ascii_whitespace()) {
        tokens.push_str(&text[copied..position]);
        copied = position + 1;
    }
    tokens.push_str(&text[copied..]);
    tokens
}

/// The text with `NaN`, `Infinity` and `-Infinity`, which Python's `json` writes although JSON
/// does not have them, replaced by numbers of the same length. Every position stays what it was.
pub(crate) fn mask_non_finite(text: &str) -> Cow<'_, str> {
    const MASKS: [(&str, &str); 3] =
        [("NaN", "0e0"), ("Infinity", "0.000000"), ("-Infinity", "-0.000000")];
    let occurs = |name: &str| memchr::memmem::find(text.as_bytes(), name.as_bytes()).is_some();
    if !occurs("NaN") && !occurs("Infinity") {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut copied = 0;
    let mut before = b'{';
    for (position, byte) in outside_strings(text) {
        // Only where a value may start, and only if that is all of it: `1NaN` and `NaN0` must not
        // become numbers.
        if matches!(before, b':' | b',' | b'[') && matches!(byte, b'N' | b'I' | b'-') {
            let rest = &text[position..];
            let ends = |name: &str| !rest[name.len()..].starts_with(is_part_of_number);
            let found = MASKS.iter().find(|(name, _)| rest.starts_with(name) && ends(name));
            if let Some((name, mask)) = found {
                masked.push_str(&text[copied..position]);
                masked.push_str(mask);
                copied = position + name.len();
            }
        }
        if !byte.is_ascii_whitespace() {
            before = byte;
        }
    }
    masked.push_str(&text[copied..]);
    Cow::Owned(masked)
}

fn is_part_of_number(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '+' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bracket_inside_a_string_has_no_depth() {
        let text = format!("[\"{}\\\"[\"]", "[".repeat(MAX_DEPTH));
        assert_eq!(too_deep(&text), None);
    }

    #[test]
    fn depth_is_allowed_up_to_the_limit() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(too_deep(&nested(MAX_DEPTH)), None);
        assert_eq!(too_deep(&nested(MAX_DEPTH + 1)), Some(MAX_DEPTH));
        assert_eq!(too_deep(&"[]".repeat(MAX_DEPTH + 1)), None);
    }

    #[test]
    fn a_value_over_several_lines_goes_on_one() {
        let text = "{\r\n  \"a b\\\"\" : [\n    1,\n    -2.50\n  ],\n  \"c\": {}\n}";
        assert_eq!(on_one_line(text), r#"{"a b\"": [1, -2.50], "c": {}}"#);
    }

    #[test]
    fn a_value_on_one_line_keeps_its_spacing() {
        assert!(matches!(on_one_line("[1,  2 ]"), Cow::Borrowed("[1,  2 ]")));
    }

    #[test]
    fn non_finite_numbers_are_masked_outside_of_strings_only() {
        let text = r#"{"NaN": NaN, "b": [-Infinity,Infinity], "c": " NaN"}"#;
        let masked = mask_non_finite(text);
        assert_eq!(masked, r#"{"NaN": 0e0, "b": [-0.000000,0.000000], "c": " NaN"}"#);
        assert_eq!(masked.len(), text.len());
    }

    #[test]
    fn a_part_of_another_token_is_not_masked() {
        let texts = ["[1NaN]", "[-NaN]", "[--Infinity]", "{NaN: 1}", "[NaN0]", "[-Infinity.5]"];
        for text in texts {
            let masked = mask_non_finite(text);
            assert!(serde_json::from_str::<serde_json::Value>(&masked).is_err(), "{text}");
        }
    }
}
