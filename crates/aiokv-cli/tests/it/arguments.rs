//! The grammar.

use std::fs;
use std::process::Command;

use crate::support::*;

#[test]
fn arguments_that_make_no_sense_have_status_2() {
    let fixture = Fixture::without_file();
    for (command, arguments) in [
        ("get", &[][..]),
        ("set", &["key", "--string"]),
        ("set", &["key", "1", "2"]),
        ("keys", &["--values"]),
        ("check", &["--lock-timeout", "soon"]),
        ("check", &["--lock-timeout", "inf"]),
        ("check", &["--lock-timeout=-1"]),
        ("unset", &[]),
    ] {
        let outcome = fixture.run(command, arguments);
        expect(outcome, |it| it.status == Some(2) && it.stdout.is_empty() && !it.stderr.is_empty());
    }
    assert_eq!(fixture.names(), [""; 0]);
}

#[test]
fn a_word_that_is_no_verb_is_a_file() {
    let fixture = Fixture::with_file(ONE_ENTRY);
    expect(fixture.show(), |it| it.is_success_with(ONE_ENTRY));
    fs::write(fixture.path().with_file_name("get"), THREE_ENTRIES).expect("a new file");
    let outcome = run(fixture.words(&["./get"]));
    expect(outcome, |it| it.is_success_with(THREE_ENTRIES));
}

#[test]
fn what_is_neither_a_verb_nor_alone_is_refused() {
    let fixture = Fixture::with_file(ONE_ENTRY);
    for (words, told) in [
        (&["gte", "state.json", "a"][..], "`gte` is no verb"),
        (&["state.json", "a"], "`state.json` is no verb"),
        (&["state.json", "get", "a"], "Usage: aiokv get <FILE> <KEY>"),
        (&["state.json", "get", "state.json", "a"], "the verb comes before `state.json`"),
        (&["--json"], "which store?"),
    ] {
        let outcome = run(fixture.words(words));
        expect(outcome, |it| it.status == Some(2) && it.stderr.contains(told));
    }
}

#[test]
fn no_words_at_all_ask_for_help() {
    let outcome = run(Fixture::without_file().words(&[]));
    expect(outcome, |it| it.status == Some(2) && it.stderr.contains("aiokv VERB FILE"));
}

#[test]
fn while_the_environment_names_a_store_verbs_take_no_file() {
    let fixture = Fixture::with_file(ONE_ENTRY);
    let named = |words: &[&str]| {
        let mut command = fixture.words(words);
        run_command(command.env("AIOKV_PATH", fixture.path()))
    };
    expect(named(&["get", "a"]), |it| it.is_success_with("1\n"));
    expect(named(&["set", "b", "2"]), Outcome::is_silent_success);
    expect(named(&["set", "c", "3"]), Outcome::is_silent_success);
    expect(named(&[]), |it| it.is_success_with(THREE_ENTRIES));
    expect(named(&["delete", "b"]), |it| it.is_success_with("1\n"));
    expect(named(&["count"]), |it| it.is_success_with("2\n"));
    // A file without a verb is still one to show.
    expect(named(&["other.json"]), |it| it.stdout == "{}\n");
    expect(named(&["increment", "state.json", "a", "1"]), |it| {
        it.status == Some(2) && it.stderr.contains("AIOKV_PATH is set")
    });
}

#[test]
fn a_name_in_the_environment_that_is_empty_counts_as_none() {
    let fixture = Fixture::with_file(ONE_ENTRY);
    let mut command = fixture.words(&["get", "state.json", "a"]);
    expect(run_command(command.env("AIOKV_PATH", "")), |it| it.is_success_with("1\n"));
}

fn run(mut command: Command) -> Outcome {
    run_command(&mut command)
}

fn run_command(command: &mut Command) -> Outcome {
    command.output().expect("the binary starts").into()
}
