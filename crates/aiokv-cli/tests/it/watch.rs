//! `watch`: changes as they happen.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use aiokv::blocking::AioKv;

use crate::support::Fixture;
use crate::transcript::{Scene, text};

/// `aiokv watch state.json ARGUMENTS` in a pipe, and its lines. It is known to watch: it told a
/// change of the key `probe`.
fn watching(fixture: &Fixture, arguments: &[&str]) -> (Child, impl Iterator<Item = String>) {
    let mut command = fixture.command("watch", arguments);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let store = AioKv::new(fixture.path()).expect("a path");
    let is_watching = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_watching.load(Ordering::Relaxed) {
                store.increment("probe", 1).expect("it can be changed");
            }
        });
        lines.next();
        is_watching.store(true, Ordering::Relaxed);
    });
    (child, lines.map(|line| line.expect("UTF-8")).filter(|line| !line.contains("\"probe\"")))
}

fn end(mut child: Child) {
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn a_pipe_gets_a_line_of_json_for_each_change() {
    let fixture = Fixture::with_file("{\"a\": 1.0}");
    let (child, mut lines) = watching(&fixture, &[]);
    let mut told = |change: &dyn Fn(&AioKv) -> aiokv::Result<()>| {
        change(&AioKv::new(fixture.path()).expect("a path")).expect("it can be changed");
        lines.next().expect("the command goes on")
    };
    assert_eq!(told(&|kv| kv.set("a", &2)), r#"{"key": "a", "old": 1.0, "new": 2}"#);
    assert_eq!(told(&|kv| kv.set("b", "x")), r#"{"key": "b", "new": "x"}"#);
    assert_eq!(told(&|kv| kv.delete("a")), r#"{"key": "a", "old": 2}"#);
    end(child);
}

#[test]
fn a_prefix_leaves_the_other_keys_out() {
    let fixture = Fixture::with_file("{}");
    let (child, mut lines) = watching(&fixture, &["--prefix", "p"]);
    let store = AioKv::new(fixture.path()).expect("a path");
    for key in ["a", "pa"] {
        store.set(key, &1).expect("it can be changed");
    }
    assert_eq!(lines.next().expect("the command goes on"), r#"{"key": "pa", "new": 1}"#);
    end(child);
}

#[test]
fn a_file_that_is_damaged_is_told_and_watched_further() {
    let scene = Scene::with_file("{\"a\": 1}");
    let mut terminal = scene.terminal("watch state.json", &[("NO_COLOR", "1")]);
    terminal.exp_string("Ctrl-C ends it\r\n").expect("it says that it watches");
    fs::write(scene.fixture.path(), "{\"a\" 2}").expect("it is there");
    terminal.exp_string("expected `:` at line 1 column 6").expect("it tells");
    fs::write(scene.fixture.path(), "{\"a\": 2}").expect("it is there");
    terminal.exp_string("a  1 -> 2").expect("it goes on");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let fixture = Fixture::with_file("{}");
    let (mut child, lines) = watching(&fixture, &[]);
    drop(lines);
    let store = AioKv::new(fixture.path()).expect("a path");
    let status = loop {
        store.increment("probe", 1).expect("it can be changed");
        if let Some(status) = child.try_wait().expect("it is a child") {
            break status;
        }
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_terminal_gets_lines_that_fit_until_ctrl_c() {
    let scene = Scene::with_file("{\"a\": 1}");
    let mut terminal = scene.terminal("watch state.json", &[("NO_COLOR", "1")]);
    terminal.exp_string("Ctrl-C ends it\r\n").expect("it says that it watches");
    let store = AioKv::new(scene.fixture.path()).expect("a path");
    let mut told = |value: &str| {
        store.set("a", value).expect("it can be changed");
        text(&terminal.read_line().expect("a line"))
    };
    assert_eq!(told("x"), "a  1 -> \"x\"");
    let long = told(&"y".repeat(100));
    assert!(long.chars().count() == 72 && long.ends_with('\u{2026}'), "{long}");
    store.delete("a").expect("it can be deleted");
    assert!(terminal.read_line().expect("a line").starts_with("a  - \"yyy"));
    store.set_now("b").expect("it can be set");
    assert!(terminal.read_line().expect("a line").starts_with("b  + 1"));
    terminal.send_control('c').expect("it can be sent");
    terminal.exp_eof().expect("it ends");
}
