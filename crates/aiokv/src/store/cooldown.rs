//! Whether a use is allowed, from the times of the last ones. Pure.

use serde_json::Value;

/// What a cooldown comes to.
#[derive(Debug, PartialEq)]
pub(crate) struct Decision {
    /// The text of the value to store, if it changes.
    pub(crate) store: Option<String>,
    /// How many seconds to wait; 0 if the use is taken.
    pub(crate) wait: f64,
}

/// Decides about a use at the time `now`, where `uses` are allowed in any time of the length
/// `window`, in seconds. `found` is the stored value. `None` if that is no time or list of times.
pub(crate) fn decide(found: Option<&str>, now: f64, window: f64, uses: usize) -> Option<Decision> {
    let stored = found.map_or(Some(Vec::new()), times)?;
    // Times in the future were stored before the clock went back.
    let mut times: Vec<f64> = stored.iter().map(|time| time.min(now)).collect();
    let clock_went_back = times != stored;
    times.retain(|time| time + window > now);
    let in_the_way = times.len().checked_sub(uses).and_then(|index| times.get(index));
    let wait = match in_the_way {
        _ if uses == 0 => window,
        Some(oldest) => oldest + window - now,
        None => {
            times.push(now);
            0.0
        }
    };
    let changes = wait == 0.0 || clock_went_back;
    Some(Decision { store: changes.then(|| spell(&times, uses)), wait })
}

/// The times that a value stands for, in order.
fn times(text: &str) -> Option<Vec<f64>> {
    let times = match serde_json::from_str(text).ok()? {
        Value::Number(time) => Some(vec![time.as_f64()?]),
        Value::Array(times) => times.iter().map(Value::as_f64).collect(),
        _ => None,
    };
    times.map(|mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times
    })
}

/// The last `uses` times to the millisecond: one as a number, several as a list.
fn spell(times: &[f64], uses: usize) -> String {
    let last = &times[times.len().saturating_sub(uses)..];
    let spelled: Vec<_> = last.iter().map(|time| format!("{time:.3}")).collect();
    match (uses, &spelled[..]) {
        (..=1, [time]) => time.clone(),
        _ => format!("[{}]", spelled.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_use_in_a_window() {
        let first = decide(None, 100.0, 10.0, 1).expect("allowed");
        assert_eq!(first, Decision { store: Some("100.000".to_owned()), wait: 0.0 });
        assert_eq!(decide(Some("100.000"), 104.0, 10.0, 1).expect("a time").wait, 6.0);
        let next = decide(Some("100.000"), 110.0, 10.0, 1).expect("a time");
        assert_eq!(next, Decision { store: Some("110.000".to_owned()), wait: 0.0 });
        assert_eq!(decide(Some("100"), 104.0, 10.0, 1).expect("of `set`").wait, 6.0);
    }

    #[test]
    fn several_uses_in_any_window() {
        let mut text = None;
        let mut waits = Vec::new();
        for now in [0.0, 1.0, 2.0, 3.0, 10.5, 10.75, 11.5, 12.5] {
            let decision = decide(text.as_deref(), now, 10.0, 3).expect("times");
            waits.push(decision.wait);
            text = decision.store.or(text);
        }
        assert_eq!(waits, [0.0, 0.0, 0.0, 7.0, 0.0, 0.25, 0.0, 0.0]);
        assert_eq!(text.as_deref(), Some("[10.500, 11.500, 12.500]"));
    }

    #[test]
    fn a_clock_that_went_back_locks_out_for_one_window_at_most() {
        let decision = decide(Some("1000000.0"), 100.0, 10.0, 1).expect("a time");
        assert_eq!(decision, Decision { store: Some("100.000".to_owned()), wait: 10.0 });
        assert_eq!(decide(Some("100.000"), 110.0, 10.0, 1).expect("a time").wait, 0.0);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["\"a\"", "null", "[1, \"a\"]", "{}"] {
            assert_eq!(decide(Some(text), 0.0, 1.0, 1), None, "{text}");
        }
    }
}
