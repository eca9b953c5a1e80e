//! Counters: what the kernel object counts by itself, exact however full the ring buffer is.
//!
//! Four maps, all per CPU, so that counting needs no lock; the agent sums over the CPUs at a scrape.
//!
//! * [`TALLIES_MAP`]: an array with a [`Tally`] for every family and transport. It has room for all
//!   of them from the beginning, so nothing that is counted there can fail.
//! * [`FAILURES_MAP`]: a hash of failures by errno, [`Failure`] to `u64`. Where it has no room for
//!   another combination, the failure is counted in the [`Tally`] instead, and lacks only its errno.
//! * [`DURATIONS_MAP`]: an array with [`Durations`] for every coarse family and transport.
//! * [`crate::series::SERIES_MAP`]: a hash of connects by the labels that were asked for.

use crate::{
    code::{CallResult, Settlement, Via},
    family::{CLASSES, COARSE_CLASSES},
    histogram::Histogram,
    uapi::errno::ERESTARTSYS,
};

/// Name of the global in the kernel object.
pub const COUNTING_GLOBAL: &str = "COUNTING";

/// What is counted; fixed before the kernel object is loaded, like [`crate::settings::Settings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Counting {
    /// Not 0: records go into the ring buffer.
    pub records: u32,
    /// Not 0: connects and outcomes are counted.
    pub counters: u32,
    /// Labels by which connects are also counted: `LABEL_*` of [`crate::series`], or-ed.
    pub labels: u32,
    /// Process (tgid, initial pid namespace) whose calls are not counted by label: the agent. 0 is
    /// nobody.
    pub own_pid: u32,
    /// Port that the agent listens on; connects to it on a local address are not counted by label.
    /// 0 is none.
    pub own_port: u32,
    /// IPv4 address that the agent listens on, as it stands in a `sockaddr_in`; 0 for every local
    /// address.
    pub own_address: u32,
}

impl Counting {
    /// Records, and nothing else.
    pub const DEFAULT: Self = Self {
        records: 1,
        counters: 0,
        labels: 0,
        own_pid: 0,
        own_port: 0,
        own_address: 0,
    };
}

/// Number of transports that are told apart; a higher one counts as unknown.
pub const TRANSPORTS: usize = 16;

/// Number of ways into connect that make calls: those below [`Via::Unknown`], and none.
pub const VIAS: usize = Via::Unknown as usize;

/// Code of an errno: success.
pub const ERRNO_NONE: u8 = 0;
/// Code of an errno: none that the kernel has, as a seccomp filter can return, or one whose counter
/// found no room.
pub const ERRNO_OTHER: u8 = 255;

/// Highest errno that applications see: `EFTYPE`.
const ERRNO_MAX: u64 = 134;
/// Lowest errno of the kernel's own: `ERESTARTSYS`.
const ERRNO_OWN_MIN: u64 = ERESTARTSYS as u64;
/// Highest errno of the kernel's own: `ENOGRACE`.
const ERRNO_OWN_MAX: u64 = 531;
/// Code of [`ERRNO_OWN_MIN`].
const CODE_OWN_MIN: u64 = 200;

/// Code of an errno, in one byte.
#[must_use]
#[inline(always)]
#[expect(
    clippy::inline_always,
    clippy::cast_possible_truncation,
    reason = "a call between BPF functions costs; every arm fits into a byte"
)]
pub const fn errno_code(errno: u64) -> u8 {
    match errno {
        0..=ERRNO_MAX => errno as u8,
        ERRNO_OWN_MIN..=ERRNO_OWN_MAX => (errno - ERRNO_OWN_MIN + CODE_OWN_MIN) as u8,
        _ => ERRNO_OTHER,
    }
}

/// Code of [`ERRNO_OWN_MAX`].
const CODE_OWN_MAX: u64 = CODE_OWN_MIN + ERRNO_OWN_MAX - ERRNO_OWN_MIN;

/// The errno of a code; `None` for [`ERRNO_OTHER`], or where there is no such code.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "constants below 1000")]
pub const fn errno_of_code(code: u8) -> Option<u32> {
    match code as u64 {
        0..=ERRNO_MAX => Some(code as u32),
        CODE_OWN_MIN..=CODE_OWN_MAX => {
            Some(code as u32 - CODE_OWN_MIN as u32 + ERRNO_OWN_MIN as u32)
        }
        _ => None,
    }
}

