//! In which order: the queue, operations and their answers.

pub(crate) mod operation;
pub(crate) mod order;
pub(crate) mod sync;
