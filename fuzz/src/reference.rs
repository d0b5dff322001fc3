//! What a file means, found out in the simplest way that only asks serde_json.
//!
//! serde_json judges the syntax, and takes values apart one level at a time. Where the engine takes
//! more than serde_json does, this is done here in another way than there:
//!
//! - A byte order mark is cut off.
//! - `NaN`, `Infinity` and `-Infinity` are accepted where serde_json, having read everything
//!   before, says that it expected a value.
//! - Lone surrogates in strings pass, because keys are compared as UTF-16.

use std::collections::HashMap;
use std::fmt;

use aiokv::MAX_DEPTH;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One entry of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The key in UTF-16, which has lone surrogates too.
    pub(crate) key: Vec<u16>,
    /// The key as it is spelled, with its quotes.
    pub(crate) key_text: String,
    /// The value with every token as it is spelled and no white space between tokens.
    pub(crate) value: String,
}

/// Why a content is not a valid file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// It is not UTF-8, or has NUL bytes. Such damage is reported before anything else, at the
    /// first byte of it.
    NotText {
        /// The offset of that byte.
        position: usize,
    },
    /// It is not one JSON object within the limit of depth.
    NotAnObject,
}

/// The entries of a file, each key once, with its last value and spelling at its first place.
pub(crate) fn read(content: &[u8]) -> Result<Vec<Entry>, Rejection> {
    let text = str::from_utf8(content)
        .map_err(|error| Rejection::NotText { position: error.valid_up_to() })?;
    if let Some(position) = text.find('\0') {
        return Err(Rejection::NotText { position });
    }
    let source = Source::new(text);
    let pairs = source.pairs(&source.masked);
    assert_eq!(pairs.is_some(), source.is_strict_object(), "serde_json disagrees with itself");
    let mut entries: Vec<Entry> = Vec::new();
    let mut places = HashMap::new();
    for (key, value) in pairs.ok_or(Rejection::NotAnObject)? {
        let value = source.tokens(value, MAX_DEPTH).ok_or(Rejection::NotAnObject)?;
        let entry = Entry { key: utf_16(key), key_text: key.to_owned(), value };
        let place = *places.entry(entry.key.clone()).or_insert(entries.len());
        match entries.get_mut(place) {
            Some(first) => *first = entry,
            None => entries.push(entry),
        }
    }
    Ok(entries)
}

/// The tokens of a single value, as in [`Entry::value`]; `None` if it is nested too deep or no
/// JSON.
pub(crate) fn read_value(text: &str) -> Option<String> {
    serde_json::from_str::<&RawValue>(text).ok()?;
    let source = Source::new(text);
    source.tokens(source.masked.trim_ascii(), MAX_DEPTH)
}

/// The tokens of a value that is known to be valid, be it JSON or not finite.
pub(crate) fn tokens(text: &str) -> String {
    let file = format!("{{\"\": {text}}}");
    let entries = read(file.as_bytes()).expect("a value within the limit of depth");
    let [entry] = &entries[..] else { unreachable!("one key, one entry") };
    entry.value.clone()
}

/// A key in UTF-16, given its WTF-8: UTF-8 in which lone surrogates have the three bytes that UTF-8
/// would give them.
pub(crate) fn utf_16_of_key(key: &[u8]) -> Vec<u16> {
    let mut units = Vec::new();
    let mut rest = key;
    while !rest.is_empty() {
        let valid = rest.utf8_chunks().next().expect("not empty").valid();
        units.extend(valid.encode_utf16());
        rest = &rest[valid.len()..];
        if let [first @ 0xed, second, third, ..] = rest {
            let bits = |byte: u8, mask: u8| u16::from(byte & mask);
            units.push(bits(*first, 0xf) << 12 | bits(*second, 0x3f) << 6 | bits(*third, 0x3f));
            rest = &rest[3..];
        } else {
            assert!(rest.is_empty(), "not WTF-8: {key:?}");
        }
    }
    units
}

/// The WTF-8 of a key that is a JSON string.
pub(crate) fn key_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for unit in char::decode_utf16(utf_16(text)) {
        match unit {
            Ok(character) => bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(lone) => {
                let [high, low] = lone.unpaired_surrogate().to_be_bytes();
                bytes.extend([
                    0xe0 | high >> 4,
                    0x80 | (high & 0xf) << 2 | low >> 6,
                    0x80 | low & 0x3f,
                ]);
            }
        }
    }
    bytes
}

