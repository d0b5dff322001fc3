//! The integration tests: one binary, a module a subject.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod concurrency;
mod crash;
mod faults;
mod files;
mod format;
mod journal;
mod model;
mod operations;
mod parsing;
mod processes;
mod races;
mod recovery;
mod runtimes;
mod simulation;
mod support;
mod watch;
