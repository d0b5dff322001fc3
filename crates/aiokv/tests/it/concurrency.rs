//! Operations of several threads, tasks, stores and processes on one file take effect one at a
//! time: their histories are recorded and checked key by key.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;

use aiokv::{AioKv, Result};
use rustix::time::{ClockId, clock_gettime};

use crate::support::linearizability::{Action, Event, is_linearizable};
use crate::support::random::Random;
use crate::support::start::start;
use crate::support::state_file::{WAYS, names, options, state_file};
use crate::support::worker::{self, Worker};

const KEYS: [&str; 3] = ["a", "b", "c"];

/// What a session asks for.
#[derive(Clone, Copy)]
enum Request {
    Set(u64),
    Delete,
    Clear,
    Get,
}

impl Request {
    /// Of every 32 requests one clears and two delete; the rest is half writing and half reading.
    fn random(random: &mut Random, value: u64) -> Self {
        match random.below(32) {
            0 => Self::Clear,
            1 | 2 => Self::Delete,
            3..17 => Self::Set(value),
            _ => Self::Get,
        }
    }

    async fn carry_out(self, kv: &AioKv, key: &str) -> Result<Action> {
        Ok(match self {
            Self::Set(value) => {
                kv.set(key, &value).await?;
                Action::Write(Some(value))
            }
            Self::Delete => {
                kv.delete(key).await?;
                Action::Write(None)
            }
            Self::Clear => {
                kv.clear().await?;
                Action::Write(None)
            }
            Self::Get => Action::Read(kv.get(key).await?),
        })
    }

    /// What happens if nobody is told the outcome.
    fn unheard(self) -> Option<Action> {
        match self {
            Self::Set(value) => Some(Action::Write(Some(value))),
            Self::Delete | Self::Clear => Some(Action::Write(None)),
            Self::Get => None,
        }
    }

