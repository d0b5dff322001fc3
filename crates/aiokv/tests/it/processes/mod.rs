//! Several processes on one file: waiting for each other, seeing each other's changes and
//! surviving each other's deaths.

mod creating;
mod dying;
mod seeing;
mod waiting;

use std::path::Path;

use crate::support::worker::Worker;

const TEMPORARY: &str = ".state.json.aiokv-tmp";

/// Starts an ignored test of a module beside this one as a process of its own.
fn start_worker<const COUNT: usize>(test: &str, path: &Path, arguments: [&str; COUNT]) -> Worker {
    let test = format!("processes::{test}");
    Worker::start(&test, &[&[path.to_str().unwrap()], &arguments[..]].concat())
}
