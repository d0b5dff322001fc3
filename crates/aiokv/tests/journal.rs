//! What the journal promises: every change is in the file or in the journal; damage is found, and
//! what a crash left unfinished is dropped; a journal never goes with a file that it does not
//! continue; and it is gone once the file is up to date.
//!
//! What crashes and failing calls leave is the business of the tests `crash` and `faults`.

#![allow(clippy::unwrap_used, reason = "a test ends with the first surprise")]

#[path = "support/options.rs"]
mod options;
#[path = "support/random.rs"]
mod random;
#[path = "support/requests.rs"]
mod requests;
#[path = "support/simulated_disk/mod.rs"]
mod simulated_disk;
#[path = "support/start.rs"]
mod start;
#[path = "support/state_file.rs"]
mod state_file;

use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once};

use aiokv::storage::{Access, Storage};
use aiokv::{AioKv, Error, Journal, Options};
use pollster::block_on;
use rustix::io::Errno;

use options::{appending, folding_at_once};
use requests::{Contents, Request, send_together};
use simulated_disk::{Action, Call, Plan, SimulatedDisk, Subject};
use state_file::state_file;

const DIRECTORY: &str = "/data";
const FILE: &str = "/data/state.json";
const JOURNAL: &str = "/data/state.json.journal";
const TEMPORARY: &str = "/data/.state.json.aiokv-tmp";

/// What the file holds at first.
const OLD: &str = "{\"old\": \"0\"}";

#[test]
fn cut_off_anywhere_it_holds_the_changes_before() {
    let journaled = Journaled::new();
    let text = journaled.lines.concat();
    let header = journaled.lines[0].len();
    for length in 0..=text.len() {
        let disk = journaled.with_journal(&text[..length]);
        if length < header {
            require_damage(&disk, 1);
            continue;
        }
        let whole = text[header..length].iter().filter(|byte| **byte == b'\n').count();
        require_contents(&disk, &journaled.states[whole]);
        require_writable(&disk, &journaled.states[whole]);
    }
}

#[test]
fn a_changed_byte_is_an_error_or_was_never_acknowledged() {
    let journaled = Journaled::new();
    let text = journaled.lines.concat();
    let mut position = 0;
    for (number, line) in journaled.lines.iter().enumerate() {
        for offset in 0..line.len() {
            let old = line[offset];
            for new in [old ^ 1, 0, b'\n', b' '].into_iter().filter(|new| *new != old) {
                let mut damaged = text.clone();
                damaged[position + offset] = new;
                journaled.require_found(&damaged, number);
            }
        }
        position += line.len();
    }
}

#[test]
fn lines_that_are_missing_out_of_order_or_too_many_are_found() {
    let journaled = Journaled::new();
    let count = journaled.lines.len();
    for number in 0..count {
        let mut lines = journaled.lines.clone();
        lines.remove(number);
        journaled.require_found(&lines.concat(), number);

        for intruder in ["\n", "garbage\n", "{\"a\": 1}\n", "01234567 1 0 + \"a\": \"1\"\n", "\0\n"]
        {
            let mut lines = journaled.lines.clone();
            lines.insert(number, intruder.into());
            journaled.require_found(&lines.concat(), number);
        }

        let mut lines = journaled.lines.clone();
        lines.insert(number, lines[number].clone());
        // Reading ends at the copy.
        journaled.require_found(&lines.concat(), number + 1);

        if number + 1 < count {
            let mut lines = journaled.lines.clone();
            lines.swap(number, number + 1);
            journaled.require_found(&lines.concat(), number);
        }
    }
}

#[test]
fn what_a_crash_left_behind_the_last_line_is_dropped() {
    let journaled = Journaled::new();
    let newest = journaled.states.last().unwrap();
    let leftovers: [&[u8]; 5] =
        [b"\0\0\0\0", b"01234567 8", b"\n\n\n\0\n\n", b"\xff\n", b"garbage\nand more\n"];
    for leftover in leftovers {
        let disk = journaled.with_journal(&[&journaled.lines.concat(), leftover].concat());
        require_contents(&disk, newest);
        require_writable(&disk, newest);
    }
}