/// Name of the per-CPU array of [`Tally`], indexed by [`tally_index`].
pub const TALLIES_MAP: &str = "TALLIES";

/// Number of elements of [`TALLIES_MAP`].
pub const TALLIES: usize = CLASSES * TRANSPORTS;

/// Counts of one family and transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Tally {
    /// Connects by [`Via`] and [`CallResult`]. Failures are only those which [`FAILURES_MAP`] does not have.
    pub results: [[u64; CallResult::ALL.len()]; VIAS],
    /// Settled attempts by [`Settlement`]. Failed ones are only those which [`FAILURES_MAP`] does not
    /// have. [`Settlement::Pending`] is no end: it counts the attempts that have begun.
    pub outcomes: [u64; Settlement::ALL.len()],
}

/// Index in [`TALLIES_MAP`].
#[must_use]
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call between BPF functions costs")]
pub const fn tally_index(class: u8, transport: u8) -> u32 {
    (class as u32 & 15) << 4 | bounded_transport(transport) as u32
}

/// A transport's number; unknown, if it is not below [`TRANSPORTS`].
#[must_use]
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call between BPF functions costs")]
pub const fn bounded_transport(transport: u8) -> u8 {
    if transport as usize >= TRANSPORTS {
        0
    } else {
        transport
    }
}

/// Name of the per-CPU hash from [`Failure`] to `u64`.
pub const FAILURES_MAP: &str = "FAILURES";

/// Capacity of [`FAILURES_MAP`], in combinations. A host has some dozens; but a process can put
/// itself under a seccomp filter that returns any errno for any family, and must not grow the
/// agent's memory, or what it exports, without bound.
pub const FAILURES: u32 = 4096;

/// A combination that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Failure {
    /// [`crate::family::class_of`] its family.
    pub family: u8,
    /// Number of a [`crate::code::Transport`], bounded.
    pub transport: u8,
    /// Number of the [`Via`] of a connect; [`Self::OUTCOME`] for the outcome of an attempt.
    pub via: u8,
    /// [`errno_code`].
    pub errno: u8,
}

impl Failure {
    /// [`Self::via`] of the outcome of an attempt.
    pub const OUTCOME: u8 = 255;
}

/// Name of the per-CPU array of [`Durations`], indexed by [`durations_index`].
pub const DURATIONS_MAP: &str = "DURATIONS";

/// Number of elements of [`DURATIONS_MAP`].
pub const DURATIONS: usize = COARSE_CLASSES * TRANSPORTS;

/// Histograms of one coarse family and transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Durations {
    /// Time in the call, by [`CallResult`].
    pub connect: [Histogram; CallResult::RETURNED.len()],
    /// From start to settlement, in the order of [`Settlement::FINAL`].
    pub handshake: [Histogram; Settlement::FINAL.len()],
}

/// Index in [`DURATIONS_MAP`].
#[must_use]
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call between BPF functions costs")]
pub const fn durations_index(coarse: u8, transport: u8) -> u32 {
    (coarse as u32 & 3) << 4 | bounded_transport(transport) as u32
}

const _: () = assert!(size_of::<Counting>() == 24);
const _: () = assert!(size_of::<Tally>() == 160);
const _: () = assert!(size_of::<Failure>() == 4);
const _: () = assert!(size_of::<Durations>() == 2208);

#[cfg(feature = "user")]
#[expect(
    unsafe_code,
    reason = "aya takes a map's keys and values only from a Pod type"
)]
mod pod {
    use super::{Counting, Durations, Failure, Tally};

    // SAFETY: repr(C), holds only u32 and so has no padding.
    unsafe impl aya::Pod for Counting {}
    // SAFETY: repr(C), holds only u64 and so has no padding.
    unsafe impl aya::Pod for Tally {}
    // SAFETY: repr(C), holds only u8 and so has no padding.
    unsafe impl aya::Pod for Failure {}
    // SAFETY: repr(C), holds only u64 and so has no padding.
    unsafe impl aya::Pod for Durations {}
}
