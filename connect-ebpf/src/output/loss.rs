//! What is lost is counted, by reason.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use connect_ebpf::loss::{self, KernelLoss};

use super::atomic::{increment, increment_in};

/// Records that could not be written, one count per [`KernelLoss`].
#[map]
static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(loss::COUNTERS, 0);

/// How often either of two hooks has reported the return of a call: `RETURNS_*`.
#[map]
static RETURNS: PerCpuArray<u64> = PerCpuArray::with_max_entries(loss::RETURNS, 0);

/// Counts one loss. Returns whether it is the first of its reason on this CPU, which is when it is
/// worth a line in the log.
#[inline(always)]
pub(crate) fn lose(reason: KernelLoss) -> bool {
    let Some(counter) = LOSSES.get_ptr_mut(reason.index()) else {
        return true;
    };
    // SAFETY: the pointer is the map's own and its elements are never removed.
    let counter = unsafe { &mut *counter };
    let first = *counter == 0;
    // Atomic, as a softirq may count in the middle of it.
    increment(counter);
    first
}

/// Counts a return: `RETURNS_*`.
#[inline(always)]
pub(crate) fn returned(how: u32) {
    increment_in(&RETURNS, how);
}
