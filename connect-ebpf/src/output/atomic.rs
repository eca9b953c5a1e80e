//! The one atomic operation that every kernel from 5.10 has: an addition that returns nothing.
//!
//! `core`'s atomics have none for this target, as they would return the old value. It orders nothing: on
//! 64-bit Arm, what comes before it and what comes after it may be seen in any order. So it serves for
//! counters only, and no decision rests on it.

use core::arch::asm;

use aya_ebpf::maps::PerCpuArray;

/// Adds 1; see [`add`].
#[inline(always)]
pub(super) fn increment(value: &mut u64) {
    add(value, 1);
}

/// Adds 1 to this CPU's element of a map, if it has one there.
#[inline(always)]
pub(super) fn increment_in(counters: &PerCpuArray<u64>, index: u32) {
    if let Some(counter) = counters.get_ptr_mut(index) {
        // SAFETY: the pointer is the map's own and its elements are never removed.
        increment(unsafe { &mut *counter });
    }
}

/// Adds, wrapping.
#[inline(always)]
pub(super) fn add(value: &mut u64, by: u64) {
    // SAFETY: a reference is aligned and may be written; the instruction touches nothing else.
    unsafe {
        asm!(
            "lock *(u64 *)({value} + 0) += {by}",
            value = in(reg) value,
            by = in(reg) by,
            options(nostack),
        );
    }
}
