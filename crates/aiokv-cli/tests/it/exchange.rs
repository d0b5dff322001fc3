//! `import` and `export`. What Python reads and writes is tested with the Python package.

use std::fs;
use std::os::unix::fs::PermissionsExt;
#[cfg(target_os = "linux")]
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use rexpect::session::spawn_command;

use crate::support::{
    DAMAGED, Fixture, IMPOSSIBLE, ONE_ENTRY, PECULIAR, SYSTEM, THREE_ENTRIES, USAGE, expect,
};

/// How long a person at the terminal waits for an answer.
const PATIENCE_MS: u64 = 60_000;

/// A file beside the store.
fn beside(fixture: &Fixture, name: &str, content: impl AsRef<[u8]>) {
    fs::write(fixture.path().with_file_name(name), content).expect("a new file");
}

fn content_beside(fixture: &Fixture, name: &str) -> String {
    fs::read_to_string(fixture.path().with_file_name(name)).expect("it was written")
}

#[test]
fn what_was_exported_is_imported_with_its_spelling() {
    let fixture = Fixture::with_file(PECULIAR);
    for name in ["all.json", "all.jsonl"] {
        expect(fixture.run("export", &[name]), |it| it.is_silent_success());
        let target = Fixture::without_file();
        beside(&target, name, content_beside(&fixture, name));
        expect(target.run("import", &[name]), |it| {
            it.is_success_with("{\"imported\":6,\"kept\":0}\n")
        });
        assert_eq!(target.content(), PECULIAR);
    }
}

#[test]
fn export_without_a_target_prints_json_or_json_lines() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    expect(fixture.run("export", &[]), |it| it.is_success_with(THREE_ENTRIES));
    expect(fixture.run("export", &["--format", "jsonl", "--prefix", "b"]), |it| {
        it.is_success_with("{\"key\": \"b\", \"value\": 2}\n")
    });
}

#[test]
fn what_items_prints_can_be_imported_from_standard_input() {
    let lines = Fixture::with_file(PECULIAR).run("items", &[]).stdout;
    let fixture = Fixture::without_file();
    let import = ["-", "--format", "jsonl"];
    let outcome = fixture.run_with_input("import", &import, format!("\n{lines}\n").as_bytes());
    expect(outcome, |it| it.is_success_with("{\"imported\":6,\"kept\":0}\n"));
    assert_eq!(fixture.content(), PECULIAR);
}

