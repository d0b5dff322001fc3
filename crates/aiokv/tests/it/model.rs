//! Random operations on stores of one file, with and without a journal, against a plain list of
//! pairs in order of insertion.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use aiokv::{AioKv, Journal, Options};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::support::start::{Started, start};

/// Stores on the file at once.
const STORES: usize = 2;

#[derive(Debug, Clone)]
enum Step {
    /// Operations that are all started, each on one of the stores, before the first is awaited.
    Operations(Vec<(usize, Operation)>),
    /// One of the stores is closed and made anew.
    Reopen(usize),
    /// Another program changes the file.
    Edit(Edit),
}

#[derive(Debug, Clone)]
enum Operation {
    Set(String, Value),
    Delete(String),
    Clear,
    Get(String),
    GetAll,
}

#[derive(Debug, Clone)]
enum Edit {
    /// By renaming a new file over it, as most editors do.
    Replace(Vec<(String, Value)>),
    /// By writing to the file that is there.
    InPlace(Vec<(String, Value)>),
    Remove,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Done,
    Value(Option<Value>),
    Pairs(Vec<(String, Value)>),
}

/// How a store writes.
#[derive(Debug, Clone)]
struct Way {
    journal: Journal,
    journal_threshold: u64,
    /// A checkpoint follows as soon as there is nothing else to do, not only when it is closed.
    checkpoints_at_once: bool,
}

impl Way {
    fn options(&self) -> Options {
        Options::default()
            .fsync(false)
            .journal(self.journal)
            .journal_threshold(self.journal_threshold)
            .checkpoint_pace(if self.checkpoints_at_once { u64::MAX } else { 0 })
    }
}

/// What the file should hold.
#[derive(Default)]
struct Model {
    pairs: Vec<(String, Value)>,
    file_exists: bool,
}

impl Model {
    fn apply(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Set(key, value) => {
                self.file_exists = true;
                match self.pairs.iter_mut().find(|pair| pair.0 == *key) {
                    Some(pair) => pair.1 = value.clone(),
                    None => self.pairs.push((key.clone(), value.clone())),
                }
            }
            Operation::Delete(key) => self.pairs.retain(|pair| pair.0 != *key),
            Operation::Clear => *self = Self::default(),
            Operation::Get(key) => {
                let pair = self.pairs.iter().find(|pair| pair.0 == *key);
                return Answer::Value(pair.map(|pair| pair.1.clone()));
            }
            Operation::GetAll => return Answer::Pairs(self.pairs.clone()),
        }
        Answer::Done
    }
}

fn ask<'store>(kv: &'store AioKv, operation: &'store Operation) -> Started<'store, Answer> {
    match operation {
        Operation::Set(key, value) => done(kv.set(key, value)),
        Operation::Delete(key) => done(kv.delete(key)),
        Operation::Clear => done(kv.clear()),
        Operation::Get(key) => start(async { Answer::Value(kv.get(key).await.unwrap()) }),
        Operation::GetAll => start(async { Answer::Pairs(kv.get_all().await.unwrap()) }),
    }
}

fn done<'store>(
    change: impl Future<Output = aiokv::Result<()>> + Send + 'store,
) -> Started<'store, Answer> {
    start(async {
        change.await.unwrap();
        Answer::Done
    })
}

/// A JSON object in the order of its text.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|pair| (&pair.0, &pair.1)))
    }
}

/// What is in the file, in its order; `None` if there is no file.
fn read(path: &Path) -> Option<Vec<(String, Value)>> {
    match fs::read(path) {
        Ok(content) => Some(serde_json::from_slice::<Pairs>(&content).unwrap().0),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{error}"),
    }
}

