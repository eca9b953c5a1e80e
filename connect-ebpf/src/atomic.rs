//! The one atomic operation that every kernel from 5.10 has: an addition that returns nothing.
//!
//! `core`'s atomics have none for this target, as they would return the old value.

use core::arch::asm;

/// Adds 1; see [`add`].
#[inline(always)]
pub(crate) fn increment(value: &mut u64) {
    add(value, 1);
}

/// Adds, wrapping. On x86-64 a full barrier between what comes before and what comes after: the JIT
/// makes a locked instruction of it (`arch/x86/net/bpf_jit_comp.c`).
#[inline(always)]
pub(crate) fn add(value: &mut u64, by: u64) {
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