#[test]
fn what_was_dropped_is_logged() {
    let (_directory, path) = state_file();
    copy_golden("torn", &path);
    collect_log();
    block_on(AioKv::new(&path).unwrap().entry("a")).unwrap();
    let journal = format!("`{}`", state_file::journal_of(&path).display());
    let log = LOG.lock().unwrap();
    let about_it = log.iter().filter(|message| message.contains(&journal));
    let about_it = Vec::from_iter(about_it);
    assert_eq!(about_it.len(), 1, "{about_it:?}");
    assert!(about_it[0].contains("after the line with the number 2"), "{about_it:?}");
}

#[test]
fn journals_that_were_left_behind_open_for_ever() {
    let names = golden_names();
    assert!(names.len() >= 10, "files are missing: {names:?}");
    for name in names {
        for options in [Options::default(), appending()] {
            let (_directory, path) = state_file();
            copy_golden(&name, &path);
            let kv = AioKv::with_options(&path, options).unwrap();
            block_on(kv.set("last_command", "pong")).unwrap();
            block_on(kv.close()).unwrap();
            let found = fs::read_to_string(&path).unwrap();
            let expected = fs::read_to_string(golden(&name, "after.json")).unwrap();
            assert_eq!(found, expected, "{name}");
            assert_eq!(state_file::names(&path), ["state.json"], "{name}");
        }
    }
}

#[test]
fn an_edited_file_does_not_go_with_its_journal() {
    let journaled = Journaled::new();
    let edited = "{\"edited\": \"by hand\"}";
    for edit in [put, put_in_place] {
        let disk = journaled.disk.after_kill();
        edit(&disk, FILE, edited.as_bytes());
        require_misfit(&disk);
        journaled.require_choice(&disk, &Contents::default().after(&set("edited", "by hand")));
    }
}

#[test]
fn a_restored_file_does_not_go_with_a_later_journal() {
    let disk = disk();
    let store = open(&disk, appending());
    ask(&store, &[set("a", "1"), Request::Close, set("b", "2")]);
    let disk = disk.after_kill();
    let newer = content(&disk, FILE).unwrap();
    put(&disk, FILE, OLD.as_bytes());
    require_misfit(&disk);
    put(&disk, FILE, &newer);
    require_contents(&disk, &of(&[set("old", "0"), set("a", "1"), set("b", "2")]));
}

#[test]
fn a_removed_file_does_not_go_with_its_journal() {
    let journaled = Journaled::new();
    let disk = journaled.disk.after_kill();
    disk.remove(Path::new(FILE)).unwrap();
    require_misfit(&disk);
    journaled.require_choice(&disk, &Contents::default());
}

#[test]
fn the_journal_of_another_file_does_not_go_with_this_one() {
    let journaled = Journaled::new();
    let other = disk();
    put(&other, FILE, b"{}");
    let store = open(&other, appending());
    ask(&store, &[set("a", "1")]);
    require_misfit(&journaled.with_journal(&content(&other, JOURNAL).unwrap()));
}

#[test]
fn an_edit_is_noticed_by_a_store_that_knows_the_file() {
    let disk = disk();
    let store = open(&disk, appending());
    ask(&store, &[set("a", "1")]);
    let journal = content(&disk, JOURNAL);
    put(&disk, FILE, b"{\"edited\": \"by hand\"}");
    for request in [Request::Get("a".to_owned()), set("b", "2"), Request::Close] {
        let error = block_on(request.send(&store)).unwrap_err();
        assert!(matches!(error, Error::Corrupt(_)), "{request:?}: {error}");
        assert_eq!(content(&disk, FILE).unwrap(), b"{\"edited\": \"by hand\"}");
        assert_eq!(content(&disk, JOURNAL), journal);
    }
    put(&disk, FILE, OLD.as_bytes());
    ask(&store, &[set("b", "2"), Request::Close]);
    require_contents(&disk, &of(&[set("old", "0"), set("a", "1"), set("b", "2")]));
}

