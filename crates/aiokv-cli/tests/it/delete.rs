//! `delete` and `clear`.

use crate::support::*;

#[test]
fn delete_removes_one_entry_and_leaves_the_others_as_they_are() {
    let fixture = Fixture::with_file(PECULIAR);
    expect(fixture.run("delete", &["float"]), |it| it.is_success_with("1\n"));
    assert_eq!(fixture.content(), PECULIAR.replace("  \"float\": 1.50E+2,\n", ""));
}

#[test]
fn delete_of_a_missing_key_succeeds() {
    let fixture = Fixture::with_file(PECULIAR);
    expect(fixture.run("delete", &["absent"]), |it| it.is_success_with("0\n"));
    assert_eq!(fixture.content(), PECULIAR);
}

#[test]
fn clear_removes_the_file_and_leaves_nothing() {
    let fixture = Fixture::with_file(PECULIAR);
    expect(fixture.run("clear", &["--yes"]), Outcome::is_silent_success);
    assert_eq!(fixture.names(), [""; 0]);
    expect(fixture.run("clear", &["--yes"]), Outcome::is_silent_success);
}

#[test]
fn clear_removes_a_corrupt_file() {
    let fixture = Fixture::with_file("{\"a\": ");
    expect(fixture.run("clear", &["--yes"]), Outcome::is_silent_success);
    assert_eq!(fixture.names(), [""; 0]);
}
