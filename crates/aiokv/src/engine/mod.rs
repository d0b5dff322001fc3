//! Who serves which file: the registry of engines, and the gate that keeps forks out of a batch.

pub mod fork;
pub(crate) mod gate;
pub(crate) mod opening;
pub(crate) mod registry;
