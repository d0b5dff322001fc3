//! The files themselves, on a real disk: which file a name stands for, who may do what with it,
//! and what does not look like a state file at all.
//!
//! The story of each bug stands before its test.

mod access;
mod damage;
mod identity;
mod names;
mod strangers;
