//! `recover`: what can be read of damaged files goes to a new one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rexpect::session::spawn_command;

use crate::support::{DAMAGED, Fixture, ONE_ENTRY, Outcome, SYSTEM, THREE_ENTRIES, expect};

/// How long a person at the terminal waits for the answer.
const PATIENCE_MS: u64 = 60_000;

fn target(fixture: &Fixture) -> PathBuf {
    fixture.path().with_file_name("saved.json")
}

/// `aiokv recover state.json saved.json OPTIONS...` leaves the damaged files as they are.
fn recover(fixture: &Fixture, options: &[&str]) -> Outcome {
    let before = (fs::read(fixture.path()).ok(), fs::read(fixture.journal()).ok());
    let outcome = fixture.run("recover", &[&["saved.json"], options].concat());
    let after = (fs::read(fixture.path()).ok(), fs::read(fixture.journal()).ok());
    assert!(before == after, "the damaged files stay as they are");
    outcome
}

/// What was saved, after the command said this in a pipe.
#[track_caller]
fn saved(fixture: &Fixture, options: &[&str], report: &str) -> String {
    expect(recover(fixture, options), |it| it.is_success_with(&format!("{report}\n")));
    let saved = fs::read_to_string(target(fixture)).expect("it was written");
    fs::remove_file(target(fixture)).expect("it is there");
    saved
}

#[track_caller]
fn saved_of(content: &[u8], report: &str) -> String {
    let fixture = Fixture::without_file();
    fs::write(fixture.path(), content).expect("a new file");
    saved(&fixture, &[], report)
}

/// Replaces bytes of a file.
fn mangle(path: PathBuf, from: &str, to: &str) {
    let content = fs::read_to_string(&path).expect("it is there");
    assert!(content.contains(from), "{content}");
    fs::write(path, content.replacen(from, to, 1)).expect("it can be written");
}

#[test]
fn of_a_file_that_is_cut_off_the_whole_entries_are_saved() {
    let report = r#"{"entries":2,"lost":[{"file":"state.json","first_line":4,"last_line":4,"first_byte":24,"bytes":4,"problem":"the file is cut off here","keys":["c"]}],"journal":null}"#;
    let saved = saved_of(&THREE_ENTRIES.as_bytes()[..THREE_ENTRIES.len() - 4], report);
    assert_eq!(saved, "{\n  \"a\": 1,\n  \"b\": 2\n}\n");
}

#[test]
fn a_tail_of_nul_bytes_is_lost_and_the_rest_saved() {
    let content = [&THREE_ENTRIES.as_bytes()[..14], &[0; 100]].concat();
    let report = r#"{"entries":1,"lost":[{"file":"state.json","first_line":3,"last_line":3,"first_byte":14,"bytes":100,"problem":"NUL bytes","keys":[]}],"journal":null}"#;
    assert_eq!(saved_of(&content, report), ONE_ENTRY);
}

#[test]
fn one_mangled_line_costs_one_entry() {
    let content = THREE_ENTRIES.replace("\"b\": 2", "\"b\": ]2");
    let report = r#"{"entries":2,"lost":[{"file":"state.json","first_line":3,"last_line":3,"first_byte":14,"bytes":8,"problem":"not JSON","keys":["b"]}],"journal":null}"#;
    assert_eq!(saved_of(content.as_bytes(), report), "{\n  \"a\": 1,\n  \"c\": 3\n}\n");
}

#[test]
fn bytes_that_are_not_utf_8_cost_one_entry() {
    let content =
        [b"{\n  \"a\": 1,\n  \"b\": \"".as_slice(), &[0xff], b"\",\n  \"c\": 3\n}\n"].concat();
    let report = r#"{"entries":2,"lost":[{"file":"state.json","first_line":3,"last_line":3,"first_byte":14,"bytes":9,"problem":"bytes that are not UTF-8","keys":["b"]}],"journal":null}"#;
    let saved = saved_of(&content, report);
    assert_eq!(saved, "{\n  \"a\": 1,\n  \"c\": 3\n}\n");
}

#[test]
fn a_good_file_is_saved_with_its_journal() {
    let fixture = Fixture::with_journal();
    let report = r#"{"entries":3,"lost":[],"journal":{"changes":2,"fits":true}}"#;
    assert_eq!(saved(&fixture, &[], report), THREE_ENTRIES);
}

#[test]
fn a_damaged_line_of_a_journal_costs_one_change() {
    let fixture = Fixture::with_journal();
    mangle(fixture.journal(), "\"b\": 2", "\"b\": 7");
    let outcome = recover(&fixture, &[]);
    let (_, lost) = outcome.stdout.split_once("\"lost\":").expect("a report");
    assert!(lost.contains("state.json.journal") && lost.contains("\"keys\":[\"b\"]"), "{lost}");
    let saved = fs::read_to_string(target(&fixture)).expect("it was written");
    assert_eq!(saved, "{\n  \"a\": 1,\n  \"c\": 3\n}\n");
}

#[test]
fn a_journal_that_does_not_fit_is_used_unless_it_is_left_out() {
    let fixture = Fixture::with_journal();
    fs::write(fixture.path(), "{\n  \"a\": 5\n}\n").expect("an edit by hand");
    let report = r#"{"entries":3,"lost":[],"journal":{"changes":2,"fits":false}}"#;
    let both = THREE_ENTRIES.replace('1', "5");
    assert_eq!(saved(&fixture, &[], report), both);
    let report = r#"{"entries":1,"lost":[],"journal":null}"#;
    assert_eq!(saved(&fixture, &["--from", "file"], report), "{\n  \"a\": 5\n}\n");
    let report = r#"{"entries":2,"lost":[],"journal":{"changes":2,"fits":false}}"#;
    let journal = "{\n  \"b\": 2,\n  \"c\": 3\n}\n";
    assert_eq!(saved(&fixture, &["--from", "journal"], report), journal);
}

