//! What the tests of all suites are made of.
//!
//! [`agent`] starts the agent, waits for it and ends it, in every suite. In those of the kernel, the
//! agent starts the same binary again as the program to observe ([`stage`]), which writes down each of
//! its calls as it saw them ([`truth`]). The test then compares: the events must be exactly those calls
//! ([`observer`], [`observation`], [`compare`]).

#![expect(dead_code, reason = "each suite uses a part of it")]

pub(crate) mod agent;
pub(crate) mod attempt;
pub(crate) mod blocking;
pub(crate) mod case;
pub(crate) mod cgroup;
pub(crate) mod child;
pub(crate) mod compare;
#[cfg(target_arch = "x86_64")]
pub(crate) mod compat;
pub(crate) mod conformance;
pub(crate) mod feature;
pub(crate) mod hook;
pub(crate) mod landing;
pub(crate) mod memory;
pub(crate) mod namespace;
pub(crate) mod network;
pub(crate) mod observation;
pub(crate) mod observer;
pub(crate) mod option;
pub(crate) mod process;
#[cfg_attr(target_arch = "aarch64", path = "processor/aarch64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "processor/x86_64.rs")]
pub(crate) mod processor;
pub(crate) mod ring;
pub(crate) mod scratch;
pub(crate) mod seccomp;
pub(crate) mod shared;
pub(crate) mod signal;
pub(crate) mod sockaddr;
pub(crate) mod stage;
pub(crate) mod strace;
pub(crate) mod stream;
pub(crate) mod suite;
pub(crate) mod syscall;
pub(crate) mod tool;
pub(crate) mod totals;
pub(crate) mod truth;
pub(crate) mod verified;
pub(crate) mod wait;
