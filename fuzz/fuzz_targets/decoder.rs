//! See [`aiokv_fuzz::decoder`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aiokv_fuzz::decoder(data));
