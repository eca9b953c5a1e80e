//! Any bytes as a record: see `check.rs`, which the replay tests run too.

#![no_main]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
