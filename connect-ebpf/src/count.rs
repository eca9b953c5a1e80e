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

use core::{
    cell::{Cell, UnsafeCell},
    mem::offset_of,
};

use aya_ebpf::{
    Global,
    helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str},
    macros::map,
    maps::{PerCpuArray, PerCpuHashMap},
};
use connect_ebpf::{
    counter::{
        BOUNDS, BOUNDS_NS, Counting, Durations, ERRNO_NONE, ERRNO_OTHER, FAMILY_UNKNOWN, Failure,
        Histogram, LABEL_CGROUP, LABEL_PEER_ADDRESS, LABEL_PEER_PORT, LABEL_PROCESS, OUTCOME_BEGUN,
        RESULT_FAILURE, RESULT_IN_PROGRESS, RESULT_SUCCESS, RESULT_UNRETURNED, SERIES_ADDRESS_MAX,
        Series, Tally, bounded_transport, coarse_family, durations_index, errno_code, family_class,
        tally_index,
    },
    record::{KNOWN_ENTRY, OUTCOME_FAILED, Outcome},
};

use crate::{
    atomic::{add, increment, increment_in},
    inflight::Call,
    words,
};

/// Frozen before the verifier runs; see [`Counting`].
#[unsafe(no_mangle)]
pub(crate) static COUNTING: Global<Counting> = Global::new(Counting::DEFAULT);

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

/// Connects by the labels that were asked for.
#[map]
static SERIES: PerCpuHashMap<Series, u64> = PerCpuHashMap::with_max_entries(1, 0);

/// Connects whose series found no room.
#[map]
static SERIES_OVERFLOW: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Where a [`Series`] is put together: it is too large for the stack.
#[map]
static SERIES_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// Where a key is put together, as the stack has 512 bytes.
#[repr(C)]
struct Scratch {
    /// Not 0: by a program that may have been preempted for the one that looks here.
    taken: Cell<u64>,
    series: UnsafeCell<Series>,
}

// SAFETY: it stands only in a map, where each CPU has its own.
unsafe impl Sync for Scratch {}

/// One field of [`Counting`], as `setting!` for the settings.
macro_rules! counting {
    ($field:ident) => {{
        let counting =
            (&raw const $crate::count::COUNTING).cast::<connect_ebpf::counter::Counting>();
        // SAFETY: `Global` is a transparent wrapper of the value.
        let field = unsafe { &raw const (*counting).$field };
        // SAFETY: the static is initialised, aligned and never written.
        unsafe { core::ptr::read_volatile(field) }
    }};
}
pub(crate) use counting;

/// `connect(2)` on a non-blocking socket that will be settled later: neither success nor failure.
const EINPROGRESS: u64 = 115;

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_VSOCK: u16 = 40;

/// Counts a call that is over and passed the filters.
#[inline(always)]
pub(crate) fn connect(call: &Call, transport: u8) {
    if counting!(counters) != 0 {
        count_connect(call, transport);
    }
    if counting!(labels) != 0 && call.killed.get() == 0 && counting!(own_pid) != call.pid.get() {
        count_series(call);
    }
}

/// Counts an attempt that has begun and will be settled.
#[inline(always)]
pub(crate) fn begun(outcome: &Outcome) {
    if counting!(counters) != 0 {
        let begun = Settled::of(outcome);
        count_begun(begun.class, begun.transport, 1);
    }
}

/// An attempt that has begun will not be counted as settled: nobody saw that, or nobody wants to know.
#[inline(always)]
pub(crate) fn not_begun(outcome: &Outcome) {
    if counting!(counters) != 0 {
        not_settled(Settled::of(outcome));
    }
}

#[inline(always)]
fn not_settled(settled: Settled) {
    count_begun(settled.class, settled.transport, u64::MAX);
}

