//! How changes get into the journal, and when they leave it for the file.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use aiokv::{Error, Journal, Options};
use rustix::io::Errno;

use super::{
    FILE, JOURNAL, OLD, content, contents_after, machine, names, put, put_in_place,
    require_contents, require_file, start,
};
use crate::support::options::{appending, checkpointing_at_once};
use crate::support::process::Plan;
use crate::support::requests::{Answer, Contents, Request, delete, get, group, set};
use crate::support::simulated_disk::Action;

const TEMPORARY: &str = "/data/.state.json.aiokv-tmp";

/// The calls of a checkpoint after it let go of the file and before it has it locked again, in a
/// process that makes one after its first change. Counted from 1.
fn calls_between_the_locks_of_a_checkpoint() -> RangeInclusive<usize> {
    let machine = machine();
    let mut process = start(&machine, checkpointing_at_once());
    machine.plan(Plan::Nothing);
    process.ask_each(&[set("a", "1")]);
    process.work();
    let log = machine.log();
    let position = |from: usize, action, path| {
        from + log[from..].iter().position(|call| call.is(action, path)).unwrap()
    };
    let created = log.iter().rposition(|call| call.is(Action::Create, TEMPORARY)).unwrap();
    let unlocked = position(created, Action::Unlock, FILE);
    unlocked + 2..=position(unlocked, Action::Lock, FILE) + 1
}

#[test]
fn a_checkpoint_is_given_up_when_the_file_is_edited_meanwhile() {
    let edited = b"{\"edited\": \"by hand\"}";
    for edit in [put, put_in_place] {
        for call in calls_between_the_locks_of_a_checkpoint() {
            let machine = machine();
            let mut process = start(&machine, checkpointing_at_once());
            machine.plan(Plan::Nothing);
            let disk = machine.disk.clone();
            machine.before(call, move || edit(&disk, FILE, edited));
            process.ask_each(&[set("a", "1")]);
            let journal = content(&machine, JOURNAL);
            process.work();
            let error = process.ask(&Request::Close).unwrap_err();
            assert!(matches!(error, Error::Corrupt(_)), "{error}");
            assert_eq!(content(&machine, FILE).unwrap(), edited, "edited before call {call}");
            assert_eq!(content(&machine, JOURNAL), journal, "edited before call {call}");
            assert_eq!(names(&machine), ["state.json", "state.json.journal"]);
        }
    }
}

#[test]
fn a_checkpoint_that_failed_is_made_again_after_a_pause() {
    let machine = machine();
    let mut process = start(&machine, checkpointing_at_once());
    let failing = *calls_between_the_locks_of_a_checkpoint().start();
    machine.plan(Plan::Fail { at: failing, errno: Errno::NOSPC });
    process.ask_each(&[set("a", "1")]);
    process.work();
    assert!(machine.log().iter().any(|call| call.faulty), "nothing failed");
    assert_eq!(names(&machine), ["state.json", "state.json.journal"]);
    process.ask_each(&[set("b", "2")]);
    process.work();
    assert_eq!(content(&machine, FILE).unwrap(), OLD.as_bytes(), "there was no pause");
    process.sleep(Duration::from_secs(5));
    require_file(&machine, &contents_after(&[set("a", "1"), set("b", "2")]));
}

#[test]
fn closing_and_asking_for_a_checkpoint_bring_the_file_up_to_date() {
    for request in [Request::Close, Request::Checkpoint] {
        let machine = machine();
        let mut process = start(&machine, appending());
        process.ask_each(&[set("a", "1"), delete("old")]);
        assert_eq!(content(&machine, FILE).unwrap(), OLD.as_bytes());
        process.ask_each(&[request]);
        require_file(&machine, &Contents::after_all(&[set("a", "1")]));
    }
}

#[test]
fn asking_for_a_checkpoint_includes_what_others_appended() {
    let machine = machine();
    start(&machine, appending()).ask_each(&[set("a", "1")]);
    start(&machine, appending()).ask_each(&[Request::Checkpoint]);
    require_file(&machine, &contents_after(&[set("a", "1")]));
}