#[test]
fn a_fold_is_given_up_when_the_file_is_edited_meanwhile() {
    let edited = b"{\"edited\": \"by hand\"}";
    for edit in [put, put_in_place] {
        for call in calls_between_the_locks_of_a_fold() {
            let disk = disk();
            let store = open(&disk, folding_at_once());
            disk.plan(Plan::Nothing);
            disk.pause_at(call);
            ask(&store, &[set("a", "1")]);
            disk.wait_until_folded(Path::new(JOURNAL), 0);
            assert!(disk.is_paused(), "the fold made no call {call}");
            edit(&disk, FILE, edited);
            let journal = content(&disk, JOURNAL);
            disk.go_on();
            let error = block_on(store.close()).unwrap_err();
            assert!(matches!(error, Error::Corrupt(_)), "{error}");
            assert_eq!(content(&disk, FILE).unwrap(), edited, "edited before call {call}");
            assert_eq!(content(&disk, JOURNAL), journal, "edited before call {call}");
            assert_eq!(disk.names(Path::new(DIRECTORY)), ["state.json", "state.json.journal"]);
        }
    }
}

#[test]
fn a_fold_that_failed_is_made_again_after_the_next_change() {
    let disk = disk();
    let store = open(&disk, folding_at_once());
    let failing = calls_between_the_locks_of_a_fold().start;
    disk.plan(Plan::Fail { at: failing, errno: Errno::NOSPC });
    ask(&store, &[set("a", "1")]);
    disk.wait_until_folded(Path::new(JOURNAL), 0);
    let calls = disk.log().len();
    assert!(disk.log().iter().any(|call| call.faulty), "nothing failed");
    ask(&store, &[set("b", "2")]);
    disk.wait_until_folded(Path::new(JOURNAL), calls);
    require_file(&disk, &of(&[set("old", "0"), set("a", "1"), set("b", "2")]));
}

#[test]
fn closing_brings_the_file_up_to_date() {
    let disk = disk();
    let store = open(&disk, appending());
    ask(&store, &[set("a", "1"), Request::Delete("old".to_owned())]);
    assert_eq!(content(&disk, FILE).unwrap(), OLD.as_bytes());
    ask(&store, &[Request::Close]);
    require_file(&disk, &of(&[set("a", "1")]));
}

#[test]
fn the_file_is_brought_up_to_date_when_nothing_was_written_for_a_while() {
    let disk = disk();
    let store = open(&disk, folding_at_once());
    ask(&store, &[set("a", "1")]);
    disk.wait_until_folded(Path::new(JOURNAL), 0);
    require_file(&disk, &of(&[set("old", "0"), set("a", "1")]));
}

#[test]
fn a_journal_that_outgrew_the_file_is_folded() {
    let disk = disk();
    let store = open(&disk, appending().journal_threshold(200));
    ask(&store, &[set("a", "1")]);
    assert_eq!(content(&disk, FILE).unwrap(), OLD.as_bytes());
    let long = "x".repeat(200);
    ask(&store, &[set("b", &long)]);
    disk.wait_until_folded(Path::new(JOURNAL), 0);
    require_file(&disk, &of(&[set("old", "0"), set("a", "1"), set("b", &long)]));
}

#[test]
fn a_store_that_never_appends_folds_what_others_appended() {
    let disk = disk();
    let other = open(&disk, appending());
    ask(&other, &[set("a", "1")]);
    ask(&open(&disk, Options::default().journal(Journal::Never)), &[set("b", "2")]);
    require_file(&disk, &of(&[set("old", "0"), set("a", "1"), set("b", "2")]));
}

#[test]
fn the_size_of_the_file_decides_whether_it_is_replaced() {
    let old = format!("{{\"old\": \"{}\"}}", "x".repeat(100));
    let size = old.len() as u64;
    for (threshold, appends) in [(size - 1, true), (size, false)] {
        let disk = disk();
        put(&disk, FILE, old.as_bytes());
        let options = appending().journal(Journal::Auto).journal_threshold(threshold);
        let store = open(&disk, options);
        ask(&store, &[set("a", "1")]);
        assert_eq!(content(&disk, JOURNAL).is_some(), appends, "a threshold of {threshold} bytes");
        assert_eq!(content(&disk, FILE).unwrap() == old.as_bytes(), appends);
    }
}

