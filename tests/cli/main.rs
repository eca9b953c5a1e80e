//! The built binary as its user meets it: what is typed, what comes out on which stream, and the
//! exit status. Runs as root.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect, and says so"
)]

mod agent;
mod check;
mod circumstances;
mod color;
mod degraded;
mod explain;
mod help;
mod log;
mod missing;
mod output;
mod run;
mod stop;
mod summary;
mod terminal;
mod trace;
mod traffic;
mod usage;
mod workload;
