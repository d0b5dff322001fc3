//! `checkpoint`, and that no change leaves a journal behind.

use aiokv::{AioKv, Journal, Options};

use crate::support::*;

#[test]
fn checkpoint_brings_the_file_up_to_date() {
    let fixture = Fixture::with_journal();
    expect(fixture.run("checkpoint", &[]), Outcome::is_silent_success);
    assert_eq!(fixture.content(), THREE_ENTRIES);
    assert_eq!(fixture.names(), ["state.json"]);
    expect(fixture.run("checkpoint", &[]), Outcome::is_silent_success);
    assert_eq!(fixture.content(), THREE_ENTRIES);
}

#[test]
fn checkpoint_of_a_missing_or_hand_written_file_changes_nothing() {
    let fixture = Fixture::without_file();
    let outcome = fixture.run("checkpoint", &[]);
    expect(outcome, |it| it.status == Some(0) && it.stderr.contains("does not exist"));
    assert_eq!(fixture.names(), [""; 0]);
    let fixture = Fixture::with_file("{\"a\":1}");
    expect(fixture.run("checkpoint", &[]), Outcome::is_silent_success);
    assert_eq!(fixture.content(), "{\"a\":1}");
}

#[test]
fn checkpoint_works_beside_a_program_that_goes_on() {
    let fixture = Fixture::with_file(ONE_ENTRY);
    let options = Options::default().journal(Journal::Always).checkpoint_pace(0);
    let store = AioKv::with_options(fixture.path(), options).expect("a path");
    pollster::block_on(store.set("b", &2)).expect("it can be set");
    expect(fixture.run("checkpoint", &[]), Outcome::is_silent_success);
    assert_eq!(fixture.content(), THREE_ENTRIES.replace(",\n  \"c\": 3", ""));
    pollster::block_on(store.set("c", &3)).expect("it can be set");
    expect(fixture.show(), |it| it.is_success_with(THREE_ENTRIES));
    assert!(fixture.journal().exists());
    pollster::block_on(store.close()).expect("it can be closed");
    assert_eq!(fixture.content(), THREE_ENTRIES);
}

#[test]
fn a_change_of_a_large_file_leaves_no_journal() {
    let text = "x".repeat(100 << 10);
    let fixture = Fixture::with_file(&format!("{{\"text\": \"{text}\"}}"));
    for (command, arguments) in
        [("set", &["key", "1"][..]), ("set", &["key"]), ("delete", &["key"]), ("get", &["text"])]
    {
        expect(fixture.run(command, arguments), |it| it.status == Some(0) && it.stderr.is_empty());
        assert_eq!(fixture.names(), ["state.json"], "{command} {arguments:?}");
    }
    assert_eq!(fixture.content(), format!("{{\n  \"text\": \"{text}\"\n}}\n"));
}

#[test]
fn a_change_brings_a_file_up_to_date_with_the_journal_that_it_found() {
    let fixture = Fixture::with_journal();
    expect(fixture.run("set", &["c", "30"]), Outcome::is_silent_success);
    assert_eq!(fixture.content(), THREE_ENTRIES.replace('3', "30"));
    assert_eq!(fixture.names(), ["state.json"]);
}
