//! When a stored value says that something happened.

use serde_json::Value;

/// The time that a value stands for, in seconds since 1970: the value of a number, or the last
/// number of a list of numbers. `None` for everything else.
pub fn stored_time(text: &str) -> Option<f64> {
    match serde_json::from_str(text).ok()? {
        Value::Number(number) => number.as_f64(),
        Value::Array(values) => {
            let times = values.iter().map(Value::as_f64).collect::<Option<Vec<_>>>()?;
            times.last().copied()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lists_of_numbers_are_times() {
        assert_eq!(stored_time("1700000000"), Some(1_700_000_000.0));
        assert_eq!(stored_time("1.5"), Some(1.5));
        assert_eq!(stored_time("[1, 2.5]"), Some(2.5));
        for text in ["[]", "\"1\"", "null", "true", "[1, null]", "{}", "NaN"] {
            assert_eq!(stored_time(text), None, "{text}");
        }
    }
}