#[test]
fn the_first_change_creates_the_file_and_no_journal() {
    let disk = disk();
    disk.remove(Path::new(FILE)).unwrap();
    ask(&open(&disk, appending()), &[set("a", "1")]);
    require_file(&disk, &of(&[set("a", "1")]));
}

#[test]
fn clearing_removes_the_file_and_the_journal() {
    let disk = disk();
    let store = open(&disk, appending());
    ask(&store, &[set("a", "1"), Request::Clear]);
    assert!(disk.names(Path::new(DIRECTORY)).is_empty());
    ask(&store, &[set("b", "2"), Request::Close]);
    require_file(&disk, &of(&[set("b", "2")]));
}

#[test]
fn a_change_is_one_write_and_one_flush() {
    let disk = disk();
    let store = open(&disk, appending());
    ask(&store, &[set("a", "1")]);
    let without_flush = open(&disk, appending().fsync(false));
    let bytes = content(&disk, JOURNAL).unwrap().len();
    for (store, flushes) in [(&store, 1), (&without_flush, 0)] {
        ask(store, &[set("b", "2")]);
        disk.plan(Plan::Nothing);
        ask(store, &[set("b", "3")]);
        let log = disk.log();
        let changes = log.iter().map(|call| call.action).filter(|it| it.changes_the_disk());
        let expected = [Action::Write, Action::FlushContent];
        assert_eq!(Vec::from_iter(changes), expected[..=flushes]);
    }
    assert_eq!(content(&disk, JOURNAL).unwrap().len(), bytes, "no space was reserved");
}

#[test]
fn every_process_sees_what_another_appended_folded_and_cleared() {
    let disk = disk();
    let (first, second) = (open(&disk, appending()), open(&disk, appending()));
    let requests = [
        set("a", "1"),
        set("a", "2"),
        Request::Delete("old".to_owned()),
        Request::Close,
        set("b", "1"),
        Request::Close,
        Request::Clear,
        set("c", "1"),
        set("c", "2"),
    ];
    let mut expected = of(&[set("old", "0")]);
    for (number, request) in requests.iter().enumerate() {
        let (writer, reader) = if number % 3 == 0 { (&second, &first) } else { (&first, &second) };
        ask(writer, std::slice::from_ref(request));
        expected = expected.after(request);
        assert_eq!(Contents::of(reader).unwrap(), expected, "after {request:?}");
        for key in ["a", "b", "c", "old"] {
            let value = block_on(reader.get::<String>(key)).unwrap();
            assert_eq!(value.as_ref(), expected.get(key), "{key} after {request:?}");
        }
    }
}

/// A disk with a file and a journal, which ends with a batch of several lines.
struct Journaled {
    disk: SimulatedDisk,
    /// The lines of the journal, the first one included.
    lines: Vec<Vec<u8>>,
    /// What the store holds with the lines before each of them, and with all of them.
    states: Vec<Contents>,
    /// The number of the first line of the last batch.
    last_batch: usize,
}

