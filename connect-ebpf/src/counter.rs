//! Counters: what the kernel object counts by itself, exact however full the ring buffer is.
//!
//! Four maps, all per CPU, so that counting needs no lock; the agent sums over the CPUs at a scrape.
//!
//! * [`TALLIES_MAP`]: an array with a [`Tally`] for every family and transport. It has room for all
//!   of them from the beginning, so nothing that is counted there can fail.
//! * [`FAILURES_MAP`]: a hash of failures by errno, [`Failure`] to `u64`. Where it has no room for
//!   another combination, the failure is counted in the [`Tally`] instead, and lacks only its errno.
//! * [`DURATIONS_MAP`]: an array with [`Durations`] for every coarse family and transport.
//! * [`SERIES_MAP`]: a hash of connects by the labels that were asked for, [`Series`] to `u64`, and
//!   its overflow, [`SERIES_OVERFLOW_MAP`].

use crate::record::ADDRESS_MAX;

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
    /// Labels by which connects are also counted: `LABEL_*`, or-ed.
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

/// [`Counting::labels`]: by the name of the task.
pub const LABEL_PROCESS: u32 = 1 << 0;
/// [`Counting::labels`]: by cgroup v2 id.
pub const LABEL_CGROUP: u32 = 1 << 1;
/// [`Counting::labels`]: by the port of the address passed.
pub const LABEL_PEER_PORT: u32 = 1 << 2;
/// [`Counting::labels`]: by the address passed, without its port.
pub const LABEL_PEER_ADDRESS: u32 = 1 << 3;

/// Class of a family: the address was not read, or has none.
pub const FAMILY_UNKNOWN: u8 = 0;
/// Class of a family that no decoder knows.
pub const FAMILY_OTHER: u8 = 1;

/// Every class of families by its number: as metrics call it. 16, so that a class has 4 bits.
pub const FAMILY_NAMES: [&str; FAMILIES] = [
    "unknown",
    "other",
    "unspec",
    "unix",
    "inet",
    "inet6",
    "netlink",
    "packet",
    "can",
    "tipc",
    "bluetooth",
    "alg",
    "vsock",
    "qipcrtr",
    "xdp",
    "reserved",
];

/// Number of classes of families.
pub const FAMILIES: usize = 16;

/// Class of an address family (`AF_*`): every one that is decoded has its own, all others share
/// [`FAMILY_OTHER`].
///
/// A table, as the verifier would follow each arm of a `match` to the end of the program.
#[must_use]
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call between BPF functions costs")]
pub fn family_class(family: u16) -> u8 {
    CLASSES
        .get(usize::from(family))
        .copied()
        .unwrap_or(FAMILY_OTHER)
}

/// Class by family.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which would say so"
)]
static CLASSES: [u8; 64] = {
    const DECODED: [(usize, u8); 13] = [
        (0, 2),
        (1, 3),
        (2, 4),
        (10, 5),
        (16, 6),
        (17, 7),
        (29, 8),
        (30, 9),
        (31, 10),
        (38, 11),
        (40, 12),
        (42, 13),
        (44, 14),
    ];
    let mut classes = [FAMILY_OTHER; 64];
    let mut index = 0;
    while index < DECODED.len() {
        let (family, class) = DECODED[index];
        classes[family] = class;
        index += 1;
    }
    classes
};

/// Coarse classes of families, which histograms keep, by their number.
pub const COARSE_FAMILY_NAMES: [&str; COARSE_FAMILIES] = ["other", "unix", "inet", "inet6"];

/// Number of coarse classes.
pub const COARSE_FAMILIES: usize = 4;

/// Coarse class of a [`family_class`].
#[must_use]
#[inline(always)]
pub const fn coarse_family(class: u8) -> u8 {
    // Two bits per class, for the reason that [`family_class`] gives.
    const COARSE: u32 = 1 << (3 * 2) | 2 << (4 * 2) | 3 << (5 * 2);
    ((COARSE >> ((class as u32 & 15) * 2)) & 3) as u8
}

/// Number of transports (`TRANSPORT_*`) that are told apart; a higher one counts as unknown.
pub const TRANSPORTS: usize = 16;

/// Number of ways into connect (`VIA_*`) that make calls.
pub const VIAS: usize = 4;

/// Code of an errno: success.
pub const ERRNO_NONE: u8 = 0;
/// Code of an errno: none that the kernel has, as a seccomp filter can return, or one whose counter
/// found no room.
pub const ERRNO_OTHER: u8 = 255;

/// Highest errno that applications see: `EFTYPE`.
const ERRNO_MAX: u64 = 134;
/// Lowest errno of the kernel's own: `ERESTARTSYS`.
const ERRNO_OWN_MIN: u64 = 512;
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

/// Index of [`Tally::results`]: returned 0.
pub const RESULT_SUCCESS: usize = 0;
/// Index of [`Tally::results`]: returned `EINPROGRESS`.
pub const RESULT_IN_PROGRESS: usize = 1;
/// Index of [`Tally::results`]: returned another errno. In a [`Tally`] these are only those which
/// [`FAILURES_MAP`] does not have.
pub const RESULT_FAILURE: usize = 2;
/// Index of [`Tally::results`]: never returned to the application.
pub const RESULT_UNRETURNED: usize = 3;

