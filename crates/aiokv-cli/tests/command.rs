//! The command `aiokv` through its real binary: one promise a test.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use aiokv::{AioKv, Journal, Options};
use tempfile::TempDir;

/// A state file in a directory of its own.
struct Fixture {
    directory: TempDir,
}

impl Fixture {
    fn without_file() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    fn with_file(content: &str) -> Self {
        let fixture = Self::without_file();
        fs::write(fixture.path(), content).expect("a new file");
        fixture
    }

    /// A file with one entry, and a journal as a process leaves it that was killed after it had set
    /// two more.
    fn with_journal() -> Self {
        let fixture = Self::without_file();
        let other = Self::with_file(ONE_ENTRY);
        // Nothing but closing brings the file up to date.
        let options = Options::default().journal(Journal::Always).checkpoint_pace(0);
        let store = AioKv::with_options(other.path(), options).expect("a path");
        for (key, value) in [("b", 2), ("c", 3)] {
            pollster::block_on(store.set(key, &value)).expect("it can be set");
        }
        fs::copy(other.path(), fixture.path()).expect("a new file");
        fs::copy(other.journal(), fixture.journal()).expect("a new file");
        fixture
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("state.json")
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("state.json.journal")
    }

    fn content(&self) -> String {
        fs::read_to_string(self.path()).expect("the file is there")
    }

    /// The names of everything in the directory of the file.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).expect("the directory is there");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("UTF-8");
        entries.map(|entry| name(entry.expect("an entry"))).collect()
    }

    /// `aiokv COMMAND state.json ARGUMENTS...`
    fn command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut process = Command::new(env!("CARGO_BIN_EXE_aiokv"));
        process.arg(command).arg(self.path()).args(arguments).stdin(Stdio::null());
        process
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Outcome {
        self.command(command, arguments).output().expect("the binary starts").into()
    }

    fn run_with_input(&self, command: &str, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut process = self.command(command, arguments);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process.spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input).expect("the command reads its standard input");
        drop(stdin);
        child.wait_with_output().expect("the command ends").into()
    }
}

/// What a command left behind.
#[derive(Debug, PartialEq)]
struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn is_silent_success(&self) -> bool {
        self.is_success_with("")
    }

    fn is_success_with(&self, stdout: &str) -> bool {
        self.status == Some(0) && self.stdout == stdout && self.stderr.is_empty()
    }

    /// Whether it failed with one line on standard error, in which all of `words` occur.
    fn is_failure_with(&self, words: &[&str]) -> bool {
        self.status == Some(1)
            && self.stdout.is_empty()
            && self.stderr.starts_with("aiokv: ")
            && self.stderr.lines().count() == 1
            && words.iter().all(|word| self.stderr.contains(word))
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// `assert!` that shows the outcome.
#[track_caller]
fn expect(outcome: Outcome, promise: impl FnOnce(&Outcome) -> bool) {
    assert!(promise(&outcome), "{outcome:#?}");
}

/// A file in which every entry would look different if its value were decoded and encoded again.
const PECULIAR: &str = r#"{
  "caf\u00e9": "\u00e9\/\ud83d\ude00",
  "big": 123456789012345678901234567890,
  "float": 1.50E+2,
  "spaced": [1,  2 ],
  "nan": [NaN, -Infinity],
  "surrogate": "a\ud800b"
}
"#;

/// The file beside the journal of [`Fixture::with_journal`], and with the changes in that journal.
const ONE_ENTRY: &str = "{\n  \"a\": 1\n}\n";
const THREE_ENTRIES: &str = "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}\n";

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
fn get_and_list_print_numbers_that_json_does_not_have() {
    let fixture = Fixture::with_file("{\n  \"ratio\": NaN,\n  \"limit\": -Infinity\n}\n");
    expect(fixture.run("get", &["ratio"]), |it| it.is_success_with("NaN\n"));
    expect(fixture.run("get", &["limit", "--raw"]), |it| it.is_success_with("-Infinity\n"));
    expect(fixture.run("list", &[]), |it| it.is_success_with(&fixture.content()));
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

#[test]
fn reading_creates_nothing() {
    let fixture = Fixture::without_file();
    fixture.run("get", &["key"]);
    fixture.run("list", &[]);
    fixture.run("check", &[]);
    assert_eq!(fixture.names(), [""; 0]);
}

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
    let outcome = fixture.run_with_input("set", &["key", "-", "--string"], b"\xff");
    expect(outcome, |it| it.is_failure_with(&["cannot read standard input", "UTF-8"]));
    assert_eq!(fixture.content(), PECULIAR);
}

