//! The command `aiokv` through its real binary: one promise a test.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

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

    fn path(&self) -> PathBuf {
        self.directory.path().join("state.json")
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
fn changes_give_up_after_the_lock_timeout_and_reads_go_on() {
    let fixture = Fixture::with_file(PECULIAR);
    let file = File::options().write(true).open(fixture.path()).expect("the file is there");
    file.lock().expect("nobody else has the lock");
    let outcome = fixture.run("set", &["key", "1", "--lock-timeout", "0.01"]);
    expect(outcome, |it| it.is_failure_with(&["cannot lock", "0.01 s"]));
    assert_eq!(fixture.content(), PECULIAR);
    expect(fixture.run("get", &["float"]), |it| it.is_success_with("1.50E+2\n"));
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
