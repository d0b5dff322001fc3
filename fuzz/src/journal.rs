//! The journal: anything at all beside a file.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use aiokv::binding::{
    Change, Entry, Key, Next, Operation, Outcome, Snapshot, Stepped, Waiter, Wake, Write,
};
use aiokv::{Error, Journal, Options};

use crate::memory::Memory;

const FILE: &str = "/state.json";
const JOURNAL: &str = "/state.json.journal";
/// What the file holds: 13 bytes with the checksum c2bf3c0e.
const CONTENT: &[u8] = b"{\n  \"a\": 1\n}\n";

/// Opens a store on a file with a journal.
///
/// The journal is `data`, of which every line gets the checksum that it needs; but if `data` begins
/// with `!`, what follows that is the journal as it stands.
///
/// Reading must change nothing. If it succeeds, so must a change that is appended, which another
/// process that has read before must see; and after a checkpoint there must be the file alone, with
/// what was read and the change in it. If it does not, the error must name both files, no change may
/// be made, and clearing must remove both.
pub fn journal(data: &[u8]) {
    let memory = Memory::default();
    memory.edit(Path::new(FILE), CONTENT);
    memory.edit(Path::new(JOURNAL), &text(data));
    let before = memory.files();
    let mut store = open(&memory);
    let read = read(&mut store);
    assert_eq!(memory.files(), before, "reading changed something");
    match read {
        Ok(entries) => change(&memory, store, &entries),
        Err(Error::Corrupt(corruption)) => {
            let message = corruption.to_string();
            assert_eq!(corruption.path, Path::new(JOURNAL), "{message}");
            assert!(message.contains(&format!("`{FILE}`")), "{message}");
            let set = ask(&mut store, set("2"));
            assert!(matches!(set, Err(Error::Corrupt(_))), "changed a damaged store: {set:?}");
            assert_eq!(memory.files(), before, "a failed change left something");
            ask(&mut store, Operation::Clear).expect("clearing needs no readable journal");
            assert_eq!(memory.files(), []);
        }
        Err(other) => panic!("reported damage as something else: {other}"),
    }
}

fn change(memory: &Memory, mut store: Stepped, before: &Snapshot) {
    let mut other = open(memory);
    ask(&mut other, set("2")).expect("what can be read can be changed");
    assert!(memory.file(Path::new(JOURNAL)).is_some(), "the change is in the journal");
    check(&mut store, before, "2");
    ask(&mut store, set("3")).expect("what can be read can be changed");
    check(&mut other, before, "3");
    ask(&mut other, Operation::Checkpoint).expect("what can be changed can be brought up to date");
    let names: Vec<_> = memory.files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, [Path::new(FILE)]);
    check(&mut store, before, "3");
    check(&mut open(memory), before, "3");
}

/// Looks that `new` has a value, and everything else is what it was.
fn check(store: &mut Stepped, before: &Snapshot, new: &str) {
    let now = read(store).expect("what was written can be read");
    let value = now.iter().find(|entry| *entry.key() == *b"new").map(Entry::value_text);
    assert_eq!(value, Some(new));
    assert_eq!(others(&now), others(before), "something else changed too");
}

/// The entries that nobody changed.
fn others(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.iter().filter(|entry| *entry.key() != *b"new").map(Entry::line).collect()
}

fn text(data: &[u8]) -> Vec<u8> {
    if let Some(raw) = data.strip_prefix(b"!") {
        return raw.to_vec();
    }
    let lines = data.split_inclusive(|&byte| byte == b'\n');
    let checked = |line: &[u8]| {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        [format!("{:08x} ", crc32fast::hash(text)).as_bytes(), line].concat()
    };
    lines.flat_map(checked).collect()
}

fn open(memory: &Memory) -> Stepped {
    Stepped::new(Arc::new(memory.other_process()), Path::new(FILE))
}

fn set(value: &str) -> Operation {
    let change = Change::Set(Entry::new("\"new\"", value));
    Operation::Write([Write::unconditional(change)].into())
}

fn read(store: &mut Stepped) -> Result<Snapshot, Error> {
    match ask(store, Operation::ReadPrefix(Key::default()))? {
        Outcome::Snapshot(snapshot) => Ok(snapshot),
        other => panic!("a read is answered with a snapshot: {other:?}"),
    }
}

/// Lets a store carry out an operation.
fn ask(store: &mut Stepped, operation: Operation) -> Result<Outcome, Error> {
    let (sender, answer) = mpsc::channel();
    let options = Options::default().journal(Journal::Always).checkpoint_pace(0);
    let now = Instant::now();
    store.submit(operation, Box::new(Answering(sender)), Arc::new(options), now);
    while store.step(now) == Next::Again {}
    answer.try_recv().expect("nobody has a lock, so it is answered")
}

struct Answering(mpsc::Sender<Result<Outcome, Error>>);

impl Waiter for Answering {
    fn answer(self: Box<Self>, answer: Result<Outcome, Error>) -> Option<Arc<dyn Wake>> {
        // It is waited for.
        let _ = self.0.send(answer);
        None
    }
}
