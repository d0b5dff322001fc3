//! `check`.

use std::fs;

use crate::support::*;

#[test]
fn check_counts_the_entries() {
    for (content, entries) in [(PECULIAR, 6), ("{\"a\": 1}", 1), ("{}", 0)] {
        let outcome = Fixture::with_file(content).run("check", &[]);
        let bytes = content.len();
        let json = format!(
            "{{\"ok\":true,\"exists\":true,\"entries\":{entries},\"bytes\":{bytes},\"journal\":null}}\n"
        );
        expect(outcome, |it| it.is_success_with(&json));
    }
}

#[test]
fn check_tells_a_missing_file_from_an_empty_one() {
    let outcome = Fixture::without_file().run("check", &[]);
    expect(outcome, |it| {
        it.status == Some(0)
            && it.stdout.contains("\"exists\":false")
            && it.stderr.contains("does not exist")
    });
}

#[test]
fn check_tells_of_a_journal_and_changes_nothing() {
    let fixture = Fixture::with_journal();
    let before = (fixture.content(), fs::read(fixture.journal()).expect("it is there"));
    let outcome = fixture.run("check", &[]);
    expect(outcome, |it| {
        it.is_success_with(
            "{\"ok\":true,\"exists\":true,\"entries\":3,\"bytes\":13,\
             \"journal\":{\"bytes\":4096,\"ahead\":true}}\n",
        )
    });
    assert_eq!((fixture.content(), fs::read(fixture.journal()).expect("it is there")), before);
}
