//! Adds numbers that are JSON text.
//!
//! Ints are exact, however large; what a float takes part in is a float. Does not accept `NaN` and
//! infinities, neither as a summand nor as a sum: JSON has no spelling for them.

use num_bigint::BigInt;
use serde::de::IgnoredAny;

/// The sum of two JSON numbers. An int is a number without fraction and exponent; the sum of two is
/// an int of any size. Any other sum is a float, and is spelled as one.
///
/// `None` if one of them is not a number, or if the sum, or a summand as a float, is not finite.
pub(crate) fn add(a: &str, b: &str) -> Option<String> {
    if !is_number(a) || !is_number(b) {
        return None;
    }
    if is_int(a) && is_int(b) { add_ints(a, b) } else { add_floats(a, b) }
}

/// Whether a text is a JSON number and nothing else.
pub(crate) fn is_number(text: &str) -> bool {
    let starts = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    // With white space around it, a text is JSON too.
    let ends = text.ends_with(|last: char| last.is_ascii_digit());
    starts && ends && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn is_int(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

fn add_ints(a: &str, b: &str) -> Option<String> {
    if let (Ok(a), Ok(b)) = (a.parse::<i128>(), b.parse::<i128>())
        && let Some(sum) = a.checked_add(b)
    {
        return Some(sum.to_string());
    }
    let sum = a.parse::<BigInt>().ok()? + b.parse::<BigInt>().ok()?;
    Some(sum.to_string())
}

fn add_floats(a: &str, b: &str) -> Option<String> {
    let sum = float(a)? + float(b)?;
    // serde_json would write `null` for what is not finite.
    sum.is_finite().then(|| serde_json::to_string(&sum).expect("a float is always JSON"))
}

fn float(number: &str) -> Option<f64> {
    let float = number.parse::<f64>().ok().filter(|float| float.is_finite())?;
    // The int `-0` is 0, which as a float has no sign.
    Some(if is_int(number) { float + 0.0 } else { float })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ints_of_any_size_are_added_exactly() {
        let sum = |a, b| add(a, b).expect("both are ints");
        assert_eq!(sum("1", "2"), "3");
        assert_eq!(sum("-1", "1"), "0");
        assert_eq!(sum("-0", "-0"), "0");
        assert_eq!(sum("9223372036854775807", "1"), "9223372036854775808");
        let largest = i128::MAX.to_string();
        assert_eq!(sum(&largest, "1"), "170141183460469231731687303715884105728");
        assert_eq!(sum("170141183460469231731687303715884105728", "-1"), largest);
        let nines = "9".repeat(5000);
        assert_eq!(sum(&nines, "1"), format!("1{}", "0".repeat(5000)));
        assert_eq!(sum(&nines, &format!("-{nines}")), "0");
    }

    #[test]
    fn a_sum_with_a_float_is_a_float() {
        let sum = |a, b| add(a, b).expect("both are numbers");
        assert_eq!(sum("1", "2.0"), "3.0");
        assert_eq!(sum("0.1", "0.2"), "0.30000000000000004");
        assert_eq!(sum("1e2", "1"), "101.0");
        assert_eq!(sum("5E-324", "0"), "5e-324");
        assert_eq!(sum("-0.0", "-0.0"), "-0.0");
        // As `-0 + -0.0` in Python.
        assert_eq!(sum("-0", "-0.0"), "0.0");
        assert_eq!(sum("9007199254740993", "0.0"), "9007199254740992.0");
        let large = sum("1e300", "0");
        assert!(!is_int(&large) && large.parse() == Ok(1e300));
    }

    #[test]
    fn what_is_not_a_finite_number_has_no_sum() {
        let texts = [
            "",
            "-",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "0x1",
            "1 ",
            " 1",
            "1 2",
            "1,2",
            "NaN",
            "Infinity",
            "-Infinity",
            "-NaN",
            "inf",
            "true",
            "null",
            "\"1\"",
            "[1]",
            "{}",
            "1_0",
            "１",
        ];
        for text in texts {
            assert!(!is_number(text), "{text:?}");
            assert_eq!(add(text, "1"), None, "{text:?}");
            assert_eq!(add("1", text), None, "{text:?}");
            assert_eq!(add("1.5", text), None, "{text:?}");
        }
        assert_eq!(add("1e308", "1e308"), None);
        assert_eq!(add("1e999", "-1"), None);
        assert_eq!(add(&"9".repeat(400), "0.5"), None);
        assert!(add(&"9".repeat(400), "5").is_some());
    }

    proptest! {
        #[test]
        fn ints_agree_with_i128(a: i64, b: i64, shift in 0_u32..63) {
            let (a, b) = (i128::from(a) << shift, i128::from(b) << shift);
            prop_assert_eq!(add(&a.to_string(), &b.to_string()), Some((a + b).to_string()));
        }

        #[test]
        fn large_ints_agree_with_small_ones(a: i64, b: i64, zeros in 0_usize..60) {
            let zeros = "0".repeat(zeros);
            let spelled = |number: i128| match number {
                0 => "0".to_owned(),
                _ => format!("{number}{zeros}"),
            };
            let (a, b) = (i128::from(a), i128::from(b));
            prop_assert_eq!(add(&spelled(a), &spelled(b)), Some(spelled(a + b)));
        }

        #[test]
        fn floats_agree_with_f64(
            a in any::<f64>().prop_filter("finite", |it| it.is_finite()),
            b in any::<f64>().prop_filter("finite", |it| it.is_finite()),
        ) {
            let sum = add(&format!("{a:?}"), &format!("{b:?}"));
            match (a + b).is_finite() {
                true => {
                    let sum = sum.expect("it is finite");
                    prop_assert!(is_number(&sum) && !is_int(&sum));
                    let read: f64 = sum.parse().expect("it is a number");
                    prop_assert_eq!(read.to_bits(), (a + b).to_bits());
                }
                false => prop_assert_eq!(sum, None),
            }
        }

        #[test]
        fn ints_and_floats_agree_with_f64(a: i64, b in -1e300..1e300) {
            let sum = add(&a.to_string(), &format!("{b:?}")).expect("it is finite");
            prop_assert!(!is_int(&sum));
            prop_assert_eq!(sum.parse(), Ok(a as f64 + b));
        }
    }
}
