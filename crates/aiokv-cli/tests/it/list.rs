//! `aiokv FILE`, `items`, `keys` and `count`.

use crate::support::*;

#[test]
fn get_and_show_print_numbers_that_json_does_not_have() {
    let fixture = Fixture::with_file("{\n  \"ratio\": NaN,\n  \"limit\": -Infinity\n}\n");
    expect(fixture.run("get", &["ratio"]), |it| it.is_success_with("NaN\n"));
    expect(fixture.run("get", &["limit", "--raw"]), |it| it.is_success_with("-Infinity\n"));
    expect(fixture.show(), |it| it.is_success_with(&fixture.content()));
}

#[test]
fn show_prints_the_file() {
    let fixture = Fixture::with_file(PECULIAR);
    expect(fixture.show(), |it| it.is_success_with(PECULIAR));
}

#[test]
fn show_lays_a_file_out_like_the_next_write_would() {
    let fixture = Fixture::with_file("\u{feff}{\"b\":2.0, \"a\":\r\n[1,\n2]}");
    let listed = "{\n  \"b\": 2.0,\n  \"a\": [1, 2]\n}\n";
    expect(fixture.show(), |it| it.is_success_with(listed));
    fixture.run("set", &["c", "3"]);
    assert_eq!(fixture.content(), listed.replace("]\n", "],\n  \"c\": 3\n"));
}

#[test]
fn show_of_an_empty_store_prints_an_empty_object() {
    expect(Fixture::without_file().show(), |it| {
        it.status == Some(0) && it.stdout == "{}\n" && it.stderr.contains("does not exist")
    });
    expect(Fixture::with_file("{ }").show(), |it| it.is_success_with("{}\n"));
}

#[test]
fn keys_prints_the_keys_in_their_order() {
    let keys = "café\nbig\nfloat\nspaced\nnan\nsurrogate\n";
    let fixture = Fixture::with_file(PECULIAR);
    expect(fixture.run("keys", &["--raw"]), |it| it.is_success_with(keys));
    expect(Fixture::without_file().run("keys", &["--raw"]), Outcome::is_silent_success);
}

#[test]
fn lone_surrogates_are_printed_as_replacement_characters() {
    let fixture = Fixture::with_file(r#"{"\ud800": 1, "text": "a\udfff"}"#);
    let keys = fixture.run("keys", &["--raw"]);
    expect(keys, |it| it.status == Some(0) && it.stdout.replace('\u{fffd}', "") == "\ntext\n");
    let text = fixture.run("get", &["text", "--raw"]);
    expect(text, |it| it.status == Some(0) && it.stdout.starts_with("a\u{fffd}"));
}