/// An attempt that is settled.
#[derive(Clone, Copy)]
pub(crate) struct Settled {
    /// [`family_class`].
    pub(crate) class: u8,
    /// `TRANSPORT_*`.
    pub(crate) transport: u8,
    /// `OUTCOME_*`.
    pub(crate) outcome: u8,
    /// Why it failed, or 0.
    pub(crate) errno: u32,
    /// From the call's entry to the settlement, in ns.
    pub(crate) duration_ns: u64,
}

impl Settled {
    /// What the record of an outcome says.
    #[inline(always)]
    pub(crate) fn of(outcome: &Outcome) -> Self {
        let [low, high, ..] = outcome.call.address;
        Self {
            class: if outcome.call.address_len >= 2 {
                family_class(u16::from_ne_bytes([low, high]))
            } else {
                FAMILY_UNKNOWN
            },
            transport: outcome.transport,
            outcome: outcome.outcome,
            errno: outcome.errno,
            duration_ns: outcome.settled_ns.wrapping_sub(outcome.call.entered_ns),
        }
    }
}

/// Counts what became of an attempt, if that is wanted.
#[inline(always)]
pub(crate) fn outcome(settled: Settled, wanted: bool) {
    if counting!(counters) == 0 {
        return;
    }
    if wanted {
        count_outcome(
            settled.class,
            settled.transport,
            settled.outcome,
            settled.errno,
            settled.duration_ns,
        );
    } else {
        not_settled(settled);
    }
}

#[inline(never)]
fn count_begun(class: u8, transport: u8, by: u64) {
    if let Some(tally) = TALLIES.get_ptr_mut(tally_index(class, transport)) {
        // SAFETY: the pointer is the map's own and this CPU's.
        add(unsafe { &mut (*tally).outcomes[OUTCOME_BEGUN] }, by);
    }
}

#[inline(never)]
fn count_connect(call: &Call, transport: u8) {
    let class = class(call);
    let via = call.via.get();
    let ret = call.ret.get();
    let result = match ret {
        _ if call.killed.get() != 0 => RESULT_UNRETURNED,
        0.. => RESULT_SUCCESS,
        _ if ret.unsigned_abs() == EINPROGRESS => RESULT_IN_PROGRESS,
        _ => RESULT_FAILURE,
    };
    let known = result == RESULT_FAILURE && {
        let errno = errno_code(ret.unsigned_abs());
        count_failure(class, transport, via, errno)
    };
    if !known && let Some(tally) = TALLIES.get_ptr_mut(tally_index(class, transport)) {
        let via = usize::from(via & 3);
        // SAFETY: the pointer is the map's own and this CPU's.
        increment(unsafe { &mut (*tally).results[via][result & 3] });
    }
    if call.known.get() & KNOWN_ENTRY != 0
        && result != RESULT_UNRETURNED
        && let Some(durations) =
            DURATIONS.get_ptr_mut(durations_index(coarse_family(class), transport))
    {
        // SAFETY: the pointer is the map's own and this CPU's.
        let histograms = unsafe { &mut (*durations).connect };
        if let Some(histogram) = histograms.get_mut(result) {
            let duration_ns = call.returned_ns.get().wrapping_sub(call.entered_ns.get());
            observe(histogram, duration_ns);
        }
    }
}

