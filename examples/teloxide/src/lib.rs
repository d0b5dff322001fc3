//! Dialogues of teloxide in a store of aiokv, and a small bot that has them.
//!
//! [`AioKvStorage`] is what to copy into a bot; [`registration`] is a bot that uses it.

mod storage;

pub mod registration;

pub use storage::{AioKvStorage, StorageError};
