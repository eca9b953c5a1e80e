//! Histograms of durations, whose buckets suffice for both kinds that Prometheus has.

/// Upper bounds of the buckets that a classic histogram shows, in ns: 10 us to 130 s, which is just
/// above the time in which TCP gives up by default (127 s).
pub const CLASSIC_BOUNDS_NS: [u64; 22] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    130_000_000_000,
];

/// Bounds of the buckets that a native histogram of schema 0 shows are powers of 2 of a second,
/// from this exponent on ...
pub const NATIVE_EXPONENT_MIN: i32 = -17;
/// ... to this one.
pub const NATIVE_EXPONENT_MAX: i32 = 7;
/// Number of these bounds.
const NATIVE_BOUNDS: usize = 25;

/// Bounds that both kinds of histograms have: 0.25 s, 0.5 s and 1 s.
const COMMON_BOUNDS: usize = 3;
/// Number of [`BOUNDS_NS`].
pub const BOUNDS: usize = CLASSIC_BOUNDS_NS.len() + NATIVE_BOUNDS - COMMON_BOUNDS;
/// Number of buckets: one per bound, and what lies above the last.
pub const BUCKETS: usize = BOUNDS + 1;

/// Upper bounds of the buckets that are counted, in ns, ascending: the bounds of both kinds of
/// histograms, so that either can be given exactly. Times are whole ns, so a bound that is not is
/// rounded down.
pub const BOUNDS_NS: [u64; BOUNDS] = merged_bounds();

/// A bound of a native histogram, in ns, rounded down.
#[must_use]
pub const fn native_bound_ns(exponent: i32) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    if exponent < 0 {
        SECOND >> exponent.unsigned_abs()
    } else {
        SECOND << exponent.unsigned_abs()
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which would report an index out of bounds"
)]
const fn merged_bounds() -> [u64; BOUNDS] {
    let mut bounds = [0; BOUNDS];
    let mut classic = 0;
    let mut exponent = NATIVE_EXPONENT_MIN;
    let mut index = 0;
    while index < BOUNDS {
        let next_classic = if classic < CLASSIC_BOUNDS_NS.len() {
            CLASSIC_BOUNDS_NS[classic]
        } else {
            u64::MAX
        };
        let next_native = if exponent <= NATIVE_EXPONENT_MAX {
            native_bound_ns(exponent)
        } else {
            u64::MAX
        };
        bounds[index] = if next_classic < next_native {
            next_classic
        } else {
            next_native
        };
        if bounds[index] == next_classic {
            classic += 1;
        }
        if bounds[index] == next_native {
            exponent += 1;
        }
        index += 1;
    }
    bounds
}

/// Durations of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Histogram {
    /// Sum of all durations, in ns.
    pub sum_ns: u64,
    /// How many durations were above the bound before and not above this one.
    pub buckets: [u64; BUCKETS],
}

const _: () = assert!(BOUNDS_NS.len() == 44 && BOUNDS < 64);
const _: () = assert!(size_of::<Histogram>() == 368);