#[test]
fn the_pace_says_how_long_the_file_lags_behind() {
    let size = |bytes: usize| format!("{{\"old\": \"{}\"}}", "x".repeat(bytes - 11));
    // Bytes, bytes a second, and milliseconds. Below 64 KiB the delay is that of 64 KiB.
    for (bytes, pace, delay) in [
        (100, 64 << 10, 1_000),
        (64 << 10, 64 << 10, 1_000),
        (1 << 20, 64 << 10, 16_000),
        (1 << 20, 1 << 20, 1_000),
    ] {
        let machine = machine();
        put(&machine.disk, FILE, size(bytes).as_bytes());
        let options = Options::default().journal(Journal::Always);
        let mut process = start(&machine, options.checkpoint_pace(pace));
        process.ask_each(&[set("a", "1")]);
        process.sleep(Duration::from_millis(delay - 1));
        assert!(content(&machine, JOURNAL).is_some(), "too early for {bytes} bytes");
        process.sleep(Duration::from_millis(1));
        assert_eq!(content(&machine, JOURNAL), None, "too late for {bytes} bytes");
    }
}

#[test]
fn a_journal_that_outgrew_the_file_becomes_part_of_it() {
    let machine = machine();
    let mut process = start(&machine, appending().journal_threshold(200));
    process.ask_each(&[set("a", "1")]);
    process.work();
    assert_eq!(content(&machine, FILE).unwrap(), OLD.as_bytes());
    let long = "x".repeat(200);
    process.ask_each(&[set("b", &long)]);
    process.work();
    require_file(&machine, &contents_after(&[set("a", "1"), set("b", &long)]));
}

#[test]
fn a_store_that_never_appends_takes_over_what_others_appended() {
    let machine = machine();
    start(&machine, appending()).ask_each(&[set("a", "1")]);
    let never = Options::default().journal(Journal::Never);
    start(&machine, never).ask_each(&[set("b", "2")]);
    require_file(&machine, &contents_after(&[set("a", "1"), set("b", "2")]));
}

#[test]
fn the_size_of_the_file_decides_whether_it_is_replaced() {
    let of_size = |size: usize| format!("{{\"old\": \"{}\"}}", "x".repeat(size - 11));
    let own = |threshold| appending().journal(Journal::Auto).journal_threshold(threshold);
    for (size, options, appends) in [
        (111, own(110), true),
        (111, own(111), false),
        (64 << 10, Options::default(), false),
        ((64 << 10) + 1, Options::default(), true),
    ] {
        let machine = machine();
        let old = of_size(size);
        put(&machine.disk, FILE, old.as_bytes());
        let mut process = start(&machine, options);
        process.ask_each(&[set("a", "1")]);
        assert_eq!(content(&machine, JOURNAL).is_some(), appends, "{size} bytes");
        assert_eq!(content(&machine, FILE).unwrap() == old.as_bytes(), appends, "{size} bytes");
    }
}

#[test]
fn the_first_change_creates_the_file_and_no_journal() {
    let machine = machine();
    machine.disk.take_away(Path::new(FILE));
    start(&machine, appending()).ask_each(&[set("a", "1")]);
    require_file(&machine, &Contents::after_all(&[set("a", "1")]));
}

#[test]
fn clearing_removes_the_file_and_the_journal() {
    let machine = machine();
    let mut process = start(&machine, appending());
    process.ask_each(&[set("a", "1"), Request::Clear]);
    assert!(names(&machine).is_empty());
    process.ask_each(&[set("b", "2"), Request::Close]);
    require_file(&machine, &Contents::after_all(&[set("b", "2")]));
}