/// The time that a value stands for: a number, or the last one of a list of numbers.
pub(crate) fn time(text: &str) -> Option<f64> {
    let number = |text: &str| {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.filter(|_| text.starts_with(|first: char| first == '-' || first.is_ascii_digit()))
    };
    let Some(list) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return number(text);
    };
    list.split(',').map(number).collect::<Option<Vec<_>>>()?.last().copied()
}

/// What two numbers come to.
#[derive(Debug)]
pub(crate) enum Sum {
    /// The digits, if both are ints.
    Int(String),
    Float(f64),
}

/// The sum of two values, if both are numbers and the sum is finite.
pub(crate) fn sum(a: &str, b: &str) -> Option<Sum> {
    let is_number = |text: &str| serde_json::from_str::<serde_json::Number>(text).is_ok();
    // As a float, an int may be too large for serde_json, and for a sum with a float.
    let float = |text: &str| text.parse::<f64>().ok().filter(|it| it.is_finite());
    let is_int = |text: &str| text.trim_start_matches('-').bytes().all(|it| it.is_ascii_digit());
    let is_value = |text: &str| serde_json::from_str::<&RawValue>(text).is_ok();
    if is_int(a) && is_int(b) {
        return (is_value(a) && is_value(b)).then(|| Sum::Int(add_digits(a, b)));
    }
    let is_float = |text: &str| is_number(text) || is_int(text) && is_value(text);
    if !is_float(a) || !is_float(b) {
        return None;
    }
    // The int -0 is 0.
    let float = |text: &str| Some(float(text)? + if is_int(text) { 0.0 } else { -0.0 });
    let sum = float(a)? + float(b)?;
    sum.is_finite().then_some(Sum::Float(sum))
}

/// Adds ints as one does on paper.
fn add_digits(a: &str, b: &str) -> String {
    // The lowest digit comes first, and every digit has the sign of its number.
    let digits = |text: &str| -> Vec<i8> {
        let sign = if text.starts_with('-') { -1 } else { 1 };
        text.bytes().rev().filter(u8::is_ascii_digit).map(|it| sign * (it - b'0') as i8).collect()
    };
    let (a, b) = (digits(a), digits(b));
    let digit = |of: &[i8], place: usize| of.get(place).copied().unwrap_or(0);
    let mut sums: Vec<i8> =
        (0..=a.len().max(b.len())).map(|place| digit(&a, place) + digit(&b, place)).collect();
    // The highest digit that is not 0 says which sign all of them get.
    let sign = sums.iter().rev().find(|digit| **digit != 0).map_or(1, |digit| digit.signum());
    let mut carry = 0;
    for sum in &mut sums {
        let total = *sum * sign + carry;
        (*sum, carry) = (total.rem_euclid(10), total.div_euclid(10));
    }
    let digits: String = sums.iter().rev().map(|digit| char::from(b'0' + *digit as u8)).collect();
    let digits = match digits.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    format!("{}{digits}", if sign < 0 { "-" } else { "" })
}

/// Checks that a valid file is in our own layout: one entry a line. A file that took the place of one
/// with the same entries, beside a journal, has one more line feed at its end.
pub(crate) fn check_layout(text: &str) {
    let text = if text.ends_with("\n\n") { &text[..text.len() - 1] } else { text };
    let source = Source::new(text);
    let pairs = source.pairs(&source.masked).expect("a valid file");
    let line = |(key, value)| {
        let value = source.original(value);
        assert!(!value.contains(['\n', '\r']), "a value on several lines: {value:?}");
        format!("  {key}: {value}")
    };
    let layout = match &pairs.into_iter().map(line).collect::<Vec<_>>()[..] {
        [] => "{}\n".to_owned(),
        lines => format!("{{\n{}\n}}\n", lines.join(",\n")),
    };
    assert_eq!(text, layout, "not our layout");
}

/// Whether the text can be continued so that it is JSON.
pub(crate) fn is_beginning(text: &str) -> bool {
    let cut_off_names = MASKS.into_iter().flat_map(|(name, ..)| {
        let cuts = (1..name.len()).map(|length| name.split_at(length));
        cuts.filter(|(begun, _)| text.ends_with(begun)).map(|(_, rest)| format!("{text}{rest}"))
    });
    let mut candidates = cut_off_names.chain([text.to_owned()]);
    candidates.any(|text| match serde_json::from_str::<&RawValue>(&Source::new(&text).masked) {
        Ok(_) => true,
        // It does not wait for the digits of a number.
        Err(error) if error.to_string().starts_with("invalid number") => {
            text.ends_with(['-', '+', '.', 'e', 'E'])
        }
        Err(error) => error.is_eof(),
    })
}