#[inline(never)]
fn count_outcome(class: u8, transport: u8, outcome: u8, errno: u32, duration_ns: u64) {
    let known = outcome == OUTCOME_FAILED
        && count_failure(class, transport, Failure::OUTCOME, errno_code(errno.into()));
    if !known && let Some(tally) = TALLIES.get_ptr_mut(tally_index(class, transport)) {
        // SAFETY: the pointer is the map's own and this CPU's.
        increment(unsafe { &mut (*tally).outcomes[usize::from(outcome & 3)] });
    }
    if let Some(durations) = DURATIONS.get_ptr_mut(durations_index(coarse_family(class), transport))
    {
        // SAFETY: the pointer is the map's own and this CPU's.
        let histograms = unsafe { &mut (*durations).handshake };
        if let Some(histogram) = histograms.get_mut(usize::from(outcome).wrapping_sub(1)) {
            observe(histogram, duration_ns);
        }
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
    count_key(&FAILURES, &failure)
}

/// Counts one more under a key; false where the map has no room for it.
#[inline(always)]
fn count_key<K>(map: &PerCpuHashMap<K, u64>, key: &K) -> bool {
    if map.get_ptr(key).is_none() {
        // Another CPU may be faster, which is as well: the entry is there, with a count for each.
        const BPF_NOEXIST: u64 = 1;
        let _exists = map.insert(key, &0, BPF_NOEXIST);
    }
    match map.get_ptr_mut(key) {
        Some(count) => {
            // SAFETY: the pointer is the map's own and this CPU's.
            increment(unsafe { &mut *count });
            true
        }
        None => false,
    }
}

/// Class of the family of the address passed.
#[inline(always)]
fn class(call: &Call) -> u8 {
    match family(call) {
        Some(family) => family_class(family),
        None => FAMILY_UNKNOWN,
    }
}

#[inline(always)]
fn family(call: &Call) -> Option<u16> {
    // SAFETY: an address begins with its family, and the cell is wider.
    let family = unsafe { call.address.as_ptr().cast::<u16>().read_unaligned() };
    (call.address_len.get() >= 2).then_some(family)
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
        // At most 62: the mask is for the verifier.
        let bound = SEARCHED[(bucket + step - 1) & (SEARCHED_LEN - 1)];
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

/// Counts a call under its labels, or as overflow.
#[inline(never)]
fn count_series(call: &Call) {
    let Some(scratch) = SERIES_SCRATCH.get_ptr(0) else {
        return;
    };
    // SAFETY: the pointer is the map's own and this CPU's.
    let scratch = unsafe { &*scratch };
    if scratch.taken.replace(1) != 0 {
        increment_in(&SERIES_OVERFLOW, 0);
        return;
    }
    // SAFETY: nobody else on this CPU has taken it.
    count_under_labels(call, unsafe { &mut *scratch.series.get() });
    scratch.taken.set(0);
}

#[inline(always)]
fn count_under_labels(call: &Call, series: &mut Series) {
    let ret = call.ret.get();
    let labels = counting!(labels);
    // SAFETY: an element of a map, which begins at a multiple of eight, and of integers only.
    unsafe { words::zero(&raw mut *series) }
    series.family = class(call);
    series.errno = if ret < 0 {
        errno_code(ret.unsigned_abs())
    } else {
        ERRNO_NONE
    };
    if labels & LABEL_PROCESS != 0 {
        // SAFETY: both lie at multiples of eight.
        unsafe { words::copy(&raw mut series.comm, call.comm.as_ptr()) }
    }
    if labels & LABEL_CGROUP != 0 {
        series.cgroup_id = call.cgroup_id();
    }
    if labels & (LABEL_PEER_ADDRESS | LABEL_PEER_PORT) != 0 || counting!(own_port) != 0 {
        let parts = Parts {
            port: labels & LABEL_PEER_PORT != 0,
            address: labels & LABEL_PEER_ADDRESS != 0,
        };
        if !set_address(series, call, parts) {
            return;
        }
    }
    if !count_key(&SERIES, series) {
        increment_in(&SERIES_OVERFLOW, 0);
    }
}

const _: () = assert!(offset_of!(Series, comm).is_multiple_of(8));

/// Which parts of an address are asked for.
#[derive(Clone, Copy)]
struct Parts {
    port: bool,
    address: bool,
}

/// Puts the parts that are asked for into the series, in the layout of their family; false for a call
/// to the agent itself.
#[inline(always)]
fn set_address(series: &mut Series, call: &Call, parts: Parts) -> bool {
    let length = call.address_len.get();
    // SAFETY: nobody writes into the cell meanwhile; its thread is here.
    let passed = unsafe { &*call.address.as_ptr() };
    let to = &mut series.address;
    match family(call) {
        // struct sockaddr_in: family 2, port 2, address 4, zeros.
        Some(AF_INET) if length >= 8 => {
            let address = [passed[4], passed[5], passed[6], passed[7]];
            if is_own_port([passed[2], passed[3]])
                && (address[0] == 127
                    || u32::from_ne_bytes(address) == 0
                    || u32::from_ne_bytes(address) == counting!(own_address))
            {
                return false;
            }
            to[..2].copy_from_slice(&passed[..2]);
            if parts.port {
                to[2..4].copy_from_slice(&passed[2..4]);
            }
            if parts.address {
                to[4..8].copy_from_slice(&passed[4..8]);
            }
            series.address_len = 16;
        }
        // struct sockaddr_in6: family 2, port 2, flow 4, address 16, scope 4.
        Some(AF_INET6) if length >= 24 => {
            if is_own_port([passed[2], passed[3]]) && is_own_address6(passed) {
                return false;
            }
            to[..2].copy_from_slice(&passed[..2]);
            if parts.port {
                to[2..4].copy_from_slice(&passed[2..4]);
            }
            if parts.address {
                to[8..24].copy_from_slice(&passed[8..24]);
                if length >= 28 {
                    to[24..28].copy_from_slice(&passed[24..28]);
                }
            }
            series.address_len = 28;
        }
        // struct sockaddr_vm: family 2, reserved 2, port 4, cid 4, flags and zeros 4.
        Some(AF_VSOCK) if length >= 12 => {
            to[..2].copy_from_slice(&passed[..2]);
            if parts.port {
                to[4..8].copy_from_slice(&passed[4..8]);
            }
            if parts.address {
                to[8..12].copy_from_slice(&passed[8..12]);
            }
            series.address_len = 16;
        }
        // struct sockaddr_un: family 2, path, of which nothing counts from its NUL on. An abstract
        // name begins with one.
        Some(AF_UNIX) if length >= 3 && passed[2] != 0 => {
            if parts.address {
                // As many bytes as the path can have, and one for a NUL.
                let most = (length as u32 - 1) & 127;
                let most = if most > SERIES_ADDRESS_MAX as u32 - 2 {
                    SERIES_ADDRESS_MAX as u32 - 2
                } else {
                    most
                };
                // SAFETY: `most` is at most the size of what is left of either array.
                let copied = unsafe {
                    bpf_probe_read_kernel_str(
                        to.as_mut_ptr().wrapping_add(2).cast(),
                        most,
                        passed.as_ptr().wrapping_add(2).cast(),
                    )
                };
                if copied > 0 {
                    to[..2].copy_from_slice(&passed[..2]);
                    series.address_len = copied.cast_unsigned() as u8 + 1;
                }
            }
        }
        _ if parts.address => {
            let length = if length > SERIES_ADDRESS_MAX as u64 {
                SERIES_ADDRESS_MAX as u64
            } else {
                length
            };
            // SAFETY: `length` is at most the size of either array.
            let failed = unsafe {
                bpf_probe_read_kernel(
                    to.as_mut_ptr().cast(),
                    length as u32,
                    passed.as_ptr().cast(),
                )
            };
            if failed == 0 {
                series.address_len = length as u8;
            }
        }
        _ => {}
    }
    true
}

/// Whether the agent listens on this port, which is in network byte order.
#[inline(always)]
fn is_own_port(port: [u8; 2]) -> bool {
    u32::from(u16::from_be_bytes(port)) == counting!(own_port) && counting!(own_port) != 0
}

/// Whether the address of a `sockaddr_in6` is loopback or unspecified.
#[inline(always)]
fn is_own_address6(passed: &[u8; 128]) -> bool {
    let mut others = passed[23] & 0xfe;
    for &byte in &passed[8..23] {
        others |= byte;
    }
    others == 0
}