#[test]
fn a_change_is_one_write_and_one_flush_and_so_is_a_batch() {
    let machine = machine();
    let mut process = start(&machine, appending());
    process.ask_each(&[set("a", "1")]);
    let mut without_flush = start(&machine, appending().fsync(false));
    let bytes = content(&machine, JOURNAL).unwrap().len();
    let batch = [set("b", "3"), delete("a"), group(&[("c", "4"), ("d", "5")], &["b"]), get("c")];
    for (process, flushes) in [(&mut process, 1), (&mut without_flush, 0)] {
        process.ask_each(&[set("a", "2")]);
        machine.plan(Plan::Nothing);
        assert!(process.ask_all_together(&batch).iter().all(Result::is_ok));
        let log = machine.log();
        let changes = log.iter().map(|call| call.action).filter(|it| it.changes_the_disk());
        let expected = [Action::Write, Action::FlushContent];
        assert_eq!(Vec::from_iter(changes), expected[..=flushes]);
    }
    assert_eq!(content(&machine, JOURNAL).unwrap().len(), bytes, "no space was reserved");
}

/// Linux, since 6.13, makes the next write and flush of a file dearer whose times were asked for.
#[test]
fn neither_a_change_nor_a_look_asks_for_the_times_of_the_journal() {
    let machine = machine();
    let mut writer = start(&machine, appending());
    let mut reader = start(&machine, appending());
    writer.ask_each(&[set("a", "1")]);
    reader.ask_each(&[get("a"), set("b", "2")]);
    machine.plan(Plan::Nothing);
    for value in ["3", "4"] {
        writer.ask_each(&[set("a", value), get("a")]);
        reader.ask_each(&[get("a"), get("a"), set("b", value)]);
    }
    let looks = machine.log().into_iter().filter(|call| call.path == Path::new(JOURNAL));
    let looks: Vec<_> = looks.map(|call| call.action).filter(|it| it.looks()).collect();
    assert!([Action::Identify, Action::LookForName].iter().all(|look| looks.contains(look)));
    let asks = |look: &Action| matches!(look, Action::Look | Action::LookAtHandle);
    assert!(!looks.iter().any(asks), "{looks:?}");
}

#[test]
fn every_process_sees_what_another_appended_took_over_and_cleared() {
    let machine = machine();
    let mut first = start(&machine, appending());
    let mut second = start(&machine, appending());
    let requests = [
        set("a", "1"),
        set("a", "2"),
        delete("old"),
        Request::Checkpoint,
        set("b", "1"),
        Request::Checkpoint,
        Request::Clear,
        set("c", "1"),
        group(&[("c", "2"), ("a", "3")], &["b"]),
    ];
    let mut expected = contents_after(&[]);
    for (number, request) in requests.iter().enumerate() {
        let (writer, reader) =
            if number % 3 == 0 { (&mut second, &mut first) } else { (&mut first, &mut second) };
        writer.ask_each(std::slice::from_ref(request));
        expected = expected.after(request);
        for key in ["a", "b", "c", "old"] {
            let value = reader.ask(&get(key)).unwrap();
            let right = Answer::Value(expected.get(key).cloned());
            assert_eq!(value, right, "{key} after {request:?}");
        }
        assert_eq!(reader.contents().unwrap(), expected, "after {request:?}");
    }
    require_contents(&machine, &expected);
}

/// What is appended while a checkpoint is under way stays in the journal, which then continues the
/// new file.
#[test]
fn changes_during_a_checkpoint_stay_in_the_journal() {
    let machine = machine();
    let mut process = start(&machine, checkpointing_at_once());
    process.ask_each(&[set("a", "1")]);
    assert!(content(&machine, TEMPORARY).is_some(), "the checkpoint has begun");
    process.ask_each(&[set("b", "2")]);
    let mut other = start(&machine, appending());
    other.ask_each(&[set("c", "3")]);
    let before = content(&machine, FILE).unwrap();
    while content(&machine, FILE).unwrap() == before {
        assert!(process.step(), "the checkpoint ends");
    }
    let expected = contents_after(&[set("a", "1"), set("b", "2"), set("c", "3")]);
    assert_eq!(names(&machine), ["state.json", "state.json.journal"]);
    let without_journal = machine.after_kill();
    without_journal.disk.take_away(Path::new(JOURNAL));
    require_contents(&without_journal, &contents_after(&[set("a", "1")]));
    require_contents(&machine, &expected);
    assert_eq!(other.contents().unwrap(), expected);
    process.ask_each(&[Request::Close]);
    require_file(&machine, &expected);
}