#[test]
fn an_export_replaces_nothing_and_is_as_private_as_the_store() {
    let fixture = Fixture::with_file(ONE_ENTRY);
    fs::set_permissions(fixture.path(), fs::Permissions::from_mode(0o600)).expect("it is ours");
    expect(fixture.run("export", &["copy.json"]), |it| it.is_silent_success());
    let copy = fixture.path().with_file_name("copy.json");
    let mode = fs::metadata(copy).expect("it was written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    beside(&fixture, "mine.json", "mine");
    let outcome = fixture.run("export", &["mine.json"]);
    assert!(outcome.is_failure_with(SYSTEM, &["mine.json", "already"]), "{outcome:#?}");
    assert_eq!(content_beside(&fixture, "mine.json"), "mine");
}

/// A kill in the middle left half of the entries under the name of the whole.
#[cfg(target_os = "linux")]
#[test]
fn an_export_that_is_killed_leaves_nothing_under_its_name() {
    let text = "x".repeat(100_000);
    let fixture = Fixture::with_file(&format!("{{\"text\": \"{text}\"}}"));
    for name in ["copy.json", "copy.jsonl"] {
        // The system kills a process that writes more to a file than it may, unless that is ignored,
        // as it is where Python started the tests.
        let mut shell = Command::new("env");
        shell.args(["--default-signal=XFSZ", "sh", "-c", "ulimit -c 0; ulimit -f 1; exec \"$@\""]);
        shell.args(["sh", env!("CARGO_BIN_EXE_aiokv")]);
        shell.args(["export", "state.json", name]).env_remove("AIOKV_PATH");
        shell.current_dir(fixture.path().parent().expect("a directory"));
        let ended = shell.status().expect("a shell");
        assert!(ended.signal().is_some(), "{ended}");
        assert!(!fixture.names().contains(&name.to_owned()), "{:?}", fixture.names());
    }
}

#[test]
fn a_target_that_cannot_be_written_is_told_without_the_temporary_file() {
    let fixture = Fixture::with_file(ONE_ENTRY);
    let told = "aiokv: cannot write `absent/copy.json`: No such file or directory (os error 2)\n";
    expect(fixture.run("export", &["absent/copy.json"]), |it| {
        it.status == Some(SYSTEM) && it.stderr == told
    });
}

#[test]
fn keys_that_are_there_are_refused_replaced_or_kept_as_told() {
    let fixture = Fixture::with_file(THREE_ENTRIES);
    beside(&fixture, "new.json", r#"{"d": 4, "b": 20}"#);
    let outcome = fixture.run("import", &["new.json"]);
    let words = ["the key \"b\" is there already; nothing was imported", "--replace", "--keep"];
    assert!(outcome.is_failure_with(IMPOSSIBLE, &words), "{outcome:#?}");
    assert_eq!(fixture.content(), THREE_ENTRIES);
    expect(fixture.run("import", &["new.json", "--keep"]), |it| {
        it.is_success_with("{\"imported\":1,\"kept\":1}\n")
    });
    let kept = "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3,\n  \"d\": 4\n}\n";
    assert_eq!(fixture.content(), kept);
    expect(fixture.run("import", &["new.json", "--replace"]), |it| {
        it.is_success_with("{\"imported\":2,\"kept\":0}\n")
    });
    assert_eq!(fixture.content(), kept.replace("\"b\": 2", "\"b\": 20"));
}

#[test]
fn a_prefix_comes_before_each_key() {
    let fixture = Fixture::with_file(ONE_ENTRY);
    beside(&fixture, "new.json", "{\"a\": 2, \"caf\\u00e9\": 3}");
    expect(fixture.run("import", &["new.json", "--prefix", "\"bot\":"]), |it| {
        it.is_success_with("{\"imported\":2,\"kept\":0}\n")
    });
    let expected = r#"{
  "a": 1,
  "\"bot\":a": 2,
  "\"bot\":caf\u00e9": 3
}
"#;
    assert_eq!(fixture.content(), expected);
}

#[test]
fn a_mistake_in_the_source_is_shown_and_nothing_is_imported() {
    let fixture = Fixture::with_file(ONE_ENTRY);
    for (name, content, words) in [
        ("x.json", "{\n  \"b\": 2,\n  \"c\" 3\n}\n", "`x.json`: line 3, column 7"),
        ("x.json", "{\"b\": 2, \"b\": 3}", "the key \"b\" is there twice"),
        ("x.json", "[1]", "`x.json`: line 1"),
        ("x.jsonl", "{\"key\": \"b\", \"value\": 2}\n{\"key\": \"c\"}\n", "`x.jsonl`: line 2"),
        ("x.jsonl", "{\"key\": \"b\", \"value\": 2}\n{\"key\": \"b\", \"value\": 2}\n", "twice"),
        ("x.jsonl", "\u{0}", "`x.jsonl`: line 1"),
    ] {
        beside(&fixture, name, content);
        let outcome = fixture.run("import", &[name]);
        let words = ["nothing was imported", words];
        assert!(outcome.is_failure_with(DAMAGED, &words), "{content}: {outcome:#?}");
        assert_eq!(fixture.content(), ONE_ENTRY);
    }
}

#[test]
fn a_source_that_is_not_there_or_of_no_known_format_is_told() {
    let fixture = Fixture::with_file(ONE_ENTRY);
    expect(fixture.run("import", &["absent.json"]), |it| {
        it.is_failure_with(SYSTEM, &["absent.json"])
    });
    expect(fixture.run("import", &["bot.dat"]), |it| {
        it.is_failure_with(USAGE, &["which format has `bot.dat`? Say --format"])
    });
    expect(fixture.run("import", &["-"]), |it| it.is_failure_with(USAGE, &["standard input"]));
}

#[test]
fn nothing_is_unpickled_unless_the_user_says_so() {
    let fixture = Fixture::with_file(ONE_ENTRY);
    for format in ["shelve", "telegram"] {
        let outcome = fixture.run("import", &["--format", format, "bot.dat"]);
        assert!(outcome.is_failure_with(USAGE, &["--unsafe-pickle"]), "{outcome:#?}");
    }
}

#[test]
fn a_format_of_python_needs_python() {
    let fixture = Fixture::with_file(ONE_ENTRY);
    let mut import = fixture.command("import", &["bot.sqlite"]);
    import.env("PATH", fixture.path().with_file_name("empty"));
    expect(import.output().expect("the binary starts").into(), |it| {
        it.is_failure_with(SYSTEM, &["nothing was imported", "cannot start `python3`"])
    });
    // An interpreter as it is without the package.
    let directory = fixture.path().with_file_name("bin");
    fs::create_dir(&directory).expect("a new directory");
    let python = directory.join("python3");
    fs::write(&python, "#!/bin/sh\necho \"python3: No module named aiokv\" >&2\nexit 1\n")
        .expect("a new file");
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).expect("it is ours");
    for verb in ["import", "export"] {
        let mut process = fixture.command(verb, &["bot.sqlite"]);
        process.env("PATH", &directory);
        expect(process.output().expect("the binary starts").into(), |it| {
            it.is_failure_with(SYSTEM, &["needs the Python package aiokv", "`python3`"])
        });
    }
}

