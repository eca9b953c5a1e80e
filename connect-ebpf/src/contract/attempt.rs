//! Attempts to connect that are under way: what the kernel object keeps of each until it is settled.
//!
//! The value is the record that will be written, so that nothing has to be joined afterwards; the
//! agent reads what is left when it stops.

use crate::record::{Endpoints, Outcome};

/// Name of the hash map of attempts, by the address of the kernel's `struct sock`.
pub const ATTEMPTS_MAP: &str = "ATTEMPTS";
/// Default capacity of [`ATTEMPTS_MAP`].
pub const ATTEMPTS_ENTRIES: u32 = 32_768;

/// Name of the LRU hash map that remembers which attempt a socket has made, by the address of the
/// kernel's `struct sock`, so that a later call on it is known to ask for the same attempt.
pub const IDENTITIES_MAP: &str = "IDENTITIES";
/// Capacity of [`IDENTITIES_MAP`]; the least recently used is forgotten.
pub const IDENTITIES_ENTRIES: u32 = 16_384;

/// An attempt under way. Never changed once it is in the table.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Attempt {
    /// What will be reported, as far as it is known when the attempt begins.
    pub outcome: Outcome,
    /// When the socket was about to send its SYN, `CLOCK_MONOTONIC` in ns.
    pub syn_ns: u64,
}

/// Name of the hash map by which the two parties to an attempt hand it over, by the address of the kernel's
/// `struct sock`.
pub const HANDOVERS_MAP: &str = "HANDOVERS";

/// What the first of two parties has left for the second: the call that returns while its attempt goes on,
/// and whoever settles the attempt. Never changed once it is in the table.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Handover {
    /// [`Attempt::syn_ns`] of the attempt: tells it from another one of a socket at the same address.
    pub syn_ns: u64,
    /// When the attempt was settled, `CLOCK_MONOTONIC` in ns; 0 where the call was first.
    pub settled_ns: u64,
    /// What the call returned, 0 or a negated errno; 0 where the settlement was first.
    pub ret: i64,
    /// Why the attempt failed, or 0. Where it was abandoned, or the call was first: the error that the network had
    /// reported by then, and that the application had not read.
    pub errno: u32,
    /// A [`crate::code::Settlement`]: [`crate::code::Settlement::Pending`] where the call was first.
    pub settlement: u8,
    /// Always 0.
    pub reserved: [u8; 3],
    /// Both ends of the socket when the attempt was settled.
    pub endpoints: Endpoints,
}

/// Name of the LRU hash map of connected datagram sockets, by the address of the kernel's `struct sock`, each with
/// the call that connected it.
pub const ASSOCIATIONS_MAP: &str = "ASSOCIATIONS";
/// Capacity of [`ASSOCIATIONS_MAP`]: the kernel does not show that a datagram socket is closed, so the least recently
/// used is forgotten.
pub const ASSOCIATIONS_ENTRIES: u32 = 8192;

/// Which attempt a socket has made.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Identity {
    /// Number of the socket's inode: tells a socket from its successor at the same address.
    pub inode: u64,
    /// [`crate::record::Call::entered_ns`] of the attempt.
    pub entered_ns: u64,
    /// [`crate::record::Call::tid`] of the attempt.
    pub tid: u32,
    /// Always 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Attempt>() == 264);
const _: () = assert!(size_of::<Handover>() == 72);
const _: () = assert!(size_of::<Identity>() == 24);

#[cfg(feature = "user")]
#[expect(unsafe_code, reason = "aya reads a map's value only as a Pod type")]
mod pod {
    use super::{Attempt, Handover};

    // SAFETY: Attempt is repr(C), holds only integers and has no padding.
    unsafe impl aya::Pod for Attempt {}
    // SAFETY: Handover is repr(C), holds only integers and has no padding.
    unsafe impl aya::Pod for Handover {}
}
