//! Losses: why the kernel object could not deliver a record.
//!
//! Counted in a per-CPU array of `u64`, one element per [`KernelLoss`], which stays exact however
//! full the ring buffer is.

use crate::code::codes;

/// Name of the per-CPU array map of counts, indexed by [`KernelLoss`].
pub const LOSSES_MAP: &str = "LOSSES";

codes! {
    /// A reason, the index of its counter, and its name in events and metrics.
    pub enum KernelLoss {
        /// The ring buffer had no room: the agent was slower than the calls came. One per record.
        RingFull = 0, "ring_full";
        /// The table of threads had no room for another one, or that of suspended calls for another call. One
        /// per call.
        InflightFull = 1, "inflight_full";
        /// The table of observed tasks had no room, so a task of `run` was not followed. One per task:
        /// how many calls it makes is not known.
        LineageFull = 2, "lineage_full";
        /// The table of attempts under way had no room, so what becomes of one is not reported. One
        /// per attempt; the call itself is reported.
        AttemptsFull = 3, "attempts_full";
        /// The kernel did not run our hook when an attempt began or was settled, or refused to keep the settlement
        /// in the middle of another insertion. One per attempt.
        OutcomeMissed = 4, "outcome_missed";
        /// Signal handlers that connect had interrupted each other's calls deeper than is kept. One
        /// per call.
        NestingFull = 5, "nesting_full";
        /// The kernel did not show that a connect by io_uring was completed
        /// (`IOSQE_CQE_SKIP_SUCCESS`), which shows when its request makes another. One per connect.
        CompletionMissed = 6, "completion_missed";
        /// The kernel did not run our hook when a call returned, which shows when its thread makes another,
        /// or ends. One per call.
        ReturnMissed = 7, "return_missed";
    }
}

impl KernelLoss {
    /// Index of its counter in [`LOSSES_MAP`].
    #[must_use]
    pub const fn index(self) -> u32 {
        self as u32
    }
}

/// Name of the per-CPU array map of how often two hooks on one call have reported its return, from which
/// follows what a run that the kernel skipped (`recursion_misses`) has lost. An element per `RETURNS_*`.
pub const RETURNS_MAP: &str = "RETURNS";
/// In [`RETURNS_MAP`]: fexit has, which comes first.
pub const RETURNS_BY_FUNCTION: u32 = 0;
/// In [`RETURNS_MAP`]: the tracepoint has seen one that fexit has reported.
pub const RETURNS_CONFIRMED: u32 = 1;
/// In [`RETURNS_MAP`]: neither has seen the return of a native call, which shows later.
pub const RETURNS_MISSED: u32 = 2;
/// Number of counters in [`RETURNS_MAP`].
pub const RETURNS: u32 = 3;

/// Number of counters in [`LOSSES_MAP`].
#[expect(clippy::cast_possible_truncation, reason = "a handful of reasons")]
pub const COUNTERS: u32 = KernelLoss::ALL.len() as u32;
