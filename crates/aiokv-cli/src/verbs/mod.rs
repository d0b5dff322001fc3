//! What the verbs do, each on one store: one file for verbs of one kind. A verb's struct is its
//! arguments, and its `run` does it.

pub(crate) mod change;
pub(crate) mod check;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod edit;
pub(crate) mod exchange;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod recover;
pub(crate) mod shell;
pub(crate) mod stats;
pub(crate) mod watch;
