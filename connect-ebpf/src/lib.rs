//! What crosses between kernel and agent: the contract, once, for both sides.
//!
//! * [`record`]: what the kernel writes into the ring buffer, one struct per kind.
//! * [`attempt`]: what the kernel keeps of an attempt that is not settled.
//! * [`loss`]: why a record could not be written, counted per CPU.
//! * [`counter`]: what the kernel counts by itself, for metrics.
//! * [`settings`]: what the agent fixes before the kernel object is loaded.
//!
//! The same crate holds the kernel object itself (`main.rs`, feature `kernel`), which fills these
//! layouts; the agent (`connect-user`) reads them with the feature `user`.

#![no_std]

pub mod attempt;
pub mod counter;
pub mod loss;
pub mod record;
pub mod settings;
