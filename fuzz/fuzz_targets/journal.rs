//! See [`aiokv_fuzz::journal`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aiokv_fuzz::journal(data));
