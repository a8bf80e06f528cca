#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| selfattn_fuzz::capi::run(data));
