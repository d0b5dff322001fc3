//! Text on disk, pure.

pub(crate) mod journal;
pub(crate) mod json_file;
pub(crate) mod salvage;
