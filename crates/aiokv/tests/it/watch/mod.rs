//! Watching: what changes, whoever changes it.

mod blocking;
mod others;
mod own;
mod system;

use std::fs;
use std::path::Path;
use std::time::Duration;

use aiokv::{Result, Watch, WatchedChange};
use serde_json::Value;
use smol::Timer;

/// What does not come within this time never comes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for the next change, as `key: old -> new`.
fn next(watch: &mut Watch) -> Result<String> {
    let next = async { Some(watch.next::<Value>().await) };
    let late = async {
        Timer::after(DEADLINE).await;
        None
    };
    let change = smol::block_on(smol::future::or(next, late));
    change.expect("it should have been told").map(|change| shown(&change))
}

fn shown(change: &WatchedChange<Value>) -> String {
    let value = |value: &Option<Value>| value.as_ref().map_or("none".to_owned(), Value::to_string);
    format!("{}: {} -> {}", change.key, value(&change.old), value(&change.new))
}

/// Puts another file in the place of a file, as most editors do.
fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}
