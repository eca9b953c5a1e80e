//! Larger pieces of memory, eight bytes at a time. The compiler makes a loop over single bytes of whatever is
//! copied or zeroed in one piece and is longer than a word, which costs more than all the rest of a
//! program.

/// Writes one value, apart from its neighbours: of several that are 0, the compiler would make a loop.
#[inline(always)]
pub(crate) fn set<T>(to: &mut T, value: T) {
    // SAFETY: a reference can be written.
    unsafe { (&raw mut *to).write_volatile(value) }
}

/// Does something for the number of each word of a T, written out: of many rounds the compiler would make a
/// loop, which the verifier would follow round by round.
macro_rules! for_each_word {
    ($type:ty, |$number:ident| $body:expr; $($literal:literal)*) => {{
        const { assert!(count::<$type>() <= [$($literal),*].len()) }
        $(if $literal < count::<$type>() {
            let $number: usize = $literal;
            $body
        })*
    }};
    ($type:ty, |$number:ident| $body:expr) => {
        for_each_word!($type, |$number| $body;
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
            32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47)
    };
}

/// Makes everything 0.
///
/// # Safety
///
/// `to` can be written, begins at a multiple of eight, and may be all 0.
#[inline(always)]
pub(crate) unsafe fn zero<T>(to: *mut T) {
    for_each_word!(T, |number| {
        let to = to.cast::<u64>().wrapping_add(number);
        // SAFETY: it is within a T, and aligned. Volatile, or the compiler would make them one again.
        unsafe { to.write_volatile(0) }
    });
}

/// Copies.
///
/// # Safety
///
/// `from` can be read and `to` written, and both begin at a multiple of eight.
#[inline(always)]
pub(crate) unsafe fn copy<T>(to: *mut T, from: *const T) {
    for_each_word!(T, |number| {
        let to = to.cast::<u64>().wrapping_add(number);
        let from = from.cast::<u64>().wrapping_add(number);
        // SAFETY: it is within a T, and aligned.
        let value = unsafe { from.read() };
        // SAFETY: it is within a T, and aligned. Volatile, or the compiler would make them one again.
        unsafe { to.write_volatile(value) }
    });
}

/// Something on the stack that begins at a multiple of eight.
#[repr(C, align(8))]
pub(crate) struct Aligned<T>(pub(crate) T);

/// Whether two are the same, byte for byte.
///
/// # Safety
///
/// Both can be read, and begin at a multiple of eight.
#[inline(always)]
pub(crate) const unsafe fn are_equal<T>(one: *const T, other: *const T) -> bool {
    let mut differences = 0;
    for_each_word!(T, |number| {
        let one = one.cast::<u64>().wrapping_add(number);
        let other = other.cast::<u64>().wrapping_add(number);
        // SAFETY: it is within a T, and aligned.
        let one = unsafe { one.read() };
        // SAFETY: as above.
        let other = unsafe { other.read() };
        differences |= one ^ other;
    });
    differences == 0
}

/// How many words a T has.
const fn count<T>() -> usize {
    const { assert!(size_of::<T>().is_multiple_of(size_of::<u64>())) };
    size_of::<T>() / size_of::<u64>()
}
