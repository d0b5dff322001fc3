//! What several modules of the tests share.

pub(crate) mod careless;
pub(crate) mod hooked_disk;
pub(crate) mod linearizability;
pub(crate) mod options;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod requests;
pub(crate) mod simulated_disk;
pub(crate) mod start;
pub(crate) mod state_file;
pub(crate) mod worker;
