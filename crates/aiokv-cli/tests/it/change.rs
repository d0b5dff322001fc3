//! `set`, `add` and `increment`.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::*;

#[test]
fn set_keeps_the_spelling_of_the_value() {
    let fixture = Fixture::without_file();
    let value = r#"{"id": 123456789012345678901234567890,"at":1.50E+2,  "name":"\u00e9"}"#;
    expect(fixture.run("set", &["key", value]), Outcome::is_silent_success);
    assert_eq!(fixture.content(), format!("{{\n  \"key\": {value}\n}}\n"));
}

#[test]
fn set_keeps_the_other_entries_as_they_are() {
    let fixture = Fixture::with_file(PECULIAR);
    expect(fixture.run("set", &["big", "1"]), Outcome::is_silent_success);
    assert_eq!(fixture.content(), PECULIAR.replace("123456789012345678901234567890", "1"));
}

#[test]
fn set_string_stores_the_text() {
    let fixture = Fixture::without_file();
    let text = r#"say "42", café"#;
    expect(fixture.run("set", &["key", "--string", text]), Outcome::is_silent_success);
    expect(fixture.run("get", &["key", "--raw"]), |it| it.is_success_with(&format!("{text}\n")));
    expect(fixture.run("set", &["key", "42", "--string"]), Outcome::is_silent_success);
    expect(fixture.run("get", &["key"]), |it| it.is_success_with("\"42\"\n"));
}

#[test]
fn set_without_a_value_stores_the_time() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let fixture = Fixture::without_file();
    let before = now();
    expect(fixture.run("set", &["seen"]), Outcome::is_silent_success);
    let after = now();
    let seen = fixture.run("get", &["seen"]).stdout;
    let seen: u64 = seen.trim_end().parse().expect("a whole number");
    assert!((before..=after).contains(&seen), "{before} <= {seen} <= {after}");
}

#[test]
fn set_reads_json_from_standard_input() {
    let fixture = Fixture::without_file();
    let outcome = fixture.run_with_input("set", &["key", "-"], b"[\n  1.0,\n  2\n]\n");
    expect(outcome, Outcome::is_silent_success);
    expect(fixture.run("get", &["key"]), |it| it.is_success_with("[1.0, 2]\n"));
}

#[test]
fn set_string_reads_standard_input_without_its_last_line_feed() {
    let fixture = Fixture::without_file();
    let outcome = fixture.run_with_input("set", &["key", "-", "--string"], b"\none\n\n");
    expect(outcome, Outcome::is_silent_success);
    expect(fixture.run("get", &["key"]), |it| it.is_success_with("\"\\none\\n\"\n"));
}

#[test]
fn set_refuses_standard_input_that_is_not_utf_8() {
    let fixture = Fixture::with_file(PECULIAR);
    let outcome = fixture.run_with_input("set", &["key", "-", "--string"], b"caf\xe9");
    expect(outcome, |it| it.is_failure_with(USAGE, &["standard input", "UTF-8", "byte 3"]));
    assert_eq!(fixture.content(), PECULIAR);
}

#[test]
fn increment_refuses_a_sum_that_is_no_number() {
    let fixture = Fixture::with_file(r#"{"n": 1}"#);
    let told = "aiokv: the sum of 1 and 1e400 is too large for a float\n";
    expect(fixture.run("increment", &["n", "1e400"]), |it| {
        it.status == Some(USAGE) && it.stderr == told
    });
    assert_eq!(fixture.content(), r#"{"n": 1}"#);
}

#[test]
fn set_refuses_what_is_not_json_and_names_the_way_out() {
    let fixture = Fixture::with_file(PECULIAR);
    for value in ["ping", "", "NaN", "1 2", "[1,]", "'a'"] {
        let outcome = fixture.run("set", &["key", value]);
        expect(outcome, |it| it.is_failure_with(USAGE, &["not JSON", "--string"]));
    }
    assert_eq!(fixture.content(), PECULIAR);
}

#[test]
fn set_refuses_what_no_reader_would_take() {
    let fixture = Fixture::with_file(PECULIAR);
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let too_deep = nested(aiokv::MAX_DEPTH + 1);
    expect(fixture.run("set", &["key", &too_deep]), |it| it.is_failure_with(USAGE, &["nested"]));
    assert_eq!(fixture.content(), PECULIAR);
    let deep = nested(aiokv::MAX_DEPTH);
    expect(fixture.run("set", &["key", &deep]), Outcome::is_silent_success);
    expect(fixture.run("get", &["key"]), |it| it.is_success_with(&format!("{deep}\n")));
}

#[test]
fn negative_numbers_are_no_options() {
    let fixture = Fixture::without_file();
    expect(fixture.run("set", &["-1001", "-1.5e3"]), Outcome::is_silent_success);
    expect(fixture.run("get", &["-1001"]), |it| it.is_success_with("-1.5e3\n"));
    expect(fixture.run("delete", &["-1001"]), |it| it.is_success_with("1\n"));
    assert_eq!(fixture.content(), "{}\n");
}

#[test]
fn a_change_without_fsync_is_a_change() {
    let fixture = Fixture::without_file();
    expect(fixture.run("set", &["key", "1", "--no-fsync"]), Outcome::is_silent_success);
    assert_eq!(fixture.content(), "{\n  \"key\": 1\n}\n");
}
