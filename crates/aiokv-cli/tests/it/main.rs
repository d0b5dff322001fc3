//! The command `aiokv` through its real binary: one promise a test.

mod arguments;
mod beside;
mod change;
mod check;
mod checkpoint;
mod delete;
mod edit;
mod exchange;
mod failures;
mod get;
mod list;
mod recover;
mod support;
mod transcript;
mod verbs;
mod watch;
