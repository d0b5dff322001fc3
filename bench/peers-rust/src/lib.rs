//! aiokv and the embedded stores that it is compared with, behind one trait.
//!
//! Every store keeps short text under text keys, and is called as its own documentation shows it
//! for a program that wants the durability in the contestant's name. What each of them does to the
//! disk when it is called is said in its file. `benches/peers.rs` measures them.

mod aiokv;
mod append;
mod contestants;
mod fjall;
mod json_file;
mod redb;
mod sled;
mod sqlite;
mod store;

pub use contestants::{CONTESTANTS, Contestant};
pub use store::{Entry, Result, Store};
