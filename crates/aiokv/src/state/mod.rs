//! The map in memory, pure.

pub(crate) mod map;
