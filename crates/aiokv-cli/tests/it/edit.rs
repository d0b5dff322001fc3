//! `edit`: a person changes a copy while programs go on.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rexpect::session::{PtySession, spawn_command};

use crate::support::{
    DAMAGED, Fixture, IMPOSSIBLE, ONE_ENTRY, Outcome, PECULIAR, SYSTEM, THREE_ENTRIES, expect,
};

/// How long a person at the terminal waits for a question.
const PATIENCE_MS: u64 = 60_000;

/// `aiokv edit state.json KEYS...`, with an editor, and a place of its own for copies.
fn edit(fixture: &Fixture, editor: &str, keys: &[&str]) -> Command {
    let copies = copies(fixture);
    fs::create_dir_all(&copies).expect("a new directory");
    let mut process = fixture.command("edit", keys);
    process.env("VISUAL", editor).env("TMPDIR", copies);
    // For an editor that does what another program would do meanwhile.
    process.env("AIOKV", env!("CARGO_BIN_EXE_aiokv"));
    process
}

fn run(fixture: &Fixture, editor: &str, keys: &[&str]) -> Outcome {
    edit(fixture, editor, keys).output().expect("the binary starts").into()
}

fn copies(fixture: &Fixture) -> PathBuf {
    fixture.path().with_file_name("copies")
}

/// How many copies were left behind.
fn left(fixture: &Fixture) -> usize {
    fs::read_dir(copies(fixture)).expect("the directory is there").count()
}

/// The copy that the message names.
fn kept(outcome: &Outcome) -> String {
    let (_, path) = outcome.stderr.split_once("your text is in `").expect("it says where");
    let path = path.split('`').next().expect("a quoted path");
    fs::read_to_string(path).expect("it is there")
}

/// An editor that replaces text and lets a program do something meanwhile.
fn sed(script: &str, meanwhile: &str) -> String {
    format!("sh -c '{meanwhile}; sed -i \"$0\" \"$1\"' '{script}'")
}

#[test]
fn what_was_changed_is_carried_over_and_the_rest_keeps_its_spelling() {
    let fixture = Fixture::with_file(PECULIAR);
    let outcome = run(&fixture, "sed -i 's/1.50E+2/2.5/'", &[]);
    expect(outcome, |it| it.is_success_with("{\"added\":0,\"changed\":1,\"deleted\":0}\n"));
    assert_eq!(fixture.content(), PECULIAR.replace("1.50E+2", "2.5"));
    assert_eq!(left(&fixture), 0);
}

#[test]
fn keys_can_be_added_and_deleted() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let outcome = run(&fixture, "sed -i 's/\"b\": 2/\"d\": [\\n4\\n]/'", &[]);
    expect(outcome, |it| it.is_success_with("{\"added\":1,\"changed\":0,\"deleted\":1}\n"));
    assert_eq!(fixture.content(), "{\n  \"a\": 1,\n  \"c\": 3,\n  \"d\": [4]\n}\n");
}

#[test]
fn a_missing_file_begins_empty() {
    let fixture = Fixture::without_file();
    let outcome = run(&fixture, "sed -i 's/{}/{\"a\": 1}/'", &[]);
    expect(outcome, |it| it.is_success_with("{\"added\":1,\"changed\":0,\"deleted\":0}\n"));
    assert_eq!(fixture.content(), ONE_ENTRY);
}

#[test]
fn an_editor_that_changes_nothing_changes_nothing() {
    let fixture = Fixture::with_file(PECULIAR);
    let outcome = run(&fixture, "true", &[]);
    expect(outcome, |it| it.is_success_with("{\"added\":0,\"changed\":0,\"deleted\":0}\n"));
    assert_eq!(fixture.content(), PECULIAR);
}

#[test]
fn what_the_journal_holds_is_edited_too() {
    let fixture = Fixture::with_journal();
    let outcome = run(&fixture, "sed -i 's/\"c\": 3/\"c\": 4/'", &[]);
    expect(outcome, |it| it.status == Some(0));
    assert_eq!(fixture.content(), THREE_ENTRIES.replace('3', "4"));
}

#[test]
fn what_a_program_changed_meanwhile_stays() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let meanwhile =
        "$AIOKV set state.json b 20; $AIOKV set state.json d 40; $AIOKV delete state.json c";
    let outcome = run(&fixture, &sed("s/\"a\": 1/\"a\": 10/", meanwhile), &[]);
    expect(outcome, |it| it.status == Some(0) && it.stderr.is_empty());
    assert_eq!(fixture.content(), "{\n  \"a\": 10,\n  \"b\": 20,\n  \"d\": 40\n}\n");
}

#[test]
fn a_key_that_both_changed_to_the_same_is_no_conflict() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let editor = sed("s/\"a\": 1/\"a\": 10/", "$AIOKV set state.json a 10");
    expect(run(&fixture, &editor, &[]), |it| it.status == Some(0) && it.stderr.is_empty());
    assert_eq!(fixture.content(), THREE_ENTRIES.replace("\"a\": 1", "\"a\": 10"));
}

