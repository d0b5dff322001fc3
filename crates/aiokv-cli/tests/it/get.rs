//! `get`.

use crate::support::*;

#[test]
fn get_prints_the_value_as_it_is_spelled() {
    let fixture = Fixture::with_file(PECULIAR);
    for (key, value) in [
        ("café", r#""\u00e9\/\ud83d\ude00""#),
        ("big", "123456789012345678901234567890"),
        ("float", "1.50E+2"),
        ("spaced", "[1,  2 ]"),
        ("surrogate", r#""a\ud800b""#),
    ] {
        expect(fixture.run("get", &[key]), |it| it.is_success_with(&format!("{value}\n")));
    }
}

#[test]
fn get_raw_prints_a_string_without_quotes_and_escapes() {
    let fixture = Fixture::with_file(PECULIAR);
    expect(fixture.run("get", &["café", "--raw"]), |it| it.is_success_with("é/😀\n"));
}

#[test]
fn get_raw_prints_any_other_value_like_get() {
    let fixture = Fixture::with_file(PECULIAR);
    expect(fixture.run("get", &["spaced", "--raw"]), |it| it.is_success_with("[1,  2 ]\n"));
}

#[test]
fn get_of_a_missing_key_is_silent_and_has_status_1() {
    let silent = Outcome { status: Some(1), stdout: String::new(), stderr: String::new() };
    assert_eq!(Fixture::with_file(PECULIAR).run("get", &["absent"]), silent);
    assert_eq!(Fixture::without_file().run("get", &["absent"]), silent);
}
