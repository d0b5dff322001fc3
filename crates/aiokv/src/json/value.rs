//! Typed values as JSON text: what `set` accepts from Rust, and what `get` makes of it.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::ser::Formatter;

use crate::error::{Error, Result};
use crate::json::finite::Finite;
use crate::json::text::{MAX_DEPTH, too_deep};

/// The JSON text of a value, in the layout of Python's `json.dumps`.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    let mut text = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, Spaced);
    let tracked = serde_path_to_error::Serializer::new(Finite(&mut serializer), &mut track);
    if let Err(error) = value.serialize(tracked) {
        let path = track.path().to_string();
        let place = match path.as_str() {
            "." => "$".to_owned(),
            path if path.starts_with('[') => format!("${path}"),
            path => format!("$.{path}"),
        };
        return Err(Error::Refused { place, reason: error.to_string() });
    }
    let text = String::from_utf8(text).expect("serde_json writes UTF-8");
    if too_deep(&text).is_some() {
        let reason = format!("lists and objects may be nested at most {MAX_DEPTH} deep");
        return Err(Error::Refused { place: "$".to_owned(), reason });
    }
    Ok(text)
}

/// The text of a key: a JSON string.
pub(crate) fn encode_key(key: &str) -> String {
    serde_json::to_string(key).expect("a string is always JSON")
}

/// The value that a JSON text stands for.
pub(crate) fn decode<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    let mut decoder = serde_json::Deserializer::from_str(text);
    // The depth was limited when the text came in.
    decoder.disable_recursion_limit();
    let value = T::deserialize(&mut decoder)?;
    decoder.end()?;
    Ok(value)
}

/// One line with a space after every comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn values_are_spelled_like_python_spells_them() {
        let value = serde_json::json!({"a": [1, 2.5, null], "b": {"c": "é"}});
        assert_eq!(encode(&value).expect("JSON"), r#"{"a": [1, 2.5, null], "b": {"c": "é"}}"#);
    }

    #[test]
    fn a_refusal_names_the_place() {
        let value = BTreeMap::from([("history", vec![1.0, f64::NAN])]);
        let error = encode(&value).expect_err("not JSON").to_string();
        assert!(error.starts_with("$.history[1]: "), "{error}");
        let error = encode(&f32::INFINITY).expect_err("not JSON").to_string();
        assert!(error.starts_with("$: "), "{error}");
    }

    #[test]
    fn the_depth_limit_holds_for_storing() {
        fn nested(depth: usize) -> Box<serde_json::value::RawValue> {
            let text = "[".repeat(depth) + &"]".repeat(depth);
            serde_json::value::RawValue::from_string(text).expect("JSON")
        }
        let text = encode(&nested(MAX_DEPTH)).expect("deep enough");
        decode::<serde_json::Value>(&text).expect("what was stored can be read");
        assert!(encode(&nested(MAX_DEPTH + 1)).is_err());
    }
}