#[test]
fn set_refuses_what_is_not_json_and_names_the_way_out() {
    let fixture = Fixture::with_file(PECULIAR);
    for value in ["ping", "", "NaN", "1 2", "[1,]", "'a'"] {
        let outcome = fixture.run("set", &["key", value]);
        expect(outcome, |it| it.is_failure_with(&["not JSON", "--string"]));
    }
    assert_eq!(fixture.content(), PECULIAR);
}

#[test]
fn set_refuses_what_no_reader_would_take() {
    let fixture = Fixture::with_file(PECULIAR);
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let too_deep = nested(aiokv::MAX_DEPTH + 1);
    expect(fixture.run("set", &["key", &too_deep]), |it| it.is_failure_with(&["nested"]));
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
    expect(fixture.run("delete", &["-1001"]), Outcome::is_silent_success);
    assert_eq!(fixture.content(), "{}\n");
}

#[test]
fn delete_removes_one_entry_and_leaves_the_others_as_they_are() {
    let fixture = Fixture::with_file(PECULIAR);
    expect(fixture.run("delete", &["float"]), Outcome::is_silent_success);
    assert_eq!(fixture.content(), PECULIAR.replace("  \"float\": 1.50E+2,\n", ""));
}

#[test]
fn delete_of_a_missing_key_succeeds() {
    let fixture = Fixture::with_file(PECULIAR);
    expect(fixture.run("delete", &["absent"]), Outcome::is_silent_success);
    assert_eq!(fixture.content(), PECULIAR);
}

#[test]
fn list_prints_the_file() {
    let fixture = Fixture::with_file(PECULIAR);
    expect(fixture.run("list", &[]), |it| it.is_success_with(PECULIAR));
}

#[test]
fn list_lays_a_file_out_like_the_next_write_would() {
    let fixture = Fixture::with_file("\u{feff}{\"b\":2.0, \"a\":\r\n[1,\n2]}");
    let listed = "{\n  \"b\": 2.0,\n  \"a\": [1, 2]\n}\n";
    expect(fixture.run("list", &[]), |it| it.is_success_with(listed));
    fixture.run("set", &["c", "3"]);
    assert_eq!(fixture.content(), listed.replace("]\n", "],\n  \"c\": 3\n"));
}

#[test]
fn list_of_an_empty_store_prints_an_empty_object() {
    expect(Fixture::without_file().run("list", &[]), |it| it.is_success_with("{}\n"));
    expect(Fixture::with_file("{ }").run("list", &[]), |it| it.is_success_with("{}\n"));
}

#[test]
fn list_keys_prints_the_keys_in_their_order() {
    let keys = "café\nbig\nfloat\nspaced\nnan\nsurrogate\n";
    let fixture = Fixture::with_file(PECULIAR);
    expect(fixture.run("list", &["--keys"]), |it| it.is_success_with(keys));
    expect(Fixture::without_file().run("list", &["--keys"]), Outcome::is_silent_success);
}

#[test]
fn lone_surrogates_are_printed_as_replacement_characters() {
    let fixture = Fixture::with_file(r#"{"\ud800": 1, "text": "a\udfff"}"#);
    let keys = fixture.run("list", &["--keys"]);
    expect(keys, |it| it.status == Some(0) && it.stdout.replace('\u{fffd}', "") == "\ntext\n");
    let text = fixture.run("get", &["text", "--raw"]);
    expect(text, |it| it.status == Some(0) && it.stdout.starts_with("a\u{fffd}"));
}

#[test]
fn clear_removes_the_file_and_leaves_nothing() {
    let fixture = Fixture::with_file(PECULIAR);
    expect(fixture.run("clear", &[]), Outcome::is_silent_success);
    assert_eq!(fixture.names(), [""; 0]);
    expect(fixture.run("clear", &[]), Outcome::is_silent_success);
}

#[test]
fn clear_removes_a_corrupt_file() {
    let fixture = Fixture::with_file("{\"a\": ");
    expect(fixture.run("clear", &[]), Outcome::is_silent_success);
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
        ("list", &[]),
        ("list", &["--keys"]),
        ("check", &[]),
        ("checkpoint", &[]),
    ] {
        let outcome = fixture.run(command, arguments);
        expect(outcome, |it| it.is_failure_with(&["state.json", "line 3 column 7"]));
    }
    assert_eq!(fixture.content(), damaged);
}

#[test]
fn check_counts_the_entries() {
    let checked = |content| Fixture::with_file(content).run("check", &[]);
    expect(checked(PECULIAR), |it| it.status == Some(0) && it.stdout.contains("6 entries"));
    expect(checked("{\"a\": 1}"), |it| it.status == Some(0) && it.stdout.contains("1 entry"));
    expect(checked("{}"), |it| it.status == Some(0) && it.stdout.contains("0 entries"));
}

