//! Measures every contestant in every workload, beside each other.
//!
//! `cargo bench --locked --manifest-path bench/peers-rust/Cargo.toml` runs all of it in some
//! minutes; a pattern behind `--` chooses, as in `-- '^set/100/'`. The estimates land in
//! `target/criterion/` of this crate, under `<workload>_<keys>/<contestant>/new/`.
//!
//! Only one store is open at a time, and it was filled, closed and opened again before. Everything
//! is measured warm: the files are in the page cache, and all that is about to be read or changed
//! was read once since the store was opened, unless opening is what is measured. After a workload
//! that changes something, the last change must be there when the store is opened again.
//!
//! A measurement takes about a second, so work that a store puts off for longer is rarely in it:
//! aiokv's checkpoints, the compactions of fjall.

use std::cell::OnceCell;
use std::hint::black_box;
use std::iter::repeat_with;
use std::time::{Duration, Instant};

use aiokv_peers::{CONTESTANTS, Contestant, Entry, Store};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};
use fastrand::Rng;
use tempfile::TempDir;

const KEYS: [usize; 3] = [100, 10_000, 1_000_000];

/// How many changes are made at once, and how many fill a store at once.
const AT_ONCE: usize = 1_000;
const FILLED_AT_ONCE: usize = 250_000;

/// How many keys are chosen, to be taken again and again: enough to lie all over the store.
const CHOSEN_KEYS: usize = 20_000;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20)
        .nresamples(10_000)
        .configure_from_args();
    for keys in KEYS {
        let chosen = choose_keys(keys);
        let stores = CONTESTANTS.map(|contestant| FilledStore::new(contestant, keys, &chosen));
        // The first two change nothing, so that both find the stores as they were filled.
        compare(&mut criterion, "get", &stores, get);
        compare(&mut criterion, "open and first get", &stores, open_and_first_get);
        compare(&mut criterion, "set", &stores, set);
        compare(&mut criterion, "1,000 at once", &stores, set_at_once);
    }
    criterion.final_summary();
}

type Group<'criterion> = BenchmarkGroup<'criterion, WallTime>;

fn compare(
    criterion: &mut Criterion,
    workload: &str,
    stores: &[FilledStore<'_>],
    measure: fn(&mut Group<'_>, &FilledStore<'_>),
) {
    let keys = stores[0].keys;
    let mut group = criterion.benchmark_group(format!("{workload}/{keys}"));
    // A sample of the slowest takes half a second; samples that grow would take minutes.
    group.sampling_mode(SamplingMode::Flat);
    if keys == 1_000_000 {
        group.sample_size(10);
    }
    for store in stores {
        measure(&mut group, store);
    }
    group.finish();
}

/// One `get` after another, of keys in random order.
fn get(group: &mut Group<'_>, filled: &FilledStore<'_>) {
    let mut keys = filled.chosen.iter().cycle();
    measure_open_store(group, filled, |store, iterations| {
        let start = Instant::now();
        for key in keys.by_ref().take(iterations) {
            black_box(store.get(key).expect("get").expect("every key is there"));
        }
        start.elapsed()
    });
}

/// Opening and one `get` of some key; closing is not counted.
fn open_and_first_get(group: &mut Group<'_>, filled: &FilledStore<'_>) {
    let mut keys = filled.chosen.iter().cycle();
    group.bench_function(filled.contestant.name, |bencher| {
        filled.fill_once();
        bencher.iter_custom(|iterations| {
            let mut elapsed = Duration::ZERO;
            for key in keys.by_ref().take(as_count(iterations)) {
                let start = Instant::now();
                let store = filled.open();
                black_box(store.get(key).expect("get").expect("every key is there"));
                elapsed += start.elapsed();
                store.close().expect("close");
            }
            elapsed
        });
    });
}

/// One `set` after another, of keys in random order.
fn set(group: &mut Group<'_>, filled: &FilledStore<'_>) {
    let mut last = None;
    let mut changes = filled.changes(1_800_000_000);
    measure_open_store(group, filled, |store, iterations| {
        let changes: Vec<Entry> = changes.by_ref().take(iterations).collect();
        let start = Instant::now();
        for (key, text) in &changes {
            store.set(key, text).expect("set");
        }
        let elapsed = start.elapsed();
        last = changes.last().cloned();
        elapsed
    });
    filled.check(last);
}

/// Changes of random keys, handed over together and waited for together.
fn set_at_once(group: &mut Group<'_>, filled: &FilledStore<'_>) {
    let mut last = None;
    let mut changes = filled.changes(1_900_000_000);
    group.throughput(Throughput::Elements(AT_ONCE as u64));
    measure_open_store(group, filled, |store, iterations| {
        let changes: Vec<Entry> = changes.by_ref().take(iterations * AT_ONCE).collect();
        let start = Instant::now();
        for changes in changes.chunks(AT_ONCE) {
            store.set_at_once(changes).expect("set at once");
        }
        let elapsed = start.elapsed();
        last = changes.last().cloned();
        elapsed
    });
    filled.check(last);
}

/// Measures on a store that is opened before the first sample and closed after the last.
///
/// `measure` does something as often as told and says how long that took.
fn measure_open_store(
    group: &mut Group<'_>,
    filled: &FilledStore<'_>,
    mut measure: impl FnMut(&dyn Store, usize) -> Duration,
) {
    let mut opened = None;
    // Called for every sample, or not at all if the command line chooses others.
    group.bench_function(filled.contestant.name, |bencher| {
        let store = opened.get_or_insert_with(|| filled.open_and_warm_up());
        bencher.iter_custom(|iterations| measure(&**store, as_count(iterations)));
    });
    if let Some(store) = opened {
        store.close().expect("close");
    }
}

/// The store of one contestant on disk, filled when it is first needed.
struct FilledStore<'chosen> {
    contestant: Contestant,
    keys: usize,
    chosen: &'chosen [String],
    directory: OnceCell<TempDir>,
}

