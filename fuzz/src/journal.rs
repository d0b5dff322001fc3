//! The journal: anything at all beside a file.

use std::path::Path;
use std::sync::Arc;

use aiokv::{AioKv, Entry, Error, Options, View};

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
/// Reading must change nothing. If it succeeds, so must a change, and after closing there must be
/// the file alone, with what was read and the change in it. If it does not, the error must name both
/// files, no change may be made, and clearing must remove both.
pub fn journal(data: &[u8]) {
    let memory = Memory::default();
    memory.edit(Path::new(FILE), CONTENT.to_vec());
    memory.edit(Path::new(JOURNAL), text(data));
    let before = memory.files();
    let store = open(&memory);
    let read = pollster::block_on(store.view());
    assert_eq!(memory.files(), before, "reading changed something");
    match read {
        Ok(view) => change(&memory, &store, &view),
        Err(Error::Corrupt(corruption)) => {
            let message = corruption.to_string();
            assert_eq!(corruption.path, Path::new(JOURNAL), "{message}");
            assert!(message.contains(&format!("`{FILE}`")), "{message}");
            let set = pollster::block_on(store.set("new", &2));
            assert!(matches!(set, Err(Error::Corrupt(_))), "changed a damaged store: {set:?}");
            assert_eq!(memory.files(), before, "a failed change left something");
            pollster::block_on(store.clear()).expect("clearing needs no readable journal");
            assert_eq!(memory.files(), []);
        }
        Err(other) => panic!("reported damage as something else: {other}"),
    }
}

fn change(memory: &Memory, store: &AioKv, view: &View) {
    pollster::block_on(store.set("new", &2)).expect("what can be read can be changed");
    pollster::block_on(store.close()).expect("what can be changed can be folded");
    let names: Vec<_> = memory.files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, [Path::new(FILE)]);
    let other = open(memory);
    let now = pollster::block_on(other.view()).expect("what was written can be read");
    assert_eq!(others(&now), others(view), "something else changed too");
    assert_eq!(pollster::block_on(other.get("new")).expect("it is there"), Some(2));
}

/// The entries that nobody changed.
fn others(view: &View) -> Vec<&str> {
    view.iter().filter(|entry| *entry.key() != *b"new").map(Entry::line).collect()
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

fn open(memory: &Memory) -> AioKv {
    let storage = Arc::new(memory.clone());
    AioKv::with_storage(FILE, Options::default(), storage).expect("the path is absolute")
}
