//! The built binary as whoever types it meets it, without any privilege: help, explanations, and what
//! is refused before anything is done.

#![expect(
    clippy::print_stderr,
    reason = "what all suites share says on standard error why it fails"
)]
#![expect(
    unsafe_code,
    reason = "what all suites share makes calls that no safe library would make"
)]
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect, and says so"
)]

#[path = "../support/mod.rs"]
mod support;

mod explain;
mod help;
mod wrong;