#[test]
fn check_tells_a_missing_file_from_an_empty_one() {
    let outcome = Fixture::without_file().run("check", &[]);
    expect(outcome, |it| it.status == Some(0) && it.stdout.contains("does not exist"));
}

#[test]
fn check_tells_of_a_journal_and_changes_nothing() {
    let fixture = Fixture::with_journal();
    let before = (fixture.content(), fs::read(fixture.journal()).expect("it is there"));
    let outcome = fixture.run("check", &[]);
    expect(outcome, |it| {
        let (file, journal) = (fixture.path(), fixture.journal());
        let remedy = format!("aiokv checkpoint {}", file.display());
        let words = ["3 entries", journal.to_str().expect("UTF-8"), "4096 bytes", "lags", &remedy];
        it.status == Some(0)
            && it.stderr.is_empty()
            && words.iter().all(|word| it.stdout.contains(word))
    });
    assert_eq!((fixture.content(), fs::read(fixture.journal()).expect("it is there")), before);
}

#[test]
fn check_of_a_file_without_a_journal_mentions_none() {
    let outcome = Fixture::with_file(PECULIAR).run("check", &[]);
    expect(outcome, |it| it.status == Some(0) && !it.stdout.contains("journal"));
}

#[test]
fn a_journal_without_its_file_is_an_error() {
    let fixture = Fixture::with_journal();
    fs::remove_file(fixture.path()).expect("it is there");
    for (command, arguments) in
        [("check", &[][..]), ("checkpoint", &[]), ("list", &[]), ("get", &["a"]), ("set", &["a"])]
    {
        let outcome = fixture.run(command, arguments);
        expect(outcome, |it| it.is_failure_with(&["state.json.journal", "there is none"]));
    }
    assert_eq!(fixture.names(), ["state.json.journal"]);
    expect(fixture.run("clear", &[]), Outcome::is_silent_success);
    assert_eq!(fixture.names(), [""; 0]);
}

#[test]
fn a_journal_beside_another_file_is_an_error_that_names_the_remedy() {
    let fixture = Fixture::with_journal();
    fs::write(fixture.path(), PECULIAR).expect("it is there");
    for command in ["check", "checkpoint"] {
        let words = ["state.json.journal", "edited or restored", "aiokv checkpoint"];
        expect(fixture.run(command, &[]), |it| it.is_failure_with(&words));
    }
    assert_eq!(fixture.content(), PECULIAR);
}

