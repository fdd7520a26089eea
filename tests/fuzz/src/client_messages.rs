//! See `deskticker::hub::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| deskticker::hub::fuzz::client_messages(bytes));
