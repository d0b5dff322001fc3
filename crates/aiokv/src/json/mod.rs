//! JSON text that stays text.

pub(crate) mod entry;
pub(crate) mod finite;
pub(crate) mod text;
pub(crate) mod value;
