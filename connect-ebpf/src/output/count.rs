//! Counts what happened, in the kernel: metrics are made of these counts and not of records, so they
//! are exact where records are lost.
//!
//! Additions are atomic, as a softirq that settles an attempt may count in the middle of one.
//!
//! The functions that do the work are not inlined: a call is over in several places, and each would
//! have a copy.

#![expect(
    clippy::indexing_slicing,
    reason = "indices are masked; were one not, the verifier would refuse the object"
)]

use core::hint::black_box;

use aya_ebpf::{
    macros::map,
    maps::{PerCpuArray, PerCpuHashMap},
};
use connect_ebpf::{
    code::{CallResult, Settlement},
    counter::{
        Durations, ERRNO_OTHER, Failure, Tally, bounded_transport, durations_index, errno_code,
        tally_index,
    },
    family::coarse_class,
    histogram::{BOUNDS, BOUNDS_NS, Histogram},
    record::{Call, Connect, KNOWN_ENTRY},
    uapi::errno::EINPROGRESS,
};

use super::{
    atomic::{add, increment},
    keyed, series,
};
pub(crate) use crate::fact::address::class;
use crate::fact::setting::counting;

// The agent makes these maps as large as they must be, where it counts at all.

/// Connects and outcomes by family and transport.
#[map]
static TALLIES: PerCpuArray<Tally> = PerCpuArray::with_max_entries(1, 0);

/// Failures by errno.
#[map]
static FAILURES: PerCpuHashMap<Failure, u64> = PerCpuHashMap::with_max_entries(1, 0);

/// Histograms by coarse family and transport.
#[map]
static DURATIONS: PerCpuArray<Durations> = PerCpuArray::with_max_entries(1, 0);

/// Counts a call that is over and passed the filters.
#[inline(always)]
pub(crate) fn connect(connect: &Connect) {
    if counting!(counters) != 0 {
        count_connect(connect);
    }
    if counting!(labels) != 0 && connect.killed == 0 && counting!(own_pid) != connect.call.pid {
        series::count(connect);
    }
}

/// Counts an attempt that this call has begun, and that will be settled.
#[inline(always)]
pub(crate) fn begun(call: &Call, transport: u8) {
    if counting!(counters) != 0 {
        count_begun(class(call), transport, 1);
    }
}

/// Takes back that an attempt has begun, as it will not be counted as settled: nobody saw its end, or nobody
/// wants to know.
#[inline(always)]
pub(crate) fn not_begun(class: u8, transport: u8) {
    if counting!(counters) != 0 {
        count_begun(class, transport, u64::MAX);
    }
}

/// Counts what became of an attempt, which this call has begun: why it failed, or 0, and how long it took from
/// the call's entry to its settlement, in ns.
#[inline(always)]
pub(crate) fn outcome(call: &Call, transport: u8, settlement: u8, errno: u32, duration_ns: u64) {
    if counting!(counters) != 0 {
        count_outcome(class(call), transport, settlement, errno, duration_ns);
    }
}

/// Counts an association of a datagram socket that has failed: as an attempt, of which nothing was known before.
#[inline(always)]
pub(crate) fn association_failed(class: u8, transport: u8, errno: u32) {
    if counting!(counters) != 0 {
        count_begun(class, transport, 1);
        count_settled(class, transport, Settlement::Failed.number(), errno);
    }
}

#[inline(never)]
fn count_begun(class: u8, transport: u8, by: u64) {
    if let Some(tally) = TALLIES.get_ptr_mut(tally_index(class, transport)) {
        // SAFETY: the pointer is the map's own and this CPU's.
        add(
            unsafe { &mut (*tally).outcomes[Settlement::Pending as usize] },
            by,
        );
    }
}

