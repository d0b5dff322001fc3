//! See [`aiokv_fuzz::operations`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aiokv_fuzz::operations(data));
