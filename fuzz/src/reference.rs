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

/// Checks that a valid file is in our own layout: one entry a line.
pub(crate) fn check_layout(text: &str) {
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
fn utf_16(text: &str) -> Vec<u16> {
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
