//! Larger pieces of memory, eight bytes at a time. The compiler makes a loop over single bytes of whatever is
//! copied or zeroed in one piece and is longer than a word, which costs more than all the rest of a
//! program.

/// Writes one value, apart from its neighbours: of several that are 0, the compiler would make a loop.
#[inline(always)]
pub(crate) fn set<T>(to: &mut T, value: T) {
    // SAFETY: a reference can be written.
    unsafe { (&raw mut *to).write_volatile(value) }
}

/// Makes everything 0.
///
/// # Safety
///
/// `to` can be written, begins at a multiple of eight, and may be all 0.
#[inline(always)]
pub(crate) unsafe fn zero<T>(to: *mut T) {
    for word in 0..count::<T>() {
        let to = to.cast::<u64>().wrapping_add(word);
        // SAFETY: it is within a T, and aligned. Volatile, or the compiler would make it one again.
        unsafe { to.write_volatile(0) }
    }
}

/// Copies.
///
/// # Safety
///
/// `from` can be read and `to` written, and both begin at a multiple of eight.
#[inline(always)]
pub(crate) unsafe fn copy<T>(to: *mut T, from: *const T) {
    for word in 0..count::<T>() {
        let to = to.cast::<u64>().wrapping_add(word);
        let from = from.cast::<u64>().wrapping_add(word);
        // SAFETY: it is within a T, and aligned.
        let value = unsafe { from.read() };
        // SAFETY: the same. Volatile, or the compiler would make it one again.
        unsafe { to.write_volatile(value) }
    }
}

/// How many words a T has.
const fn count<T>() -> usize {
    const { assert!(size_of::<T>().is_multiple_of(size_of::<u64>())) };
    size_of::<T>() / size_of::<u64>()
}
