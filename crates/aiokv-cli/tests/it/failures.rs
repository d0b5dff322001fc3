//! What goes wrong, whatever the verb.

use std::fs;
use std::fs::File;
use std::process::Stdio;

use crate::support::*;

#[test]
fn reading_creates_nothing() {
    let fixture = Fixture::without_file();
    fixture.run("get", &["key"]);
    fixture.show();
    fixture.run("check", &[]);
    assert_eq!(fixture.names(), [""; 0]);
}

#[test]
fn everything_but_clear_fails_on_a_corrupt_file_and_leaves_it() {
    let damaged = "{\n  \"a\": 1,\n  \"b\" 2\n}\n";
    let fixture = Fixture::with_file(damaged);
    for (command, arguments) in [
        ("get", &["a"][..]),
        ("set", &["a", "2"]),
        ("set", &["a"]),
        ("set", &["a", "2", "--string"]),
        ("delete", &["a"]),
        ("items", &[]),
        ("keys", &[]),
        ("count", &[]),
        ("check", &[]),
        ("checkpoint", &[]),
    ] {
        let outcome = fixture.run(command, arguments);
        expect(outcome, |it| it.is_failure_with(DAMAGED, &["state.json", "line 3 column 7"]));
    }
    assert_eq!(fixture.content(), damaged);
}

#[test]
fn a_journal_without_its_file_is_an_error() {
    let fixture = Fixture::with_journal();
    fs::remove_file(fixture.path()).expect("it is there");
    for (command, arguments) in
        [("check", &[][..]), ("checkpoint", &[]), ("items", &[]), ("get", &["a"]), ("set", &["a"])]
    {
        let outcome = fixture.run(command, arguments);
        expect(outcome, |it| it.is_failure_with(DAMAGED, &["state.json.journal", "there is none"]));
    }
    assert_eq!(fixture.names(), ["state.json.journal"]);
    expect(fixture.run("clear", &["--yes"]), Outcome::is_silent_success);
    assert_eq!(fixture.names(), [""; 0]);
}

#[test]
fn a_journal_beside_another_file_is_an_error_that_names_the_remedy() {
    let fixture = Fixture::with_journal();
    fs::write(fixture.path(), PECULIAR).expect("it is there");
    for command in ["check", "checkpoint"] {
        let words = ["state.json.journal", "edited or restored", "aiokv checkpoint"];
        expect(fixture.run(command, &[]), |it| it.is_failure_with(DAMAGED, &words));
    }
    assert_eq!(fixture.content(), PECULIAR);
}

#[test]
fn damage_to_the_journal_is_an_error_with_line_and_column() {
    let fixture = Fixture::with_journal();
    let journal = fs::read_to_string(fixture.journal()).expect("it is there");
    assert!(journal.contains("\"b\": 2"), "{journal}");
    fs::write(fixture.journal(), journal.replace("\"b\": 2", "\"b\": 7")).expect("it is there");
    for command in ["check", "checkpoint", "items"] {
        let words = ["state.json.journal", "line 2 column 1"];
        expect(fixture.run(command, &[]), |it| it.is_failure_with(DAMAGED, &words));
    }
    assert_eq!(fixture.content(), ONE_ENTRY);
}

#[test]
fn an_end_of_the_journal_that_was_never_finished_is_told_and_dropped() {
    let fixture = Fixture::with_journal();
    let journal = fs::read_to_string(fixture.journal()).expect("it is there");
    let torn = journal.trim_end().strip_suffix("\"c\": 3").expect("the last line");
    fs::write(fixture.journal(), torn).expect("it is there");
    let warned = |it: &Outcome| it.stderr.starts_with("aiokv: warning: dropped an unfinished");
    let checked = fixture.run("check", &[]);
    expect(checked, |it| it.status == Some(0) && it.stdout.contains("\"entries\":2") && warned(it));
    let checkpointed = fixture.run("checkpoint", &[]);
    expect(checkpointed, |it| it.status == Some(0) && warned(it));
    assert_eq!(fixture.content(), THREE_ENTRIES.replace(",\n  \"c\": 3", ""));
    assert_eq!(fixture.names(), ["state.json"]);
}

#[test]
fn an_io_error_names_the_path() {
    let fixture = Fixture::without_file();
    fs::create_dir(fixture.path()).expect("a new directory");
    for (command, arguments) in
        [("get", &["key"][..]), ("set", &["key", "1"]), ("check", &[]), ("clear", &["--yes"])]
    {
        expect(fixture.run(command, arguments), |it| it.is_failure_with(SYSTEM, &["state.json"]));
    }
    expect(fixture.run("items", &[]), |it| it.is_failure_with(SYSTEM, &["directory"]));
}