impl<'chosen> FilledStore<'chosen> {
    fn new(contestant: Contestant, keys: usize, chosen: &'chosen [String]) -> Self {
        Self { contestant, keys, chosen, directory: OnceCell::new() }
    }

    fn fill_once(&self) -> &TempDir {
        self.directory.get_or_init(|| {
            // Not where the system keeps temporary files: that may be memory, where a flush costs
            // nothing.
            let parent = env!("CARGO_TARGET_TMPDIR");
            let directory = tempfile::tempdir_in(parent).expect("create a directory");
            let store = (self.contestant.open)(directory.path()).expect("create");
            let entries: Vec<Entry> = (0..self.keys).map(|n| (key(n), text(n))).collect();
            for entries in entries.chunks(FILLED_AT_ONCE) {
                store.set_at_once(entries).expect("fill");
            }
            store.close().expect("close");
            directory
        })
    }

    fn open(&self) -> Box<dyn Store> {
        (self.contestant.open)(self.fill_once().path()).expect("open")
    }

    /// Opens the store and reads every chosen key once.
    fn open_and_warm_up(&self) -> Box<dyn Store> {
        let store = self.open();
        for key in self.chosen {
            store.get(key).expect("get");
        }
        store
    }

    /// Makes sure that what was set last, if anything, is there when the store is opened.
    fn check(&self, last: Option<Entry>) {
        if let Some((key, text)) = last {
            let store = self.open();
            assert_eq!(store.get(&key).expect("get"), Some(text), "{}", self.contestant.name);
            store.close().expect("close");
        }
    }

    /// The chosen keys again and again, with texts that count on from `moment`.
    fn changes(&self, moment: usize) -> impl Iterator<Item = Entry> + use<'chosen> {
        self.chosen.iter().cycle().cloned().zip((moment..).map(text))
    }
}

/// Keys in random order, the same in every run.
fn choose_keys(keys: usize) -> Vec<String> {
    let mut random = Rng::with_seed(1);
    repeat_with(|| key(random.usize(..keys))).take(CHOSEN_KEYS).collect()
}

/// Together with a text it takes 45 bytes in a JSON file with one entry a line.
fn key(number: usize) -> String {
    format!("user:{number:07}")
}

fn text(moment: usize) -> String {
    format!("last seen at {moment:010}")
}

fn as_count(iterations: u64) -> usize {
    usize::try_from(iterations).expect("nobody waits for so many")
}
