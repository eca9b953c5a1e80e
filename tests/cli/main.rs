//! The built binary as its user meets it: what comes out on which stream, and the exit status. Runs as
//! root; what needs no privilege is in `tests/usage/`.

#![expect(
    clippy::print_stderr,
    reason = "what all suites share says on standard error why it fails"
)]
#![expect(
    unsafe_code,
    reason = "it makes the calls that no safe library would make"
)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect, and says so"
)]

#[path = "../support/mod.rs"]
mod support;

mod check;
mod circumstances;
mod clock;
mod color;
mod degraded;
mod ended;
mod file;
mod file_link;
mod follow;
mod full;
mod hint;
mod listen;
mod log;
mod missing;
mod output;
mod run;
mod sight;
mod stop;
mod streams;
mod summary;
mod terminal;
mod timeline;
mod trace;
mod traffic;
mod user;
mod workload;
mod zone;
