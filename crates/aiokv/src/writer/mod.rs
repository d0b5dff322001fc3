//! One batch, from the queue to the disk.

pub(crate) mod checkpoint;
pub(crate) mod commit;
pub(crate) mod refresh;
