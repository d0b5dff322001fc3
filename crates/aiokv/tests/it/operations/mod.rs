//! The operations beyond `get` and `set`: each is one change, whole or not at all, among tasks,
//! threads and processes.

mod blocking;
mod cooldowns;
mod edits;
mod items;
mod namespaces;
mod one_key;
mod prefixes;
mod processes;
mod several_keys;
mod transactions;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Starts this many operations at once, on several threads, and waits for all of them.
fn at_once<T, Operation>(count: usize, operation: impl Fn(usize) -> Operation) -> Vec<T>
where
    Operation: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let tasks = Vec::from_iter((0..count).map(|index| tokio::spawn(operation(index))));
        let mut done = Vec::new();
        for task in tasks {
            done.push(task.await.unwrap());
        }
        done
    })
}

/// The text of the file, or nothing if there is none.
fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

const MINUTE: Duration = Duration::from_secs(60);
