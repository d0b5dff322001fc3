//! What is fuzzed, and what must hold for every input. A target panics on an input that breaks it.
//!
//! The same functions run under the coverage-guided fuzzer (`fuzz_targets/`) and, with every
//! seed of `corpus/` and mutations of them, in the test `short_run`.

#[cfg(not(fuzzing))]
compile_error!("set RUSTFLAGS=\"--cfg fuzzing\": it makes aiokv export what is fuzzed");

mod decoder;
mod journal;
mod memory;
mod model;
mod operations;
mod reference;

pub use decoder::decoder;
pub use journal::journal;
pub use operations::operations;