/// Name of the per-CPU array of [`Tally`], indexed by [`tally_index`].
pub const TALLIES_MAP: &str = "TALLIES";

/// Number of elements of [`TALLIES_MAP`].
pub const TALLIES: usize = FAMILIES * TRANSPORTS;

/// Counts of one family and transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Tally {
    /// Connects by `VIA_*` and `RESULT_*`.
    pub results: [[u64; 4]; VIAS],
    /// Settled attempts by `OUTCOME_*`. Failed ones are only those which [`FAILURES_MAP`] does not
    /// have. Element 0 is of no outcome: it counts the attempts that have begun.
    pub outcomes: [u64; 4],
}

/// Index of [`Tally::outcomes`]: attempts that have begun.
pub const OUTCOME_BEGUN: usize = 0;

/// Index in [`TALLIES_MAP`].
#[must_use]
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call between BPF functions costs")]
pub const fn tally_index(class: u8, transport: u8) -> u32 {
    (class as u32 & 15) << 4 | bounded_transport(transport) as u32
}

/// A `TRANSPORT_*`; unknown, if it is not below [`TRANSPORTS`].
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
    /// [`family_class`].
    pub family: u8,
    /// `TRANSPORT_*`, bounded.
    pub transport: u8,
    /// `VIA_*` of a connect; [`Self::OUTCOME`] for the outcome of an attempt.
    pub via: u8,
    /// [`errno_code`].
    pub errno: u8,
}

impl Failure {
    /// [`Self::via`] of the outcome of an attempt.
    pub const OUTCOME: u8 = 255;
}

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
/// histograms, so that either can be told exactly. Times are whole ns, so a bound that is not is
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
    reason = "evaluated by the compiler, which would say so"
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

/// Name of the per-CPU array of [`Durations`], indexed by [`durations_index`].
pub const DURATIONS_MAP: &str = "DURATIONS";

/// Number of elements of [`DURATIONS_MAP`].
pub const DURATIONS: usize = COARSE_FAMILIES * TRANSPORTS;

/// Histograms of one coarse family and transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Durations {
    /// Time in the call, by `RESULT_*`.
    pub connect: [Histogram; 3],
    /// From start to settlement, by `OUTCOME_*` less 1.
    pub handshake: [Histogram; 3],
}

/// Index in [`DURATIONS_MAP`].
#[must_use]
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call between BPF functions costs")]
pub const fn durations_index(coarse: u8, transport: u8) -> u32 {
    (coarse as u32 & 3) << 4 | bounded_transport(transport) as u32
}

/// Name of the per-CPU hash from [`Series`] to `u64`.
pub const SERIES_MAP: &str = "SERIES";
/// Name of the per-CPU array whose one element counts the connects whose [`Series`] found no room.
pub const SERIES_OVERFLOW_MAP: &str = "SERIES_OVERFLOW";

/// Bytes of an address that tell one series from another: `sizeof(struct sockaddr_un)`, rounded up.
pub const SERIES_ADDRESS_MAX: usize = 112;

/// Connects with the same labels. What was not asked for is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Series {
    /// cgroup v2 id.
    pub cgroup_id: u64,
    /// Task name when the call was entered, ended by a NUL.
    pub comm: [u8; 16],
    /// [`family_class`].
    pub family: u8,
    /// [`errno_code`].
    pub errno: u8,
    /// How many bytes of [`Self::address`] are the caller's.
    pub address_len: u8,
    /// Always 0.
    pub reserved: [u8; 5],
    /// The address passed, with zeros for the parts that were not asked for.
    pub address: [u8; SERIES_ADDRESS_MAX],
}

const _: () = assert!(size_of::<Counting>() == 24);
const _: () = assert!(size_of::<Tally>() == 160);
const _: () = assert!(size_of::<Failure>() == 4);
const _: () = assert!(BOUNDS_NS.len() == 44 && BOUNDS < 64);
const _: () = assert!(size_of::<Histogram>() == 368);
const _: () = assert!(size_of::<Durations>() == 2208);
const _: () = assert!(size_of::<Series>() == 144);
const _: () = assert!(SERIES_ADDRESS_MAX <= ADDRESS_MAX);

#[cfg(feature = "user")]
#[expect(
    unsafe_code,
    reason = "aya takes a map's keys and values only from a Pod type"
)]
mod pod {
    use super::{Counting, Durations, Failure, Series, Tally};

    // SAFETY: repr(C), holds only u32 and so has no padding.
    unsafe impl aya::Pod for Counting {}
    // SAFETY: repr(C), holds only u64 and so has no padding.
    unsafe impl aya::Pod for Tally {}
    // SAFETY: repr(C), holds only u8 and so has no padding.
    unsafe impl aya::Pod for Failure {}
    // SAFETY: repr(C), holds only u64 and so has no padding.
    unsafe impl aya::Pod for Durations {}
    // SAFETY: repr(C), holds a u64 and 136 bytes, a multiple of 8, and so has no padding.
    unsafe impl aya::Pod for Series {}
}
