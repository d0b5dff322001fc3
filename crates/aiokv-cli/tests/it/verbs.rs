//! Each verb as people and programs see it.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::support::{Fixture, Outcome, THREE_ENTRIES};
use crate::transcript::{Scene, text};

#[test]
fn show() {
    insta::assert_snapshot!(Scene::new().transcript(&["state.json"]), @r#"
    $ aiokv state.json | cat
    {
      "last_command": "ping",
      "started": 1700000000,
      "seen:1001": true,
      "seen:1002": null,
      "user:17": {"name": "Ada", "xp": [1, 2, 3], "bio": "wrote the first program, wrote the first program, wrote the first program, wrote the first program, "},
      "日本 \u001b[31m": 1.50E+2
    }
    $ aiokv state.json
    KEY              TYPE     AGE  VALUE
    last_command     string        "ping"
    started          number   3 h  1700000000
    seen:1001        boolean       true
    seen:1002        null          null
    user:17          object        {"name": "Ada", "xp": [1, 2, 3], "bio":…
    日本 \u001b[31m  number        1.50E+2
    "#);
    insta::assert_snapshot!(Scene::with_file("{}").transcript(&["state.json", "absent.json"]), @r"
    $ aiokv state.json | cat
    {}
    $ aiokv state.json
    no entries
    $ aiokv absent.json | cat
    aiokv: `absent.json` does not exist: an empty store
    {}
    $ aiokv absent.json
    aiokv: `absent.json` does not exist: an empty store
    no entries
    ");
}

#[test]
fn get() {
    let lines = [
        "get state.json last_command",
        "get state.json last_command --raw",
        "get state.json started",
        "get state.json last_command seen:1001 absent",
        "get state.json absent",
    ];
    insta::assert_snapshot!(Scene::new().transcript(&lines), @r#"
    $ aiokv get state.json last_command | cat
    "ping"
    $ aiokv get state.json last_command
    "ping"
    $ aiokv get state.json last_command --raw | cat
    ping
    $ aiokv get state.json last_command --raw
    ping
    $ aiokv get state.json started | cat
    1700000000
    $ aiokv get state.json started
    1700000000  3 h ago
    $ aiokv get state.json last_command seen:1001 absent | cat
    {"key": "last_command", "value": "ping"}
    {"key": "seen:1001", "value": true}
    [exit status 1]
    $ aiokv get state.json last_command seen:1001 absent
    aiokv: there is no key `absent`
    KEY           TYPE     VALUE
    last_command  string   "ping"
    seen:1001     boolean  true
    [exit status 1]
    $ aiokv get state.json absent | cat
    [exit status 1]
    $ aiokv get state.json absent
    aiokv: there is no key `absent`
    [exit status 1]
    "#);
}

#[test]
fn keys() {
    let lines = ["keys state.json", "keys state.json --prefix seen: --raw", "keys state.json -p x"];
    insta::assert_snapshot!(Scene::new().transcript(&lines), @r#"
    $ aiokv keys state.json | cat
    "last_command"
    "started"
    "seen:1001"
    "seen:1002"
    "user:17"
    "日本 \u001b[31m"
    $ aiokv keys state.json
    last_command
    started
    seen:1001
    seen:1002
    user:17
    日本 \u001b[31m
    $ aiokv keys state.json --prefix seen: --raw | cat
    seen:1001
    seen:1002
    $ aiokv keys state.json --prefix seen: --raw
    seen:1001
    seen:1002
    $ aiokv keys state.json -p x | cat
    $ aiokv keys state.json -p x
    "#);
}

#[test]
fn items() {
    let lines = ["items state.json", "items state.json -p seen:", "items state.json -p x"];
    insta::assert_snapshot!(Scene::new().transcript(&lines), @r#"
    $ aiokv items state.json | cat
    {"key": "last_command", "value": "ping"}
    {"key": "started", "value": 1700000000}
    {"key": "seen:1001", "value": true}
    {"key": "seen:1002", "value": null}
    {"key": "user:17", "value": {"name": "Ada", "xp": [1, 2, 3], "bio": "wrote the first program, wrote the first program, wrote the first program, wrote the first program, "}}
    {"key": "日本 \u001b[31m", "value": 1.50E+2}
    $ aiokv items state.json
    KEY              TYPE     AGE  VALUE
    last_command     string        "ping"
    started          number   3 h  1700000000
    seen:1001        boolean       true
    seen:1002        null          null
    user:17          object        {"name": "Ada", "xp": [1, 2, 3], "bio":…
    日本 \u001b[31m  number        1.50E+2
    $ aiokv items state.json -p seen: | cat
    {"key": "seen:1001", "value": true}
    {"key": "seen:1002", "value": null}
    $ aiokv items state.json -p seen:
    KEY        TYPE     VALUE
    seen:1001  boolean  true
    seen:1002  null     null
    $ aiokv items state.json -p x | cat
    $ aiokv items state.json -p x
    no entries
    "#);
}

#[test]
fn count() {
    let lines = ["count state.json", "count state.json -p x"];
    insta::assert_snapshot!(Scene::new().transcript(&lines), @r"
    $ aiokv count state.json | cat
    6
    $ aiokv count state.json
    6 entries
    $ aiokv count state.json -p x | cat
    0
    $ aiokv count state.json -p x
    0 entries
    ");
}

#[test]
fn set_and_add() {
    let lines = [
        "set state.json n 1",
        "set state.json text --string hello",
        "set state.json n hello",
        "add state.json n 2",
        "get state.json n text",
    ];
    insta::assert_snapshot!(Scene::with_file("{}").transcript(&lines), @r#"
    $ aiokv set state.json n 1 | cat
    $ aiokv set state.json n 1
    $ aiokv set state.json text --string hello | cat
    $ aiokv set state.json text --string hello
    $ aiokv set state.json n hello | cat
    aiokv: the value is not JSON: expected value at line 1 column 1; use --string to store it as a string
    [exit status 2]
    $ aiokv set state.json n hello
    aiokv: the value is not JSON: expected value at line 1 column 1; use --string to store it as a string
    [exit status 2]
    $ aiokv add state.json n 2 | cat
    [exit status 1]
    $ aiokv add state.json n 2
    aiokv: there is a key `n` already
    [exit status 1]
    $ aiokv get state.json n text | cat
    {"key": "n", "value": 1}
    {"key": "text", "value": "hello"}
    $ aiokv get state.json n text
    KEY   TYPE    VALUE
    n     number  1
    text  string  "hello"
    "#);
}

#[test]
fn increment() {
    let lines = [
        "increment state.json n",
        "increment state.json n -0.5",
        "increment state.json last_command",
        "increment state.json n x",
    ];
    insta::assert_snapshot!(Scene::new().transcript(&lines), @r#"
    $ aiokv increment state.json n | cat
    1
    $ aiokv increment state.json n
    2
    $ aiokv increment state.json n -0.5 | cat
    1.5
    $ aiokv increment state.json n -0.5
    1.0
    $ aiokv increment state.json last_command | cat
    aiokv: cannot add to the value of "last_command": it is not a number but "ping"
    [exit status 6]
    $ aiokv increment state.json last_command
    aiokv: cannot add to the value of "last_command": it is not a number but "ping"
    [exit status 6]
    $ aiokv increment state.json n x | cat
    aiokv: `x` is no number to add
    [exit status 2]
    $ aiokv increment state.json n x
    aiokv: `x` is no number to add
    [exit status 2]
    "#);
}

#[test]
fn delete() {
    let lines = ["delete state.json started", "delete state.json -p seen: --yes"];
    insta::assert_snapshot!(Scene::new().transcript(&lines), @r"
    $ aiokv delete state.json started | cat
    1
    $ aiokv delete state.json started
    deleted 0 entries
    $ aiokv delete state.json -p seen: --yes | cat
    2
    $ aiokv delete state.json -p seen: --yes
    deleted 0 entries
    ");
}

#[test]
fn stats_tell_how_far_the_file_lags_behind_its_journal() {
    let fixture = Fixture::with_journal();
    let scene = Scene::with_file(&fixture.content());
    fs::copy(fixture.journal(), scene.fixture.journal()).expect("a new file");
    let then = SystemTime::now() - Duration::from_secs(150);
    let file = fs::File::options().append(true).open(scene.fixture.path());
    file.and_then(|it| it.set_modified(then)).expect("it is there");
    let piped = scene.in_a_pipe("stats state.json");
    assert!(piped.contains(r#""journal":{"bytes":4096,"lag_seconds":15"#), "{piped}");
    let shown = scene.at_a_terminal("stats state.json");
    assert!(shown.contains("journal  4096 bytes; the file lags up to 2 min behind"), "{shown}");
}

#[test]
fn what_deletes_several_entries_asks_first() {
    let lines =
        ["delete state.json -p seen:", "delete state.json started absent", "clear state.json"];
    let mut told = String::new();
    for line in lines {
        for (answer, is_yes) in [("", false), ("n", false), ("y", true)] {
            let scene = Scene::new();
            let before = scene.fixture.content();
            told += &scene.answering(line, answer);
            let after = fs::read_to_string(scene.fixture.path()).ok();
            assert_eq!(after != Some(before), is_yes, "{line}: {answer}");
        }
    }
    insta::assert_snapshot!(told, @r"
    $ aiokv delete state.json -p seen:
    Delete 2 entries of `state.json`? [y/N] 
    [exit status 1]
    $ aiokv delete state.json -p seen:
    Delete 2 entries of `state.json`? [y/N] n
    [exit status 1]
    $ aiokv delete state.json -p seen:
    Delete 2 entries of `state.json`? [y/N] y
    deleted 2 entries
    $ aiokv delete state.json started absent
    Delete 2 keys of `state.json`? [y/N] 
    [exit status 1]
    $ aiokv delete state.json started absent
    Delete 2 keys of `state.json`? [y/N] n
    [exit status 1]
    $ aiokv delete state.json started absent
    Delete 2 keys of `state.json`? [y/N] y
    deleted 1 entry
    $ aiokv clear state.json
    Delete everything in `state.json` and remove the file? [y/N] 
    [exit status 1]
    $ aiokv clear state.json
    Delete everything in `state.json` and remove the file? [y/N] n
    [exit status 1]
    $ aiokv clear state.json
    Delete everything in `state.json` and remove the file? [y/N] y
    removed `state.json`
    ");
}

#[test]
fn what_deletes_several_entries_needs_a_yes_in_a_pipe() {
    let scene = Scene::new();
    let before = scene.fixture.content();
    let lines =
        ["delete state.json -p seen:", "delete state.json started absent", "clear state.json"];
    let told: String = lines.iter().map(|line| scene.in_a_pipe(line)).collect();
    insta::assert_snapshot!(told, @r"
    $ aiokv delete state.json -p seen: | cat
    aiokv: Delete 2 entries of `state.json`? There is nobody to ask: say `--yes` if you mean it
    [exit status 2]
    $ aiokv delete state.json started absent | cat
    aiokv: Delete 2 keys of `state.json`? There is nobody to ask: say `--yes` if you mean it
    [exit status 2]
    $ aiokv clear state.json | cat
    aiokv: Delete everything in `state.json` and remove the file? There is nobody to ask: say `--yes` if you mean it
    [exit status 2]
    ");
    assert_eq!(scene.fixture.content(), before);
    let lines = ["delete state.json started absent --yes", "clear state.json -y"];
    let told: String = lines.iter().map(|line| scene.in_a_pipe(line)).collect();
    insta::assert_snapshot!(told, @r"
    $ aiokv delete state.json started absent --yes | cat
    1
    $ aiokv clear state.json -y | cat
    ");
    assert!(!scene.fixture.path().exists());
}

#[test]
fn check() {
    insta::assert_snapshot!(Scene::new().transcript(&["check state.json", "check absent.json"]), @r#"
    $ aiokv check state.json | cat
    {"ok":true,"exists":true,"entries":6,"bytes":286,"journal":null}
    $ aiokv check state.json
    ok: 6 entries in `state.json`, 286 bytes, no journal
    $ aiokv check absent.json | cat
    aiokv: `absent.json` does not exist: an empty store
    {"ok":true,"exists":false,"entries":0,"bytes":0,"journal":null}
    $ aiokv check absent.json
    aiokv: `absent.json` does not exist: an empty store
    "#);
    let fixture = Fixture::with_journal();
    let scene = Scene::with_file(&fixture.content());
    fs::copy(fixture.journal(), scene.fixture.journal()).expect("a new file");
    insta::assert_snapshot!(scene.transcript(&["check state.json"]), @r#"
    $ aiokv check state.json | cat
    {"ok":true,"exists":true,"entries":3,"bytes":13,"journal":{"bytes":4096,"ahead":true}}
    $ aiokv check state.json
    ok: 3 entries in `state.json`, 13 bytes, and a journal of 4096 bytes with later changes
    `aiokv checkpoint` brings the file up to date
    "#);
    let scene = Scene::with_file("{\n  \"a\": 1,\n  \"日本\" 2\n}\n");
    insta::assert_snapshot!(scene.transcript(&["check state.json"]), @r#"
    $ aiokv check state.json | cat
    aiokv: `state.json` is not a valid state file: expected `:` at line 3 column 8; mend it, put back a copy, save what can be read of it with `aiokv recover state.json NEW`, or remove it with `clear`
      3 |   "日本" 2
        |          ^
    [exit status 3]
    $ aiokv check state.json
    aiokv: `state.json` is not a valid state file: expected `:` at line 3 column 8; mend it, put back a copy, save what can be read of it with `aiokv recover state.json NEW`, or remove it with `clear`
      3 |   "日本" 2
        |          ^
    [exit status 3]
    "#);
}

#[test]
fn checkpoint() {
    let lines = ["checkpoint state.json", "checkpoint absent.json"];
    insta::assert_snapshot!(Scene::new().transcript(&lines), @r"
    $ aiokv checkpoint state.json | cat
    $ aiokv checkpoint state.json
    `state.json` has no journal: the file alone holds everything
    $ aiokv checkpoint absent.json | cat
    aiokv: `absent.json` does not exist: an empty store
    $ aiokv checkpoint absent.json
    aiokv: `absent.json` does not exist: an empty store
    ");
    let fixture = Fixture::with_journal();
    let scene = Scene::with_file(&fixture.content());
    fs::copy(fixture.journal(), scene.fixture.journal()).expect("a new file");
    insta::assert_snapshot!(scene.at_a_terminal("checkpoint state.json"), @r"
    $ aiokv checkpoint state.json
    `state.json` is up to date; its journal (4096 bytes) was removed
    ");
    assert_eq!(scene.fixture.content(), THREE_ENTRIES);
}

#[test]
fn backup() {
    let scene = Scene::new();
    let lines = ["backup state.json copy.json", "backup state.json state.json"];
    insta::assert_snapshot!(scene.transcript(&lines), @r"
    $ aiokv backup state.json copy.json | cat
    $ aiokv backup state.json copy.json
    copied `state.json` to `copy.json`
    $ aiokv backup state.json state.json | cat
    aiokv: cannot write a copy to `state.json`: it is a file of the store itself; choose another path
    [exit status 5]
    $ aiokv backup state.json state.json
    aiokv: cannot write a copy to `state.json`: it is a file of the store itself; choose another path
    [exit status 5]
    ");
    let copy = scene.fixture.path().with_file_name("copy.json");
    assert_eq!(fs::read_to_string(copy).expect("it was written"), scene.fixture.content());
}

#[test]
fn stats() {
    insta::assert_snapshot!(Scene::new().transcript(&["stats state.json --top 3"]), @r#"
    $ aiokv stats state.json --top 3 | cat
    {"exists":true,"entries":6,"bytes":286,"journal":null,"types":{"boolean":1,"null":1,"number":2,"object":1,"string":1},"largest":[{"key":"user:17","bytes":154},{"key":"日本 \u001b[31m","bytes":28},{"key":"last_command","bytes":22}],"prefixes":[{"prefix":"user:","entries":1,"bytes":154},{"prefix":"seen:","entries":2,"bytes":34}]}
    $ aiokv stats state.json --top 3
    entries  6: 1 boolean, 1 null, 2 number, 1 object, 1 string
    file     286 bytes
    journal  none

    LARGEST          SIZE
    user:17          154 bytes
    日本 \u001b[31m  28 bytes
    last_command     22 bytes

    PREFIX  ENTRIES  SIZE
    user:   1        154 bytes
    seen:   2        34 bytes
    "#);
    insta::assert_snapshot!(Scene::new().transcript(&["stats absent.json"]), @r#"
    $ aiokv stats absent.json | cat
    aiokv: `absent.json` does not exist: an empty store
    {"exists":false,"entries":0,"bytes":0,"journal":null,"types":{},"largest":[],"prefixes":[]}
    $ aiokv stats absent.json
    aiokv: `absent.json` does not exist: an empty store
    entries  0
    file     0 bytes
    journal  none
    "#);
}

#[test]
fn a_terminal_gets_colours_and_nothing_else_does() {
    let colours = |line, environment: &[_]| {
        let scene = Scene::new();
        let mut terminal = scene.terminal(line, environment);
        let shown = text(&terminal.exp_eof().expect("the command ends"));
        shown.replace("\r\n", "\n").replace('\u{1b}', "<ESC>")
    };
    insta::assert_snapshot!(colours("get state.json last_command seen:1001 seen:1002", &[]), @r#"
    <ESC>[2mKEY<ESC>[0m           <ESC>[2mTYPE<ESC>[0m     <ESC>[2mVALUE<ESC>[0m
    <ESC>[1mlast_command<ESC>[0m  <ESC>[2mstring<ESC>[0m   <ESC>[38;5;2m"ping"<ESC>[39m
    <ESC>[1mseen:1001<ESC>[0m     <ESC>[2mboolean<ESC>[0m  <ESC>[38;5;5mtrue<ESC>[39m
    <ESC>[1mseen:1002<ESC>[0m     <ESC>[2mnull<ESC>[0m     <ESC>[38;5;5mnull<ESC>[39m
    status 0
    "#);
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = colours("state.json", &[plain]);
        assert!(shown.contains("last_command") && !shown.contains("<ESC>"), "{plain:?}: {shown}");
    }
    let piped = Scene::new().in_a_pipe("items state.json");
    assert!(piped.contains("last_command") && !piped.contains('\u{1b}'), "{piped}");
}

#[test]
fn json_prints_at_a_terminal_what_a_pipe_gets() {
    let scene = Scene::new();
    for line in ["state.json", "items state.json", "keys state.json", "check state.json"] {
        let (piped, shown) =
            (scene.in_a_pipe(line), scene.at_a_terminal(&format!("{line} --json")));
        let output = |told: &str| told.split_once('\n').expect("a line").1.to_owned();
        assert_eq!(output(&piped), output(&shown));
    }
}

#[test]
fn help() {
    insta::assert_snapshot!(Scene::new().in_a_pipe("--help"), @r"
    $ aiokv --help | cat
    Look at and change a program's small state in one JSON file

    Programs may use the file at the same time. A missing file is an empty store.

    Usage: aiokv FILE
           aiokv VERB FILE [ARGUMENTS]

    Verbs:
      get          Print the value of a key, or the entries of several keys
      set          Set the value of a key
      add          Set the value of a key only if there is none
      delete       Delete keys, whether they are there or not, and print how many were
      keys         Print the keys, one a line
      items        Print the entries with their keys and values, one a line
      count        Print how many entries there are
      increment    Add to a number, and print the sum
      clear        Delete everything and remove the file, be it readable or not
      check        Say `ok` and how large the file and its journal are, or where they are damaged
      checkpoint   Bring the file up to date with its journal, so that the file alone holds everything
      backup       Write a copy of the store to another file, while programs use it
      edit         Edit the store in $VISUAL or $EDITOR, while programs use it
      import       Take over the entries of a file in another format
      export       Write the entries in another format
      recover      Write what can be read of damaged files to a new file, and say what was lost
      watch        Print changes as they happen, by whichever program
      stats        Print how much there is, and of what
      completions  Print what makes a shell complete the words of this command
      man          Print the man page of the command, or of a verb: `aiokv man get | man -l -`
      help         Print this message or the help of the given subcommand(s)

    Arguments:
      [FILE]
              Show the store in this JSON file; one that is called like a verb is written ./get

    Options:
          --json
              Print JSON at a terminal too, as in a pipe

          --no-fsync
              Do not wait until a change is flushed to disk: faster, but it may not survive a power cut

          --lock-timeout <SECONDS>
              How long to wait for another process that holds the lock of the file
              
              [default: 10]

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    While the environment variable AIOKV_PATH names a file, verbs work on that one and take no FILE:
    `aiokv get KEY`.

    A terminal gets tables and colours (unless NO_COLOR is set), a pipe plain JSON, or JSON Lines where
    there may be many.

    Exit status:
      0  done
      1  not found: no such key (`add`: it is there already), or you answered no
      2  usage: the arguments make no sense, and nothing was done
      3  damaged: the file is not one JSON object, or its journal does not fit
      4  locked: another process did not let go of the file in time
      5  I/O: the system refused, as for a full disk or a missing permission
      6  impossible: the stored value does not allow it, such as text to increment
    ");
    insta::assert_snapshot!(Scene::new().in_a_pipe("get -h"), @r"
    $ aiokv get -h | cat
    Print the value of a key, or the entries of several keys

    Usage: aiokv get [OPTIONS] <FILE> <KEY>...

    Arguments:
      <FILE>    The JSON file
      <KEY>...  The keys

    Options:
          --raw                     Print a string as it is, without quotes and escapes
          --json                    Print JSON at a terminal too, as in a pipe
          --no-fsync                Do not wait until a change is flushed to disk: faster, but it may
                                    not survive a power cut
          --lock-timeout <SECONDS>  How long to wait for another process that holds the lock of the file
                                    [default: 10]
      -h, --help                    Print help (see more with '--help')
    ");
}

#[test]
fn completions_complete_the_words_of_the_command() {
    let fixture = Fixture::without_file();
    for (shell, first_words) in
        [("bash", "_aiokv()"), ("zsh", "#compdef aiokv"), ("fish", "# Print an optspec")]
    {
        let outcome: Outcome =
            fixture.words(&["completions", shell]).output().expect("the binary starts").into();
        assert!(
            outcome.status == Some(0) && outcome.stdout.starts_with(first_words),
            "{outcome:?}"
        );
        assert!(outcome.stdout.contains("increment"), "{shell}");
    }
}

#[test]
fn a_man_page_explains_a_verb_and_the_exit_status() {
    let fixture = Fixture::without_file();
    for (words, sentence) in [
        (&["man"][..], "damaged: the file is not one JSON object"),
        (&["man", "get"], "Print the value of a key"),
    ] {
        let outcome: Outcome = fixture.words(words).output().expect("the binary starts").into();
        assert!(outcome.status == Some(0) && outcome.stdout.contains(sentence), "{outcome:?}");
    }
}