fn edit(path: &Path, edit: Edit, model: &mut Model) {
    let (Edit::Replace(pairs) | Edit::InPlace(pairs)) = &edit else {
        // It may be missing already.
        let _ = fs::remove_file(path);
        *model = Model::default();
        return;
    };
    let pairs = Pairs(pairs.clone());
    if matches!(edit, Edit::Replace(_)) {
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec(&pairs).unwrap()).unwrap();
        fs::rename(new, path).unwrap();
    } else {
        let mut content = serde_json::to_vec_pretty(&pairs).unwrap();
        // Of the same length and in the same tick of the clock, it may be missed.
        if fs::metadata(path).is_ok_and(|metadata| metadata.len() == content.len() as u64) {
            content.push(b'\n');
        }
        fs::write(path, content).unwrap();
    }
    *model = Model { pairs: pairs.0, file_exists: true };
}

fn check(ways: &[Way], steps: Vec<Step>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    let journal = directory.path().join("state.json.journal");
    let open = |way: &Way| AioKv::with_options(&path, way.options()).unwrap();
    let close = |store: &AioKv| pollster::block_on(store.close()).unwrap();
    let mut stores = Vec::from_iter(ways.iter().map(open));
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Operations(operations) => {
                let started: Vec<_> =
                    operations.iter().map(|(store, it)| ask(&stores[*store], it)).collect();
                let answers = started.into_iter().map(pollster::block_on);
                for ((_, operation), answer) in operations.iter().zip(answers) {
                    assert_eq!(answer, model.apply(operation), "{operation:?}");
                }
                // When clearing and other changes become one commit that leaves nothing, the file
                // is removed, which means the same.
                if operations.len() > 1 && model.pairs.is_empty() {
                    model.file_exists = path.exists();
                }
            }
            Step::Reopen(store) => {
                close(&stores[store]);
                stores[store] = open(&ways[store]);
            }
            Step::Edit(change) => {
                // An edited file does not go with a journal.
                stores.iter().for_each(close);
                edit(&path, change, &mut model);
            }
        }
        if !journal.exists() {
            assert_eq!(read(&path), model.file_exists.then(|| model.pairs.clone()));
        }
    }
    stores.iter().for_each(close);
    assert_eq!(read(&path), model.file_exists.then(|| model.pairs.clone()));
    let mut names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.all(|name| name == "state.json"), "something was left behind");
}

fn keys() -> impl Strategy<Value = String> {
    // Mostly a few, so that operations meet on them.
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "c", "é\u{1f600}", "", "\"\\\n/"]).prop_map(Into::into),
        1 => any::<String>(),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((keys(), inner), 0..4).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

fn states() -> impl Strategy<Value = Vec<(String, Value)>> {
    vec((keys(), values()), 0..6).prop_map(|mut pairs| {
        let mut seen = std::collections::HashSet::new();
        pairs.retain(|pair| seen.insert(pair.0.clone()));
        pairs
    })
}

fn operations() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (keys(), values()).prop_map(|(key, value)| Operation::Set(key, value)),
        3 => keys().prop_map(Operation::Delete),
        1 => Just(Operation::Clear),
        4 => keys().prop_map(Operation::Get),
        2 => Just(Operation::GetAll),
    ]
}

fn ways() -> impl Strategy<Value = Way> {
    let journals = prop::sample::select(vec![Journal::Auto, Journal::Always, Journal::Never]);
    // Most files are larger than the smaller threshold, and so are some journals.
    let thresholds = prop::sample::select(vec![100, u64::MAX]);
    let ways = (journals, thresholds, any::<bool>());
    ways.prop_map(|(journal, journal_threshold, checkpoints_at_once)| Way {
        journal,
        journal_threshold,
        checkpoints_at_once,
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let edits = prop_oneof![
        states().prop_map(Edit::Replace),
        states().prop_map(Edit::InPlace),
        Just(Edit::Remove),
    ];
    prop_oneof![
        8 => (0..STORES, operations()).prop_map(|operation| Step::Operations(vec![operation])),
        4 => vec((0..STORES, operations()), 2..8).prop_map(Step::Operations),
        1 => (0..STORES).prop_map(Step::Reopen),
        2 => edits.prop_map(Step::Edit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_store_is_an_ordered_map(ways in vec(ways(), STORES), steps in vec(steps(), 1..40)) {
        check(&ways, steps);
    }
}