#[test]
fn in_a_pipe_nothing_happens_if_a_program_changed_the_same_key() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let editor = sed("s/[123]/9/", "$AIOKV set state.json a 10; $AIOKV delete state.json c >seen");
    let outcome = run(&fixture, &editor, &[]);
    let words = ["nothing was changed", "what you changed: `a`, `c`"];
    assert!(outcome.is_failure_with(IMPOSSIBLE, &words), "{outcome:#?}");
    assert_eq!(kept(&outcome), "{\n  \"a\": 9,\n  \"b\": 9,\n  \"c\": 9\n}\n");
    assert_eq!(fixture.content(), "{\n  \"a\": 10,\n  \"b\": 2\n}\n");
}

#[test]
fn in_a_pipe_a_mistake_is_shown_with_its_line_and_the_text_is_kept() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let outcome = run(&fixture, "sed -i 's/\"b\": 2/\"b\" 2/'", &[]);
    let words = ["nothing was changed", "line 3, column 7", "3 |   \"b\" 2"];
    assert!(outcome.is_failure_with(DAMAGED, &words), "{outcome:#?}");
    assert!(kept(&outcome).contains("\"b\" 2"));
    assert_eq!(fixture.content(), THREE_ENTRIES);
}

#[test]
fn a_key_that_is_there_twice_is_a_mistake() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let outcome = run(&fixture, "sed -i 's/\"b\"/\"a\"/'", &[]);
    assert!(outcome.is_failure_with(DAMAGED, &["the key \"a\" is there twice"]), "{outcome:#?}");
    assert_eq!(fixture.content(), THREE_ENTRIES);
}

#[test]
fn an_editor_that_fails_changes_nothing() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    for editor in ["false", "no-such-editor --wait"] {
        let outcome = run(&fixture, editor, &[]);
        let told = format!("aiokv: nothing was changed: the editor `{editor}` failed");
        expect(outcome, |it| it.status == Some(SYSTEM) && it.stderr.contains(&told));
        assert_eq!(left(&fixture), 0, "there is nothing in it that the file does not have");
    }
    let outcome = run(&fixture, "sh -c 'echo {} > \"$0\"; exit 1'", &[]);
    assert!(outcome.is_failure_with(SYSTEM, &["nothing was changed"]), "{outcome:#?}");
    assert_eq!(kept(&outcome), "{}\n");
    assert_eq!(fixture.content(), THREE_ENTRIES);
}

#[test]
fn an_editor_that_removes_the_copy_changes_nothing() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let outcome = run(&fixture, "rm", &[]);
    assert!(
        outcome.is_failure_with(SYSTEM, &["nothing was changed: the editor removed `"]),
        "{outcome:#?}"
    );
    assert_eq!(fixture.content(), THREE_ENTRIES);
    assert_eq!(left(&fixture), 0);
}

#[test]
fn editor_is_asked_where_visual_is_not_set() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let mut process = edit(&fixture, "", &[]);
    process.env("EDITOR", "sed -i s/3/4/");
    expect(process.output().expect("the binary starts").into(), |it| it.status == Some(0));
    assert_eq!(fixture.content(), THREE_ENTRIES.replace('3', "4"));
}

#[test]
fn nobody_else_can_read_the_copy_which_has_the_name_of_the_store() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let editor = "sh -c 'stat -c \"%a %n\" \"$0\" \"${0%/*}\" > seen'";
    expect(run(&fixture, editor, &[]), |it| it.status == Some(0));
    let seen = fs::read_to_string(fixture.path().with_file_name("seen")).expect("it was written");
    let lines = Vec::from_iter(seen.lines());
    assert!(lines[0].starts_with("600 ") && lines[0].ends_with("/state.json"), "{seen}");
    assert!(lines[1].starts_with("700 "), "{seen}");
}

#[test]
fn edit_of_some_keys_shows_only_these() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let editor = "sh -c 'cp \"$0\" seen; sed -i s/2/20/ \"$0\"'";
    let outcome = run(&fixture, editor, &["b"]);
    expect(outcome, |it| it.is_success_with("{\"added\":0,\"changed\":1,\"deleted\":0}\n"));
    let seen = fs::read_to_string(fixture.path().with_file_name("seen")).expect("it was written");
    assert_eq!(seen, "{\n  \"b\": 2\n}\n");
    assert_eq!(fixture.content(), THREE_ENTRIES.replace('2', "20"));
}

#[test]
fn edit_of_a_key_that_is_not_there_has_status_1() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    expect(run(&fixture, "false", &["x"]), |it| {
        it.status == Some(1) && it.stderr == "aiokv: there is no key `x`\n"
    });
}

/// A person at a terminal.
fn at_terminal(fixture: &Fixture, editor: &str) -> PtySession {
    let mut process = edit(fixture, editor, &[]);
    process.env("NO_COLOR", "1").env("TERM", "dumb").stdin(Stdio::inherit());
    spawn_command(process, Some(PATIENCE_MS)).expect("a terminal")
}