#[test]
fn a_program_that_writes_meanwhile_loses_nothing() {
    let fixture = Fixture::with_file("{\n  \"counter\": 0\n}\n");
    let lines = |start: usize| -> String {
        let line = |number| format!("{{\"key\": \"{number}\", \"value\": {number}}}\n");
        (start..start + 100).map(line).collect()
    };
    let script = "for number in 1 2 3 4 5 6 7 8 9 10; do \"$0\" increment state.json counter; done";
    let mut program = Command::new("sh");
    program.args(["-c", script, env!("CARGO_BIN_EXE_aiokv")]).stdout(Stdio::null());
    program.current_dir(fixture.path().parent().expect("a directory"));
    let mut program = program.spawn().expect("a shell");
    for start in [0, 100, 200] {
        let import = ["-", "--format", "jsonl"];
        let outcome = fixture.run_with_input("import", &import, lines(start).as_bytes());
        expect(outcome, |it| it.is_success_with("{\"imported\":100,\"kept\":0}\n"));
    }
    assert!(program.wait().expect("it ends").success());
    expect(fixture.run("get", &["counter"]), |it| it.is_success_with("10\n"));
    expect(fixture.run("count", &[]), |it| it.is_success_with("301\n"));
}

#[test]
fn a_person_is_told_and_sees_a_bar_when_it_takes_long() {
    let fixture = Fixture::without_file();
    let fifo = fixture.path().with_file_name("slow.jsonl");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("it starts");
    assert!(made.success());
    let mut import = fixture.command("import", &["slow.jsonl"]);
    import.env("TERM", "xterm").stdin(Stdio::inherit());
    let mut person = spawn_command(import, Some(PATIENCE_MS)).expect("a terminal");
    let source = fs::OpenOptions::new().write(true).open(fifo).expect("the other end is open");
    person.exp_string("entries read: 0").expect("a bar");
    std::io::Write::write_all(&mut &source, b"{\"key\": \"a\", \"value\": 1}\n").expect("it reads");
    drop(source);
    person.exp_string("imported 1 entry into `state.json`").expect("it is done");
    person.exp_eof().expect("it ends");
    assert_eq!(fixture.content(), ONE_ENTRY);
    let mut export = fixture.command("export", &["copy.json"]);
    export.stdin(Stdio::inherit());
    let mut person = spawn_command(export, Some(PATIENCE_MS)).expect("a terminal");
    person.exp_string("exported 1 entry of `state.json` to `copy.json`").expect("it is done");
    person.exp_eof().expect("it ends");
    assert_eq!(content_beside(&fixture, "copy.json"), ONE_ENTRY);
}
