//! What `binding::recover` saves of damaged files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use aiokv::binding::{Recovered, Sources, recover};
use aiokv::{AioKv, Journal, Options};
use pollster::block_on;
use proptest::prelude::*;
use tempfile::TempDir;

/// A state file and its journal as a process leaves them that was killed.
struct Left {
    directory: TempDir,
    file: Vec<u8>,
    journal: Vec<u8>,
}

impl Left {
    /// After these changes: a key gets a number, or is deleted.
    fn after(changes: &[(u8, Option<u32>)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        fs::write(&path, "{\n  \"first\": 0\n}\n").unwrap();
        // Nothing but closing brings the file up to date.
        let options = Options::default().journal(Journal::Always).checkpoint_pace(0);
        let store = AioKv::with_options(&path, options).unwrap();
        for (key, value) in changes {
            let key = format!("key {key}");
            match value {
                Some(value) => block_on(store.set(&key, value)).unwrap(),
                None => block_on(store.delete(&key)).unwrap(),
            }
        }
        let file = fs::read(&path).unwrap();
        let journal = fs::read(directory.path().join("state.json.journal")).unwrap_or_default();
        Self { directory, file, journal }
    }

    /// Recovers what can be read of these contents.
    fn recover(&self, file: &[u8], journal: &[u8]) -> (Recovered, BTreeMap<String, u32>) {
        let directory = tempfile::tempdir_in(self.directory.path()).unwrap();
        let path = |name: &str| -> PathBuf { directory.path().join(name) };
        fs::write(path("state.json"), file).unwrap();
        fs::write(path("state.json.journal"), journal).unwrap();
        let options = Options::default();
        let target = path("saved.json");
        let recovered = recover(&path("state.json"), &target, Sources::Both, options).unwrap();
        assert_eq!(fs::read(path("state.json")).unwrap(), file);
        assert_eq!(fs::read(path("state.json.journal")).unwrap(), journal);
        (recovered, entries(&target))
    }
}

fn entries(path: &Path) -> BTreeMap<String, u32> {
    block_on(AioKv::new(path).unwrap().get_all()).unwrap().into_iter().collect()
}

fn changes() -> impl Strategy<Value = Vec<(u8, Option<u32>)>> {
    proptest::collection::vec((0..5_u8, proptest::option::weighted(0.8, any::<u32>())), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A line is whole or lost, and what is saved is what the lines that are left say.
    #[test]
    fn the_whole_lines_of_a_damaged_journal_count(
        changes in changes(),
        place in 0.0..1.0_f64,
        damage in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let left = Left::after(&changes);
        let written = left.journal.trim_ascii_end().len();
        prop_assume!(written > 0);
        let start = (place * written as f64) as usize;
        let end = (start + damage.len()).min(written);
        let mut journal = left.journal.clone();
        journal[start..end].copy_from_slice(&damage[..end - start]);
        let (_, saved) = left.recover(&left.file, &journal);
        let lines = |text: &[u8]| Vec::from_iter(text.split(|&it| it == b'\n').map(<[u8]>::to_vec));
        let (before, after) = (lines(&left.journal), lines(&journal));
        let mut expected = BTreeMap::from([("first".to_owned(), 0)]);
        for line in before.iter().skip(1).filter(|line| after.contains(line)) {
            let line = String::from_utf8_lossy(line);
            let fields = Vec::from_iter(line.splitn(4, ' '));
            let [_, _, _, change] = fields[..] else { continue };
            let (sign, entry) = change.split_once(' ').unwrap();
            let (key, value) = entry.rsplit_once("\": ").unwrap_or((entry, ""));
            let key = key.trim_matches('"').to_owned();
            match sign {
                "+" => drop(expected.insert(key, value.parse().unwrap())),
                _ => drop(expected.remove(&key)),
            }
        }
        prop_assert_eq!(saved, expected);
    }
}

#[test]
fn of_a_journal_that_is_cut_off_the_lines_in_front_count() {
    let left = Left::after(&[(1, Some(1)), (2, Some(2)), (1, None), (3, Some(3))]);
    let expected: [&[(&str, u32)]; 5] = [
        &[("first", 0)],
        &[("first", 0), ("key 1", 1)],
        &[("first", 0), ("key 1", 1), ("key 2", 2)],
        &[("first", 0), ("key 2", 2)],
        &[("first", 0), ("key 2", 2), ("key 3", 3)],
    ];
    for cut in 0..left.journal.trim_ascii_end().len() + 1 {
        let journal = &left.journal[..cut];
        let lines = journal.iter().filter(|&&byte| byte == b'\n').count();
        let (recovered, saved) = left.recover(&left.file, journal);
        let expected = expected[lines.saturating_sub(1)].iter();
        assert_eq!(saved, expected.map(|(key, value)| ((*key).to_owned(), *value)).collect());
        let lost = recovered.journal.unwrap().lost;
        assert_eq!(lost.is_empty(), lines > 0 && journal.ends_with(b"\n"), "cut off after {cut}");
    }
}

#[test]
fn half_of_a_group_does_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    fs::write(&path, "{\n  \"first\": 0\n}\n").unwrap();
    let options = Options::default().journal(Journal::Always).checkpoint_pace(0);
    let store = AioKv::with_options(&path, options).unwrap();
    block_on(store.set_many([("ada", 70), ("bob", 30)])).unwrap();
    block_on(store.set("eve", &1)).unwrap();
    block_on(store.set("dan", &2)).unwrap();
    let journal_path = directory.path().join("state.json.journal");
    let journal = fs::read_to_string(&journal_path).unwrap();
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("state.json");
    fs::copy(directory.path().join("state.json"), &path).unwrap();
    let damaged = journal.replace("\"bob\": 30", "\"bob\": 31");
    assert_ne!(journal, damaged);
    fs::write(other.path().join("state.json.journal"), damaged).unwrap();
    let target = other.path().join("saved.json");
    let recovered = recover(&path, &target, Sources::Both, Options::default()).unwrap();
    let expected = [("dan", 2), ("eve", 1), ("first", 0)];
    assert!(entries(&target).into_iter().eq(expected.map(|(key, value)| (key.to_owned(), value))));
    let lost = recovered.journal.unwrap().lost;
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].keys, ["ada", "bob"]);
}
