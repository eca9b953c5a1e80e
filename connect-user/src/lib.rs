//! The agent of connect-observer.
//!
//! What is typed ([`cli`]) becomes an [`observation`], of which a [`session`] makes the whole way:
//! [`attach`] loads the kernel object and puts its hooks in place, with what [`host`] reads of the
//! machine; [`collect`] takes records out of the ring buffer; [`decode`] turns bytes into an [`event`]; a
//! [`sink`] writes the event as a line; [`output`] gets the line to a reader who may be slow.
//!
//! [`metrics`] are made of what the kernel object counts by itself; [`serve`] serves them.

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
pub mod host;
pub mod loss;
pub mod metrics;
pub mod notify;
pub mod observation;
pub mod output;
pub mod preflight;
pub mod requirement;
pub mod serve;
pub mod session;
pub mod sink;
pub mod status;
pub mod superseded;
pub mod surroundings;
pub mod totals;
pub mod user;
mod value;
