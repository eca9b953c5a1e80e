//! What crosses between kernel and agent: the contract, once, for both sides.
//!
//! * [`record`]: what the kernel writes into the ring buffer, one struct per kind.
//! * [`code`]: numbers in records and counters that stand for something, each with its name.
//! * [`attempt`]: what the kernel keeps of an attempt that is not settled.
//! * [`loss`]: why a record could not be written, counted per CPU.
//! * [`counter`], [`family`], [`histogram`], [`series`]: what the kernel counts by itself, for metrics.
//! * [`settings`]: what the agent fixes before the kernel object is loaded.
//! * [`uapi`]: numbers of Linux's own that both sides need.
//!
//! The same crate holds the kernel object itself (`main.rs`, feature `kernel`), which fills these
//! layouts; the agent (`connect-user`) reads them with the feature `user`.

#![no_std]

mod contract;

pub use contract::{
    attempt, code, counter, family, histogram, loss, record, series, settings, uapi,
};