#[test]
fn a_command_gives_up_after_the_lock_timeout() {
    let fixture = Fixture::with_file(PECULIAR);
    let file = File::options().write(true).open(fixture.path()).expect("the file is there");
    file.lock().expect("nobody else has the lock");
    for (command, arguments) in
        [("set", &["key", "1"][..]), ("get", &["float"]), ("check", &[]), ("clear", &["--yes"])]
    {
        let arguments = [arguments, &["--lock-timeout", "0.01"]].concat();
        let outcome = fixture.run(command, &arguments);
        expect(outcome, |it| it.is_failure_with(LOCKED, &["cannot lock", "0.01 s"]));
    }
    assert_eq!(fixture.content(), PECULIAR);
}

#[test]
fn reads_go_on_beside_another_reader() {
    let fixture = Fixture::with_file(PECULIAR);
    let file = File::open(fixture.path()).expect("the file is there");
    file.lock_shared().expect("nobody else has the lock");
    let set = fixture.run("set", &["key", "1", "--lock-timeout", "0.01"]);
    expect(set, |it| it.is_failure_with(LOCKED, &["cannot lock", "0.01 s"]));
    expect(fixture.run("get", &["float"]), |it| it.is_success_with("1.50E+2\n"));
    expect(fixture.run("check", &[]), |it| it.status == Some(0));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    // More than a pipe holds, so the command still writes when its reader goes away.
    let fixture = Fixture::with_file(&format!("{{\"text\": \"{}\"}}", "x".repeat(1 << 20)));
    for (command, arguments) in [("get", &["text"][..]), ("items", &[])] {
        let mut process = fixture.command(command, arguments);
        process.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process.spawn().expect("the binary starts");
        drop(child.stdout.take());
        let outcome = child.wait_with_output().expect("the command ends").into();
        expect(outcome, Outcome::is_silent_success);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let fixture = Fixture::with_file(PECULIAR);
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = fixture.command("items", &[]).stdout(full).output().expect("the binary starts");
    expect(output.into(), |it| {
        it.is_failure_with(SYSTEM, &["cannot write standard output", "space"])
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_change_whose_result_cannot_be_printed_says_that_it_was_made() {
    for (verb, word) in [("increment", "n"), ("delete", "n"), ("import", "new.json")] {
        let fixture = Fixture::with_file(r#"{"n": 1}"#);
        let new = fixture.path().with_file_name("new.json");
        fs::write(new, r#"{"m": 2}"#).expect("a new file");
        let full = File::options().write(true).open("/dev/full").expect("Linux has it");
        let mut process = fixture.command(verb, &[word]);
        let output = process.stdout(full).output().expect("the binary starts");
        expect(output.into(), |it| {
            it.is_failure_with(SYSTEM, &["the change was made: cannot write standard output"])
        });
        assert_ne!(fixture.content(), r#"{"n": 1}"#, "{verb}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_of_recover_that_cannot_be_printed_says_that_the_file_was_written() {
    let fixture = Fixture::with_file(ONE_ENTRY);
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    let mut process = fixture.command("recover", &["saved.json"]);
    let output = process.stdout(full).output().expect("the binary starts");
    expect(output.into(), |it| {
        it.is_failure_with(SYSTEM, &["the change was made: cannot write standard output"])
    });
    let saved = fs::read_to_string(fixture.path().with_file_name("saved.json"));
    assert_eq!(saved.expect("it was written"), ONE_ENTRY);
}

/// "The change was made" was told of commands that had found nothing to change.
#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_printed_is_no_change_if_there_was_none() {
    for (verb, words) in
        [("edit", &[][..]), ("delete", &["absent"]), ("import", &["new.json", "--keep"])]
    {
        let fixture = Fixture::with_file(ONE_ENTRY);
        fs::write(fixture.path().with_file_name("new.json"), ONE_ENTRY).expect("a new file");
        let full = File::options().write(true).open("/dev/full").expect("Linux has it");
        let mut process = fixture.command(verb, words);
        let output = process.env("VISUAL", "true").stdout(full).output().expect("it starts");
        let outcome = Outcome::from(output);
        let told = "aiokv: cannot write standard output";
        assert_eq!(
            (outcome.status, outcome.stderr.starts_with(told)),
            (Some(SYSTEM), true),
            "{verb}: {outcome:#?}"
        );
        assert_eq!(fixture.content(), ONE_ENTRY, "{verb}");
    }
}

/// `aiokv increment ... | head -0` left the change in a journal, and the file without it.
#[test]
fn a_change_is_in_the_file_whoever_reads_its_result() {
    // Large enough for a journal.
    let text = "x".repeat(100_000);
    let fixture = Fixture::with_file(&format!("{{\n  \"text\": \"{text}\"\n}}\n"));
    let mut process = fixture.command("increment", &["n"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = process.stdout(writer).output().expect("the binary starts");
    expect(output.into(), Outcome::is_silent_success);
    assert!(fixture.content().ends_with("\"n\": 1\n}\n"));
    assert_eq!(fixture.names(), ["state.json"]);
}

#[test]
fn a_key_that_occurs_twice_is_told_on_standard_error() {
    let outcome = Fixture::with_file(r#"{"a": 1, "a": 2}"#).run("get", &["a"]);
    expect(outcome, |it| {
        it.status == Some(0) && it.stdout == "2\n" && it.stderr.starts_with("aiokv: warning: ")
    });
}
