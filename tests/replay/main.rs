//! Recorded records, replayed: bytes to golden output.
//!
//! `records/` holds what the kernel object wrote for the connects of `workload.py`, each record
//! under its title, and `by-hand.hex` what cannot be had that way. `golden/` holds what is printed
//! for them. Where an output was changed on purpose, `BLESS=1` writes `golden/` and the fuzz
//! target's seeds anew; `RECORD=1` (as root, with python3) does so after recording anew, which a
//! new layout of the records calls for.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect, and says so"
)]

mod by_hand;
#[path = "../fuzz/check.rs"]
mod check;
mod golden;
mod malformed;
mod properties;
mod recorder;
mod records;
mod seeds;

use std::{env, path::PathBuf};

/// A folder or file beside this one.
fn here(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../tests/replay", name]
        .iter()
        .collect()
}

/// What differs is written, instead of failing the test.
fn blessing() -> bool {
    is_set("BLESS") || recording()
}

fn recording() -> bool {
    is_set("RECORD")
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}