impl Journaled {
    fn new() -> Self {
        let disk = disk();
        let store = open(&disk, appending());
        let batches = [set("a", "1"), set("b", "two\nlines, \"quoted\""), set("a", "é😀")];
        ask(&store, &batches);
        let delete = |key: &str| Request::Delete(key.to_owned());
        let together = [delete("a"), set("c", "3"), set("b", "4"), delete("old")];
        send_together(&store, &disk, &together).into_iter().for_each(|reply| drop(reply.unwrap()));
        let mut states = vec![of(&[set("old", "0")])];
        for request in batches.iter().chain(&together) {
            states.push(states.last().unwrap().clone().after(request));
        }
        // What the store does when it is dropped happens to the other disk.
        let disk = disk.after_kill();
        let journal = content(&disk, JOURNAL).unwrap();
        let lines = journal.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec);
        let lines: Vec<_> = lines.filter(|line| line != b"\n").collect();
        assert_eq!(lines.len(), states.len(), "the journal has other lines than expected");
        Self { disk, last_batch: lines.len() - 3, lines, states }
    }

    /// The disk with another journal.
    fn with_journal(&self, journal: &[u8]) -> SimulatedDisk {
        let disk = self.disk.after_kill();
        put(&disk, JOURNAL, journal);
        disk
    }

    /// Checks that a journal that was damaged in a line is not believed: that is an error, or, in
    /// the last batch, what is there without that line.
    fn require_found(&self, journal: &[u8], damaged: usize) {
        let disk = self.with_journal(journal);
        match Contents::of(&open(&disk, Options::default())) {
            Ok(contents) if damaged >= self.last_batch => {
                assert_eq!(contents, self.states[damaged - 1], "{}", disk.listing());
            }
            Ok(contents) => panic!("{contents:?} is believed:\n{}", disk.listing()),
            Err(_) => require_damage(&disk, damaged + 1),
        }
    }

    /// Checks both ways out of a misfit: to go on with the file, and to put back the old one.
    fn require_choice(&self, disk: &SimulatedDisk, of_file: &Contents) {
        let without_journal = disk.after_kill();
        without_journal.remove(Path::new(JOURNAL)).unwrap();
        require_contents(&without_journal, of_file);
        require_writable(&without_journal, of_file);
        put(disk, FILE, OLD.as_bytes());
        require_contents(disk, self.states.last().unwrap());
        require_writable(disk, self.states.last().unwrap());
    }
}

/// The calls of a fold after it let go of the file and before it locks it again, in a store that
/// folds after the first change to the disk. Counted from 1.
fn calls_between_the_locks_of_a_fold() -> Range<usize> {
    let disk = disk();
    let store = open(&disk, folding_at_once());
    disk.plan(Plan::Nothing);
    ask(&store, &[set("a", "1")]);
    disk.wait_until_folded(Path::new(JOURNAL), 0);
    let log = disk.log();
    let is_creation = |call: &Call| {
        call.action == Action::Create && call.subject == Subject::Path(TEMPORARY.into())
    };
    let created = log.iter().position(is_creation).unwrap();
    let after = |from: usize, action| {
        from + log[from..].iter().position(|call| call.action == action).unwrap()
    };
    let unlocked = after(created, Action::Unlock);
    unlocked + 2..after(unlocked, Action::Lock) + 2
}

fn require_contents(disk: &SimulatedDisk, expected: &Contents) {
    let found = Contents::of(&open(disk, Options::default()));
    assert_eq!(found.unwrap(), *expected, "{}", disk.listing());
}

/// Checks that the file alone holds that.
fn require_file(disk: &SimulatedDisk, expected: &Contents) {
    assert_eq!(disk.names(Path::new(DIRECTORY)), ["state.json"]);
    require_contents(disk, expected);
}

/// Checks that the next write works, and that closing brings the file up to date.
fn require_writable(disk: &SimulatedDisk, before: &Contents) {
    let next = set("next", "write");
    let expected = before.clone().after(&next);
    let store = open(disk, appending());
    ask(&store, &[next]);
    require_contents(disk, &expected);
    ask(&store, &[Request::Close]);
    require_file(disk, &expected);
}

/// Checks that damage in this line of the journal is an error that says so.
fn require_damage(disk: &SimulatedDisk, line: usize) {
    let error = Contents::of(&open(disk, Options::default())).unwrap_err();
    let Error::Corrupt(corruption) = &error else { panic!("{error}") };
    let place = (corruption.path.as_path(), corruption.line);
    assert_eq!(place, (Path::new(JOURNAL), line), "{error}\n{}", disk.listing());
    assert!(error.to_string().contains(&format!("`{JOURNAL}`")), "{error}");
    assert!(error.to_string().contains(&format!("line {line} ")), "{error}");
    require_left_alone(disk);
}

/// Checks that a journal that does not go with the file is an error that names both and says how
/// to choose.
fn require_misfit(disk: &SimulatedDisk) {
    let error = Contents::of(&open(disk, Options::default())).unwrap_err();
    let Error::Corrupt(_) = &error else { panic!("{error}") };
    let message = error.to_string();
    for part in [&format!("`{JOURNAL}`"), &format!("`{FILE}`"), "remove the journal", "put back"] {
        assert!(message.contains(part), "{message}");
    }
    require_left_alone(disk);
}