#[test]
fn damage_to_the_journal_is_an_error_with_line_and_column() {
    let fixture = Fixture::with_journal();
    let journal = fs::read_to_string(fixture.journal()).expect("it is there");
    assert!(journal.contains("\"b\": 2"), "{journal}");
    fs::write(fixture.journal(), journal.replace("\"b\": 2", "\"b\": 7")).expect("it is there");
    for command in ["check", "checkpoint", "list"] {
        let words = ["state.json.journal", "line 2 column 1"];
        expect(fixture.run(command, &[]), |it| it.is_failure_with(&words));
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
    expect(checked, |it| it.status == Some(0) && it.stdout.contains("2 entries") && warned(it));
    let checkpointed = fixture.run("checkpoint", &[]);
    expect(checkpointed, |it| it.status == Some(0) && warned(it));
    assert_eq!(fixture.content(), THREE_ENTRIES.replace(",\n  \"c\": 3", ""));
    assert_eq!(fixture.names(), ["state.json"]);
}

#[test]
fn checkpoint_brings_the_file_up_to_date_and_says_so() {
    let fixture = Fixture::with_journal();
    let outcome = fixture.run("checkpoint", &[]);
    let words = ["up to date", "state.json.journal", "removed"];
    expect(outcome, |it| {
        it.status == Some(0)
            && it.stderr.is_empty()
            && words.iter().all(|word| it.stdout.contains(word))
    });
    assert_eq!(fixture.content(), THREE_ENTRIES);
    assert_eq!(fixture.names(), ["state.json"]);
    let again = fixture.run("checkpoint", &[]);
    expect(again, |it| it.status == Some(0) && it.stdout.contains("has no journal"));
    assert_eq!(fixture.content(), THREE_ENTRIES);
}

#[test]
fn checkpoint_of_a_missing_or_hand_written_file_changes_nothing() {
    let fixture = Fixture::without_file();
    let outcome = fixture.run("checkpoint", &[]);
    expect(outcome, |it| it.status == Some(0) && it.stdout.contains("does not exist"));
    assert_eq!(fixture.names(), [""; 0]);
    let fixture = Fixture::with_file("{\"a\":1}");
    let outcome = fixture.run("checkpoint", &[]);
    expect(outcome, |it| it.status == Some(0) && it.stdout.contains("has no journal"));
    assert_eq!(fixture.content(), "{\"a\":1}");
}

#[test]
fn checkpoint_works_beside_a_program_that_goes_on() {
    let fixture = Fixture::with_file(ONE_ENTRY);
    let options = Options::default().journal(Journal::Always).checkpoint_pace(0);
    let store = AioKv::with_options(fixture.path(), options).expect("a path");
    pollster::block_on(store.set("b", &2)).expect("it can be set");
    let outcome = fixture.run("checkpoint", &[]);
    expect(outcome, |it| it.status == Some(0) && it.stdout.contains("removed"));
    assert_eq!(fixture.content(), THREE_ENTRIES.replace(",\n  \"c\": 3", ""));
    pollster::block_on(store.set("c", &3)).expect("it can be set");
    expect(fixture.run("list", &[]), |it| it.is_success_with(THREE_ENTRIES));
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

#[test]
fn an_io_error_names_the_path() {
    let fixture = Fixture::without_file();
    fs::create_dir(fixture.path()).expect("a new directory");
    for (command, arguments) in
        [("get", &["key"][..]), ("set", &["key", "1"]), ("check", &[]), ("clear", &[])]
    {
        expect(fixture.run(command, arguments), |it| it.is_failure_with(&["state.json"]));
    }
    expect(fixture.run("list", &[]), |it| it.is_failure_with(&["directory"]));
}

#[test]
fn a_command_gives_up_after_the_lock_timeout() {
    let fixture = Fixture::with_file(PECULIAR);
    let file = File::options().write(true).open(fixture.path()).expect("the file is there");
    file.lock().expect("nobody else has the lock");
    for (command, arguments) in
        [("set", &["key", "1"][..]), ("get", &["float"]), ("check", &[]), ("clear", &[])]
    {
        let arguments = [arguments, &["--lock-timeout", "0.01"]].concat();
        let outcome = fixture.run(command, &arguments);
        expect(outcome, |it| it.is_failure_with(&["cannot lock", "0.01 s"]));
    }
    assert_eq!(fixture.content(), PECULIAR);
}

#[test]
fn reads_go_on_beside_another_reader() {
    let fixture = Fixture::with_file(PECULIAR);
    let file = File::open(fixture.path()).expect("the file is there");
    file.lock_shared().expect("nobody else has the lock");
    let set = fixture.run("set", &["key", "1", "--lock-timeout", "0.01"]);
    expect(set, |it| it.is_failure_with(&["cannot lock", "0.01 s"]));
    expect(fixture.run("get", &["float"]), |it| it.is_success_with("1.50E+2\n"));
    expect(fixture.run("check", &[]), |it| it.status == Some(0));
}

#[test]
fn a_change_without_fsync_is_a_change() {
    let fixture = Fixture::without_file();
    expect(fixture.run("set", &["key", "1", "--no-fsync"]), Outcome::is_silent_success);
    assert_eq!(fixture.content(), "{\n  \"key\": 1\n}\n");
}

#[test]
fn arguments_that_make_no_sense_have_status_2() {
    let fixture = Fixture::without_file();
    for (command, arguments) in [
        ("get", &[][..]),
        ("set", &["key", "--string"]),
        ("set", &["key", "1", "2"]),
        ("list", &["--values"]),
        ("check", &["--lock-timeout", "soon"]),
        ("check", &["--lock-timeout", "inf"]),
        ("check", &["--lock-timeout=-1"]),
        ("unset", &["key"]),
    ] {
        let outcome = fixture.run(command, arguments);
        expect(outcome, |it| it.status == Some(2) && it.stdout.is_empty() && !it.stderr.is_empty());
    }
    assert_eq!(fixture.names(), [""; 0]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    // More than a pipe holds, so the command still writes when its reader goes away.
    let fixture = Fixture::with_file(&format!("{{\"text\": \"{}\"}}", "x".repeat(1 << 20)));
    for (command, arguments) in [("get", &["text"][..]), ("list", &[])] {
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
    let output = fixture.command("list", &[]).stdout(full).output().expect("the binary starts");
    expect(output.into(), |it| it.is_failure_with(&["cannot write standard output", "space"]));
}

#[test]
fn a_key_that_occurs_twice_is_told_on_standard_error() {
    let outcome = Fixture::with_file(r#"{"a": 1, "a": 2}"#).run("get", &["a"]);
    expect(outcome, |it| {
        it.status == Some(0) && it.stdout == "2\n" && it.stderr.starts_with("aiokv: warning: ")
    });
}