    /// The keys that are touched by a request that names `key`.
    fn keys(self, key: &'static str) -> Vec<&'static str> {
        if matches!(self, Self::Clear) { KEYS.to_vec() } else { vec![key] }
    }
}

type History = Vec<(&'static str, Event)>;

/// The time on a clock that all threads and processes share, in nanoseconds.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

fn open(path: &Path, way: &str) -> AioKv {
    AioKv::with_options(path, options(way).fsync(false)).unwrap()
}

/// Checks what happened to each key, and that it explains what is in the store now. Everybody has
/// closed it, so nothing is there beside the file, if there is one.
fn check(path: &Path, history: History) {
    let mut by_key: BTreeMap<_, Vec<Event>> = BTreeMap::new();
    for (key, event) in history {
        by_key.entry(key).or_default().push(event);
    }
    assert_eq!(by_key.len(), KEYS.len());
    assert!(names(path).iter().all(|name| name == "state.json"), "{:?}", names(path));
    for (key, mut events) in by_key {
        let value = pollster::block_on(open(path, "replace").get(key)).unwrap();
        events.push(event(Action::Read(value), now(), u64::MAX));
        assert!(is_linearizable(&events), "{key}: {events:#?}");
    }
}

fn event(action: Action, start: u64, end: u64) -> Event {
    Event { action, start, end, certain: true }
}

/// When an operation has its place in the order of all operations.
#[derive(Clone, Copy, PartialEq)]
enum Placed {
    /// Once it is started: among the stores on one spelling of a path.
    WhenStarted,
    /// Once it is finished: among spellings, as among processes.
    WhenFinished,
}

/// Starts some operations at once, drops some of them, awaits the others, and so on; sometimes
/// closes the store in between.
async fn session(kv: AioKv, placed: Placed, number: u64, rounds: u64) -> History {
    let mut random = Random(number);
    let mut history = History::new();
    for round in 0..rounds {
        if random.below(8) == 0 {
            kv.close().await.unwrap();
        }
        let mut started = Vec::new();
        for part in 0..1 + random.below(4) {
            let request = Request::random(&mut random, (number * rounds + round) * 4 + part);
            let key = KEYS[random.below(KEYS.len() as u64) as usize];
            let begin = now();
            let operation = start({
                let kv = kv.clone();
                async move { request.carry_out(&kv, key).await }
            });
            if placed == Placed::WhenFinished || random.below(4) > 0 {
                started.push((request, key, begin, now(), operation));
                continue;
            }
            drop(operation);
            let end = now();
            let events = request.unheard().map(|action| event(action, begin, end));
            let events = events.map(|event| Event { certain: false, ..event });
            history.extend(
                events
                    .into_iter()
                    .flat_map(|event| request.keys(key).into_iter().map(move |key| (key, event))),
            );
        }
        for (request, key, begin, end, operation) in started {
            let action = operation.await.unwrap();
            let end = if placed == Placed::WhenFinished { now() } else { end };
            let event = event(action, begin, end);
            history.extend(request.keys(key).into_iter().map(|key| (key, event)));
        }
    }
    kv.close().await.unwrap();
    history
}

#[test]
fn threads_and_tasks_of_one_process_have_one_order() {
    run_threads_and_tasks(&["replace"]);
}

#[test]
fn threads_and_tasks_that_append_to_the_journal_have_one_order() {
    run_threads_and_tasks(&["append", "append and checkpoint"]);
}

#[test]
fn threads_and_tasks_that_write_in_different_ways_have_one_order() {
    run_threads_and_tasks(&WAYS);
}

/// An engine belongs to a path as it was given. Two spellings of the path of one file are two
/// engines, which are safe like two processes.
#[test]
fn two_spellings_of_a_path_lose_no_update() {
    let (_directory, path) = state_file();
    let (other_directory, alias) = state_file();
    std::os::unix::fs::symlink(&path, &alias).unwrap();
    let directory = path.parent().unwrap();
    let roundabout = other_directory.path().join("..").join(directory.file_name().unwrap());
    run_session_threads(&[&path, &alias, &roundabout.join("state.json")], &WAYS);
}

fn run_session_threads(spellings: &[&Path], ways: &[&str]) {
    let session = |number: u64| {
        let number_of = |length: usize| number as usize % length;
        let kv = open(spellings[number_of(spellings.len())], ways[number_of(ways.len())]);
        move || pollster::block_on(session(kv, Placed::WhenFinished, number, 100))
    };
    let history = thread::scope(|scope| {
        let threads = Vec::from_iter((0..6).map(|number| scope.spawn(session(number))));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<History>()
    });
    assert!(history.len() > 1_000);
    check(spellings[0], history);
}

fn run_threads_and_tasks(ways: &[&str]) {
    const PLACED: Placed = Placed::WhenStarted;
    let (_directory, path) = state_file();
    let way = |number: u64| ways[number as usize % ways.len()];
    let mut history = History::new();
    thread::scope(|scope| {
        let threads = Vec::from_iter((0..4).map(|number| {
            let kv = open(&path, way(number));
            scope.spawn(move || pollster::block_on(session(kv, PLACED, number, 200)))
        }));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
        let runtime = runtime.unwrap();
        let shared = Vec::from_iter(ways.iter().map(|way| open(&path, way)));
        let store = |number: u64| shared[number as usize % ways.len()].clone();
        let tasks = (4..8).map(|number| runtime.spawn(session(store(number), PLACED, number, 200)));
        for task in Vec::from_iter(tasks) {
            history.extend(runtime.block_on(task).unwrap());
        }
        for thread in threads {
            history.extend(thread.join().unwrap());
        }
    });
    assert!(history.len() > 2_000);
    check(&path, history);
}

#[test]
fn processes_have_one_order() {
    run_processes(&["replace"]);
}

#[test]
fn processes_that_append_to_the_journal_have_one_order() {
    run_processes(&["append", "append and checkpoint"]);
}

#[test]
fn processes_that_write_in_different_ways_have_one_order() {
    run_processes(&WAYS);
}

fn run_processes(ways: &[&str]) {
    const PROCESSES: usize = 5;
    let (_directory, path) = state_file();
    let log_directory = tempfile::tempdir().unwrap();
    let log = |number: usize| log_directory.path().join(number.to_string());
    let logs: Vec<_> = (0..PROCESSES).map(log).collect();
    let start = |(number, log): (usize, _)| {
        let (path, log) = (path.to_str().unwrap(), Path::to_str(log).unwrap());
        let way = ways[number % ways.len()];
        Worker::start("concurrency::record_a_process", &[path, log, way, &number.to_string()])
    };
    let mut workers: Vec<_> = logs.iter().map(|log| log.as_path()).enumerate().map(start).collect();
    workers.iter_mut().for_each(|worker| worker.expect("ready"));
    workers.iter_mut().for_each(Worker::go_on);
    workers.iter_mut().for_each(Worker::finish);
    let history = History::from_iter(logs.iter().flat_map(|log| {
        let recorded = serde_json::from_slice(&fs::read(log).unwrap()).unwrap();
        let recorded: Vec<(String, bool, Option<u64>, u64, u64)> = recorded;
        recorded.into_iter().map(|(key, is_write, value, start, end)| {
            let action = if is_write { Action::Write(value) } else { Action::Read(value) };
            let key = KEYS.into_iter().find(|other| *other == key).unwrap();
            (key, event(action, start, end))
        })
    }));
    assert!(history.len() > 1_000);
    check(&path, history);
}

#[test]
#[ignore = "a process of the tests of the order of processes"]
fn record_a_process() {
    const ROUNDS: u64 = 600;
    let Some([path, log, way, number]) = worker::arguments() else { return };
    let kv = open(path.as_ref(), &way);
    let number: u64 = number.parse().unwrap();
    let mut random = Random(number);
    let mut history = Vec::new();
    worker::report("ready");
    worker::wait_for_parent();
    for round in 0..ROUNDS {
        let request = Request::random(&mut random, number * ROUNDS + round);
        let key = KEYS[random.below(KEYS.len() as u64) as usize];
        let start = now();
        let action = pollster::block_on(request.carry_out(&kv, key)).unwrap();
        let end = now();
        let (is_write, value) = match action {
            Action::Write(value) => (true, value),
            Action::Read(value) => (false, value),
        };
        history.extend(request.keys(key).into_iter().map(|key| (key, is_write, value, start, end)));
    }
    pollster::block_on(kv.close()).unwrap();
    fs::write(log, serde_json::to_vec(&history).unwrap()).unwrap();
}

/// What one process sees of another one: nothing that it saw before is gone, and nothing that came
/// later is there without what came earlier.
#[test]
fn whoever_only_reads_sees_the_changes_of_others_in_their_order() {
    for way in WAYS {
        let (_directory, path) = state_file();
        let mut reader = Worker::start("concurrency::read_pairs", &[path.to_str().unwrap()]);
        reader.expect("ready");
        reader.go_on();
        let kv = open(&path, way);
        for number in 1..=PAIRS {
            pollster::block_on(async {
                kv.set("first", &number).await.unwrap();
                kv.set("second", &number).await.unwrap();
                match number % 16 {
                    5 => kv.clear().await.unwrap(),
                    10 => kv.close().await.unwrap(),
                    _ => {}
                }
            });
        }
        reader.finish();
        pollster::block_on(kv.close()).unwrap();
        assert_eq!(names(&path), ["state.json"], "{way}");
    }
}

/// The last one is not followed by clearing.
const PAIRS: u64 = 200;

#[test]
#[ignore = "a process of `whoever_only_reads_sees_the_changes_of_others_in_their_order`"]
fn read_pairs() {
    let Some([path]) = worker::arguments() else { return };
    let kv = open(path.as_ref(), "append");
    worker::report("ready");
    worker::wait_for_parent();
    let mut last = (0, 0);
    while last.1 < PAIRS {
        let state = pollster::block_on(kv.get_all::<u64>()).unwrap();
        let state: BTreeMap<_, _> = state.into_iter().collect();
        let (first, second) = (state.get("first").copied(), state.get("second").copied());
        // After clearing, only the first of a pair may be there.
        let Some(first) = first else {
            assert_eq!(second, None);
            continue;
        };
        let second = second.unwrap_or(first - 1);
        assert!(first == second || first == second + 1, "{first} and {second}");
        assert!((first, second) >= last, "{first} and {second} after {last:?}");
        last = (first, second);
        assert!(pollster::block_on(kv.get::<u64>("first")).unwrap().is_none_or(|it| it >= first));
    }
}

#[test]
fn processes_lose_no_update_of_each_other() {
    const PROCESSES: usize = 5;
    let (_directory, path) = state_file();
    let start = |number: usize| {
        let arguments = [path.to_str().unwrap(), WAYS[number], &number.to_string()];
        Worker::start("concurrency::add_keys", &arguments)
    };
    let mut workers: Vec<_> = (0..PROCESSES).map(start).collect();
    workers.iter_mut().for_each(|worker| worker.expect("ready"));
    workers.iter_mut().for_each(Worker::go_on);
    workers.iter_mut().for_each(Worker::finish);
    let mut entries = pollster::block_on(open(&path, "replace").get_all::<usize>()).unwrap();
    entries.sort();
    let mut expected: Vec<_> = (0..PROCESSES)
        .flat_map(|process| (0..KEYS_EACH).map(move |it| (format!("{process} {it}"), it)))
        .collect();
    expected.sort();
    assert_eq!(entries, expected);
}

const KEYS_EACH: usize = 150;

#[test]
#[ignore = "a process of `processes_lose_no_update_of_each_other`"]
fn add_keys() {
    let Some([path, way, process]) = worker::arguments() else { return };
    let kv = open(path.as_ref(), &way);
    worker::report("ready");
    worker::wait_for_parent();
    for number in 0..KEYS_EACH {
        pollster::block_on(kv.set(&format!("{process} {number}"), &number)).unwrap();
    }
    pollster::block_on(kv.close()).unwrap();
}