/// A text, and the same text as serde_json is shown it.
struct Source<'text> {
    text: &'text str,
    /// The text with strings of the same length in place of numbers that are not finite.
    masked: String,
}

/// Masks are strings, so that nothing can be added to them to make another token.
const MASKS: [(&str, &str, &str); 3] = [
    ("NaN", "\"N\"", "expected value"),
    ("Infinity", "\"Infini\"", "expected value"),
    ("-Infinity", "\"-Infini\"", "invalid number"),
];

impl<'text> Source<'text> {
    fn new(text: &'text str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut masked = text.to_owned();
        while let Err(error) = serde_json::from_str::<&RawValue>(&masked) {
            let (lines, column) = (error.line().saturating_sub(1), error.column());
            let line_start: usize = masked.split_inclusive('\n').take(lines).map(str::len).sum();
            let found = MASKS.into_iter().find_map(|(name, mask, message)| {
                // serde_json has taken the sign when it finds that no digit follows.
                let start =
                    line_start + column.checked_sub(1 + usize::from(name.starts_with('-')))?;
                let rest = masked.get(start..)?;
                let fits = rest.starts_with(name) && error.to_string().starts_with(message);
                fits.then_some((start..start + name.len(), mask))
            });
            let Some((place, mask)) = found else { break };
            masked.replace_range(place, mask);
        }
        Self { text, masked }
    }

    /// The text that stands where this part of the masked text does.
    fn original(&self, part: &str) -> &'text str {
        let start = part.as_ptr().addr() - self.masked.as_ptr().addr();
        &self.text[start..start + part.len()]
    }

    /// The keys and values of an object, as parts of the masked text.
    fn pairs<'part>(&self, object: &'part str) -> Option<Vec<(&'part str, &'part str)>> {
        let Pairs(pairs) = serde_json::from_str(object).ok()?;
        Some(pairs)
    }

    /// The tokens of a value, which is a part of the masked text; `None` if it has more levels.
    fn tokens(&self, value: &str, levels: usize) -> Option<String> {
        match value.as_bytes()[0] {
            b'[' => {
                let deeper = levels.checked_sub(1)?;
                let items: Vec<&RawValue> = serde_json::from_str(value).expect("a list");
                let items: Option<Vec<_>> =
                    items.into_iter().map(|item| self.tokens(item.get(), deeper)).collect();
                Some(format!("[{}]", items?.join(",")))
            }
            b'{' => {
                let deeper = levels.checked_sub(1)?;
                let pairs = self.pairs(value).expect("an object").into_iter();
                let pair = |(key, value)| Some(format!("{key}:{}", self.tokens(value, deeper)?));
                Some(format!("{{{}}}", pairs.map(pair).collect::<Option<Vec<_>>>()?.join(",")))
            }
            _ => Some(self.original(value).to_owned()),
        }
    }

    /// Whether serde_json makes an object of the text with all its values, and not only of its
    /// outermost level. The values are checked by other code than unread ones are.
    fn is_strict_object(&self) -> bool {
        let mut text = self.masked.clone();
        // Any other escaped character in place of surrogates, which it accepts in pairs only.
        // After an escaped backslash this changes plain text, which does no harm.
        let mut position = 0;
        while let Some(found) = text[position..].find("\\u") {
            position += found + 2;
            let is_surrogate = text.get(position..position + 4).is_some_and(|digits| {
                u16::from_str_radix(digits, 16).is_ok_and(|unit| (0xd800..0xe000).contains(&unit))
            });
            if is_surrogate {
                text.replace_range(position..position + 4, "0041");
            }
        }
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(value) => value.is_object(),
            // Limits of its values, not of JSON.
            Err(error) => {
                let message = error.to_string();
                let limits = ["number out of range", "recursion limit exceeded"];
                limits.iter().any(|limit| message.starts_with(limit))
                    && self.pairs(&self.masked).is_some()
            }
        }
    }
}

/// The keys and values of an object as they are spelled, duplicates included.
struct Pairs<'text>(Vec<(&'text str, &'text str)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    pairs.push((key.get(), value.get()));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// What a JSON string that is known to be valid stands for.
pub(crate) fn utf_16(text: &str) -> Vec<u16> {
    let mut units = Vec::new();
    let mut rest = text[1..text.len() - 1].chars();
    while let Some(character) = rest.next() {
        let plain = match character {
            '\\' => match rest.next().expect("something is escaped") {
                'u' => {
                    let digits: String = rest.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).expect("four digits"));
                    continue;
                }
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                itself => itself,
            },
            plain => plain,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    units
}