/// An editor that makes a mistake the first time, and mends it the second time.
const CLUMSY: &str = "sh -c 'if [ -e second ]; then sed -i s/:::/:/ \"$0\"; else touch second; sed -i s/:.2/:::20/ \"$0\"; fi'";

#[test]
fn at_a_terminal_a_mistake_can_be_mended() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let mut person = at_terminal(&fixture, CLUMSY);
    person.exp_string("line 3, column 7").expect("the mistake is shown");
    person.exp_string("(e)dit again").expect("a question");
    person.send_line("what?").expect("it listens");
    person.exp_string("(e)dit again").expect("the question again");
    person.send_line("e").expect("it listens");
    person.exp_string("1 changed in `state.json`").expect("it is done");
    person.exp_eof().expect("it ends");
    assert_eq!(fixture.content(), THREE_ENTRIES.replace('2', "20"));
    assert_eq!(left(&fixture), 0);
}

#[test]
fn at_a_terminal_a_mistake_can_be_given_up() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let mut person = at_terminal(&fixture, CLUMSY);
    person.exp_string("(e)dit again").expect("a question");
    person.send_line("x").expect("it listens");
    person.exp_string("nothing was changed").expect("it says so");
    person.exp_eof().expect("it ends");
    assert_eq!(fixture.content(), THREE_ENTRIES);
    assert_eq!(left(&fixture), 0);
}

/// The end of the input passed for the answer to give up, which throws the text away.
#[test]
fn at_a_terminal_the_text_is_kept_if_there_is_no_answer() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let mut person = at_terminal(&fixture, CLUMSY);
    person.exp_string("e(x)it").expect("a question");
    person.send_control('d').expect("it listens");
    person.exp_string("there was no answer").expect("it says so");
    person.exp_string("your text is in").expect("it says where");
    person.exp_eof().expect("it ends");
    assert_eq!(fixture.content(), THREE_ENTRIES);
    assert_eq!(left(&fixture), 1);
}

/// Ctrl-C in the place of an answer left the text where nobody was told of it.
#[test]
fn at_a_terminal_the_place_of_the_text_is_told_before_a_question() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let mut person = at_terminal(&fixture, CLUMSY);
    person.exp_string("your text is in `").expect("it says where");
    let copy = person.exp_string("`").expect("the end of the path");
    person.exp_string("e(x)it").expect("a question");
    person.send_control('c').expect("it listens");
    person.exp_eof().expect("it ends");
    let text = fs::read_to_string(copy.replace(['\r', '\n'], "")).expect("it is there");
    assert!(text.contains(":::20"), "{text}");
    assert_eq!(fixture.content(), THREE_ENTRIES);
}

#[test]
fn at_a_terminal_the_person_decides_whose_change_counts() {
    for (answer, a) in [("y", "\"a\": 9"), ("s", "\"a\": 10"), ("x", "\"a\": 10")] {
        let fixture = Fixture::with_file(THREE_ENTRIES);
        let editor = sed("s/[12]/9/", "$AIOKV set state.json a 10");
        let mut person = at_terminal(&fixture, &editor);
        person.exp_string("a program changed `a` meanwhile").expect("a conflict");
        for value in ["it was  1", "yours   9", "store   10"] {
            person.exp_string(value).expect("all three values");
        }
        person.send_line(answer).expect("it listens");
        person.exp_eof().expect("it ends");
        let b = if answer == "x" { "\"b\": 2" } else { "\"b\": 9" };
        let expected = THREE_ENTRIES.replace("\"a\": 1", a).replace("\"b\": 2", b);
        assert_eq!(fixture.content(), expected, "after the answer {answer}");
        assert_eq!(left(&fixture), 0);
    }
}

/// A program that goes on changing the same key must not make the person decide for ever.
#[test]
fn at_a_terminal_a_decision_counts_whatever_a_program_does_meanwhile() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let editor = sed("s/[12]/9/", "$AIOKV set state.json a 10");
    let mut person = at_terminal(&fixture, &editor);
    person.exp_string("store   10").expect("a conflict");
    expect(fixture.run("set", &["a", "11"]), Outcome::is_silent_success);
    person.send_line("y").expect("it listens");
    person.exp_string("2 changed in `state.json`").expect("it is done");
    person.exp_eof().expect("it ends");
    assert_eq!(fixture.content(), "{\n  \"a\": 9,\n  \"b\": 9,\n  \"c\": 3\n}\n");
}

/// The shell that started the editor died of Ctrl-C, and the editor went on alone.
#[test]
fn at_a_terminal_ctrl_c_is_for_the_editor() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    let script = "$SIG{INT} = sub { exec qw(sed -i s/2/20/), $ARGV[0] }; \
                  $| = 1; print qq(ready\\n); select undef, undef, undef, undef while 1";
    let mut person = at_terminal(&fixture, &format!("perl -e '{script}'"));
    person.exp_string("ready").expect("the editor runs");
    person.send_control('c').expect("it listens");
    person.exp_string("1 changed in `state.json`").expect("it is done");
    person.exp_eof().expect("it ends");
    assert_eq!(fixture.content(), THREE_ENTRIES.replace('2', "20"));
}