/// Checks that nothing but clearing touches the file and the journal.
fn require_left_alone(disk: &SimulatedDisk) {
    let disk = disk.after_kill();
    let files = || [content(&disk, FILE), content(&disk, JOURNAL)];
    let before = files();
    for options in [Options::default(), appending()] {
        let store = open(&disk, options);
        for request in [set("a", "new"), Request::Delete("a".to_owned()), Request::Close] {
            let reply = block_on(request.send(&store));
            let refused = matches!(reply, Err(Error::Corrupt(_)));
            assert!(refused || request == Request::Close, "{request:?}: {reply:?}");
            assert_eq!(files(), before, "after {request:?}");
        }
    }
    let store = open(&disk, appending());
    ask(&store, &[Request::Clear]);
    assert!(disk.names(Path::new(DIRECTORY)).is_empty(), "{}", disk.listing());
    ask(&store, &[set("a", "new")]);
    require_contents(&disk, &of(&[set("a", "new")]));
}

/// A disk with a file and no journal.
fn disk() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.create_directory(Path::new(DIRECTORY)).unwrap();
    put(&disk, FILE, OLD.as_bytes());
    disk
}

fn open(disk: &SimulatedDisk, options: Options) -> AioKv {
    AioKv::with_storage(FILE, options, Arc::new(disk.clone())).unwrap()
}

/// Sends requests one after the other.
fn ask(store: &AioKv, requests: &[Request]) {
    for request in requests {
        block_on(request.send(store)).unwrap();
    }
}

fn set(key: &str, value: &str) -> Request {
    Request::Set(key.to_owned(), value.to_owned())
}

/// What an empty store holds after these requests.
fn of(requests: &[Request]) -> Contents {
    requests.iter().fold(Contents::default(), Contents::after)
}

/// Puts a new file in the place of what is there, as most editors do.
fn put(disk: &SimulatedDisk, path: &str, content: &[u8]) {
    let new = Path::new("/data/new");
    disk.create(new, 0o644).unwrap().write_at(content, 0).unwrap();
    disk.rename(new, Path::new(path)).unwrap();
}

/// Writes to the file that is there.
fn put_in_place(disk: &SimulatedDisk, path: &str, content: &[u8]) {
    let file = disk.open(Path::new(path), Access::ReadWrite).unwrap();
    file.set_length(0).unwrap();
    file.write_at(content, 0).unwrap();
}

/// What is in a file, if it is there.
fn content(disk: &SimulatedDisk, path: &str) -> Option<Vec<u8>> {
    let file = disk.open(Path::new(path), Access::Read).ok()?;
    let mut content = vec![0; usize::try_from(file.metadata().unwrap().size).unwrap()];
    file.read_at(&mut content, 0).unwrap();
    Some(content)
}

/// Where the checked-in journals are, each with the file that goes with it and what becomes of it.
fn golden_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format/journal")
}

fn golden(name: &str, extension: &str) -> PathBuf {
    golden_directory().join(format!("{name}.{extension}"))
}

fn golden_names() -> Vec<String> {
    let entries = fs::read_dir(golden_directory()).unwrap();
    let entries = entries.map(|entry| entry.unwrap().file_name());
    let name = |file: OsString| Some(file.to_str().unwrap().strip_suffix(".journal")?.to_owned());
    let mut names: Vec<_> = entries.filter_map(name).collect();
    names.sort();
    names
}

/// Puts a checked-in file and its journal at this path.
fn copy_golden(name: &str, path: &Path) {
    fs::copy(golden(name, "before.json"), path).unwrap();
    fs::copy(golden(name, "journal"), state_file::journal_of(path)).unwrap();
}

/// What was logged since [`collect_log`], by all tests.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn collect_log() {
    struct Collector;
    impl log::Log for Collector {
        fn enabled(&self, _: &log::Metadata) -> bool {
            true
        }

        fn log(&self, record: &log::Record) {
            LOG.lock().unwrap().push(record.args().to_string());
        }

        fn flush(&self) {}
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Collector).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
}
