//! The agent of connect-observer.
//!
//! One connect goes through it in the order of this list: [`attach`] loads the kernel object and
//! puts its hooks in place; [`collect`] takes records out of the ring buffer; [`decode`] turns
//! bytes into an [`event`]; a [`sink`] writes the event as a line; [`output`] gets the line to a
//! reader who may be slow. [`observe`] runs the whole.
//!
//! [`metrics`] are made of what the kernel object counts by itself; [`serve`] serves them, and
//! [`export`] runs that without events.

#![deny(unsafe_code)]

pub mod address;
pub mod attach;
pub mod check;
pub mod cli;
pub mod clock;
pub mod collect;
pub mod command;
pub mod coverage;
pub mod decode;
pub mod errno;
pub mod escape;
pub mod event;
pub mod explain;
pub mod export;
pub mod metrics;
pub mod notify;
pub mod observe;
pub mod output;
pub mod preflight;
pub mod serve;
pub mod sink;
pub mod status;
pub mod totals;