#[test]
fn a_damaged_file_and_its_journal_are_saved_together() {
    let fixture = Fixture::with_journal();
    fs::write(fixture.path(), "{\n  \"a\": 1").expect("it can be written");
    let outcome = recover(&fixture, &[]);
    assert!(outcome.stdout.contains("\"changes\":2,\"fits\":false"), "{outcome:#?}");
    let saved = fs::read_to_string(target(&fixture)).expect("it was written");
    assert_eq!(saved, "{\n  \"b\": 2,\n  \"c\": 3\n}\n");
}

#[test]
fn without_the_file_the_changes_in_the_journal_are_saved() {
    let fixture = Fixture::with_journal();
    fs::remove_file(fixture.path()).expect("it is there");
    let report = r#"{"entries":2,"lost":[],"journal":{"changes":2,"fits":false}}"#;
    assert_eq!(saved(&fixture, &[], report), "{\n  \"b\": 2,\n  \"c\": 3\n}\n");
}

#[test]
fn what_is_there_is_not_replaced() {
    let fixture = Fixture::with_file("{\n  \"a\": 1,\n");
    fs::write(target(&fixture), "mine").expect("a new file");
    let outcome = recover(&fixture, &[]);
    assert!(outcome.is_failure_with(SYSTEM, &["saved.json", "already"]), "{outcome:#?}");
    assert_eq!(fs::read_to_string(target(&fixture)).expect("it is there"), "mine");
}

#[test]
fn where_nothing_can_be_read_nothing_is_written() {
    let fixture = Fixture::without_file();
    fs::write(fixture.path(), [0; 1000]).expect("a new file");
    let outcome = recover(&fixture, &[]);
    assert_eq!(outcome.status, Some(DAMAGED), "{outcome:#?}");
    assert!(outcome.stderr.contains("nothing was written"), "{outcome:#?}");
    assert!(!target(&fixture).exists());
    expect(Fixture::without_file().run("recover", &["saved.json"]), |it| {
        it.is_failure_with(SYSTEM, &["state.json"])
    });
}

#[test]
fn nobody_can_read_what_was_saved_who_could_not_read_the_files() {
    let damaged = Fixture::with_file("{\n  \"a\": 1,\n");
    let journal_alone = Fixture::with_journal();
    fs::remove_file(journal_alone.path()).expect("it is there");
    for (fixture, private) in
        [(&damaged, damaged.path()), (&journal_alone, journal_alone.journal())]
    {
        fs::set_permissions(private, fs::Permissions::from_mode(0o600)).expect("it is ours");
        expect(recover(fixture, &[]), |it| it.status == Some(0));
        let mode = fs::metadata(target(fixture)).expect("it was written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_person_is_told_what_was_lost() {
    let fixture = Fixture::with_file("{\n  \"a\": 1,\n  \"b\": ]2,\n  \"c\": 3");
    let mut process = fixture.command("recover", &["saved.json"]);
    process.env("NO_COLOR", "1").env("TERM", "dumb");
    let mut person = spawn_command(process, Some(PATIENCE_MS)).expect("a terminal");
    let told = person.exp_eof().expect("it ends").replace('\r', "");
    insta::assert_snapshot!(told, @r"
    aiokv: lost: `state.json` lines 3 to 4 (bytes 14 to 31): the file is cut off here; the keys `b`, `c`
    recovered 1 entry of `state.json` into `saved.json`
    ");
}

#[test]
fn a_person_is_told_what_is_uncertain_about_a_journal() {
    let fixture = Fixture::with_journal();
    let told = |options: &[&str]| {
        let mut process = fixture.command("recover", &[&["saved.json"], options].concat());
        process.env("NO_COLOR", "1").env("TERM", "dumb");
        let mut person = spawn_command(process, Some(PATIENCE_MS)).expect("a terminal");
        let told = person.exp_eof().expect("it ends").replace('\r', "");
        fs::remove_file(target(&fixture)).expect("it was written");
        let directory = fixture.path().with_file_name("");
        told.replace(directory.to_str().expect("UTF-8"), "")
    };
    insta::assert_snapshot!(told(&[]), @r"
    aiokv: nothing was lost
    recovered 3 entries of `state.json` into `saved.json`
    ");
    fs::write(fixture.path(), "{\n  \"a\": 5\n}\n").expect("an edit by hand");
    insta::assert_snapshot!(told(&[]), @r"
    aiokv: `state.json.journal` continues another content of `state.json`, which was edited or put back; its 2 changes were made all the same (`--from file` leaves them out)
    aiokv: nothing was lost
    recovered 3 entries of `state.json` into `saved.json`
    ");
    insta::assert_snapshot!(told(&["--from", "journal"]), @r"
    aiokv: `state.json.journal` has 2 changes of `state.json`
    aiokv: nothing was lost
    recovered 2 entries of `state.json` into `saved.json`
    ");
    fs::write(fixture.path(), "{\n  \"a\": 5").expect("it can be written");
    insta::assert_snapshot!(told(&[]), @r"
    aiokv: lost: `state.json` line 2 (bytes 4 to 10): the file is cut off here; the keys `a`
    aiokv: whether `state.json.journal` continues `state.json` cannot be told; its 2 changes were made (`--from file` leaves them out)
    recovered 2 entries of `state.json` into `saved.json`
    ");
}