#[inline(never)]
fn count_connect(connect: &Connect) {
    let class = class(&connect.call);
    let transport = connect.transport;
    let via = connect.call.via;
    let ret = connect.ret;
    let result = match ret {
        _ if connect.killed != 0 => CallResult::Unreturned,
        0.. => CallResult::Success,
        _ if ret.unsigned_abs() == u64::from(EINPROGRESS) => CallResult::InProgress,
        _ => CallResult::Failure,
    }
    .index();
    let known = result == CallResult::Failure.index() && {
        let errno = errno_code(ret.unsigned_abs());
        count_failure(class, transport, via, errno)
    };
    if !known && let Some(tally) = TALLIES.get_ptr_mut(tally_index(class, transport)) {
        let via = usize::from(via & 3);
        // SAFETY: the pointer is the map's own and this CPU's.
        increment(unsafe { &mut (*tally).results[via][result & 3] });
    }
    if connect.call.known & KNOWN_ENTRY != 0
        && result != CallResult::Unreturned.index()
        && let Some(durations) =
            DURATIONS.get_ptr_mut(durations_index(coarse_class(class), transport))
    {
        // SAFETY: the pointer is the map's own and this CPU's.
        let histograms = unsafe { &mut (*durations).connect };
        if let Some(histogram) = histograms.get_mut(result) {
            observe(histogram, connect.duration_ns);
        }
    }
}

#[inline(never)]
fn count_outcome(class: u8, transport: u8, settlement: u8, errno: u32, duration_ns: u64) {
    count_settled(class, transport, settlement, errno);
    if let Some(durations) = DURATIONS.get_ptr_mut(durations_index(coarse_class(class), transport))
    {
        // SAFETY: the pointer is the map's own and this CPU's.
        let histograms = unsafe { &mut (*durations).handshake };
        // Pending is no end, and has no histogram.
        if let Some(histogram) = histograms.get_mut(usize::from(settlement).wrapping_sub(1)) {
            observe(histogram, duration_ns);
        }
    }
}

#[inline(always)]
fn count_settled(class: u8, transport: u8, settlement: u8, errno: u32) {
    let known = settlement == Settlement::Failed.number()
        && count_failure(class, transport, Failure::OUTCOME, errno_code(errno.into()));
    if !known && let Some(tally) = TALLIES.get_ptr_mut(tally_index(class, transport)) {
        // SAFETY: the pointer is the map's own and this CPU's.
        increment(unsafe { &mut (*tally).outcomes[usize::from(settlement & 3)] });
    }
}

/// Counts a failure by its errno; false where that has no name or no room.
#[inline(always)]
fn count_failure(family: u8, transport: u8, via: u8, errno: u8) -> bool {
    if errno == ERRNO_OTHER {
        return false;
    }
    let failure = Failure {
        family,
        transport: bounded_transport(transport),
        via,
        errno,
    };
    keyed::count(&FAILURES, &failure)
}

/// Number of [`SEARCHED`], a power of two.
const SEARCHED_LEN: usize = 64;
/// Longer than any duration.
const NO_BOUND: u64 = i64::MAX.cast_unsigned();
/// [`BOUNDS_NS`], and then no bound, for a search that halves.
static SEARCHED: [u64; SEARCHED_LEN] = {
    let mut bounds = [NO_BOUND; SEARCHED_LEN];
    let mut index = 0;
    while index < BOUNDS {
        bounds[index] = BOUNDS_NS[index];
        index += 1;
    }
    bounds
};

/// Counts a duration in the bucket where it belongs.
#[inline(always)]
fn observe(histogram: &mut Histogram, duration_ns: u64) {
    let duration_ns = duration_ns & NO_BOUND;
    let mut bucket = 0;
    for step in [32, 16, 8, 4, 2, 1] {
        // At most 62: the mask is for the verifier, as that of 6.1 does not see it; and hidden from the optimiser, which
        // does.
        let bound = SEARCHED[black_box(bucket + step - 1) & (SEARCHED_LEN - 1)];
        // The sign of a difference, as the verifier would follow both ways of a comparison: 64 in
        // all.
        let above = bound.wrapping_sub(duration_ns) >> 63;
        bucket += step * above as usize;
    }
    add(&mut histogram.sum_ns, duration_ns);
    if let Some(count) = histogram.buckets.get_mut(bucket) {
        increment(count);
    }
}
