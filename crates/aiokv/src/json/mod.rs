//! JSON text that stays text.
//!
//! A value is kept as it is spelled, from the file to the file: nothing here builds values, except
//! the conversion from and to Rust types in [`value`]. Knows nothing of files and stores.

pub(crate) mod entry;
pub(crate) mod finite;
pub(crate) mod number;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod value;

pub(crate) use entry::Block;
pub use entry::{Entry, decode_string};
