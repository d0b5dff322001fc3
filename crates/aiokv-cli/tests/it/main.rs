//! The command `aiokv` through its real binary: one promise a test.

mod arguments;
mod change;
mod check;
mod checkpoint;
mod delete;
mod failures;
mod get;
mod list;
mod support;
